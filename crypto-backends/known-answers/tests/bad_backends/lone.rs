//! Ciphers, MACs, PRFs, hashes and key exchanges that are almost right.

use vpnhost_crypto::{
    ActiveKeyExchange, CryptoError, EncryptionAlgorithm, EncryptionKey, Hash, HashAlgorithm,
    IntegrityAlgorithm, IntegrityKey, IvKind, KeyExchangeAlgorithm, PrfAlgorithm, PrfKey, PrivateKey,
    PublicKey, SecretBytes, SecureRandom, Signature, SignatureAlgorithm, SigningKey,
};
use vpnhost_known_answers::{Algorithm, Fault};
use vpnhost_model::{Encryption, Integrity, KeyExchange, Prf};

use crate::{loses, spoilt::Spoilt};

/// AES-CBC that passes broken blocks by, in silence.
struct Lenient;

impl EncryptionAlgorithm for Lenient {
    fn id(&self) -> Encryption {
        Encryption::AES_CBC
    }

    fn key_bits(&self) -> u16 {
        128
    }

    fn key_len(&self) -> usize {
        16
    }

    fn iv_len(&self) -> usize {
        16
    }

    fn iv_kind(&self) -> IvKind {
        IvKind::Unpredictable
    }

    fn block_len(&self) -> usize {
        16
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn EncryptionKey>, CryptoError> {
        let good = vpnhost_rustcrypto::backend().find_encryption(self.id(), 128).expect("rustcrypto has it");
        Ok(Box::new(LenientKey(good.key(key)?)))
    }
}

struct LenientKey(Box<dyn EncryptionKey>);

impl EncryptionKey for LenientKey {
    fn encrypt(&mut self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError> {
        let whole = text.len() / 16 * 16;
        self.0.encrypt(iv, &mut text[..whole])
    }

    fn decrypt(&mut self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError> {
        let whole = text.len() / 16 * 16;
        self.0.decrypt(iv, &mut text[..whole])
    }
}

#[test]
fn a_cipher_that_leaves_a_broken_block_in_clear_is_noticed() {
    loses(
        Spoilt { encryption: vec![&Lenient], ..Spoilt::default() },
        Algorithm::Encryption(Encryption::AES_CBC, 128),
        Fault::LengthAccepted("a text"),
    );
}

/// HMAC-SHA2-256-128 that compares as much as it is given, or nothing.
struct Careless {
    verifies: bool,
}

impl IntegrityAlgorithm for Careless {
    fn id(&self) -> Integrity {
        Integrity::HMAC_SHA2_256_128
    }

    fn key_len(&self) -> usize {
        32
    }

    fn icv_len(&self) -> usize {
        16
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn IntegrityKey>, CryptoError> {
        let good = vpnhost_rustcrypto::backend().find_integrity(self.id()).expect("rustcrypto has it");
        Ok(Box::new(CarelessKey { inner: good.key(key)?, verifies: self.verifies }))
    }
}

struct CarelessKey {
    inner: Box<dyn IntegrityKey>,
    verifies: bool,
}

impl IntegrityKey for CarelessKey {
    fn sign(&mut self, parts: &[&[u8]], icv: &mut [u8]) -> Result<(), CryptoError> {
        self.inner.sign(parts, icv)
    }

    fn verify(&mut self, parts: &[&[u8]], icv: &[u8]) -> Result<(), CryptoError> {
        let mut expected = [0; 16];
        self.sign(parts, &mut expected)?;
        let equal = expected.starts_with(icv) || !self.verifies;
        if equal { Ok(()) } else { Err(CryptoError::AuthenticationFailed) }
    }
}

#[test]
fn an_icv_that_is_cut_short_and_accepted_is_noticed() {
    for (verifies, why) in [(true, Fault::LengthAccepted("an ICV")), (false, Fault::ForgeryAccepted("ICV"))] {
        loses(
            Spoilt { integrity: vec![Box::leak(Box::new(Careless { verifies }))], ..Spoilt::default() },
            Algorithm::Integrity(Integrity::HMAC_SHA2_256_128),
            why,
        );
    }
}

/// PRF_HMAC_SHA2_256 that hears only the first of its parts.
struct Forgetful;

struct ForgetfulKey(Box<dyn PrfKey>);

impl PrfAlgorithm for Forgetful {
    fn id(&self) -> Prf {
        Prf::HMAC_SHA2_256
    }

    fn output_len(&self) -> usize {
        32
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn PrfKey>, CryptoError> {
        let good = vpnhost_rustcrypto::backend().find_prf(self.id()).expect("rustcrypto has it");
        Ok(Box::new(ForgetfulKey(good.key(key)?)))
    }
}

impl PrfKey for ForgetfulKey {
    fn compute(&self, parts: &[&[u8]]) -> Result<SecretBytes, CryptoError> {
        self.0.compute(&parts[..1])
    }
}

#[test]
fn a_prf_that_forgets_a_part_is_noticed() {
    loses(
        Spoilt { prf: vec![&Forgetful], ..Spoilt::default() },
        Algorithm::Prf(Prf::HMAC_SHA2_256),
        Fault::Differs("output"),
    );
}

/// SHA2-256 that is called SHA-1 and cut to its length.
struct Misnamed;

impl HashAlgorithm for Misnamed {
    fn id(&self) -> Hash {
        Hash::SHA1
    }

    fn output_len(&self) -> usize {
        20
    }

    fn hash(&self, parts: &[&[u8]], out: &mut [u8]) -> Result<(), CryptoError> {
        let good = vpnhost_rustcrypto::backend().find_hash(Hash::SHA2_256).expect("rustcrypto has it");
        let mut whole = [0; 32];
        good.hash(parts, &mut whole)?;
        out.copy_from_slice(&whole[..20]);
        Ok(())
    }
}

#[test]
fn a_hash_under_another_name_is_noticed() {
    loses(
        Spoilt { hash: vec![&Misnamed], ..Spoilt::default() },
        Algorithm::Hash(Hash::SHA1),
        Fault::Differs("digest"),
    );
}

/// A key exchange that trusts its peer, or strips zeros as some libraries do.
struct Credulous {
    id: KeyExchange,
    strips: bool,
}

struct CredulousExchange {
    inner: Box<dyn ActiveKeyExchange>,
    strips: bool,
}

impl KeyExchangeAlgorithm for Credulous {
    fn id(&self) -> KeyExchange {
        self.id
    }

    fn start(&self, random: &mut dyn SecureRandom) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        let good = vpnhost_rustcrypto::backend().find_key_exchange(self.id).expect("rustcrypto has it");
        Ok(Box::new(CredulousExchange { inner: good.start(random)?, strips: self.strips }))
    }
}

impl ActiveKeyExchange for CredulousExchange {
    fn public(&self) -> &[u8] {
        self.inner.public()
    }

    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SecretBytes, CryptoError> {
        let secret = self.inner.complete(peer);
        if self.strips {
            let secret = secret?.into_public();
            let zeros = secret.iter().take_while(|&&octet| octet == 0).count();
            return Ok(SecretBytes::copy_of(&secret[zeros..]));
        }
        Ok(secret.unwrap_or_default())
    }
}

#[test]
fn a_value_that_gives_the_secret_away_must_be_refused() {
    for id in [KeyExchange::X25519, KeyExchange::MODP_2048, KeyExchange::MODP_1024] {
        loses(
            Spoilt {
                key_exchange: vec![Box::leak(Box::new(Credulous { id, strips: false }))],
                ..Spoilt::default()
            },
            Algorithm::KeyExchange(id),
            Fault::WeakValueAccepted,
        );
    }
}

#[test]
fn a_secret_without_its_leading_zero_is_noticed() {
    for id in [KeyExchange::MODP_2048, KeyExchange::MODP_1536, KeyExchange::MODP_1024] {
        loses(
            Spoilt {
                key_exchange: vec![Box::leak(Box::new(Credulous { id, strips: true }))],
                ..Spoilt::default()
            },
            Algorithm::KeyExchange(id),
            Fault::Differs("shared secret"),
        );
    }
}

/// Ed25519 that reads only the front of a signature, or that signs only the first of its parts.
struct Hasty {
    signs: bool,
}

impl SignatureAlgorithm for Hasty {
    fn id(&self) -> Signature {
        Signature::ED25519
    }

    fn load(&self, key: &PrivateKey) -> Result<Box<dyn SigningKey>, CryptoError> {
        let loaded = ed25519().load(key)?;
        if self.signs { Ok(loaded) } else { Ok(Box::new(HastyKey(loaded))) }
    }

    fn verify(&self, key: &PublicKey, parts: &[&[u8]], signature: &[u8]) -> Result<(), CryptoError> {
        let read = if self.signs { signature.get(..64).unwrap_or(signature) } else { signature };
        ed25519().verify(key, parts, read)
    }
}

struct HastyKey(Box<dyn SigningKey>);

impl SigningKey for HastyKey {
    fn public(&self) -> &PublicKey {
        self.0.public()
    }

    fn sign(&self, parts: &[&[u8]], random: &mut dyn SecureRandom) -> Result<Vec<u8>, CryptoError> {
        self.0.sign(&parts[..1], random)
    }
}

fn ed25519() -> &'static dyn SignatureAlgorithm {
    let all = vpnhost_rustcrypto::backend().signature();
    *all.iter().find(|a| a.id() == Signature::ED25519).expect("rustcrypto has it")
}

#[test]
fn a_signature_with_octets_behind_it_or_of_a_part_only_is_noticed() {
    for (signs, why) in [(true, Fault::LengthAccepted("a signature")), (false, Fault::Differs("signature"))] {
        loses(
            Spoilt { signature: vec![Box::leak(Box::new(Hasty { signs }))], ..Spoilt::default() },
            Algorithm::Signature(Signature::ED25519),
            why,
        );
    }
}
