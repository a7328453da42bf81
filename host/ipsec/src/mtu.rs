//! What fits: path MTUs that were learned, and the tunnel MTU of an SA that follows (RFC 4301 §8.2).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use vpnhost_crypto::PacketLayout;
use vpnhost_model::{Encapsulation, Instant, Path};

use crate::esp;
use crate::limits;

/// The sizes that a tunnel starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelConfig {
    /// The TUN's MTU: the largest inner packet.
    pub tun_mtu: u16,
    /// The path MTU of a peer of which nothing else is known.
    pub path_mtu: u16,
}

impl Default for TunnelConfig {
    fn default() -> Self {
        Self { tun_mtu: 1400, path_mtu: 1500 }
    }
}

/// Path MTUs to the peers: what the kernel says, and what tests of ours found where the network is silent about it.
#[derive(Debug)]
pub(crate) struct PathMtus {
    config: TunnelConfig,
    told: Book<IpAddr>,
    measured: Book<Ends>,
}

/// Between whom a path was measured. Peers behind one NAT have one address, and each its own way there; and one peer may
/// be reached over several links.
pub(crate) type Ends = (SocketAddr, SocketAddr);

/// Returns between whom a path is.
pub(crate) fn ends(path: &Path) -> Ends {
    (path.local, path.remote)
}

/// What was too old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forgotten {
    /// Something that the kernel told.
    pub(crate) told: bool,
    /// Between whom something was measured.
    pub(crate) measured: Vec<Ends>,
}

impl Forgotten {
    pub(crate) fn is_any(&self) -> bool {
        self.told || !self.measured.is_empty()
    }
}

/// Path MTUs, each with the time at which it was written.
#[derive(Debug)]
struct Book<K> {
    entries: BTreeMap<K, (u16, Instant)>,
    /// When the oldest is forgotten.
    expiry: Option<Instant>,
}

impl<K> Default for Book<K> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), expiry: None }
    }
}

impl<K: Ord + Copy> Book<K> {
    /// Writes one down, in the place of the oldest if there are as many as may be. A smaller one than IP allows is a
    /// forgery (RFC 4301 §8.2.1).
    fn write(&mut self, now: Instant, key: K, (remote, mtu): (IpAddr, u16)) {
        let least = if remote.is_ipv4() { limits::PATH_MTU_MIN_V4 } else { limits::PATH_MTU_MIN_V6 };
        if self.entries.len() >= limits::PATH_MTUS
            && !self.entries.contains_key(&key)
            && let Some((&oldest, _)) = self.entries.iter().min_by_key(|(_, (_, at))| *at)
        {
            self.entries.remove(&oldest);
        }
        self.entries.insert(key, (mtu.max(least), now));
        let expiry = now + limits::PATH_MTU_AGE;
        self.expiry = Some(self.expiry.map_or(expiry, |at| at.min(expiry)));
    }

    /// Forgets what is too old; tells of whom.
    fn expire(&mut self, now: Instant) -> Vec<K> {
        if self.expiry.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let mut old = Vec::new();
        self.entries.retain(|key, (_, at)| {
            let is_young = now.saturating_since(*at) < limits::PATH_MTU_AGE;
            old.extend((!is_young).then_some(*key));
            is_young
        });
        self.expiry = self.entries.values().map(|(_, at)| *at + limits::PATH_MTU_AGE).min();
        old
    }

    fn of(&self, key: K) -> u16 {
        self.entries.get(&key).map_or(u16::MAX, |(mtu, _)| *mtu)
    }
}

/// Returns the octets of the IP packet that carries an inner packet of so many.
pub(crate) fn outer_len(inner: usize, path: &Path, layout: &PacketLayout) -> usize {
    headers(path) + esp::front(layout) + esp::text_len(inner, layout) + layout.icv_len
}

/// Returns what IP, and UDP where ESP goes in it, put around ESP on a path.
pub(crate) fn headers(path: &Path) -> usize {
    let ip = if path.remote.is_ipv4() { 20 } else { 40 };
    let udp = match path.encapsulation {
        Encapsulation::Udp => 8,
        Encapsulation::Raw => 0,
    };
    ip + udp
}

impl PathMtus {
    pub(crate) fn new(config: TunnelConfig) -> Self {
        Self { config, told: Book::default(), measured: Book::default() }
    }

    /// Takes a path MTU that the kernel told.
    pub(crate) fn learn(&mut self, now: Instant, remote: IpAddr, mtu: u16) {
        self.told.write(now, remote, (remote, mtu));
    }

    /// Takes what a path was measured to carry; the smaller of both counts.
    pub(crate) fn measure(&mut self, now: Instant, path: &Path, mtu: u16) {
        self.measured.write(now, ends(path), (path.remote.ip(), mtu));
    }

    /// An SA came to a path, where these are those of all others: unless one of them is there, what it was measured to
    /// carry is forgotten, for it may lead elsewhere now.
    pub(crate) fn come_to<'a>(&mut self, path: &Path, mut others: impl Iterator<Item = &'a Path>) {
        let ends = ends(path);
        if self.measured.entries.contains_key(&ends) && !others.any(|other| self::ends(other) == ends) {
            self.measured.entries.remove(&ends);
        }
    }

    /// Forgets what is too old; tells of what.
    pub(crate) fn expire(&mut self, now: Instant) -> Forgotten {
        Forgotten { told: !self.told.expire(now).is_empty(), measured: self.measured.expire(now) }
    }

    /// Returns the largest packet, with IP's header, that a path is known to carry whole.
    pub(crate) fn path_mtu(&self, path: &Path) -> u16 {
        self.told.of(path.remote.ip()).min(self.measured.of(ends(path)))
    }

    /// Returns the largest inner packet of an SA. In transport mode, which saves a header, it would be a little larger: both
    /// modes take the same, so that a flow does not depend on which one was agreed.
    pub(crate) fn tunnel_mtu(&self, path: &Path, layout: &PacketLayout) -> u16 {
        let around = headers(path) + esp::front(layout) + layout.icv_len;
        let text = usize::from(self.config.path_mtu.min(self.path_mtu(path))).saturating_sub(around);
        let inner = (text & !(esp::alignment(layout) - 1)).saturating_sub(esp::TRAILER);
        self.config.tun_mtu.min(inner as u16)
    }
}

#[cfg(test)]
mod tests {
    use vpnhost_crypto::IvKind;

    use super::*;

    const GCM: PacketLayout = PacketLayout {
        iv_len: 8,
        iv_kind: IvKind::Counter,
        icv_len: 16,
        block_len: 1,
        encryption_key_len: 20,
        integrity_key_len: 0,
    };
    const CBC: PacketLayout = PacketLayout { iv_len: 16, icv_len: 32, block_len: 16, ..GCM };

    fn path(remote: &str, encapsulation: Encapsulation) -> Path {
        let local = ([0, 0, 0, 0], 4500).into();
        Path { local, remote: remote.parse().unwrap(), interface: None, encapsulation }
    }

    #[test]
    fn the_largest_inner_packet_fills_the_path_and_no_more() {
        let mtus = PathMtus::new(TunnelConfig { tun_mtu: 9000, path_mtu: 1500 });
        for layout in [GCM, CBC] {
            for (remote, outer) in [("192.0.2.1:4500", 20), ("[2001:db8::1]:4500", 40)] {
                for (encapsulation, udp) in [(Encapsulation::Udp, 8), (Encapsulation::Raw, 0)] {
                    let mtu = usize::from(mtus.tunnel_mtu(&path(remote, encapsulation), &layout));
                    let size = |inner| {
                        outer + udp + esp::front(&layout) + esp::text_len(inner, &layout) + layout.icv_len
                    };
                    assert!(size(mtu) <= 1500 && size(mtu + 1) > 1500, "{mtu}");
                }
            }
        }
    }

    #[test]
    fn a_path_mtu_is_believed_within_reason_and_forgotten() {
        let mut mtus = PathMtus::new(TunnelConfig::default());
        let way = path("192.0.2.1:4500", Encapsulation::Udp);
        assert_eq!(mtus.tunnel_mtu(&way, &GCM), 1400);
        mtus.learn(Instant(5), way.remote.ip(), 1300);
        assert_eq!(mtus.tunnel_mtu(&way, &GCM), 1300 - 20 - 8 - 8 - 8 - 16 - 2);
        mtus.learn(Instant(5), way.remote.ip(), 68);
        assert_eq!(mtus.tunnel_mtu(&way, &GCM), 576 - 20 - 8 - 8 - 8 - 16 - 2);
        let old = Instant(5) + limits::PATH_MTU_AGE;
        assert!(!mtus.expire(Instant(old.0 - 1)).is_any());
        assert!(mtus.expire(old).told && !mtus.expire(old).is_any());
        assert_eq!(mtus.tunnel_mtu(&way, &GCM), 1400);
    }

    #[test]
    fn what_was_measured_counts_beside_what_the_kernel_says_until_there_is_another_path() {
        let mut mtus = PathMtus::new(TunnelConfig::default());
        let way = path("192.0.2.1:4500", Encapsulation::Udp);
        let fits = |mtu: u16| mtu - 20 - 8 - 8 - 8 - 16 - 2;
        mtus.measure(Instant(5), &way, 1300);
        mtus.learn(Instant(6), way.remote.ip(), 1500);
        assert_eq!(mtus.tunnel_mtu(&way, &GCM), fits(1300));
        mtus.learn(Instant(7), way.remote.ip(), 1290);
        assert_eq!(mtus.tunnel_mtu(&way, &GCM), fits(1288), "in whole words");
        mtus.come_to(&way, [way].iter());
        assert_eq!(mtus.tunnel_mtu(&way, &GCM), fits(1288), "another SA is there");
        mtus.come_to(&way, [].iter());
        mtus.learn(Instant(8), way.remote.ip(), 1500);
        assert_eq!(mtus.tunnel_mtu(&way, &GCM), 1400);
    }

    #[test]
    fn where_there_is_no_room_for_another_the_oldest_is_forgotten() {
        let mut mtus = PathMtus::new(TunnelConfig::default());
        let remote = |number: usize| IpAddr::from((number as u32).to_be_bytes());
        for number in 0..=limits::PATH_MTUS {
            mtus.learn(Instant(1 + number as u64), remote(number), 1300);
        }
        assert_eq!(mtus.told.entries.len(), limits::PATH_MTUS);
        assert!(!mtus.told.entries.contains_key(&remote(0)));
        assert!(mtus.told.entries.contains_key(&remote(limits::PATH_MTUS)));
    }
}
