//! Key exchange methods: MODP (RFC 7296 App. B, RFC 3526) and Curve25519 (RFC 8031).

use crypto_bigint::{
    Odd, U512, U1024, U1536, U2048, Uint,
    modular::{FixedMontyForm, FixedMontyParams},
};
use vpnhost_crypto::{
    ActiveKeyExchange, CryptoError, KeyExchangeAlgorithm, SecretBytes, SecureRandom, wipe_stack,
};
use vpnhost_model::KeyExchange;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

pub(crate) static LIST: &[&dyn KeyExchangeAlgorithm] = &[&X25519, &MODP_2048, &MODP_1536, &MODP_1024];

static MODP_1024: Modp<{ U1024::LIMBS }> = Modp(&GROUP_1024);
static MODP_1536: Modp<{ U1536::LIMBS }> = Modp(&GROUP_1536);
static MODP_2048: Modp<{ U2048::LIMBS }> = Modp(&GROUP_2048);

static GROUP_1024: Group<{ U1024::LIMBS }> = Group::new(KeyExchange::MODP_1024, PRIME_1024, 320);
static GROUP_1536: Group<{ U1536::LIMBS }> = Group::new(KeyExchange::MODP_1536, PRIME_1536, 320);
static GROUP_2048: Group<{ U2048::LIMBS }> = Group::new(KeyExchange::MODP_2048, PRIME_2048, 512);

/// Octets of the longest exponent.
const EXPONENT_LEN: usize = U512::BYTES;

/// A group of integers modulo a safe prime, with generator 2.
struct Group<const LIMBS: usize> {
    id: KeyExchange,
    params: FixedMontyParams<LIMBS>,
    /// At least twice the group's strength (RFC 3526 §8); public, so time may depend on it.
    exponent_bits: u32,
}

impl<const LIMBS: usize> Group<LIMBS> {
    const fn new(id: KeyExchange, prime: &str, exponent_bits: u32) -> Self {
        let prime = Odd::<Uint<LIMBS>>::from_be_hex(prime);
        Self { id, params: FixedMontyParams::new_vartime(prime), exponent_bits }
    }

    /// Raises to a secret power, in a time that depends on the group alone.
    #[inline(never)]
    fn power(&self, base: &Uint<LIMBS>, exponent: &U512) -> SecretBytes {
        let mut power = FixedMontyForm::new(base, &self.params).pow_bounded_exp(exponent, self.exponent_bits);
        let mut integer = power.retrieve();
        let mut encoded = integer.to_be_bytes();
        // RFC 7296, 2.14: as long as the modulus, zeros in front if need be.
        let octets = SecretBytes::copy_of(encoded.as_slice());
        power.zeroize();
        integer.zeroize();
        encoded.zeroize();
        octets
    }

    /// Decodes the peer's value (RFC 7296 §3.4, RFC 6989 §2.1). It is public: no need of constant time.
    fn peer_value(&self, octets: &[u8]) -> Result<Uint<LIMBS>, CryptoError> {
        if octets.len() != Uint::<LIMBS>::BYTES {
            return Err(CryptoError::BadPeerKey);
        }
        let value = Uint::<LIMBS>::from_be_slice(octets);
        let last = self.params.modulus().get().wrapping_sub(&Uint::ONE);
        if value <= Uint::ONE || value >= last {
            return Err(CryptoError::BadPeerKey);
        }
        Ok(value)
    }
}

/// The method over a group.
struct Modp<const LIMBS: usize>(&'static Group<LIMBS>);

impl<const LIMBS: usize> Modp<LIMBS> {
    #[inline(never)]
    fn draw(&self, random: &mut dyn SecureRandom) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        let mut octets = Zeroizing::new([0; EXPONENT_LEN]);
        let drawn = EXPONENT_LEN - self.0.exponent_bits as usize / 8;
        random.fill(&mut octets[drawn..])?;
        let exponent = Zeroizing::new(U512::from_be_slice(&*octets));
        let public = self.0.power(&Uint::from_u8(2), &exponent).into_public();
        Ok(Box::new(ActiveModp { group: self.0, exponent, public }))
    }
}

impl<const LIMBS: usize> KeyExchangeAlgorithm for Modp<LIMBS> {
    fn id(&self) -> KeyExchange {
        self.0.id
    }

    fn start(&self, random: &mut dyn SecureRandom) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        let active = self.draw(random);
        wipe_stack();
        active
    }
}

/// A MODP exchange under way.
struct ActiveModp<const LIMBS: usize> {
    group: &'static Group<LIMBS>,
    exponent: Zeroizing<U512>,
    public: Vec<u8>,
}

impl<const LIMBS: usize> ActiveKeyExchange for ActiveModp<LIMBS> {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SecretBytes, CryptoError> {
        let peer = self.group.peer_value(peer)?;
        let secret = self.group.power(&peer, &self.exponent);
        wipe_stack();
        Ok(secret)
    }
}

/// Curve25519.
struct X25519;

impl KeyExchangeAlgorithm for X25519 {
    fn id(&self) -> KeyExchange {
        KeyExchange::X25519
    }

    fn start(&self, random: &mut dyn SecureRandom) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        let mut octets = Zeroizing::new([0; 32]);
        random.fill(&mut *octets)?;
        let secret = StaticSecret::from(*octets);
        let public = PublicKey::from(&secret);
        Ok(Box::new(ActiveX25519 { secret, public }))
    }
}

/// A Curve25519 exchange under way.
struct ActiveX25519 {
    secret: StaticSecret,
    public: PublicKey,
}

impl ActiveKeyExchange for ActiveX25519 {
    fn public(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SecretBytes, CryptoError> {
        let peer: [u8; 32] = peer.try_into().map_err(|_| CryptoError::BadPeerKey)?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(peer));
        // RFC 7748, 6.1: a point of small order gives zero.
        if !shared.was_contributory() {
            return Err(CryptoError::BadPeerKey);
        }
        Ok(SecretBytes::copy_of(shared.as_bytes()))
    }
}

/// RFC 2409 §6.2.
const PRIME_1024: &str = "\
    FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
    EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
    EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF";

/// RFC 3526 §2.
const PRIME_1536: &str = "\
    FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
    EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
    EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F\
    83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA237327FFFFFFFFFFFFFFFF";

/// RFC 3526 §3.
const PRIME_2048: &str = "\
    FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
    EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
    EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F\
    83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
    E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510\
    15728E5A8AACAA68FFFFFFFFFFFFFFFF";

#[cfg(test)]
mod tests {
    use vpnhost_crypto::DrawnRandom;

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
            assert_eq!(ours.len(), public.len());
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
