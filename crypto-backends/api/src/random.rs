//! Randomness, given to whoever needs it.

use crate::{CryptoError, SecretBytes};

/// A source of random octets fit for keys and nonces.
pub trait SecureRandom: Send {
    /// Fills `out`.
    ///
    /// # Errors
    /// [`CryptoError::Backend`] if the source fails; `out` is then not to be used.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError>;
}

/// Random octets drawn beforehand, so that a job on another thread stays a function of its inputs.
pub struct DrawnRandom {
    octets: SecretBytes,
    used: usize,
}

impl DrawnRandom {
    /// Octets enough for one key exchange of any algorithm: P-521 may draw 66 octets twice.
    pub const KEY_EXCHANGE: usize = 132;

    /// Octets enough for one signature of any algorithm: blinding draws as many as an RSA modulus has, and
    /// again while the number is not below it, which at worst is every second time.
    pub const SIGNATURE: usize = 32 * 1024;

    /// Draws `count` octets from `source`.
    ///
    /// # Errors
    /// Whatever the source fails with.
    pub fn draw(source: &mut dyn SecureRandom, count: usize) -> Result<Self, CryptoError> {
        let mut octets = SecretBytes::new(vec![0; count]);
        source.fill(octets.expose_mut())?;
        Ok(Self { octets, used: 0 })
    }
}

impl SecureRandom for DrawnRandom {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        let end = self.used.checked_add(out.len()).ok_or(CryptoError::Backend)?;
        let drawn = self.octets.expose().get(self.used..end).ok_or(CryptoError::Backend)?;
        out.copy_from_slice(drawn);
        self.used = end;
        Ok(())
    }
}

impl std::fmt::Debug for DrawnRandom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DrawnRandom({} octets left)", self.octets.len() - self.used)
    }
}
