//! What must hold between two hosts at rest.

use std::time::Duration;

use vpnhost_ike::{ChildSaStatus, IkeSaStatus};
use vpnhost_model::TrafficSelector;

use crate::inner::InnerPacket;
use crate::simulation::Simulation;

impl Simulation {
    /// Checks that two hosts have exactly one IKE SA with each other and the same Child SAs in it, with the
    /// same keys on both sides, and nothing else.
    ///
    /// # Panics
    /// If they disagree.
    pub fn assert_agreed(&self, a: usize, b: usize) {
        self.assert_same(a, b);
        let children = self.ike_sa(a).children;
        let mut names: Vec<&str> = children.iter().map(|child| child.child.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), children.len(), "one Child SA a policy: {children:#?}");
    }

    /// Checks that two hosts have the same IKE SAs with the same Child SAs in them, one or more, with the
    /// same keys on both sides, and nothing else.
    ///
    /// # Panics
    /// If they disagree.
    pub fn assert_same(&self, a: usize, b: usize) {
        let (at_a, at_b) = (self.established(a), self.established(b));
        assert!(!at_a.is_empty(), "they are connected");
        assert_eq!(at_a.len(), at_b.len(), "{at_a:#?} {at_b:#?}");
        let keys = |host: usize, sa: &IkeSaStatus| self.hosts[host].ike_keys.get(&sa.id).cloned();
        for sa in &at_a {
            let other = at_b.iter().find(|other| (other.spi_i, other.spi_r) == (sa.spi_i, sa.spi_r));
            let other = other.unwrap_or_else(|| panic!("{sa:#?} is on one side only: {at_b:#?}"));
            assert!(keys(a, sa).is_some(), "the keys were told");
            assert!(keys(a, sa) == keys(b, other), "the keys of the IKE SA differ");
            assert_eq!(sa.children.len(), other.children.len(), "{sa:#?} {other:#?}");
            for child in &sa.children {
                let half = other.children.iter().find(|half| half.spi_in == child.spi_out);
                let half = half.unwrap_or_else(|| panic!("{child:?} has no other half: {other:#?}"));
                self.assert_one(&(a, child), &(b, half));
            }
        }
        for (host, sas) in [(a, &at_a), (b, &at_b)] {
            let installed: Vec<_> = self.hosts[host].installed.keys().copied().collect();
            let mut known: Vec<_> = sas.iter().flat_map(|sa| &sa.children).map(|child| child.id).collect();
            known.sort_unstable();
            assert_eq!(installed, known, "the packet path of host {host} has others");
            let configured: Vec<_> = self.hosts[host].configured.keys().copied().collect();
            let established: Vec<_> = sas.iter().map(|sa| sa.id).collect();
            assert_eq!(configured, established, "host {host} is configured for others");
        }
    }

    /// Checks that inner packets pass both ways on every Child SA; there must be no loss.
    ///
    /// # Panics
    /// If one does not arrive.
    pub fn assert_passes(&mut self, a: usize, b: usize) {
        let children: Vec<_> = self.established(a).into_iter().flat_map(|sa| sa.children).collect();
        for (number, child) in children.iter().enumerate() {
            let packet = between(&child.local[0], &child.remote[0], number as u64);
            for (from, to, packet) in [(a, b, packet), (b, a, packet.back())] {
                let octets = packet.encode();
                assert!(self.send_inner(from, &octets), "{packet:?} was not sent");
                self.run_for(Duration::from_secs(1));
                assert!(self.hosts[to].delivered.contains(&octets), "{packet:?} did not arrive");
            }
        }
    }

    /// Checks that nothing is left on a host.
    ///
    /// # Panics
    /// If something is.
    pub fn assert_empty(&self, host: usize) {
        let now = self.now();
        let host = &self.hosts[host];
        assert!(host.endpoint.is_idle(), "{:#?}", host.endpoint.ike_sas(now));
        assert!(host.installed.is_empty(), "{:?}", host.installed.keys());
        assert!(host.configured.is_empty(), "{:?}", host.configured);
    }

    fn assert_one(&self, (a, child): &(usize, &ChildSaStatus), (b, other): &(usize, &ChildSaStatus)) {
        assert_eq!(child.spi_in, other.spi_out);
        assert!(child.sends && other.sends, "{child:?} {other:?}");
        assert_eq!((&child.local, &child.remote), (&other.remote, &other.local));
        let (ours, theirs) = (&self.hosts[*a].installed[&child.id], &self.hosts[*b].installed[&other.id]);
        assert!(ours.inbound == theirs.outbound && ours.outbound == theirs.inbound, "the keys differ");
        assert_eq!(ours.suite, theirs.suite);
    }
}

/// Makes a packet between the first addresses of two selectors.
pub fn between(local: &TrafficSelector, remote: &TrafficSelector, number: u64) -> InnerPacket {
    InnerPacket { source: local.start, destination: remote.start, number }
}
