//! The octets of an ESP packet around its IV, ciphertext and ICV (RFC 4303 §2).

use vpnhost_crypto::PacketLayout;
use vpnhost_model::ChildSpi;

use crate::counters::DropCause;
use crate::limits::{HEADROOM, TAILROOM};

/// Octets of SPI and sequence number: the additional authenticated data.
pub(crate) const HEADER: usize = 8;
/// Octets of pad length and next header.
pub(crate) const TRAILER: usize = 2;

/// Returns what the text is padded to: at least four octets (RFC 4303 §2.4).
pub(crate) fn alignment(layout: &PacketLayout) -> usize {
    layout.block_len.max(4)
}

/// Tells whether an SA's packets grow no further than a slot's head- and tailroom, and padding fits an octet.
pub(crate) fn fits(layout: &PacketLayout) -> bool {
    HEADER + layout.iv_len <= HEADROOM
        && alignment(layout) - 1 + TRAILER + layout.icv_len <= TAILROOM
        && alignment(layout).is_power_of_two()
}

/// Returns the octets of ESP in front of the text.
pub(crate) fn front(layout: &PacketLayout) -> usize {
    HEADER + layout.iv_len
}

/// Returns the length of the text of an inner packet: with padding and trailer.
pub(crate) fn text_len(inner: usize, layout: &PacketLayout) -> usize {
    (inner + TRAILER).next_multiple_of(alignment(layout))
}

/// Writes SPI and the low half of the sequence number.
pub(crate) fn write_header(esp: &mut [u8], spi: ChildSpi, sequence: u64) {
    esp[..4].copy_from_slice(&spi.0.to_be_bytes());
    esp[4..HEADER].copy_from_slice(&(sequence as u32).to_be_bytes());
}

/// Reads SPI and the low half of the sequence number.
pub(crate) fn read_header(esp: &[u8]) -> Option<(ChildSpi, u32)> {
    let header: &[u8; HEADER] = esp.first_chunk()?;
    let [a, b, c, d, e, f, g, h] = *header;
    Some((ChildSpi(u32::from_be_bytes([a, b, c, d])), u32::from_be_bytes([e, f, g, h])))
}

/// Writes padding 1, 2, 3 … and the trailer behind `inner` octets of a text.
pub(crate) fn write_trailer(text: &mut [u8], inner: usize, next_header: u8) {
    let pad = text.len() - inner - TRAILER;
    for (octet, value) in text[inner..inner + pad].iter_mut().zip(1..=u8::MAX) {
        *octet = value;
    }
    text[inner + pad] = pad as u8;
    text[inner + pad + 1] = next_header;
}

/// Reads the trailer of an opened text: octets in front of the padding, and the next header.
pub(crate) fn read_trailer(text: &[u8]) -> Result<(usize, u8), DropCause> {
    let [rest @ .., pad, next_header] = text else { return Err(DropCause::BadPadding) };
    let inner = rest.len().checked_sub((*pad).into()).ok_or(DropCause::BadPadding)?;
    // RFC 4303 §2.4: a receiver should inspect the padding.
    if rest[inner..].iter().zip(1..=u8::MAX).any(|(octet, value)| *octet != value) {
        return Err(DropCause::BadPadding);
    }
    Ok((inner, *next_header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_counts_from_one_and_is_inspected() {
        let mut text = [0xaa; 12];
        write_trailer(&mut text, 5, 4);
        assert_eq!(text, [0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 1, 2, 3, 4, 5, 5, 4]);
        assert_eq!(read_trailer(&text), Ok((5, 4)));
        text[6] = 9;
        assert_eq!(read_trailer(&text), Err(DropCause::BadPadding));
        assert_eq!(read_trailer(&[1, 2, 9, 4]), Err(DropCause::BadPadding));
        assert_eq!(read_trailer(&[4]), Err(DropCause::BadPadding));
        assert_eq!(read_trailer(&[0, 59]), Ok((0, 59)));
    }

    #[test]
    fn the_longest_padding_is_read() {
        let mut text = vec![0; 257];
        write_trailer(&mut text, 0, 59);
        assert_eq!(read_trailer(&text), Ok((0, 59)));
    }
}
