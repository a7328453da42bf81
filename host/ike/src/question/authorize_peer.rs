//! Whether a peer that has proved its identity may come in.

use vpnhost_model::{Identity, Now, Suite};
use vpnhost_pki::identity::folded;
use vpnhost_policy::{
    Answer, Attribute, Authorization, PeerCertificate, PeerClaim, PeerEap, Question, Strength,
};

use crate::auth::eap::EapFacts;
use crate::auth::judged::CertificateFacts;
use crate::auth::verified::AuthVerified;
use crate::host::Host;
use crate::sa::IkeSa;

/// Builds the claim of a peer; `initial_contact` is whether it says that it knows of no other IKE SA.
pub(crate) fn question(
    now: Now,
    (sa, host): (&IkeSa, &Host),
    (connection, proof): (&str, &AuthVerified),
    (local_id, peer_id): (&Identity, &Identity),
    initial_contact: bool,
) -> Question {
    let suite = sa.secured.as_ref().map(|secured| Suite::Ike(secured.suite).transforms()).unwrap_or_default();
    let others = host.directory.of_peer(peer_id).count();
    Question::AuthorizePeer(PeerClaim {
        connection: connection.to_owned(),
        role: sa.role,
        local_id: local_id.clone(),
        peer_id: folded(peer_id),
        auth_method: proof.method().0,
        key: proof.key().map_or_else(String::new, |key| key.to_string()),
        certificate: proof.certificate().map(certificate),
        eap: proof.eap().map(eap),
        strength: Strength::of(&suite),
        suite,
        local: sa.path.local,
        remote: sa.path.remote,
        peer_behind_nat: sa.nat.peer,
        unix_secs: now.unix.as_secs(),
        utc_offset_secs: now.utc_offset_secs,
        other_sas: u32::try_from(others).unwrap_or(u32::MAX),
        others: host.directory.others(now.instant, peer_id),
        initial_contact,
        hints: Vec::new(),
    })
}

fn certificate(facts: &CertificateFacts) -> PeerCertificate {
    let CertificateFacts { subject, issuer, ca, serial, names, sha256, purposes, not_after } = facts;
    PeerCertificate {
        subject: subject.clone(),
        issuer: issuer.clone(),
        ca: ca.clone(),
        names: names.clone(),
        serial: serial.clone(),
        sha256: sha256.clone(),
        purposes: purposes.clone(),
        expires_unix_secs: *not_after,
        hints: Vec::new(),
    }
}

fn eap(facts: &EapFacts) -> PeerEap {
    let EapFacts { identity, method, ike_id } = facts;
    PeerEap {
        identity: identity.clone(),
        method: (*method).to_owned(),
        claimed_id: ike_id.clone(),
        hints: Vec::new(),
    }
}

/// Reads the answer: the labels that the peer has from now on. None is a refusal.
///
/// # Errors
/// The reason of a refusal, for this host's operator.
pub(crate) fn verdict(answer: Option<Answer>) -> Result<Vec<Attribute>, String> {
    match answer {
        Some(Answer::AuthorizePeer(Authorization::Allow { labels })) => Ok(labels),
        Some(Answer::AuthorizePeer(Authorization::Refuse { reason })) => Err(reason),
        _ => Err("no policy allowed it".to_owned()),
    }
}
