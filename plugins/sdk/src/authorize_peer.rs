//! `authorize-peer` inside the component.

use vpnhost_policy::{Authorization, PeerClaim, Policy};

use crate::bindings::authorize_peer::exports::vpnhost::policy::authorize_peer as wit;
use crate::convert::{attributes, attributes_out, endpoint, identity, role};

/// Asks the policy.
pub fn authorize_peer<P: Policy>(policy: &P, claim: wit::PeerClaim) -> Option<wit::Authorization> {
    let claim = PeerClaim {
        connection: claim.connection,
        role: role(claim.role),
        local_id: identity(claim.local_id),
        peer_id: identity(claim.peer_id),
        auth_method: claim.auth_method,
        remote: endpoint(claim.remote),
        unix_secs: claim.unix_secs,
        utc_offset_secs: claim.utc_offset_secs,
        other_sas: claim.other_sas,
        hints: attributes(claim.hints),
    };
    Some(match policy.authorize_peer(&claim)? {
        Authorization::Allow { labels } => wit::Authorization::Allow(attributes_out(labels)),
        Authorization::Refuse { reason } => wit::Authorization::Refuse(reason),
    })
}
