//! What fits: path MTUs that were learned, and the tunnel MTU of an SA that follows (RFC 4301 §8.2).

use std::collections::BTreeMap;
use std::net::IpAddr;

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

/// Path MTUs by peer address.
#[derive(Debug)]
pub(crate) struct PathMtus {
    config: TunnelConfig,
    learned: BTreeMap<IpAddr, (u16, Instant)>,
    /// When the oldest is forgotten.
    expiry: Option<Instant>,
}

impl PathMtus {
    pub(crate) fn new(config: TunnelConfig) -> Self {
        Self { config, learned: BTreeMap::new(), expiry: None }
    }

    /// Takes a path MTU that the kernel told, in the place of the oldest if there are as many as may be. A smaller one
    /// than IP allows is a forgery (RFC 4301 §8.2.1).
    pub(crate) fn learn(&mut self, now: Instant, remote: IpAddr, mtu: u16) {
        let least = if remote.is_ipv4() { limits::PATH_MTU_MIN_V4 } else { limits::PATH_MTU_MIN_V6 };
        if self.learned.len() >= limits::PATH_MTUS
            && !self.learned.contains_key(&remote)
            && let Some((&oldest, _)) = self.learned.iter().min_by_key(|(_, (_, at))| *at)
        {
            self.learned.remove(&oldest);
        }
        self.learned.insert(remote, (mtu.max(least), now));
        let expiry = now + limits::PATH_MTU_AGE;
        self.expiry = Some(self.expiry.map_or(expiry, |at| at.min(expiry)));
    }

    /// Forgets what is too old; tells whether anything was.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        if self.expiry.is_none_or(|at| now < at) {
            return false;
        }
        let before = self.learned.len();
        self.learned.retain(|_, (_, at)| now.saturating_since(*at) < limits::PATH_MTU_AGE);
        self.expiry = self.learned.values().map(|(_, at)| *at + limits::PATH_MTU_AGE).min();
        self.learned.len() != before
    }

    /// Returns the largest inner packet of an SA. In transport mode, which saves a header, it would be a little larger: both
    /// modes take the same, so that a flow does not depend on which one was agreed.
    pub(crate) fn tunnel_mtu(&self, path: &Path, layout: &PacketLayout) -> u16 {
        let remote = path.remote.ip();
        let learned = self.learned.get(&remote).map_or(u16::MAX, |(mtu, _)| *mtu);
        let outer = if remote.is_ipv4() { 20 } else { 40 };
        let udp = match path.encapsulation {
            Encapsulation::Udp => 8,
            Encapsulation::Raw => 0,
        };
        let around = outer + udp + esp::front(layout) + layout.icv_len;
        let text = usize::from(self.config.path_mtu.min(learned)).saturating_sub(around);
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
        assert!(!mtus.expire(Instant(old.0 - 1)));
        assert!(mtus.expire(old) && !mtus.expire(old));
        assert_eq!(mtus.tunnel_mtu(&way, &GCM), 1400);
    }

    #[test]
    fn where_there_is_no_room_for_another_the_oldest_is_forgotten() {
        let mut mtus = PathMtus::new(TunnelConfig::default());
        let remote = |number: usize| IpAddr::from((number as u32).to_be_bytes());
        for number in 0..=limits::PATH_MTUS {
            mtus.learn(Instant(1 + number as u64), remote(number), 1300);
        }
        assert_eq!(mtus.learned.len(), limits::PATH_MTUS);
        assert!(!mtus.learned.contains_key(&remote(0)));
        assert!(mtus.learned.contains_key(&remote(limits::PATH_MTUS)));
    }
}
