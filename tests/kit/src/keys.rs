//! Packet keys out of key material, as the driver makes them.

use std::sync::Arc;

use vpnhost_crypto::{CryptoBackend, CryptoError, PacketAlgorithm as _, PacketKey};
use vpnhost_ike::{ChildSaKeys, DirectionKeys};
use vpnhost_ipsec::{InboundSa, OutboundSa, SaActivity};
use vpnhost_model::EspSuite;

/// Makes both directions of a Child SA.
pub(crate) fn sas(
    crypto: &'static dyn CryptoBackend,
    keys: &ChildSaKeys,
    activity: &Arc<SaActivity>,
) -> Result<(InboundSa, OutboundSa), CryptoError> {
    let sequence = keys.suite.sequence;
    let inbound = InboundSa {
        id: keys.id,
        spi: keys.spi_in,
        path: keys.path,
        key: key(crypto, &keys.suite, &keys.inbound)?,
        sequence,
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
        key: key(crypto, &keys.suite, &keys.outbound)?,
        sequence,
        last_sequence: 0,
        local: keys.local.clone(),
        remote: keys.remote.clone(),
        mode: keys.mode,
        activity: Arc::clone(activity),
    };
    Ok((inbound, outbound))
}

fn key(
    crypto: &'static dyn CryptoBackend,
    suite: &EspSuite,
    keys: &DirectionKeys,
) -> Result<Box<dyn PacketKey>, CryptoError> {
    let protection = crypto.find_packet(suite.packet).ok_or(CryptoError::Unsupported)?;
    protection.key(keys.encryption.expose(), keys.integrity.expose())
}
