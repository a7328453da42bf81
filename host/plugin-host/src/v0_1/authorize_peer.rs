//! `authorize-peer`.

use vpnhost_policy::{Authorization, OtherSa, PeerCertificate, PeerClaim, PeerEap};
use wasmtime::{Result, Store};

use super::exports::authorize_peer as wit;
use super::{Bindings, types};
use crate::guest::Guest;

impl Bindings {
    pub(crate) fn authorize_peer(
        &self,
        store: &mut Store<Guest>,
        claim: &PeerClaim,
    ) -> Result<Option<Authorization>> {
        let Some(question) = &self.authorize_peer else { return Ok(None) };
        let claim = wit::PeerClaim {
            connection: claim.connection.clone(),
            role: types::role(claim.role),
            local_id: types::identity(&claim.local_id),
            peer_id: types::identity(&claim.peer_id),
            auth_method: claim.auth_method,
            key: claim.key.clone(),
            certificate: claim.certificate.as_ref().map(certificate),
            eap: claim.eap.as_ref().map(eap),
            suite: types::transforms(&claim.suite),
            strength: claim.strength.0,
            local: types::endpoint(claim.local),
            remote: types::endpoint(claim.remote),
            peer_behind_nat: claim.peer_behind_nat,
            unix_secs: claim.unix_secs,
            utc_offset_secs: claim.utc_offset_secs,
            other_sas: claim.other_sas,
            others: claim.others.iter().map(other).collect(),
            initial_contact: claim.initial_contact,
            hints: types::attributes(&claim.hints),
        };
        Ok(question.call_authorize_peer(store, &claim)?.map(|answer| match answer {
            wit::Authorization::Allow(labels) => Authorization::Allow { labels: types::labels(labels) },
            wit::Authorization::Refuse(reason) => Authorization::Refuse { reason: types::text(&reason) },
        }))
    }
}

fn certificate(certificate: &PeerCertificate) -> wit::PeerCertificate {
    wit::PeerCertificate {
        subject: certificate.subject.clone(),
        issuer: certificate.issuer.clone(),
        ca: certificate.ca.clone(),
        names: certificate.names.clone(),
        serial: certificate.serial.clone(),
        sha256: certificate.sha256.clone(),
        purposes: certificate.purposes.clone(),
        expires_unix_secs: certificate.expires_unix_secs,
        hints: types::attributes(&certificate.hints),
    }
}

fn eap(eap: &PeerEap) -> wit::PeerEap {
    wit::PeerEap {
        identity: eap.identity.clone(),
        method: eap.method.clone(),
        claimed_id: types::identity(&eap.claimed_id),
        hints: types::attributes(&eap.hints),
    }
}

fn other(other: &OtherSa) -> wit::OtherSa {
    wit::OtherSa {
        connection: other.connection.clone(),
        remote: types::endpoint(other.remote),
        up_secs: other.up_secs,
        hints: types::attributes(&other.hints),
    }
}
