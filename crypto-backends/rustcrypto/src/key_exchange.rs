//! Key exchange methods: MODP (RFC 7296 App. B, RFC 3526), ECP (RFC 5903) and Curve25519 (RFC 8031).

mod ecp;
mod modp;
mod prime;
mod x25519;

use vpnhost_crypto::KeyExchangeAlgorithm;

use ecp::{ECP_256, ECP_384, ECP_521};
use modp::{MODP_1024, MODP_1536, MODP_2048, MODP_3072, MODP_4096, MODP_6144, MODP_8192};
use x25519::X25519;

pub(crate) static LIST: &[&dyn KeyExchangeAlgorithm] = &[
    &X25519, &ECP_256, &ECP_384, &ECP_521, &MODP_2048, &MODP_3072, &MODP_4096, &MODP_6144, &MODP_8192,
    &MODP_1536, &MODP_1024,
];

#[cfg(test)]
mod tests {
    use vpnhost_crypto::{CryptoError, DrawnRandom, SecureRandom};

    use super::*;

    struct Counting(u8);

    impl SecureRandom for Counting {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
            for octet in out {
                self.0 = self.0.wrapping_mul(17).wrapping_add(89);
                *octet = self.0;
            }
            Ok(())
        }
    }

    #[test]
    fn both_ends_agree() {
        for method in LIST {
            let active = method.start(&mut Counting(1)).unwrap();
            let (public, theirs) = method.respond(active.public(), &mut Counting(2)).unwrap();
            assert_ne!(active.public(), public);
            let ours = active.complete(&public).unwrap();
            assert!(ours == theirs, "{}", method.id());
            // RFC 7296, 2.14: as long as the modulus; RFC 5903, 9: x alone.
            assert!([public.len(), public.len() / 2].contains(&ours.len()), "{}", method.id());
        }
    }

    #[test]
    fn the_octets_drawn_for_a_key_exchange_suffice() {
        for method in LIST {
            let mut drawn = DrawnRandom::draw(&mut Counting(3), DrawnRandom::KEY_EXCHANGE).unwrap();
            assert!(method.start(&mut drawn).is_ok());
        }
    }

    #[test]
    fn key_exchange_data_of_another_length_are_refused() {
        for method in LIST {
            let len = method.start(&mut Counting(1)).unwrap().public().len();
            for bad in [0, 1, len - 1, len + 1] {
                let answer = method.respond(&vec![5; bad], &mut Counting(1));
                assert!(matches!(answer, Err(CryptoError::BadPeerKey)), "{} {bad}", method.id());
            }
        }
    }
}
