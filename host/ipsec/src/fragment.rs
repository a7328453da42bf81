//! IPv4 inner packets that are too large for the tunnel are fragmented before encryption (RFC 791, RFC
//! 4301 §7): the outer packets remain whole, and the peer's tunnel end reassembles nothing.

use crate::batch::Batch;
use crate::checksum;
use crate::counters::DropCause;
use crate::packet::Header;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
/// Option types below it are not copied into later fragments (RFC 791 §3.1).
const COPIED: u8 = 0x80;
/// The longest header of IPv4.
const LONGEST_HEADER: usize = 60;

/// Tells whether the sender forbids fragmentation.
pub(crate) fn is_forbidden(packet: &[u8]) -> bool {
    flags(packet) & DONT_FRAGMENT != 0
}

/// Cuts the packet at `position` into fragments of at most `mtu` octets, which take its place; returns how
/// many there are.
pub(crate) fn fragment(
    batch: &mut Batch,
    position: usize,
    header: &Header,
    mtu: u16,
) -> Result<usize, DropCause> {
    let slot = batch.slot_at(position).ok_or(DropCause::NoRoom)?;
    let (packet, octets) = batch.slot(slot);
    let start = packet.start;
    let original = &octets[start..start + header.total_len];
    let (later_header, later_len) = later_header(&original[..header.upper]);
    let original_flags = flags(original);
    let payload = header.total_len - header.upper;
    if usize::from(original_flags & OFFSET) * 8 + payload > usize::from(u16::MAX) {
        return Err(DropCause::MalformedInner);
    }
    // Payload of all but the last fragment: whole units of eight octets.
    let step = usize::from(mtu).saturating_sub(header.upper) & !7;
    if step == 0 {
        return Err(DropCause::TooBig);
    }
    let count = payload.div_ceil(step);
    if batch.len() + count - 1 > batch.capacity() {
        return Err(DropCause::NoRoom);
    }
    for index in 1..count {
        let from = index * step;
        let len = step.min(payload - from);
        let fragment = batch.insert(position + index, later_len + len).ok_or(DropCause::NoRoom)?;
        let to = batch.packet(fragment).start;
        batch.copy((slot, start + header.upper + from), (fragment, to + later_len), len);
        let (packet, octets) = batch.slot(fragment);
        let octets = &mut octets[packet.start..packet.start + packet.len];
        octets[..later_len].copy_from_slice(&later_header[..later_len]);
        let more = if index + 1 < count { MORE_FRAGMENTS } else { original_flags & MORE_FRAGMENTS };
        write(octets, later_len, ((original_flags & OFFSET) + (from / 8) as u16) | more);
    }
    let (packet, octets) = batch.slot(slot);
    packet.len = header.upper + step.min(payload);
    let more = if count > 1 { MORE_FRAGMENTS } else { original_flags & MORE_FRAGMENTS };
    write(&mut octets[start..start + packet.len], header.upper, original_flags & OFFSET | more);
    Ok(count)
}

fn flags(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[6], packet[7]])
}

fn write(packet: &mut [u8], header_len: usize, flags: u16) {
    let len = packet.len() as u16;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[6..8].copy_from_slice(&flags.to_be_bytes());
    checksum::write_ipv4(&mut packet[..header_len]);
}

/// Returns the header of the later fragments: only the options that say so are copied.
fn later_header(first: &[u8]) -> ([u8; LONGEST_HEADER], usize) {
    let mut header = [0; LONGEST_HEADER];
    header[..20].copy_from_slice(&first[..20]);
    let (mut at, mut len) = (20, 20);
    while let Some(kind) = first.get(at) {
        let size = match kind {
            0 => break,
            1 => 1,
            _ => first.get(at + 1).map_or(1, |size| usize::from(*size)).max(1),
        };
        let Some(option) = first.get(at..at + size) else { break };
        if kind & COPIED != 0 {
            header[len..len + size].copy_from_slice(option);
            len += size;
        }
        at += size;
    }
    // The end of the list is zero, and so is what fills the last word.
    len = len.next_multiple_of(4);
    header[0] = 0x40 | (len / 4) as u8;
    (header, len)
}
