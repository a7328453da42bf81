//! The certificate that the peer asks for.

use vpnhost_policy::{CredentialChoice, CredentialMenu};

/// Takes the first certificate below an authority that the peer named, else the first. Only of nothing there is no choice.
pub(crate) fn choose(menu: &CredentialMenu) -> Option<CredentialChoice> {
    let asked = menu.credentials.iter().position(|credential| credential.is_requested);
    let index = u32::try_from(asked.unwrap_or(0)).ok()?;
    (!menu.credentials.is_empty()).then_some(CredentialChoice { index, why: None })
}
