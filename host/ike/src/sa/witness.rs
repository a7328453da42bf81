//! What the tunnel's own traffic shows of the NAT before this host, whoever the peer is.
//!
//! A packet that comes in after silence, before this host said anything, has found the mapping alive. If this host spoke first
//! and sequence numbers are missing, those packets came to a mapping that was forgotten, or were lost for other reasons: it
//! takes two such silences. A silence that a keepalive ended is no longer than the keepalive's period.

use std::time::Duration;

use vpnhost_model::{Instant, Now};
use vpnhost_policy::SituationCause;

use crate::host::Host;
use crate::input::Resumption;
use crate::limits;
use crate::sa::IkeSa;
use crate::sa::mapping::Network;

impl IkeSa {
    /// A packet came in after silence.
    pub(crate) fn on_resumed(&mut self, host: &mut Host, now: Now, resumption: &Resumption) {
        // What is missing may have come while nobody listened, or to where this host was, or not at all.
        let is_meaningful = resumption.since >= host.woke && self.stood_since(resumption.since);
        let Some(resumption) = Some(resumption).filter(|_| is_meaningful) else { return };
        let Some((span, is_remembered)) = self.witnessed(resumption) else { return };
        if !(limits::IDLE_LEAST..=limits::IDLE_MOST).contains(&span) {
            return;
        }
        let network = Network::of(&self.path);
        tracing::debug!(ike_sa = %self.id, ?span, is_remembered, "traffic showed what the NAT remembers");
        if host.mappings.witness(now.instant, network, (span, is_remembered)) {
            self.plan_maintenance(host, now, SituationCause::MAPPING);
        }
        self.set_idle_probe(host, now);
    }

    /// Tells whether the path has been the same since an instant, and nobody had reason to think that it does not work.
    fn stood_since(&self, since: Instant) -> bool {
        let Some(mobility) = self.mobility() else { return true };
        let pair = self.current_pair();
        let failed = pair.and_then(|pair| mobility.paths.find(pair)).and_then(|candidate| candidate.failed);
        let disturbed = mobility.paths.last_move().max(mobility.suspicion.confirmed).max(failed);
        !mobility.unconfirmed && mobility.doubt.is_none() && disturbed.is_none_or(|at| at < since)
    }

    /// Returns the silence that the packet shows something of, and whether the NAT remembered it.
    fn witnessed(&self, resumption: &Resumption) -> Option<(Duration, bool)> {
        let Resumption { since, spoke, at, missing } = *resumption;
        let keepalive = self.keepalive()?;
        // IKE, keepalives and other Child SAs keep the mapping, too. What is told of already may have come after the packet.
        let said = Some(self.last_sent.max(self.last_heard)).filter(|said| *said > since);
        if said.is_some_and(|said| said >= at) {
            return None;
        }
        match (spoke, said) {
            (None, None) => Some((at.saturating_since(since), true)),
            (None, Some(said)) if missing == 0 => Some((at.saturating_since(said), true)),
            (_, _) if missing == 0 => None,
            (spoke, said) => {
                let ended = spoke.into_iter().chain(said).min()?;
                Some((ended.saturating_since(since).min(keepalive), false))
            }
        }
    }
}
