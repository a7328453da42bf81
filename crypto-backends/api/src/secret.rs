//! Octets that are zeroized when dropped and never printed.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::limits;

/// A secret: a key, a shared secret, the output of a PRF that keys come from.
#[derive(Clone, Default)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes ownership of secret octets.
    pub fn new(octets: Vec<u8>) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// Copies secret octets; the original remains the caller's to zeroize.
    pub fn copy_of(octets: &[u8]) -> Self {
        Self::new(octets.to_vec())
    }

    /// Lends the octets to a computation.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Lends the octets to be written.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Returns the number of octets.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes the octets public: the visible act by which a PRF's output becomes an AUTH payload.
    pub fn into_public(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.0)
    }

    /// Splits off the first `count` octets, zeroizing nothing that remains in use.
    ///
    /// # Errors
    /// [`crate::CryptoError::BadLength`] if there are fewer.
    pub fn split_front(&mut self, count: usize) -> Result<Self, crate::CryptoError> {
        if count > self.0.len() {
            return Err(crate::CryptoError::BadLength);
        }
        let rest = Self::copy_of(&self.0[count..]);
        let front = Self::copy_of(&self.0[..count]);
        self.0.zeroize();
        *self = rest;
        Ok(front)
    }
}

impl PartialEq for SecretBytes {
    /// Compares in constant time for a given length.
    fn eq(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.expose(), other.expose()).into()
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} octets)", self.len())
    }
}

/// Overwrites what the calls before this one left on the stack.
///
/// A value that is moved, as a key into its box, leaves its octets where it was made, and whoever
/// zeroizes it does not know of them. So whoever calls what makes keys calls this behind it.
#[inline(never)]
pub fn wipe_stack() {
    let mut below = [0_u64; limits::WIPED_STACK / size_of::<u64>()];
    below.zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", SecretBytes::new(vec![1, 2, 3])), "SecretBytes(3 octets)");
    }

    #[test]
    fn the_front_is_split_off_in_order() {
        let mut all = SecretBytes::new(vec![1, 2, 3, 4]);
        assert_eq!(all.split_front(1).unwrap().expose(), [1]);
        assert_eq!(all.expose(), [2, 3, 4]);
        assert!(all.split_front(4).is_err());
    }
}
