//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

/// Sums octets as big-endian words onto `sum`.
pub(crate) fn sum(sum: u64, octets: &[u8]) -> u64 {
    let mut words = octets.chunks_exact(2);
    let total = words.by_ref().fold(sum, |sum, word| sum + u64::from(u16::from_be_bytes([word[0], word[1]])));
    match words.remainder() {
        [last] => total + (u64::from(*last) << 8),
        _ => total,
    }
}

/// Folds a sum into a checksum.
pub(crate) fn finish(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Returns the checksum after one word that it covers changed (RFC 1624, equation 3).
pub(crate) fn update(checksum: u16, old: u16, new: u16) -> u16 {
    finish(u64::from(!checksum) + u64::from(!old) + u64::from(new))
}

/// Writes the header checksum of an IPv4 header.
pub(crate) fn write_ipv4(header: &mut [u8]) {
    header[10..12].fill(0);
    let checksum = finish(sum(0, header));
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_agrees_with_a_new_sum() {
        let mut octets = *b"\x45\x00\x01\x02\xff\xff\x00\x00\x12\x34";
        let before = finish(sum(0, &octets));
        for (old, new) in [(0x4500u16, 0x4501u16), (0x4501, 0xffff), (0xffff, 0)] {
            let checksum = finish(sum(0, &octets));
            octets[..2].copy_from_slice(&new.to_be_bytes());
            assert_eq!(update(checksum, old, new), finish(sum(0, &octets)));
        }
        assert_ne!(before, finish(sum(0, &octets)));
    }
}
