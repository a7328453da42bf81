//! Whose path MTU the kernel is asked for: every peer that an SA sends to, at once and then ever again,
//! since what was learned is forgotten (RFC 8201 §4).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;

use vpnhost_model::{ChildSaId, Instant, Path};

use super::limits;
use crate::pmtu;

/// A path MTU to tell both halves.
pub(crate) type PathMtu = (IpAddr, u16);

/// The peers.
#[derive(Debug)]
pub(crate) struct Peers {
    mark: u32,
    paths: BTreeMap<ChildSaId, (Path, Told)>,
    /// The last that was asked about in this round.
    asked: Option<ChildSaId>,
    next: Option<Instant>,
}

/// What was told of a peer last, and when.
type Told = Option<(u16, Instant)>;

impl Peers {
    /// Makes none; what asks is marked as the packets are.
    pub(crate) fn new(mark: u32) -> Self {
        Self { mark, paths: BTreeMap::new(), asked: None, next: None }
    }

    /// Takes an SA's path, the first or a new one; returns its MTU.
    pub(crate) fn insert(&mut self, now: Instant, id: ChildSaId, path: Path) -> Option<PathMtu> {
        let mtu = pmtu::ask(&path, self.mark).ok();
        self.paths.insert(id, (path, mtu.map(|mtu| (mtu, now))));
        self.next.get_or_insert(now + limits::PATH_MTU_REFRESH);
        Some((path.remote.ip(), mtu?))
    }

    /// Forgets an SA.
    pub(crate) fn remove(&mut self, id: ChildSaId) {
        self.paths.remove(&id);
        if self.paths.is_empty() {
            self.next = None;
        }
    }

    /// Returns when [`Self::refresh`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Has everyone asked about soon: a packet was too large.
    pub(crate) fn hasten(&mut self, now: Instant) {
        if self.next.is_some_and(|next| next > now + limits::PATH_MTU_STEP) {
            self.next = Some(now + limits::PATH_MTU_STEP);
        }
    }

    /// Asks about some of the peers, if it is time to; returns what is news, or would be forgotten.
    pub(crate) fn refresh(&mut self, now: Instant) -> Vec<PathMtu> {
        if self.next.is_none_or(|next| now < next) {
            return Vec::new();
        }
        let after = self.asked.map_or(Bound::Unbounded, Bound::Excluded);
        let mut news = Vec::new();
        let mut asked = None;
        let mut count = 0;
        for (id, (path, told)) in
            self.paths.range_mut((after, Bound::Unbounded)).take(limits::PATH_MTU_PROBES)
        {
            (asked, count) = (Some(*id), count + 1);
            let Ok(mtu) = pmtu::ask(path, self.mark) else { continue };
            let is_known = told.is_some_and(|(known, at)| {
                known == mtu && now.saturating_since(at) < vpnhost_ipsec::limits::PATH_MTU_AGE / 2
            });
            if !is_known {
                *told = Some((mtu, now));
                news.push((path.remote.ip(), mtu));
            }
        }
        let is_round_over = count < limits::PATH_MTU_PROBES;
        self.asked = if is_round_over { None } else { asked };
        let wait = if is_round_over { limits::PATH_MTU_REFRESH } else { limits::PATH_MTU_STEP };
        self.next = (!self.paths.is_empty()).then(|| now + wait);
        news
    }
}

#[cfg(test)]
mod tests {
    use vpnhost_model::Encapsulation;

    use super::*;

    fn loopback() -> Path {
        Path {
            local: "127.0.0.1:4500".parse().unwrap(),
            remote: "127.0.0.2:4500".parse().unwrap(),
            interface: None,
            encapsulation: Encapsulation::Udp,
        }
    }

    #[test]
    fn a_peer_is_asked_about_at_once_and_told_again_before_it_is_forgotten() {
        let mut peers = Peers::new(0);
        let (mut now, id) = (Instant(1), ChildSaId(7));
        let told = peers.insert(now, id, loopback());
        assert!(told.is_some_and(|(ip, mtu)| ip == loopback().remote.ip() && mtu >= 1280));
        let mut again = 0;
        for _ in 0..20 {
            now = peers.deadline().unwrap();
            again += peers.refresh(now).len();
        }
        assert_eq!(again, 4, "20 minutes, and half of what is forgotten after 10");
        peers.remove(id);
        assert_eq!(peers.deadline(), None);
        assert!(peers.refresh(now + limits::PATH_MTU_REFRESH).is_empty());
    }

    #[test]
    fn many_peers_are_asked_about_in_turns() {
        let mut peers = Peers::new(0);
        let count = limits::PATH_MTU_PROBES as u64 * 2 + 3;
        for id in 0..count {
            peers.paths.insert(ChildSaId(id), (loopback(), None));
        }
        peers.next = Some(Instant(5));
        let mut news = 0;
        for turn in 1..=3 {
            news += peers.refresh(peers.deadline().unwrap()).len();
            assert_eq!(news as u64, count.min(turn * limits::PATH_MTU_PROBES as u64));
        }
        assert!(peers.deadline().unwrap() >= Instant(5) + limits::PATH_MTU_REFRESH);
    }
}
