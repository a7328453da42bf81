//! `choose-credential` inside the component.

use vpnhost_policy::{CredentialFacts, CredentialMenu, Policy};

use crate::bindings::choose_credential::exports::vpnhost::policy::choose_credential as wit;
use crate::convert::{attributes, endpoint, identity};

/// Asks the policy.
pub fn choose_credential<P: Policy>(policy: &P, menu: wit::CredentialMenu) -> Option<wit::CredentialChoice> {
    let menu = CredentialMenu {
        connection: menu.connection,
        local_id: identity(menu.local_id),
        remote: endpoint(menu.remote),
        unix_secs: menu.unix_secs,
        requested: menu.requested,
        credentials: menu.credentials.into_iter().map(credential).collect(),
        hints: attributes(menu.hints),
    };
    let choice = policy.choose_credential(&menu)?;
    Some(wit::CredentialChoice { index: choice.index, why: choice.why })
}

fn credential(credential: wit::CredentialFacts) -> CredentialFacts {
    CredentialFacts {
        subject: credential.subject,
        issuer: credential.issuer,
        serial: credential.serial,
        sha256: credential.sha256,
        expires_unix_secs: credential.expires_unix_secs,
        is_requested: credential.is_requested,
        key: credential.key,
        hints: attributes(credential.hints),
    }
}
