//! Transport mode (RFC 4303 §3.1.1): between two hosts, whose IP header is the outer one and is not carried inside.
//!
//! The kernel writes the outer header, so options, identification and hop limit of the inner one are not kept; DSCP
//! and ECN are. The receiver writes the header anew from what the SA is for. Behind a NAT that header has other
//! addresses than the sender's: the checksums that cover them are computed anew (RFC 3948 §3.1.2, the second way),
//! which the ICV allows, since it has covered the payload all the way.

use std::net::IpAddr;
use std::ops::Range;

use vpnhost_model::TrafficSelector;

use crate::checksum;
use crate::counters::DropCause;
use crate::packet::{Fragment, Header, protocol};

/// What the header says of hops; nobody counts them, for this host is the destination.
const HOP_LIMIT: u8 = 64;
const DONT_FRAGMENT: u8 = 0x40;

/// The two hosts of an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hosts {
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
}

impl Hosts {
    /// Returns the hosts that selectors are of, if each side's are of one host.
    pub(crate) fn of(local: &[TrafficSelector], remote: &[TrafficSelector]) -> Option<Self> {
        let hosts = Self { local: host(local)?, remote: host(remote)? };
        (hosts.local.is_ipv4() == hosts.remote.is_ipv4()).then_some(hosts)
    }
}

fn host(selectors: &[TrafficSelector]) -> Option<IpAddr> {
    let first = selectors.first()?.start;
    selectors.iter().all(|selector| (selector.start, selector.end) == (first, first)).then_some(first)
}

/// Returns how long the header is that is left out, and what follows it.
pub(crate) fn strip(packet: &[u8], header: &Header) -> Result<(usize, u8), DropCause> {
    // RFC 4303 §3.3.4: only whole datagrams.
    if header.fragment != Fragment::Whole {
        return Err(DropCause::Fragmented);
    }
    if header.is_v4() {
        return Ok((header.upper, header.protocol));
    }
    // Extension headers travel inside.
    let next = packet.get(6).copied().ok_or(DropCause::MalformedInner)?;
    Ok((40, next))
}

/// What a header is written of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    /// Between whom.
    pub(crate) hosts: Hosts,
    /// What follows the header.
    pub(crate) next_header: u8,
    /// The outer header's TOS or traffic class.
    pub(crate) tos: u8,
    /// Whether a NAT may have changed addresses that checksums cover.
    pub(crate) translated: bool,
}

/// Writes a header in front of a payload; returns where the packet lies in the slot.
pub(crate) fn rebuild(
    slot: &mut [u8],
    payload: Range<usize>,
    arrived: &Arrived,
) -> Result<Range<usize>, DropCause> {
    let Arrived { hosts, next_header, tos, translated } = *arrived;
    let network = if hosts.local.is_ipv4() { 20 } else { 40 };
    let start = payload.start.checked_sub(network).ok_or(DropCause::MalformedInner)?;
    let packet = slot.get_mut(start..payload.end).ok_or(DropCause::MalformedInner)?;
    let octets = |from: usize| u16::try_from(payload.end - start - from).map(u16::to_be_bytes);
    packet[..network].fill(0);
    match (hosts.remote, hosts.local) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            (packet[0], packet[1]) = (0x45, tos);
            packet[2..4].copy_from_slice(&octets(0).map_err(|_| DropCause::MalformedInner)?);
            (packet[6], packet[8], packet[9]) = (DONT_FRAGMENT, HOP_LIMIT, next_header);
            packet[12..16].copy_from_slice(&source.octets());
            packet[16..20].copy_from_slice(&destination.octets());
            checksum::write_ipv4(&mut packet[..20]);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            (packet[0], packet[1]) = (0x60 | tos >> 4, tos << 4);
            packet[4..6].copy_from_slice(&octets(40).map_err(|_| DropCause::MalformedInner)?);
            (packet[6], packet[7]) = (next_header, HOP_LIMIT);
            packet[8..24].copy_from_slice(&source.octets());
            packet[24..40].copy_from_slice(&destination.octets());
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            return Err(DropCause::MalformedInner);
        }
    }
    if translated {
        mend(packet);
    }
    Ok(start..payload.end)
}

/// Computes the checksum anew that covers the addresses.
fn mend(packet: &mut [u8]) {
    let Some(header) = Header::of(packet).filter(|header| header.fragment == Fragment::Whole) else { return };
    let at = match header.protocol {
        protocol::TCP => 16,
        protocol::UDP => 6,
        protocol::ICMPV6 => 2,
        _ => return,
    };
    let addresses = if header.is_v4() { 12..20 } else { 8..40 };
    let pseudo = u64::from(header.protocol) + (packet.len() - header.upper) as u64;
    let pseudo = checksum::sum(pseudo, &packet[addresses]);
    let Some(field) = packet.get(header.upper + at..header.upper + at + 2) else { return };
    // UDP over IPv4 may do without one (RFC 768).
    if header.protocol == protocol::UDP && field == [0, 0] {
        return;
    }
    let upper = &mut packet[header.upper..];
    upper[at..at + 2].fill(0);
    let sum = match checksum::finish(checksum::sum(pseudo, upper)) {
        0 if header.protocol == protocol::UDP => u16::MAX,
        sum => sum,
    };
    upper[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Hosts = Hosts { local: ip(2), remote: ip(1) };

    const fn ip(last: u8) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, last))
    }

    fn arrived(next_header: u8, translated: bool) -> Arrived {
        Arrived { hosts: V4, next_header, tos: 0xb8, translated }
    }

    #[test]
    fn an_sa_is_between_two_hosts_or_none() {
        let one = |last| TrafficSelector::host(ip(last));
        let web = TrafficSelector { protocol: 6, start_port: 80, end_port: 80, ..one(2) };
        assert_eq!(Hosts::of(&[one(2), web], &[one(1)]), Some(V4));
        let net = TrafficSelector::prefix(ip(0), 24).unwrap();
        assert_eq!(Hosts::of(&[net], &[one(1)]), None);
        assert_eq!(Hosts::of(&[one(2), one(3)], &[one(1)]), None);
        assert_eq!(Hosts::of(&[one(2)], &[TrafficSelector::host("fd00::1".parse().unwrap())]), None);
    }

    #[test]
    fn a_checksum_of_other_addresses_is_made_right_for_these() {
        // UDP from 10.0.0.9 to 192.0.2.2, whose checksum covers the address before the NAT.
        let mut udp = vec![0, 7, 0, 9, 0, 11, 0, 0, 1, 2, 3];
        let before = [10, 0, 0, 9, 192, 0, 2, 2];
        let sum = checksum::finish(checksum::sum(checksum::sum(17 + 11, &before), &udp));
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
        let mut slot = vec![0xee; 64];
        slot.extend(&udp);
        let range = rebuild(&mut slot, 64..75, &arrived(17, true)).unwrap();
        let packet = &slot[range];
        assert_eq!(packet[..4], [0x45, 0xb8, 0, 31]);
        assert_eq!(checksum::finish(checksum::sum(0, &packet[..20])), 0);
        assert_eq!(
            checksum::finish(checksum::sum(checksum::sum(17 + 11, &packet[12..20]), &packet[20..])),
            0
        );
        assert_eq!(packet[28..], [1, 2, 3]);
        // Without a NAT nothing inside is touched, and neither is what has no checksum.
        let mut slot = [vec![0; 64], udp.clone()].concat();
        let range = rebuild(&mut slot, 64..75, &arrived(17, false)).unwrap();
        assert_eq!(slot[range][20..], udp);
        udp[6..8].fill(0);
        let mut slot = [vec![0; 64], udp.clone()].concat();
        let range = rebuild(&mut slot, 64..75, &arrived(17, true)).unwrap();
        assert_eq!(slot[range][20..], udp);
    }

    #[test]
    fn a_payload_too_short_for_its_checksum_harms_nothing() {
        for (next, len) in [(6, 3), (17, 7), (17, 0), (1, 1)] {
            let mut slot = vec![0; 64 + len];
            assert!(rebuild(&mut slot, 64..64 + len, &arrived(next, true)).is_ok());
        }
        assert_eq!(rebuild(&mut [0; 32], 10..20, &arrived(6, true)), Err(DropCause::MalformedInner));
    }
}
