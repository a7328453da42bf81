//! What a CA has signed (RFC 5280 §4.1.1, §5.1.1): octets, an algorithm and a signature, in certificates and in lists.

use std::ops::Range;

use crate::Malformed;
use crate::der::{BIT_STRING, Reader, SEQUENCE, octets_of_bits, whole};

/// The whole as it came, and where in it is what.
pub(crate) struct Signed {
    der: Vec<u8>,
    tbs: Range<usize>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    /// Reads the outer sequence of at most so many octets, and returns the fields of what is signed beside it.
    pub(crate) fn read(octets: &[u8], most: usize) -> Result<(Self, Reader<'_>), Malformed> {
        if octets.len() > most {
            return Err(Malformed);
        }
        let mut reader = whole(octets, SEQUENCE)?.reader();
        let tbs = reader.expect(SEQUENCE)?;
        let algorithm = reader.expect(SEQUENCE)?.whole.to_vec();
        // One that is no whole number of octets is no signature of anything, and empty here.
        let signature = octets_of_bits(&reader.expect(BIT_STRING)?).unwrap_or_default().to_vec();
        reader.end()?;
        let start = tbs.whole.as_ptr().addr() - octets.as_ptr().addr();
        let range = start..start + tbs.whole.len();
        Ok((Self { der: octets.to_vec(), tbs: range, algorithm, signature }, tbs.reader()))
    }

    /// Demands that the next field names the same algorithm (RFC 5280 §4.1.1.2, §5.1.1.2).
    pub(crate) fn same_algorithm(&self, fields: &mut Reader<'_>) -> Result<(), Malformed> {
        if fields.expect(SEQUENCE)?.whole == self.algorithm { Ok(()) } else { Err(Malformed) }
    }

    /// Returns the whole as it came.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the algorithm, the octets and the signature.
    pub(crate) fn parts(&self) -> (&[u8], &[u8], &[u8]) {
        (&self.algorithm, &self.der[self.tbs.clone()], &self.signature)
    }
}
