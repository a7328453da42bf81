//! Which SA a packet goes out on (RFC 4301 §4.4.1, §5.1): selectors to SA.
//!
//! SAs of equal selectors form a group, of which the last activated is used, so that a rekey switches
//! at once and a removal falls back. Between groups the narrower remote selector decides.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use vpnhost_model::TrafficSelector;

use crate::limits::FLOWS;
use crate::packet::{Header, Ports};
use crate::selectors;

/// Groups of SAs with equal selectors, in the order in which they are asked.
#[derive(Debug)]
pub(crate) struct Spd {
    groups: Vec<Group>,
    /// By remote selector, narrowest first.
    entries: Vec<Entry>,
    /// Which SA a flow took last: what most packets of a batch need.
    flows: Box<[Option<(Flow, u32)>]>,
}

#[derive(Debug)]
struct Group {
    local: Vec<TrafficSelector>,
    remote: Vec<TrafficSelector>,
    /// In the order of activation.
    active: Vec<u32>,
}

#[derive(Debug)]
struct Entry {
    remote: TrafficSelector,
    group: usize,
}

/// What selectors look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Flow {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ports: Option<Ports>,
}

impl Default for Spd {
    fn default() -> Self {
        Self { groups: Vec::new(), entries: Vec::new(), flows: vec![None; FLOWS].into() }
    }
}

impl Spd {
    /// Uses an SA for its selectors from now on.
    pub(crate) fn activate(&mut self, sa: u32, local: &[TrafficSelector], remote: &[TrafficSelector]) {
        let (local, remote) = (sorted(local), sorted(remote));
        self.retire(sa);
        let known = self.groups.iter().position(|group| group.local == local && group.remote == remote);
        // The group that was activated last comes last.
        let mut group = match known {
            Some(at) => self.groups.remove(at),
            None => Group { local, remote, active: Vec::new() },
        };
        group.active.push(sa);
        self.groups.push(group);
        self.rebuild();
    }

    /// Uses an SA no longer.
    pub(crate) fn remove(&mut self, sa: u32) {
        self.retire(sa);
        self.rebuild();
    }

    /// Returns the SA of a packet.
    pub(crate) fn select(&mut self, header: &Header) -> Option<u32> {
        let Header { source, destination, protocol, ports, .. } = *header;
        let flow = Flow { source, destination, protocol, ports };
        let place = place_of(&flow);
        if let Some((known, sa)) = self.flows[place]
            && known == flow
        {
            return Some(sa);
        }
        let port = ports.map(|ports| ports.destination);
        let group =
            self.entries.iter().filter(|e| selectors::admits(&e.remote, destination, protocol, port)).find(
                |entry| {
                    let group = &self.groups[entry.group];
                    selectors::select_outbound(&group.local, &group.remote, header)
                },
            )?;
        let sa = *self.groups[group.group].active.last()?;
        self.flows[place] = Some((flow, sa));
        Some(sa)
    }

    fn retire(&mut self, sa: u32) {
        for group in &mut self.groups {
            group.active.retain(|active| *active != sa);
        }
        self.groups.retain(|group| !group.active.is_empty());
    }

    fn rebuild(&mut self) {
        self.flows.fill(None);
        let entries = self.groups.iter().enumerate().rev();
        let entries = entries
            .flat_map(|(group, g)| g.remote.iter().map(move |remote| Entry { remote: *remote, group }));
        self.entries = entries.collect();
        // Stable: of equals the group that was activated last is asked first.
        self.entries.sort_by_key(|entry| breadth(&entry.remote));
    }
}

/// How much a selector selects: addresses, then whether any protocol, then ports.
fn breadth(selector: &TrafficSelector) -> (u128, bool, u16) {
    let addresses = match (selector.start, selector.end) {
        (IpAddr::V4(start), IpAddr::V4(end)) => u128::from(u32::from(end) - u32::from(start)),
        (IpAddr::V6(start), IpAddr::V6(end)) => u128::from(end) - u128::from(start),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => u128::MAX,
    };
    (addresses, selector.protocol == 0, selector.end_port.saturating_sub(selector.start_port))
}

fn sorted(selectors: &[TrafficSelector]) -> Vec<TrafficSelector> {
    let mut selectors = selectors.to_vec();
    selectors.sort_unstable();
    selectors.dedup();
    selectors
}

fn place_of(flow: &Flow) -> usize {
    let mut hasher = Fold(0);
    flow.hash(&mut hasher);
    (hasher.finish() >> 32) as usize % FLOWS
}

/// A cheap hash for a table in which a collision costs a search and nothing else.
struct Fold(u64);

impl Hasher for Fold {
    fn write(&mut self, octets: &[u8]) {
        for chunk in octets.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        // The multiplier is 2^64 divided by the golden ratio.
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u8(&mut self, octet: u8) {
        self.write_u64(octet.into());
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Fragment;

    fn ts(text: &str) -> TrafficSelector {
        let (base, length) = text.split_once('/').unwrap();
        TrafficSelector::prefix(base.parse().unwrap(), length.parse().unwrap()).unwrap()
    }

    fn packet(destination: &str, port: u16) -> Header {
        Header {
            source: [10, 0, 0, 1].into(),
            destination: destination.parse().unwrap(),
            protocol: 6,
            ports: Some(Ports { source: 1024, destination: port }),
            fragment: Fragment::Whole,
            upper: 20,
            total_len: 40,
            tos: 0,
        }
    }

    #[test]
    fn the_last_activated_of_equals_is_used_and_a_removal_falls_back() {
        let mut spd = Spd::default();
        let (local, remote) = ([ts("10.0.0.0/8")], [ts("10.2.0.0/16"), ts("10.3.0.0/16")]);
        let turned = [ts("10.3.0.0/16"), ts("10.2.0.0/16")];
        assert_eq!(spd.select(&packet("10.2.0.1", 80)), None);
        spd.activate(0, &local, &remote);
        assert_eq!(spd.select(&packet("10.2.0.1", 80)), Some(0));
        spd.activate(1, &local, &turned);
        assert_eq!(spd.select(&packet("10.2.0.1", 80)), Some(1));
        spd.activate(0, &local, &remote);
        assert_eq!(spd.select(&packet("10.2.0.1", 80)), Some(0));
        spd.remove(0);
        assert_eq!(spd.select(&packet("10.3.0.1", 80)), Some(1));
        spd.remove(1);
        assert_eq!(spd.select(&packet("10.3.0.1", 80)), None);
    }

    #[test]
    fn the_narrower_selector_is_asked_first() {
        let mut spd = Spd::default();
        let local = [ts("0.0.0.0/0")];
        let web = TrafficSelector { protocol: 6, start_port: 443, end_port: 443, ..ts("10.2.0.0/16") };
        spd.activate(2, &local, &[web]);
        spd.activate(1, &local, &[ts("10.2.0.0/16")]);
        spd.activate(0, &local, &[ts("0.0.0.0/0")]);
        assert_eq!(spd.select(&packet("10.2.0.1", 443)), Some(2));
        assert_eq!(spd.select(&packet("10.2.0.1", 80)), Some(1));
        assert_eq!(spd.select(&packet("192.0.2.1", 80)), Some(0));
        assert_eq!(spd.select(&Header { source: "fd00::1".parse().unwrap(), ..packet("fd00::2", 1) }), None);
    }

    #[test]
    fn many_flows_share_the_memory_and_each_finds_its_own() {
        let mut spd = Spd::default();
        for host in 0..=255u32 {
            spd.activate(host, &[ts("10.0.0.0/8")], &[ts(&format!("10.2.0.{host}/32"))]);
        }
        for port in 0..40 {
            for host in 0..=255u32 {
                assert_eq!(spd.select(&packet(&format!("10.2.0.{host}"), port)), Some(host));
            }
        }
    }
}
