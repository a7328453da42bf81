//! Whether a peer that has proved its identity may come in.

use vpnhost_model::{Identity, Now};
use vpnhost_policy::{Answer, Authorization, PeerClaim, Question};

use crate::sa::IkeSa;
use crate::wire::payload::AuthMethod;

/// Builds the claim of a peer.
pub(crate) fn question(
    now: Now,
    sa: &IkeSa,
    connection: &str,
    (local_id, peer_id): (&Identity, &Identity),
    other_sas: usize,
) -> Question {
    Question::AuthorizePeer(PeerClaim {
        connection: connection.to_owned(),
        role: sa.role,
        local_id: local_id.clone(),
        peer_id: peer_id.clone(),
        auth_method: AuthMethod::SHARED_KEY.0,
        remote: sa.path.remote,
        unix_secs: now.unix.as_secs(),
        utc_offset_secs: now.utc_offset_secs,
        other_sas: u32::try_from(other_sas).unwrap_or(u32::MAX),
        hints: Vec::new(),
    })
}

/// Reads the answer; none is a refusal.
///
/// # Errors
/// The reason of a refusal, for this host's operator.
pub(crate) fn verdict(answer: Option<Answer>) -> Result<(), String> {
    match answer {
        Some(Answer::AuthorizePeer(Authorization::Allow { .. })) => Ok(()),
        Some(Answer::AuthorizePeer(Authorization::Refuse { reason })) => Err(reason),
        _ => Err("no policy allowed it".to_owned()),
    }
}
