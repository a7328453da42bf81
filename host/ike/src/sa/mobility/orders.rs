//! What an operator orders about the path, and what people are told of it.

use std::net::IpAddr;
use std::time::Duration;

use vpnhost_model::{AddressPair, Instant, Now, Path};
use vpnhost_policy::PathCause;

use crate::host::Host;
use crate::limits;
use crate::output::{Event, Hindrance};
use crate::sa::IkeSa;

impl IkeSa {
    /// Returns the pair between two addresses, this host's first.
    pub(crate) fn pair_between(&self, (local, remote): (IpAddr, IpAddr)) -> Option<AddressPair> {
        let paths = self.mobility()?.paths.all().iter().map(|candidate| candidate.pair);
        paths.into_iter().find(|pair| (pair.local, pair.remote) == (local, remote))
    }

    /// Takes the path that an operator names, or has all tested and the best taken.
    pub(crate) fn order_roam(&mut self, host: &mut Host, now: Now, ends: Option<(IpAddr, IpAddr)>) {
        if !self.chooses_path() {
            return self.tell_stays(host, "the peer chooses the path, or one of the two has no MOBIKE");
        }
        let Some(ends) = ends else {
            let Some(mobility) = self.mobility_mut() else { return };
            mobility.ordered = Some(now.instant);
            if mobility.paths.all().is_empty() {
                return self.end_order(host, "no path to the peer is left");
            }
            self.renew_doubt(now);
            return self.test_all_paths(host, now);
        };
        match self.pair_between(ends) {
            Some(pair) if Some(pair) == self.current_pair() => self.tell_stays(host, "it is in use"),
            Some(pair) => self.take_path(host, now, pair, (PathCause::REVIEW, "ordered".to_owned())),
            None => self.tell_stays(host, "there is no such path"),
        }
    }

    /// Tells who gave an order that the path stays as it is.
    pub(crate) fn tell_stays(&self, host: &mut Host, why: &str) {
        host.event(Event::Stays { ike_sa: self.id, path: self.path, why: why.to_owned() });
    }

    /// Tells people what keeps the IKE SA from a path: once, until it moves or has other paths to choose from.
    pub(crate) fn hinder(&mut self, host: &mut Host, path: Path, (hindrance, why): (Hindrance, &str)) {
        let told = (hindrance.code(), path);
        let Some(mobility) = self.mobility_mut() else { return };
        if mobility.hindrances.contains(&told) {
            return;
        }
        if mobility.hindrances.len() >= limits::HINDRANCES {
            mobility.hindrances.remove(0);
        }
        mobility.hindrances.push(told);
        self.tell_hindrance(host, path, (hindrance, why));
    }

    /// Tells it whoever asked, though it may have been told before.
    pub(crate) fn tell_hindrance(&self, host: &mut Host, path: Path, (hindrance, why): (Hindrance, &str)) {
        host.event(Event::NotMoved { ike_sa: self.id, path, hindrance, why: why.to_owned() });
    }

    /// Tells people that the IKE SA moved.
    pub(crate) fn tell_moved(
        &mut self,
        host: &mut Host,
        (from, why): (Path, String),
        (gap, octets): (Duration, u32),
    ) {
        let (ike_sa, path) = (self.id, self.path);
        if let Some(mobility) = self.mobility_mut() {
            mobility.hindrances.clear();
        }
        host.event(Event::Moved { ike_sa, from, path, why, gap, octets });
    }

    /// Tells who ordered the best path that nothing better came of it.
    pub(super) fn end_order(&mut self, host: &mut Host, why: &str) {
        if self.mobility_mut().is_some_and(|mobility| mobility.ordered.take().is_some()) {
            self.tell_stays(host, why);
        }
    }

    /// The peer may be gone: who ordered the best path waits for no answer any more, once it had the time for one. What is
    /// ranked later, nobody ordered.
    pub(crate) fn end_unanswered_order(&mut self, host: &mut Host, now: Now) {
        let waited = |since: Instant| now.instant.saturating_since(since) >= limits::PATH_TEST_PATIENCE;
        if self.mobility().is_some_and(|mobility| mobility.ordered.is_some_and(waited)) {
            self.end_order(host, "the peer answers on no path");
        }
    }
}
