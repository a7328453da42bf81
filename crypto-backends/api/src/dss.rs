//! The two forms of a signature of DSA or ECDSA: DER (RFC 3279 §2.2.2, RFC 7427) and `r | s`, which
//! authentication methods 3 (RFC 2409 §5) and 9 to 11 (RFC 4754 §7) send.

use crate::{CryptoError, der, limits};

/// Makes the DER of `r | s`, two numbers of `integer_len` octets each (see [`crate::KeyKind::integer_len`]).
///
/// # Errors
/// [`CryptoError::AuthenticationFailed`] if the octets are no such pair.
pub fn dss_to_der(raw: &[u8], integer_len: usize) -> Result<Vec<u8>, CryptoError> {
    let good = integer_len <= limits::DSS_INTEGER_OCTETS && raw.len() == 2 * integer_len && integer_len > 0;
    let (r, s) =
        raw.split_at_checked(integer_len).filter(|_| good).ok_or(CryptoError::AuthenticationFailed)?;
    Ok(der::value(der::SEQUENCE, &[&der::unsigned(r), &der::unsigned(s)]))
}

/// Makes `r | s` of DER, each number `integer_len` octets long (see [`crate::KeyKind::integer_len`]).
///
/// # Errors
/// [`CryptoError::AuthenticationFailed`] if it is not DER or a number is longer.
pub fn dss_to_raw(signature: &[u8], integer_len: usize) -> Result<Vec<u8>, CryptoError> {
    let [r, s] = numbers(signature).map_err(|_| CryptoError::AuthenticationFailed)?;
    let mut raw = vec![0; 2 * integer_len];
    for (number, end) in [(r, integer_len), (s, 2 * integer_len)] {
        if number.len() > integer_len {
            return Err(CryptoError::AuthenticationFailed);
        }
        raw[end - number.len()..end].copy_from_slice(number);
    }
    Ok(raw)
}

fn numbers(signature: &[u8]) -> Result<[&[u8]; 2], ::der::Error> {
    let mut reader = der::sequence(signature)?;
    let pair = [der::read_unsigned(&mut reader)?, der::read_unsigned(&mut reader)?];
    der::end(&reader)?;
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_come_back() {
        for raw in [&[0x80, 0, 0, 1][..], &[0, 1, 0xff, 0xff], &[0, 0, 0, 0], &[9; 132]] {
            assert_eq!(dss_to_raw(&dss_to_der(raw, raw.len() / 2).unwrap(), raw.len() / 2).unwrap(), raw);
        }
        assert_eq!(dss_to_der(&[0x80, 1], 1).unwrap(), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 1]);
    }

    #[test]
    fn what_is_not_der_or_not_a_pair_is_refused() {
        for der in [
            &[0x30, 6, 2, 1, 0x80, 2, 1, 1][..],   // negative
            &[0x30, 7, 2, 2, 0, 1, 2, 1, 1],       // not minimal
            &[0x30, 6, 2, 1, 1, 2, 1, 1, 0],       // octets behind it
            &[0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1], // three numbers
            &[0x30, 0x81, 6, 2, 1, 1, 2, 1, 1],    // a long length
            &[0x30, 0x80, 2, 1, 1, 2, 1, 1, 0, 0], // no length
            &[0x30, 3, 2, 1, 1],
            &[],
        ] {
            assert!(dss_to_raw(der, 20).is_err(), "{der:02x?}");
        }
        assert!(dss_to_raw(&[0x30, 7, 2, 2, 1, 1, 2, 1, 1], 1).is_err());
        assert!(dss_to_der(&[], 0).is_err());
        assert!(dss_to_der(&[1; 3], 2).is_err());
        assert!(dss_to_der(&[1; 134], 67).is_err());
    }
}
