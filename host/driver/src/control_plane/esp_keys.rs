//! From key material to the two halves of a Child SA: the packet keys are made here, of the backend's own
//! protection or of a cipher and a MAC of it (RFC 7296 §2.17, RFC 4303).

use std::sync::Arc;

use vpnhost_crypto::{CryptoBackend, CryptoError, PacketAlgorithm};
use vpnhost_ike::output::ChildSaKeys;
use vpnhost_ipsec::{InboundSa, OutboundSa, SaActivity};

/// Makes what receives and what sends.
///
/// # Errors
/// [`CryptoError::Unsupported`] if the backend does not have the suite (any more), and what it fails with.
pub(crate) fn halves(
    crypto: &dyn CryptoBackend,
    keys: &ChildSaKeys,
    activity: &Arc<SaActivity>,
) -> Result<(InboundSa, OutboundSa), CryptoError> {
    let protection = crypto.find_packet(keys.suite.packet).ok_or(CryptoError::Unsupported)?;
    let (opens, seals) = (&keys.inbound, &keys.outbound);
    let inbound = InboundSa {
        id: keys.id,
        spi: keys.spi_in,
        path: keys.path,
        key: protection.key(opens.encryption.expose(), opens.integrity.expose())?,
        sequence: keys.suite.sequence,
        last_sequence: 0,
        replay_window: keys.replay_window,
        local: keys.local.clone(),
        remote: keys.remote.clone(),
        mode: keys.mode,
        translation: keys.translation,
        activity: Arc::clone(activity),
    };
    let outbound = OutboundSa {
        id: keys.id,
        spi: keys.spi_out,
        path: keys.path,
        key: protection.key(seals.encryption.expose(), seals.integrity.expose())?,
        sequence: keys.suite.sequence,
        last_sequence: 0,
        local: keys.local.clone(),
        remote: keys.remote.clone(),
        mode: keys.mode,
        activity: Arc::clone(activity),
    };
    Ok((inbound, outbound))
}
