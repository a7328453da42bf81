//! Where an IKE SA is in its life: one struct a state.

use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::SecretBytes;
use vpnhost_model::{ChildSaId, Identity, IkeSaId, Instant, Role};
use vpnhost_policy::Attribute;

use crate::auth::verified::AuthVerified;
use crate::config::{PeerConfig, Timing};
use crate::exchange::ike_auth::{AuthSent, Authorizing};
use crate::exchange::ike_sa_init::{SaInitAnswered, SaInitSent};
use crate::exchange::{LocalExchange, RemoteExchange};
use crate::output::CloseReason;
use crate::sa::estate::Estate;
use crate::sa::pace::Pace;
use crate::sa::queue::Queue;
use crate::sa::window::Backoff;

/// Where an IKE SA is in its life.
pub(crate) enum State {
    /// This host sent IKE_SA_INIT, or is about to.
    SaInitSent(Box<SaInitSent>),
    /// This host answered IKE_SA_INIT, or is about to.
    SaInitAnswered(Box<SaInitAnswered>),
    /// This host sent IKE_AUTH, or is about to.
    AuthSent(Box<AuthSent>),
    /// The peer has proved its identity; whether it is welcome is being decided.
    Authorizing(Box<Authorizing>),
    /// Both sides are authenticated, and welcome.
    Established(Box<Established>),
    /// Another IKE SA took its place, and what it had.
    Rekeyed,
    /// The last message is on its way.
    Closing(CloseReason),
    /// It ended; it only repeats its last reply for a while.
    Gone,
    /// It can be forgotten.
    Closed,
}

impl State {
    /// Tells whether it may come up yet.
    pub(crate) fn is_half_open(&self) -> bool {
        match self {
            Self::SaInitSent(_) | Self::SaInitAnswered(_) | Self::AuthSent(_) | Self::Authorizing(_) => true,
            Self::Established(_) | Self::Rekeyed | Self::Closing(_) | Self::Gone | Self::Closed => false,
        }
    }

    /// Returns the state's name for people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::SaInitSent(_) => "IKE_SA_INIT sent",
            Self::SaInitAnswered(state) if state.eap.is_some() => "EAP",
            Self::SaInitAnswered(_) => "IKE_SA_INIT received",
            Self::AuthSent(_) => "IKE_AUTH sent",
            Self::Authorizing(_) => "awaiting authorization",
            Self::Established(_) => "established",
            Self::Rekeyed => "rekeyed",
            Self::Closing(_) => "closing",
            Self::Gone | Self::Closed => "closed",
        }
    }
}

/// An authenticated IKE SA. It cannot be made without the proof that the peer's AUTH was right.
pub(crate) struct Established {
    pub(crate) proof: AuthVerified,
    pub(crate) connection: Arc<PeerConfig>,
    pub(crate) local_id: Identity,
    pub(crate) peer_id: Identity,
    /// What a policy called the peer when it let it in.
    pub(crate) labels: Vec<Attribute>,
    /// This host's role in the first of the IKE SAs that took each other's place by rekeying (RFC 4555 §1.3).
    pub(crate) first_role: Role,
    pub(crate) since: Instant,
    /// When the peers were authenticated; a rekey does not do that again.
    pub(crate) authenticated: Instant,
    /// How long the peer lets the authentication count, and since when it says so (RFC 4478).
    pub(crate) announced_lifetime: Option<(Instant, Duration)>,
    pub(crate) plan: Plan,
    pub(crate) estate: Estate,
    pub(crate) queue: Queue,
    pub(crate) local: Option<LocalExchange>,
    pub(crate) remote: Option<RemoteExchange>,
    /// The peer rekeyed this IKE SA while our own rekey of it is on its way.
    pub(crate) rival: Option<Rival>,
    /// TEMPORARY_FAILUREs in a row.
    pub(crate) put_offs: u32,
    /// A liveness check that the operator ordered is to be told of.
    pub(crate) tell_alive: bool,
    /// How many more SAs the peer may have made.
    pub(crate) pace: Pace,
    /// The Child SA whose lifetimes are being planned.
    pub(crate) planning: Option<ChildSaId>,
    /// By what the peer proves that it has lost this IKE SA (RFC 6290).
    pub(crate) crash_token: Option<SecretBytes>,
}

impl Established {
    pub(crate) fn new(
        now: Instant,
        proof: AuthVerified,
        connection: Arc<PeerConfig>,
        (local_id, peer_id): (Identity, Identity),
        first_role: Role,
    ) -> Self {
        let plan = Plan::from(&connection.timing);
        Self {
            proof,
            connection,
            local_id,
            peer_id,
            labels: Vec::new(),
            first_role,
            since: now,
            authenticated: now,
            announced_lifetime: None,
            plan,
            estate: Estate::default(),
            queue: Queue::default(),
            local: None,
            remote: None,
            rival: None,
            put_offs: 0,
            tell_alive: false,
            pace: Pace::new(now),
            planning: None,
            crash_token: None,
        }
    }

    /// Makes the state of the IKE SA that takes this one's place; it inherits the proof.
    pub(crate) fn successor(&self, now: Instant) -> Self {
        let ids = (self.local_id.clone(), self.peer_id.clone());
        let mut successor =
            Self::new(now, self.proof.clone(), Arc::clone(&self.connection), ids, self.first_role);
        successor.labels = self.labels.clone();
        successor.plan = self.plan;
        successor.authenticated = self.authenticated;
        successor.pace = self.pace;
        successor.announced_lifetime = self.announced_lifetime;
        successor
    }
}

/// An IKE SA that the peer made in this one's place while our own rekey was on its way.
#[derive(Clone, Debug)]
pub(crate) struct Rival {
    pub(crate) ike_sa: IkeSaId,
    pub(crate) lowest_nonce: Vec<u8>,
}

/// When what is done for an established IKE SA: as configured, or as a policy planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) liveness_idle: Duration,
    pub(crate) keepalive: Duration,
    /// Outbound traffic and nothing inbound for so long: every path is probed; zero never.
    pub(crate) suspect: Duration,
    /// Without any path for longer, the SA is not moved but negotiated anew.
    pub(crate) max_outage: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) rekey_ike: Duration,
    pub(crate) rekey_jitter_percent: u8,
    /// When the plan is to be made anew.
    pub(crate) review_after: Option<Duration>,
}

impl Plan {
    /// Tells what another plan changes, by the names of the configuration; nothing if they are alike.
    pub(crate) fn changes(&self, new: &Self) -> String {
        let spans = |plan: &Self| {
            [
                ("dpd", span(plan.liveness_idle)),
                ("keepalive", span(plan.keepalive)),
                ("suspect", span(plan.suspect)),
                ("max_outage", span(plan.max_outage)),
                ("retransmit first", span(plan.backoff.first)),
                ("retransmit factor", format!("{} %", plan.backoff.factor_percent)),
                ("retransmit tries", plan.backoff.tries.to_string()),
                ("rekey", span(plan.rekey_ike)),
                ("review", plan.review_after.map_or_else(|| "never".to_owned(), span)),
            ]
        };
        let pairs = spans(self).into_iter().zip(spans(new)).filter(|((_, old), (_, new))| old != new);
        let changes: Vec<String> =
            pairs.map(|((name, old), (_, new))| format!("{name} {old} → {new}")).collect();
        changes.join(", ")
    }
}

/// Writes a time for people; none is never.
fn span(span: Duration) -> String {
    if span.is_zero() { "never".to_owned() } else { format!("{span:?}") }
}

impl From<&Timing> for Plan {
    fn from(timing: &Timing) -> Self {
        Self {
            liveness_idle: timing.liveness_idle,
            keepalive: timing.keepalive,
            suspect: timing.suspect,
            max_outage: timing.max_outage,
            backoff: Backoff::from(timing),
            rekey_ike: timing.rekey_ike,
            rekey_jitter_percent: timing.rekey_jitter_percent,
            review_after: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_tells_which_values_it_changes() {
        let old = Plan::from(&Timing { liveness_idle: Duration::from_secs(30), ..Timing::default() });
        let rekey_ike = Duration::from_secs(600);
        let new = Plan { liveness_idle: Duration::from_secs(10), rekey_ike, ..old };
        assert_eq!(old.changes(&new), "dpd 30s → 10s, rekey 14400s → 600s");
        assert_eq!(new.changes(&Plan { liveness_idle: Duration::ZERO, ..new }), "dpd 10s → never");
        assert_eq!(old.changes(&old), "");
        let keen = Plan { suspect: Duration::from_millis(300), max_outage: Duration::from_secs(600), ..old };
        assert_eq!(old.changes(&keen), "suspect 1s → 300ms, max_outage 28800s → 600s");
    }
}
