//! Twins: two IKE SAs of one connection that carry the same, because both hosts began at once.
//!
//! RFC 7296 does not say which of them stays. Here the greater pair of SPIs does, which both hosts know. The other's
//! initiator ends it, once everything that it carried goes over the one that stays: as with a simultaneous rekey
//! (§2.8.1) no packet is lost. What a peer began that knows nothing of this is left to it: it might begin it again.

use vpnhost_model::{IkeSaId, IkeSpi, Now};

use crate::endpoint::IkeEndpoint;
use crate::limits;
use crate::output::{CloseReason, Output};
use crate::sa::IkeSa;
use crate::sa::estate::{ChildPhase, ChildSa};
use crate::timer::Timer;

impl IkeEndpoint {
    /// Looks at the IKE SAs of a connection of which one came up, or whose time has come.
    pub(crate) fn review_twins(&mut self, now: Now, name: &str) {
        for id in self.sas_of(name) {
            let heir = self.greater_twin(id);
            let covered = heir.is_some_and(|heir| self.covers(heir, id));
            let Some(sa) = self.sas.get_mut(&id) else { continue };
            let Some(heir) = heir else {
                sa.redundant_since = None;
                continue;
            };
            let age = now.instant - *sa.redundant_since.get_or_insert(now.instant);
            let (is_ours, is_time) = (sa.role.is_initiator(), covered && age >= limits::TWINS);
            if is_ours && is_time && age >= 2 * limits::TWINS {
                tracing::debug!(redundant = %id, stays = %heir, "both hosts began: one IKE SA is enough");
                self.visit_one(id, |sa, host| sa.order_end(host, now, CloseReason::Replaced));
                continue;
            }
            if is_time {
                self.send_on(heir);
            }
            if is_ours || !is_time {
                // Visited, so that the new deadline is found.
                self.visit_one(id, |sa, _| sa.timers.set(Timer::Twins, now.instant + limits::TWINS));
            }
        }
    }

    /// Returns the IKE SA that stays in the place of one, if there is such.
    fn greater_twin(&self, id: IkeSaId) -> Option<IkeSaId> {
        let sa = self.sas.get(&id).filter(|sa| sa.announced)?;
        let connection = &sa.established()?.connection;
        let twins = self.sas_of(&connection.name).into_iter().filter_map(|other| self.sas.get(&other));
        let greatest = twins.filter(|other| are_twins(sa, other)).max_by_key(|other| spis(other))?;
        (spis(greatest) > spis(sa)).then_some(greatest.id)
    }

    /// Tells whether an IKE SA carries everything that another carries.
    fn covers(&self, heir: IkeSaId, id: IkeSaId) -> bool {
        let of = |id| self.sas.get(&id).and_then(IkeSa::established).map(|established| &established.estate);
        let (Some(heir), Some(estate)) = (of(heir), of(id)) else { return false };
        estate.children.values().all(|child| {
            let same = |other: &ChildSa| (&other.local, &other.remote) == (&child.local, &child.remote);
            heir.children
                .values()
                .any(|other| other.sends && other.phase != ChildPhase::Closing && same(other))
        })
    }

    /// Sends on the Child SAs of an IKE SA what those of its twin would carry as well.
    fn send_on(&mut self, heir: IkeSaId) {
        let Some(established) = self.sas.get(&heir).and_then(IkeSa::established) else { return };
        for child in established.estate.children.values() {
            if child.sends && child.phase != ChildPhase::Closing {
                self.host.output(Output::ActivateOutbound(child.id));
            }
        }
    }
}

/// Tells whether two IKE SAs connect the same hosts.
fn are_twins(one: &IkeSa, other: &IkeSa) -> bool {
    let peer = |sa: &IkeSa| sa.established().map(|established| established.peer_id.clone());
    other.announced
        && one.id != other.id
        && one.path.remote.ip() == other.path.remote.ip()
        && peer(other).is_some_and(|id| Some(id) == peer(one))
}

fn spis(sa: &IkeSa) -> (IkeSpi, IkeSpi) {
    (sa.spi_i, sa.spi_r)
}
