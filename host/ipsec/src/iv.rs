//! IVs: written here, never by a backend, so that no swap of backends can repeat a nonce.

use vpnhost_crypto::{CryptoError, IvKind, SecureRandom};

use crate::limits::RANDOM_POOL;

/// Where IVs come from.
pub(crate) struct IvSource {
    random: Box<dyn SecureRandom>,
    pool: Box<[u8]>,
    used: usize,
}

impl IvSource {
    pub(crate) fn new(random: Box<dyn SecureRandom>) -> Self {
        Self { random, pool: vec![0; RANDOM_POOL].into(), used: RANDOM_POOL }
    }

    /// Writes the IV of the packet of a sequence number.
    pub(crate) fn write(&mut self, kind: IvKind, sequence: u64, iv: &mut [u8]) -> Result<(), CryptoError> {
        // RFC 2410 §2.2: NULL has none, whatever its kind.
        if iv.is_empty() {
            return Ok(());
        }
        match kind {
            // RFC 4106 §3.1, RFC 7634 §2: unique under one key. The whole sequence number is: it starts
            // at one with each key and is refused before it wraps.
            IvKind::Counter => {
                let counter = sequence.to_be_bytes();
                let len = iv.len();
                if len < counter.len() {
                    return Err(CryptoError::BadLength);
                }
                iv[..len - counter.len()].fill(0);
                iv[len - counter.len()..].copy_from_slice(&counter);
                Ok(())
            }
            // RFC 3602 §3: not to be foreseen.
            IvKind::Unpredictable => self.draw(iv),
        }
    }

    fn draw(&mut self, iv: &mut [u8]) -> Result<(), CryptoError> {
        if self.pool.len() - self.used < iv.len() {
            self.used = self.pool.len();
            self.random.fill(&mut self.pool)?;
            self.used = 0;
        }
        let drawn = self.pool.get_mut(self.used..self.used + iv.len()).ok_or(CryptoError::BadLength)?;
        iv.copy_from_slice(drawn);
        drawn.fill(0);
        self.used += iv.len();
        Ok(())
    }
}

impl std::fmt::Debug for IvSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IvSource")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rising(u8, usize);

    impl SecureRandom for Rising {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
            self.1 = self.1.checked_sub(1).ok_or(CryptoError::Backend)?;
            for octet in out {
                self.0 = self.0.wrapping_add(1);
                *octet = self.0;
            }
            Ok(())
        }
    }

    #[test]
    fn a_counter_iv_is_the_whole_sequence_number() {
        let mut source = IvSource::new(Box::new(Rising(0, 0)));
        let mut iv = [9; 8];
        source.write(IvKind::Counter, 0x1_0000_0002, &mut iv).unwrap();
        assert_eq!(iv, [0, 0, 0, 1, 0, 0, 0, 2]);
        assert!(source.write(IvKind::Counter, 1, &mut [0; 4]).is_err());
    }

    #[test]
    fn no_iv_is_written_where_there_is_none() {
        let mut source = IvSource::new(Box::new(Rising(0, 0)));
        for kind in [IvKind::Counter, IvKind::Unpredictable] {
            assert_eq!(source.write(kind, 1, &mut []), Ok(()));
        }
    }

    #[test]
    fn unpredictable_ivs_are_drawn_in_bulk_and_never_twice() {
        let mut source = IvSource::new(Box::new(Rising(0, 1)));
        let mut iv = [0; 16];
        for at in 0..RANDOM_POOL / 16 {
            source.write(IvKind::Unpredictable, 1, &mut iv).unwrap();
            assert_eq!(iv[0], (at * 16) as u8 + 1);
        }
        // The source fails: so does the IV, again and again.
        for _ in 0..2 {
            assert_eq!(source.write(IvKind::Unpredictable, 1, &mut iv), Err(CryptoError::Backend));
        }
    }
}
