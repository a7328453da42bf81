//! Whether a peer that has proved its identity may come in.

use vpnhost_model::{Identity, Now};
use vpnhost_pki::identity::text_of;
use vpnhost_policy::{Answer, Attribute, Authorization, PeerClaim, Question};

use crate::auth::eap::EapFacts;
use crate::auth::judged::CertificateFacts;
use crate::auth::verified::AuthVerified;
use crate::sa::IkeSa;

/// Builds the claim of a peer.
pub(crate) fn question(
    now: Now,
    sa: &IkeSa,
    (connection, proof): (&str, &AuthVerified),
    (local_id, peer_id): (&Identity, &Identity),
    other_sas: usize,
) -> Question {
    Question::AuthorizePeer(PeerClaim {
        connection: connection.to_owned(),
        role: sa.role,
        local_id: local_id.clone(),
        peer_id: peer_id.clone(),
        auth_method: proof.method().0,
        remote: sa.path.remote,
        unix_secs: now.unix.as_secs(),
        utc_offset_secs: now.utc_offset_secs,
        other_sas: u32::try_from(other_sas).unwrap_or(u32::MAX),
        hints: hints(proof),
    })
}

/// Tells policies what else is known of the peer.
fn hints(proof: &AuthVerified) -> Vec<Attribute> {
    let certificate = proof.certificate().map_or_else(Vec::new, of_certificate);
    certificate.into_iter().chain(proof.eap().map_or_else(Vec::new, of_eap)).collect()
}

fn of_eap(eap: &EapFacts) -> Vec<Attribute> {
    let EapFacts { identity, method, ike_id } = eap;
    vec![
        Attribute::new("eap.identity", identity),
        Attribute::new("eap.method", *method),
        Attribute::new("ike.id", text_of(ike_id)),
    ]
}

fn of_certificate(certificate: &CertificateFacts) -> Vec<Attribute> {
    let CertificateFacts { subject, issuer, ca, serial, not_after } = certificate;
    vec![
        Attribute::new("certificate.subject", subject),
        Attribute::new("certificate.issuer", issuer),
        Attribute::new("certificate.ca", ca),
        Attribute::new("certificate.serial", serial),
        Attribute::new("certificate.not_after", not_after.to_string()),
    ]
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
