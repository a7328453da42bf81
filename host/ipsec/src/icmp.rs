//! "Too big": the ICMP errors by which a sender learns the tunnel's MTU (RFC 1191, RFC 8201).

use std::net::IpAddr;

use crate::batch::Packet;
use crate::checksum;
use crate::limits::PATH_MTU_MIN_V6;
use crate::packet::{Fragment, Header, protocol};

/// Octets of an ICMP header of either family.
const ICMP_HEADER: usize = 8;
/// The largest ICMP error of IPv4 (RFC 1812 §4.3.2.3) and of IPv6 (RFC 4443 §2.4(c)).
const LARGEST: (usize, usize) = (576, 1280);
/// Hops that an error may take.
const HOP_LIMIT: u8 = 64;

/// Makes an ICMP error out of the packet that is too big, in its slot; tells whether one may be sent.
pub(crate) fn too_big(packet: &mut Packet, slot: &mut [u8], header: &Header, mtu: u16) -> bool {
    let octets = &slot[packet.start..packet.start + packet.len];
    if !may_answer(octets, header) {
        return false;
    }
    match (header.source, header.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (start, len) = enclose(packet, 20, LARGEST.0);
            let error = &mut slot[start..start + len];
            write_icmp(&mut error[20..], [3, 4], u32::from(mtu));
            let sum = checksum::finish(checksum::sum(0, &error[20..]));
            error[22..24].copy_from_slice(&sum.to_be_bytes());
            error[..20].fill(0);
            error[0] = 0x45;
            // RFC 1812 §4.3.2.5: internetwork control.
            error[1] = 0xc0;
            error[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            error[8] = HOP_LIMIT;
            error[9] = protocol::ICMP;
            // The tunnel has no address of its own: the destination speaks, and so no filter minds.
            error[12..16].copy_from_slice(&destination.octets());
            error[16..20].copy_from_slice(&source.octets());
            checksum::write_ipv4(&mut error[..20]);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (start, len) = enclose(packet, 40, LARGEST.1);
            let error = &mut slot[start..start + len];
            error[..40].fill(0);
            error[0] = 0x60;
            error[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
            error[6] = protocol::ICMPV6;
            error[7] = HOP_LIMIT;
            error[8..24].copy_from_slice(&destination.octets());
            error[24..40].copy_from_slice(&source.octets());
            write_icmp(&mut error[40..], [2, 0], u32::from(mtu.max(PATH_MTU_MIN_V6)));
            let pseudo = (len - 40) as u64 + u64::from(protocol::ICMPV6);
            let pseudo = checksum::sum(pseudo, &error[8..40]);
            let sum = checksum::finish(checksum::sum(pseudo, &error[40..]));
            error[42..44].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    }
    true
}

/// RFC 1122 §3.2.2, RFC 4443 §2.4(e): no error about an error, about a later fragment, or to nobody in
/// particular.
fn may_answer(octets: &[u8], header: &Header) -> bool {
    if header.fragment == Fragment::Later {
        return false;
    }
    let kind = octets.get(header.upper);
    let is_error = match header.protocol {
        // All but echo, router discovery, timestamp, information and address mask.
        protocol::ICMP => kind.is_none_or(|kind| !matches!(kind, 0 | 8..=10 | 13..=18)),
        protocol::ICMPV6 => kind.is_none_or(|kind| *kind < 128),
        _ => false,
    };
    let is_someone = |address: IpAddr| match address {
        IpAddr::V4(a) => !(a.is_unspecified() || a.is_broadcast() || a.is_multicast() || a.is_loopback()),
        IpAddr::V6(a) => !(a.is_unspecified() || a.is_multicast() || a.is_loopback()),
    };
    !is_error && is_someone(header.source) && is_someone(header.destination)
}

/// Puts the headers of an error in front of a packet and cuts its end; returns where the error lies.
fn enclose(packet: &mut Packet, network: usize, largest: usize) -> (usize, usize) {
    packet.start -= network + ICMP_HEADER;
    packet.len = (packet.len + network + ICMP_HEADER).min(largest);
    (packet.start, packet.len)
}

/// Writes type, code and MTU; the checksum remains zero.
fn write_icmp(icmp: &mut [u8], kind_and_code: [u8; 2], mtu: u32) {
    icmp[..2].copy_from_slice(&kind_and_code);
    icmp[2..4].fill(0);
    icmp[4..8].copy_from_slice(&mtu.to_be_bytes());
}
