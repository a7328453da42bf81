//! Congestion marks across the tunnel (RFC 6040, normal mode).

use crate::checksum;

/// The ECN field of a TOS or traffic class.
const MASK: u8 = 3;
const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const CE: u8 = 3;

/// Returns the outer TOS of an inner packet: DSCP copied (RFC 4301 §5.1.2), ECN copied (RFC 6040 §4.1).
pub(crate) fn encapsulate(inner: u8) -> u8 {
    inner
}

/// Returns the inner TOS after decapsulation (RFC 6040 §4.2, figure 4), `None` if the packet is to be
/// dropped. The DSCP remains the inner one.
pub(crate) fn decapsulate(inner: u8, outer: u8) -> Option<u8> {
    let ecn = match (inner & MASK, outer & MASK) {
        (NOT_ECT, CE) => return None,
        (NOT_ECT, _) => NOT_ECT,
        (CE, _) | (_, CE) => CE,
        (_, ECT_1) => ECT_1,
        (inner, _) => inner,
    };
    Some(inner & !MASK | ecn)
}

/// Writes another TOS into a packet's header.
pub(crate) fn write(packet: &mut [u8], tos: u8) {
    if packet[0] >> 4 == 4 {
        let old = u16::from_be_bytes([packet[0], packet[1]]);
        packet[1] = tos;
        let new = u16::from_be_bytes([packet[0], packet[1]]);
        let sum = checksum::update(u16::from_be_bytes([packet[10], packet[11]]), old, new);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        packet[0] = packet[0] & 0xf0 | tos >> 4;
        packet[1] = packet[1] & 0x0f | tos << 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Header, protocol};

    #[test]
    fn marks_meet_as_in_figure_4() {
        const ECT_0: u8 = 2;
        // Rows: inner; columns: outer Not-ECT, ECT(0), ECT(1), CE.
        let table = [
            (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
            (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
            (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
            (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
        ];
        for (inner, row) in table {
            for (outer, expected) in [NOT_ECT, ECT_0, ECT_1, CE].into_iter().zip(row) {
                let dscp = 0b1011_1000;
                assert_eq!(decapsulate(dscp | inner, 0b0100_0000 | outer), expected.map(|ecn| dscp | ecn));
            }
        }
    }

    #[test]
    fn a_mark_keeps_the_header_checksum_right() {
        let mut packet = [0x45, 0x02, 0, 20, 1, 2, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        checksum::write_ipv4(&mut packet);
        write(&mut packet, 0x03);
        assert_eq!(packet[1], 3);
        assert_eq!(checksum::finish(checksum::sum(0, &packet)), 0);
        let mut packet = [0u8; 40];
        packet[..7].copy_from_slice(&[0x6a, 0xb1, 0x23, 0x45, 0, 0, protocol::NONE]);
        write(&mut packet, 0xcd);
        assert_eq!(packet[..4], [0x6c, 0xd1, 0x23, 0x45]);
        assert_eq!(Header::of(&packet).unwrap().tos, 0xcd);
    }
}
