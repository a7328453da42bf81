//! What MS-CHAP-V2 computes (RFC 2759 §8), and the keys that MPPE takes from it (RFC 3079 §3).

use cipher::{BlockCipherEncrypt as _, KeyInit as _};
use digest::Digest as _;
use vpnhost_crypto::SecretBytes;
use zeroize::Zeroizing;

const SERVER_TO_CLIENT: &[u8; 39] = b"Magic server to client signing constant";
const PAD_TO_MAKE_IT_DO_MORE: &[u8; 41] = b"Pad to make it do more than one iteration";
const MASTER_KEY: &[u8; 27] = b"This is the MPPE Master Key";
const CLIENT_SENDS: &[u8; 84] =
    b"On the client side, this is the send key; on the server side, it is the receive key.";
const CLIENT_RECEIVES: &[u8; 84] =
    b"On the client side, this is the receive key; on the server side, it is the send key.";

/// Octets of a Master Session Key (RFC 3748 §7.10).
const MSK: usize = 64;

/// NtPasswordHash: as good as the password for who has it.
#[derive(Clone)]
pub struct PasswordHash(Zeroizing<[u8; 16]>);

impl PasswordHash {
    /// Hashes a password: MD4 of its UTF-16, little-endian (RFC 2759 §8.3).
    pub fn of(password: &str) -> Self {
        let mut unicode = Zeroizing::new(Vec::with_capacity(password.len() * 2));
        unicode.extend(password.encode_utf16().flat_map(u16::to_le_bytes));
        Self(md4(&unicode))
    }

    /// Makes a hash that no password has with any likelihood, to try unknown users against.
    pub(crate) fn of_nobody(random: [u8; 16]) -> Self {
        Self(Zeroizing::new(random))
    }

    fn hashed(&self) -> Zeroizing<[u8; 16]> {
        md4(&*self.0)
    }
}

impl PartialEq for PasswordHash {
    fn eq(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.0[..], &other.0[..]).into()
    }
}

impl Eq for PasswordHash {}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// The two challenges and the user's name: what a response is made for.
#[derive(Clone, Debug)]
pub(crate) struct Challenge([u8; 8]);

impl Challenge {
    /// ChallengeHash (RFC 2759 §8.2); the name counts without the domain before it.
    pub(crate) fn new(peer: &[u8; 16], authenticator: &[u8; 16], user: &[u8]) -> Self {
        let bare = user.iter().rposition(|&octet| octet == b'\\').map_or(user, |at| &user[at + 1..]);
        let hash = sha1(&[peer, authenticator, bare]);
        let mut challenge = [0; 8];
        challenge.copy_from_slice(&hash[..8]);
        Self(challenge)
    }

    /// ChallengeResponse (RFC 2759 §8.5).
    pub(crate) fn response(&self, password: &PasswordHash) -> [u8; 24] {
        let mut padded = Zeroizing::new([0; 21]);
        padded[..16].copy_from_slice(&*password.0);
        let mut response = [0; 24];
        for (out, key) in response.chunks_exact_mut(8).zip(padded.chunks_exact(7)) {
            out.copy_from_slice(&des(key, self.0));
        }
        response
    }

    /// GenerateAuthenticatorResponse (RFC 2759 §8.7), without the text's form.
    pub(crate) fn authenticator(&self, password: &PasswordHash, response: &[u8; 24]) -> [u8; 20] {
        let digest = sha1(&[&*password.hashed(), response, SERVER_TO_CLIENT]);
        *sha1(&[&*digest, &self.0, PAD_TO_MAKE_IT_DO_MORE])
    }
}

/// The Master Session Key: the key that the client receives with, the one that it sends with (which the draft
/// names from the server's side), and zeros.
pub(crate) fn msk(password: &PasswordHash, response: &[u8; 24]) -> SecretBytes {
    let master = sha1(&[&*password.hashed(), response, MASTER_KEY]);
    // RFC 3079, 3.4: GetAsymmetricStartKey.
    let start = |magic: &[u8]| sha1(&[&master[..16], &[0; 40], magic, &[0xf2; 40]]);
    let (receive, send) = (start(CLIENT_SENDS), start(CLIENT_RECEIVES));
    let mut msk = SecretBytes::new(vec![0; MSK]);
    msk.expose_mut()[..16].copy_from_slice(&receive[..16]);
    msk.expose_mut()[16..32].copy_from_slice(&send[..16]);
    msk
}

fn md4(octets: &[u8]) -> Zeroizing<[u8; 16]> {
    Zeroizing::new(md4::Md4::digest(octets).into())
}

fn sha1(parts: &[&[u8]]) -> Zeroizing<[u8; 20]> {
    let mut hash = sha1::Sha1::new();
    parts.iter().for_each(|part| hash.update(part));
    Zeroizing::new(hash.finalize().into())
}

/// DesEncrypt (RFC 2759 §8.6): seven octets become a key of eight, whose lowest bits DES does not look at.
fn des(key: &[u8], clear: [u8; 8]) -> [u8; 8] {
    let bits = key.iter().fold(0_u64, |bits, &octet| bits << 8 | u64::from(octet));
    let mut spread = Zeroizing::new([0_u8; 8]);
    for (index, octet) in spread.iter_mut().enumerate() {
        // Masked to seven bits, it fits.
        *octet = ((bits >> (49 - 7 * index) & 0x7f) as u8) << 1;
    }
    let cipher = des::Des::new_from_slice(&*spread).expect("a key of DES has eight octets");
    let mut block = clear.into();
    cipher.encrypt_block(&mut block);
    block.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHENTICATOR: [u8; 16] =
        [0x5b, 0x5d, 0x7c, 0x7d, 0x7b, 0x3f, 0x2f, 0x3e, 0x3c, 0x2c, 0x60, 0x21, 0x32, 0x26, 0x26, 0x28];
    const PEER: [u8; 16] =
        [0x21, 0x40, 0x23, 0x24, 0x25, 0x5e, 0x26, 0x2a, 0x28, 0x29, 0x5f, 0x2b, 0x3a, 0x33, 0x7c, 0x7e];

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02X}")).collect()
    }

    /// RFC 2759 §9.2, RFC 3079 §3.5.3.
    #[test]
    fn the_samples_of_both_rfcs_come_out() {
        let password = PasswordHash::of("clientPass");
        assert_eq!(hex(&*password.0), "44EBBA8D5312B8D611474411F56989AE");
        assert_eq!(hex(&*password.hashed()), "41C00C584BD2D91C4017A2A12FA59F3F");
        let challenge = Challenge::new(&PEER, &AUTHENTICATOR, b"User");
        assert_eq!(hex(&challenge.0), "D02E4386BCE91226");
        let response = challenge.response(&password);
        assert_eq!(hex(&response), "82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF");
        let proof = challenge.authenticator(&password, &response);
        assert_eq!(hex(&proof), "407A5589115FD0D6209F510FE9C04566932CDA56");
        let master = sha1(&[&*password.hashed(), &response, MASTER_KEY]);
        assert_eq!(hex(&master[..16]), "FDECE3717A8C838CB388E527AE3CDD31");
        let msk = msk(&password, &response);
        // The server's send key, the client's receive key.
        assert_eq!(hex(&msk.expose()[16..32]), "8B7CDC149B993A1BA118CB153F56DCCB");
        assert_eq!(msk.len(), 64);
        assert!(msk.expose()[32..].iter().all(|&octet| octet == 0));
    }

    #[test]
    fn a_domain_before_the_name_does_not_count() {
        let bare = Challenge::new(&PEER, &AUTHENTICATOR, b"User");
        assert_eq!(Challenge::new(&PEER, &AUTHENTICATOR, b"CORP\\User").0, bare.0);
        assert_ne!(Challenge::new(&PEER, &AUTHENTICATOR, b"user").0, bare.0);
    }

    #[test]
    fn a_hash_is_never_printed() {
        assert_eq!(format!("{:?}", PasswordHash::of("clientPass")), "PasswordHash");
    }
}
