//! `authorize-peer` inside the component.

use vpnhost_policy::{Authorization, OtherSa, PeerCertificate, PeerClaim, PeerEap, Policy, Strength};

use crate::bindings::authorize_peer::exports::vpnhost::policy::authorize_peer as wit;
use crate::convert::{attributes, attributes_out, endpoint, identity, role, transforms};

/// Asks the policy.
pub fn authorize_peer<P: Policy>(policy: &P, claim: wit::PeerClaim) -> Option<wit::Authorization> {
    let claim = PeerClaim {
        connection: claim.connection,
        role: role(claim.role),
        local_id: identity(claim.local_id),
        peer_id: identity(claim.peer_id),
        auth_method: claim.auth_method,
        key: claim.key,
        certificate: claim.certificate.map(certificate),
        eap: claim.eap.map(eap),
        suite: transforms(claim.suite),
        strength: Strength(claim.strength),
        local: endpoint(claim.local),
        remote: endpoint(claim.remote),
        peer_behind_nat: claim.peer_behind_nat,
        unix_secs: claim.unix_secs,
        utc_offset_secs: claim.utc_offset_secs,
        other_sas: claim.other_sas,
        others: claim.others.into_iter().map(other).collect(),
        initial_contact: claim.initial_contact,
        hints: attributes(claim.hints),
    };
    Some(match policy.authorize_peer(&claim)? {
        Authorization::Allow { labels } => wit::Authorization::Allow(attributes_out(labels)),
        Authorization::Refuse { reason } => wit::Authorization::Refuse(reason),
    })
}

fn certificate(certificate: wit::PeerCertificate) -> PeerCertificate {
    PeerCertificate {
        subject: certificate.subject,
        issuer: certificate.issuer,
        ca: certificate.ca,
        names: certificate.names,
        serial: certificate.serial,
        sha256: certificate.sha256,
        purposes: certificate.purposes,
        expires_unix_secs: certificate.expires_unix_secs,
        hints: attributes(certificate.hints),
    }
}

fn eap(eap: wit::PeerEap) -> PeerEap {
    PeerEap {
        identity: eap.identity,
        method: eap.method,
        claimed_id: identity(eap.claimed_id),
        hints: attributes(eap.hints),
    }
}

fn other(other: wit::OtherSa) -> OtherSa {
    OtherSa {
        connection: other.connection,
        remote: endpoint(other.remote),
        up_secs: other.up_secs,
        hints: attributes(other.hints),
    }
}
