//! TCP's maximum segment size, lowered to what the tunnel carries, so that large transfers work at once
//! even where ICMP does not pass.

use crate::checksum;
use crate::packet::{Fragment, Header, protocol};

const SYN: u8 = 0x02;
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;

/// Lowers the MSS option of a SYN to fit `mtu`; tells whether it did.
pub(crate) fn clamp(packet: &mut [u8], header: &Header, mtu: u16) -> bool {
    if header.protocol != protocol::TCP || header.fragment == Fragment::Later {
        return false;
    }
    let network = if header.is_v4() { 20 } else { 40 };
    let limit = mtu.saturating_sub(network + 20);
    let Some(tcp) = packet.get_mut(header.upper..header.total_len) else { return false };
    let Some(at) = mss_option(tcp) else { return false };
    let old = u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    if old <= limit {
        return false;
    }
    write_covered(tcp, at, limit);
    true
}

/// Returns where the value of a SYN's MSS option stands.
fn mss_option(tcp: &[u8]) -> Option<usize> {
    if tcp.len() < 20 || tcp[13] & SYN == 0 {
        return None;
    }
    let end = (usize::from(tcp[12] >> 4) * 4).min(tcp.len());
    let mut at = 20;
    while at < end {
        match tcp[at] {
            END => return None,
            NO_OPERATION => at += 1,
            kind => {
                let len = usize::from(*tcp.get(at + 1)?);
                if len < 2 || at + len > end {
                    return None;
                }
                if kind == MAXIMUM_SEGMENT_SIZE && len == 4 {
                    return Some(at + 2);
                }
                at += len;
            }
        }
    }
    None
}

/// Writes a value and updates TCP's checksum, which covers it, maybe across two words.
fn write_covered(tcp: &mut [u8], at: usize, value: u16) {
    let words = at & !1..(at + 3) & !1;
    let word = |tcp: &[u8], at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let mut sum = word(tcp, 16);
    let mut before = [0; 4];
    let len = words.len();
    before[..len].copy_from_slice(&tcp[words.clone()]);
    tcp[at..at + 2].copy_from_slice(&value.to_be_bytes());
    for offset in (0..len).step_by(2) {
        sum = checksum::update(sum, word(&before, offset), word(tcp, words.start + offset));
    }
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syn(options: &[u8], flags: u8, v6: bool) -> Vec<u8> {
        let tcp_len = 20 + options.len();
        let mut packet = if v6 {
            let mut ip = vec![0u8; 40];
            ip[0] = 0x60;
            ip[5] = tcp_len as u8;
            ip[6] = 6;
            ip[7] = 64;
            ip
        } else {
            vec![0x45, 0, 0, (20 + tcp_len) as u8, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
        };
        let start = packet.len();
        packet.extend([
            0,
            80,
            1,
            2,
            0,
            0,
            0,
            1,
            0,
            0,
            0,
            0,
            (tcp_len / 4 * 16) as u8,
            flags,
            1,
            0,
            0,
            0,
            0,
            0,
        ]);
        packet.extend(options);
        let sum = tcp_sum(&packet, start);
        packet[start + 16..start + 18].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn tcp_sum(packet: &[u8], start: usize) -> u16 {
        let addresses = if start == 20 { &packet[12..20] } else { &packet[8..40] };
        let pseudo = checksum::sum(6 + (packet.len() - start) as u64, addresses);
        checksum::finish(checksum::sum(pseudo, &packet[start..]))
    }

    #[test]
    fn a_syn_is_clamped_at_even_and_odd_offsets_and_its_checksum_stays_right() {
        for v6 in [false, true] {
            for options in [&[2, 4, 5, 0xb4][..], &[1, 2, 4, 5, 0xb4, 1, 1, 0], &[3, 3, 7, 2, 4, 5, 0xb4, 0]]
            {
                let mut packet = syn(options, SYN, v6);
                let header = Header::of(&packet).unwrap();
                assert!(clamp(&mut packet, &header, 1400));
                assert_eq!(tcp_sum(&packet, header.upper), 0);
                let at = header.upper + mss_option(&packet[header.upper..]).unwrap();
                let expected: u16 = if v6 { 1340 } else { 1360 };
                assert_eq!(packet[at..at + 2], expected.to_be_bytes());
                assert!(!clamp(&mut packet, &header, 1400));
            }
        }
    }

    #[test]
    fn only_an_mss_of_a_syn_is_touched_and_broken_options_harm_nothing() {
        for (options, flags) in [
            (&[2, 4, 5, 0xb4][..], 0x10),
            (&[2, 0, 5, 0xb4], SYN),
            (&[2, 40, 5, 0xb4], SYN),
            (&[0, 2, 4, 5], SYN),
            (&[8, 10, 2, 4, 5, 0xb4, 1, 1], SYN),
            (&[], SYN),
        ] {
            let before = syn(options, flags, false);
            let mut packet = before.clone();
            let header = Header::of(&packet).unwrap();
            assert!(!clamp(&mut packet, &header, 100));
            assert_eq!(packet, before);
        }
    }
}
