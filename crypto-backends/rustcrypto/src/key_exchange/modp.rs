//! Groups of integers modulo a safe prime: MODP (RFC 7296 App. B, RFC 3526).

use crypto_bigint::{
    Odd, U512, U1024, U1536, U2048, U3072, U4096, U6144, U8192, Uint,
    modular::{FixedMontyForm, FixedMontyParams},
};
use vpnhost_crypto::{
    ActiveKeyExchange, CryptoError, KeyExchangeAlgorithm, SecretBytes, SecureRandom, wipe_stack,
};
use vpnhost_model::KeyExchange;
use zeroize::{Zeroize, Zeroizing};

use super::prime;

pub(super) static MODP_1024: Modp<{ U1024::LIMBS }> = Modp(&GROUP_1024);
pub(super) static MODP_1536: Modp<{ U1536::LIMBS }> = Modp(&GROUP_1536);
pub(super) static MODP_2048: Modp<{ U2048::LIMBS }> = Modp(&GROUP_2048);
pub(super) static MODP_3072: Modp<{ U3072::LIMBS }> = Modp(&GROUP_3072);
pub(super) static MODP_4096: Modp<{ U4096::LIMBS }> = Modp(&GROUP_4096);
pub(super) static MODP_6144: Modp<{ U6144::LIMBS }> = Modp(&GROUP_6144);
pub(super) static MODP_8192: Modp<{ U8192::LIMBS }> = Modp(&GROUP_8192);

static GROUP_1024: Group<{ U1024::LIMBS }> = Group::new(KeyExchange::MODP_1024, prime::MODP_1024, 320);
static GROUP_1536: Group<{ U1536::LIMBS }> = Group::new(KeyExchange::MODP_1536, prime::MODP_1536, 320);
static GROUP_2048: Group<{ U2048::LIMBS }> = Group::new(KeyExchange::MODP_2048, prime::MODP_2048, 512);
static GROUP_3072: Group<{ U3072::LIMBS }> = Group::new(KeyExchange::MODP_3072, prime::MODP_3072, 512);
static GROUP_4096: Group<{ U4096::LIMBS }> = Group::new(KeyExchange::MODP_4096, prime::MODP_4096, 512);
static GROUP_6144: Group<{ U6144::LIMBS }> = Group::new(KeyExchange::MODP_6144, prime::MODP_6144, 512);
static GROUP_8192: Group<{ U8192::LIMBS }> = Group::new(KeyExchange::MODP_8192, prime::MODP_8192, 512);

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
pub(super) struct Modp<const LIMBS: usize>(&'static Group<LIMBS>);

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
