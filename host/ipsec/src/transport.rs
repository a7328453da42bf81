//! Transport mode (RFC 4303 §3.1.1): between two hosts, whose IP header is the outer one and is not carried inside.
//!
//! The kernel writes the outer header, so options, identification and hop limit of the inner one are not kept; DSCP
//! and ECN are. The receiver writes the header anew from what the SA is for. Behind a NAT that header has other
//! addresses than the sender's: where these are known, the checksums that cover them are corrected by the difference
//! (RFC 3948 §3.1.2, the first way), and computed anew where they are not (the second way), which the ICV allows, since
//! it has covered the payload all the way. Without a NAT no packet is looked into.

use std::net::IpAddr;
use std::ops::Range;

use vpnhost_model::{TrafficSelector, Translation};

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

/// What is done to the checksums that cover addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mending {
    /// Nothing: they cover the addresses of the header that is written.
    Nothing,
    /// The difference of the addresses is added, a sum of words.
    Difference(u16),
    /// They are computed anew.
    Anew,
}

impl Mending {
    /// Returns what follows from how the peer sees the two hosts.
    pub(crate) fn of(hosts: Hosts, translation: Translation) -> Self {
        match translation {
            Translation::None => Self::Nothing,
            Translation::Unknown => Self::Anew,
            Translation::From { local, remote } => {
                let new = sum_of(hosts.remote, sum_of(hosts.local, 0));
                let old = sum_of(remote, sum_of(local, 0));
                // RFC 1624, equation 3: what a sum lacks is the new words and the complement of the old ones.
                match !checksum::finish(new + u64::from(checksum::finish(old))) {
                    0 | u16::MAX => Self::Nothing,
                    difference => Self::Difference(difference),
                }
            }
        }
    }
}

fn sum_of(address: IpAddr, sum: u64) -> u64 {
    match address {
        IpAddr::V4(address) => checksum::sum(sum, &address.octets()),
        IpAddr::V6(address) => checksum::sum(sum, &address.octets()),
    }
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
    /// What checksums lack that cover addresses.
    pub(crate) mending: Mending,
}

/// Writes a header in front of a payload; returns where the packet lies in the slot.
pub(crate) fn rebuild(
    slot: &mut [u8],
    payload: Range<usize>,
    arrived: &Arrived,
) -> Result<Range<usize>, DropCause> {
    let Arrived { hosts, next_header, tos, mending } = *arrived;
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
    if mending != Mending::Nothing {
        mend(packet, mending);
    }
    Ok(start..payload.end)
}

/// Makes the checksum right that covers the addresses.
fn mend(packet: &mut [u8], mending: Mending) {
    let Some(header) = Header::of(packet).filter(|header| header.fragment == Fragment::Whole) else { return };
    let at = match header.protocol {
        protocol::TCP => 16,
        protocol::UDP => 6,
        protocol::ICMPV6 => 2,
        _ => return,
    };
    let at = header.upper + at;
    let Some(&[high, low]) = packet.get(at..at + 2) else { return };
    let old = u16::from_be_bytes([high, low]);
    // UDP over IPv4 may do without one (RFC 768).
    if header.protocol == protocol::UDP && old == 0 {
        return;
    }
    let new = match mending {
        Mending::Nothing => return,
        Mending::Difference(difference) => checksum::finish(u64::from(!old) + u64::from(difference)),
        Mending::Anew => {
            packet[at..at + 2].fill(0);
            whole(packet, &header)
        }
    };
    let new = if header.protocol == protocol::UDP && new == 0 { u16::MAX } else { new };
    packet[at..at + 2].copy_from_slice(&new.to_be_bytes());
}

/// Sums up a packet whose checksum is zero.
fn whole(packet: &[u8], header: &Header) -> u16 {
    let addresses = if header.is_v4() { 12..20 } else { 8..40 };
    let pseudo = u64::from(header.protocol) + (packet.len() - header.upper) as u64;
    checksum::finish(checksum::sum(checksum::sum(pseudo, &packet[addresses]), &packet[header.upper..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Hosts = Hosts { local: ip(2), remote: ip(1) };

    const fn ip(last: u8) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, last))
    }

    fn arrived(next_header: u8, mending: Mending) -> Arrived {
        Arrived { hosts: V4, next_header, tos: 0xb8, mending }
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

    /// How a host sees itself and the other behind a NAT that gave it another address.
    const BEFORE: Translation =
        Translation::From { local: ip(2), remote: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9)) };

    /// A payload with a checksum from 10.0.0.9 to 192.0.2.2.
    fn payload(protocol: u8, at: usize, len: usize, fill: u8) -> Vec<u8> {
        let mut payload = vec![fill; len];
        payload[at..at + 2].fill(0);
        let pseudo = checksum::sum(u64::from(protocol) + len as u64, &[10, 0, 0, 9, 192, 0, 2, 2]);
        let sum = checksum::finish(checksum::sum(pseudo, &payload));
        payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        payload
    }

    fn rebuilt(protocol: u8, payload: &[u8], mending: Mending) -> Vec<u8> {
        let mut slot = [&[0xee; 64][..], payload].concat();
        let range = rebuild(&mut slot, 64..64 + payload.len(), &arrived(protocol, mending)).unwrap();
        slot[range].to_vec()
    }

    fn is_right(packet: &[u8]) -> bool {
        let pseudo = u64::from(packet[9]) + (packet.len() - 20) as u64;
        checksum::finish(checksum::sum(checksum::sum(pseudo, &packet[12..20]), &packet[20..])) == 0
    }

    #[test]
    fn a_checksum_of_other_addresses_is_made_right_for_these() {
        for (protocol, at) in [(6, 16), (17, 6)] {
            for (len, fill) in [(20, 0), (21, 0xff), (33, 7), (1400, 0x5a)] {
                let payload = payload(protocol, at, len, fill);
                for mending in [Mending::of(V4, BEFORE), Mending::Anew] {
                    let packet = rebuilt(protocol, &payload, mending);
                    assert!(is_right(&packet), "{protocol} {len} {mending:?}");
                    assert_eq!(packet[22 + at..], payload[at + 2..]);
                }
                assert!(!is_right(&rebuilt(protocol, &payload, Mending::Nothing)));
            }
        }
        let packet = rebuilt(17, &payload(17, 6, 11, 1), Mending::Anew);
        assert_eq!(packet[..4], [0x45, 0xb8, 0, 31]);
        assert_eq!(checksum::finish(checksum::sum(0, &packet[..20])), 0);
    }

    #[test]
    fn what_the_sender_got_wrong_remains_wrong_where_the_addresses_before_the_nat_are_known() {
        let mut payload = payload(6, 16, 40, 3);
        payload[30] ^= 1;
        assert!(!is_right(&rebuilt(6, &payload, Mending::of(V4, BEFORE))));
        assert!(is_right(&rebuilt(6, &payload, Mending::Anew)), "there the ICV alone answers for it");
    }

    #[test]
    fn without_a_nat_and_without_a_checksum_nothing_is_touched() {
        let same = Translation::From { local: V4.local, remote: V4.remote };
        assert_eq!(Mending::of(V4, same), Mending::Nothing);
        assert_eq!(Mending::of(V4, Translation::None), Mending::Nothing);
        let mut udp = payload(17, 6, 11, 1);
        assert_eq!(rebuilt(17, &udp, Mending::Nothing)[20..], udp);
        udp[6..8].fill(0);
        for mending in [Mending::of(V4, BEFORE), Mending::Anew] {
            assert_eq!(rebuilt(17, &udp, mending)[20..], udp);
        }
    }

    #[test]
    fn a_payload_too_short_for_its_checksum_harms_nothing() {
        for (next, len) in [(6, 3), (17, 7), (17, 0), (1, 1)] {
            for mending in [Mending::of(V4, BEFORE), Mending::Anew] {
                let mut slot = vec![0; 64 + len];
                assert!(rebuild(&mut slot, 64..64 + len, &arrived(next, mending)).is_ok());
            }
        }
        let outcome = rebuild(&mut [0; 32], 10..20, &arrived(6, Mending::Anew));
        assert_eq!(outcome, Err(DropCause::MalformedInner));
    }
}
