//! Twins: two IKE SAs of one connection that carry the same, because both hosts began at once, or one began anew to
//! authenticate again (RFC 7296 §2.8.3).
//!
//! Of two that one host began the later stays. Of two that both began, for which RFC 7296 has no rule, the one with the
//! greater pair of SPIs does, which both hosts know. The other's
//! initiator ends it, once everything that it carried goes over the one that stays: as with a simultaneous rekey
//! (§2.8.1) no packet is lost. What a peer began that knows nothing of this is left to it: it might begin it again.

use vpnhost_model::{Identity, IkeSaId, IkeSpi, Now, Role};
use vpnhost_pki::identity;

use crate::config::Uniqueness;
use crate::endpoint::IkeEndpoint;
use crate::limits;
use crate::output::{CloseReason, Output};
use crate::sa::IkeSa;
use crate::sa::estate::{ChildPhase, ChildSa};
use crate::timer::Timer;

impl IkeEndpoint {
    /// An IKE SA came up: what it takes the place of shows from who began what.
    pub(crate) fn on_arrival(&mut self, now: Now, id: IkeSaId) {
        let siblings = self.siblings(id);
        let Some(sa) = self.sas.get(&id) else { return };
        let Some(established) = sa.established() else { return };
        self.connections.entry(established.connection.name.clone()).or_default().is_up();
        // Who begins a further one does so to authenticate anew. A rekey may have exchanged the roles since.
        let role = Some(established.first_role);
        let of_same = siblings.iter().filter(|other| **other != id).filter_map(|other| self.sas.get(other));
        let of_same = of_same.filter(|other| other.first_role() == role && are_twins(sa, other));
        let twins: Vec<IkeSaId> = of_same.map(|other| other.id).collect();
        self.end_doubted(now, &twins);
        self.review_twins(now, id);
    }

    /// Looks at the IKE SAs of a peer of which one came up, or whose time has come.
    pub(crate) fn review_twins(&mut self, now: Now, id: IkeSaId) {
        for id in self.siblings(id) {
            let heir = self.greater_twin(id);
            let covered = heir.is_some_and(|heir| self.covers(heir, id));
            let Some(sa) = self.sas.get_mut(&id) else { continue };
            let Some(heir) = heir else {
                sa.redundant_since = None;
                continue;
            };
            let age = now.instant - *sa.redundant_since.get_or_insert(now.instant);
            let unique = sa.connection.as_ref().is_some_and(|it| it.unique == Uniqueness::Replace);
            let begun_here = sa.first_role().is_some_and(Role::is_initiator);
            let (is_ours, is_time) = (begun_here || unique, covered && age >= limits::TWINS);
            if is_ours && is_time && age >= 2 * limits::TWINS {
                tracing::debug!(redundant = %id, stays = %heir, "one IKE SA is enough");
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

    /// Returns the IKE SAs of a connection with the same peer, this one included.
    fn siblings(&self, id: IkeSaId) -> Vec<IkeSaId> {
        let Some(established) = self.sas.get(&id).and_then(IkeSa::established) else { return Vec::new() };
        let name = established.connection.name.as_str();
        let of_peer = self.host.directory.of_peer(&established.peer_id);
        of_peer.filter(|other| self.host.directory.connection(*other) == Some(name)).collect()
    }

    /// Returns the IKE SA that stays in the place of one, if there is such.
    fn greater_twin(&self, id: IkeSaId) -> Option<IkeSaId> {
        let sa = self.sas.get(&id).filter(|sa| sa.announced)?;
        let twins = self.siblings(id).into_iter().filter_map(|other| self.sas.get(&other));
        let twins = twins.filter(|other| are_twins(sa, other) && outranks(other, sa));
        twins
            .reduce(|greatest, other| if outranks(other, greatest) { other } else { greatest })
            .map(|it| it.id)
    }

    /// An IKE SA ended in favour of another: what waits there for an answer's arrival need not wait longer.
    pub(crate) fn hasten_heirs(&mut self, peer: &Identity, connection: &str) {
        let of_peer = self.host.directory.of_peer(peer);
        let heirs: Vec<IkeSaId> =
            of_peer.filter(|id| self.host.directory.connection(*id) == Some(connection)).collect();
        for id in heirs {
            self.visit_one(id, |sa, host| {
                for child in sa.timers.awaiting_activation() {
                    sa.timers.stop(Timer::Activate(child));
                    sa.activate_child(host, child);
                }
            });
        }
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

/// Tells whether two IKE SAs connect the same hosts: a peer that is at one address, that this host chose, or that has the
/// same behind it. Where it is may have changed for one of the two alone.
fn are_twins(one: &IkeSa, other: &IkeSa) -> bool {
    let peer = |sa: &IkeSa| sa.established().map(|established| identity::folded(&established.peer_id));
    let begun_here = |sa: &IkeSa| sa.first_role().is_some_and(Role::is_initiator);
    other.announced
        && one.id != other.id
        && (one.path.remote.ip() == other.path.remote.ip()
            || (begun_here(one) && begun_here(other))
            || carry_the_same(one, other))
        && peer(other).is_some_and(|id| Some(id) == peer(one))
}

/// Tells whether two IKE SAs have Child SAs for the same traffic.
fn carry_the_same(one: &IkeSa, other: &IkeSa) -> bool {
    let children = |sa| IkeSa::established(sa).map(|established| &established.estate.children);
    let (Some(ours), Some(theirs)) = (children(one), children(other)) else { return false };
    let same = |a: &ChildSa, b: &ChildSa| (&a.local, &a.remote) == (&b.local, &b.remote);
    ours.values().any(|child| theirs.values().any(|other| same(child, other)))
}

/// Tells whether the first of two stays: of those that one host began the later, which was made to authenticate anew; else
/// the one with the greater SPIs.
fn outranks(one: &IkeSa, other: &IkeSa) -> bool {
    let spis = |sa: &IkeSa| -> (IkeSpi, IkeSpi) { (sa.spi_i, sa.spi_r) };
    let authenticated = |sa: &IkeSa| sa.established().map(|established| established.authenticated);
    let by_one_host = one.first_role() == other.first_role();
    if by_one_host && authenticated(one) != authenticated(other) {
        return authenticated(one) > authenticated(other);
    }
    spis(one) > spis(other)
}
