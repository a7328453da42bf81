//! `authorize-peer`.

use vpnhost_policy::{Authorization, PeerClaim};
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
            remote: types::endpoint(claim.remote),
            unix_secs: claim.unix_secs,
            utc_offset_secs: claim.utc_offset_secs,
            other_sas: claim.other_sas,
            hints: types::attributes(&claim.hints),
        };
        Ok(question.call_authorize_peer(store, &claim)?.map(|answer| match answer {
            wit::Authorization::Allow(labels) => Authorization::Allow { labels: types::labels(labels) },
            wit::Authorization::Refuse(reason) => Authorization::Refuse { reason: types::text(&reason) },
        }))
    }
}
