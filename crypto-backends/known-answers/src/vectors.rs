//! Which file holds the known answers of which algorithm.

use vpnhost_crypto::{Hash, Scheme, Signature};
use vpnhost_model::{Encryption, Integrity, KeyExchange, PacketId, Prf};

use crate::Algorithm;

/// Returns the file of an algorithm.
pub(crate) fn of(algorithm: Algorithm) -> Option<&'static str> {
    FILES.iter().find(|(named, _)| *named == algorithm).map(|(_, file)| *file)
}

const fn packet(encryption: Encryption, key_bits: u16, integrity: Integrity) -> Algorithm {
    Algorithm::Packet(PacketId { encryption, key_bits, integrity })
}

/// A pair of the algorithm, as the enum names it, and its file.
macro_rules! file {
    ($algorithm:expr, $path:literal) => {
        ($algorithm, include_str!(concat!("../vectors/", $path, ".hex")))
    };
}

const fn signature(scheme: Scheme, hash: Hash) -> Algorithm {
    Algorithm::Signature(Signature::new(scheme, hash))
}

const AES: Encryption = Encryption::AES_CBC;
const CTR: Encryption = Encryption::AES_CTR;
const GCM: Encryption = Encryption::AES_GCM_16;
const NONE: Integrity = Integrity::NONE;
const TRIPLE_DES: Encryption = Encryption::TRIPLE_DES;
const SHA1: Integrity = Integrity::HMAC_SHA1_96;
const SHA256: Integrity = Integrity::HMAC_SHA2_256_128;
const SHA384: Integrity = Integrity::HMAC_SHA2_384_192;
const SHA512: Integrity = Integrity::HMAC_SHA2_512_256;

static FILES: &[(Algorithm, &str)] = &[
    file!(packet(GCM, 128, NONE), "packet/aes128gcm16"),
    file!(packet(GCM, 192, NONE), "packet/aes192gcm16"),
    file!(packet(GCM, 256, NONE), "packet/aes256gcm16"),
    file!(packet(Encryption::AES_GCM_12, 128, NONE), "packet/aes128gcm12"),
    file!(packet(Encryption::AES_GCM_12, 192, NONE), "packet/aes192gcm12"),
    file!(packet(Encryption::AES_GCM_12, 256, NONE), "packet/aes256gcm12"),
    file!(packet(Encryption::AES_GCM_8, 128, NONE), "packet/aes128gcm8"),
    file!(packet(Encryption::AES_GCM_8, 192, NONE), "packet/aes192gcm8"),
    file!(packet(Encryption::AES_GCM_8, 256, NONE), "packet/aes256gcm8"),
    file!(packet(Encryption::AES_CCM_16, 128, NONE), "packet/aes128ccm16"),
    file!(packet(Encryption::AES_CCM_16, 192, NONE), "packet/aes192ccm16"),
    file!(packet(Encryption::AES_CCM_16, 256, NONE), "packet/aes256ccm16"),
    file!(packet(Encryption::AES_CCM_12, 128, NONE), "packet/aes128ccm12"),
    file!(packet(Encryption::AES_CCM_12, 192, NONE), "packet/aes192ccm12"),
    file!(packet(Encryption::AES_CCM_12, 256, NONE), "packet/aes256ccm12"),
    file!(packet(Encryption::AES_CCM_8, 128, NONE), "packet/aes128ccm8"),
    file!(packet(Encryption::AES_CCM_8, 192, NONE), "packet/aes192ccm8"),
    file!(packet(Encryption::AES_CCM_8, 256, NONE), "packet/aes256ccm8"),
    file!(packet(Encryption::CHACHA20_POLY1305, 256, NONE), "packet/chacha20poly1305"),
    file!(packet(AES, 128, SHA1), "packet/aes128-sha1"),
    file!(packet(AES, 128, SHA256), "packet/aes128-sha256"),
    file!(packet(AES, 128, SHA384), "packet/aes128-sha384"),
    file!(packet(AES, 128, SHA512), "packet/aes128-sha512"),
    file!(packet(AES, 192, SHA1), "packet/aes192-sha1"),
    file!(packet(AES, 192, SHA256), "packet/aes192-sha256"),
    file!(packet(AES, 192, SHA384), "packet/aes192-sha384"),
    file!(packet(AES, 192, SHA512), "packet/aes192-sha512"),
    file!(packet(AES, 256, SHA1), "packet/aes256-sha1"),
    file!(packet(AES, 256, SHA256), "packet/aes256-sha256"),
    file!(packet(AES, 256, SHA384), "packet/aes256-sha384"),
    file!(packet(AES, 256, SHA512), "packet/aes256-sha512"),
    file!(packet(TRIPLE_DES, 192, SHA1), "packet/3des-sha1"),
    file!(packet(TRIPLE_DES, 192, SHA256), "packet/3des-sha256"),
    file!(packet(TRIPLE_DES, 192, SHA384), "packet/3des-sha384"),
    file!(packet(TRIPLE_DES, 192, SHA512), "packet/3des-sha512"),
    file!(Algorithm::Encryption(AES, 128), "encryption/aes128"),
    file!(Algorithm::Encryption(AES, 192), "encryption/aes192"),
    file!(Algorithm::Encryption(AES, 256), "encryption/aes256"),
    file!(Algorithm::Encryption(CTR, 128), "encryption/aes128ctr"),
    file!(Algorithm::Encryption(CTR, 192), "encryption/aes192ctr"),
    file!(Algorithm::Encryption(CTR, 256), "encryption/aes256ctr"),
    file!(Algorithm::Encryption(TRIPLE_DES, 192), "encryption/3des"),
    file!(Algorithm::Encryption(Encryption::NULL, 0), "encryption/null"),
    file!(Algorithm::Integrity(SHA1), "integrity/sha1"),
    file!(Algorithm::Integrity(SHA256), "integrity/sha256"),
    file!(Algorithm::Integrity(SHA384), "integrity/sha384"),
    file!(Algorithm::Integrity(SHA512), "integrity/sha512"),
    file!(Algorithm::Integrity(Integrity::AES_CMAC_96), "integrity/aescmac"),
    file!(Algorithm::Integrity(Integrity::AES_XCBC_96), "integrity/aesxcbc"),
    file!(Algorithm::Prf(Prf::AES128_CMAC), "prf/aescmac"),
    file!(Algorithm::Prf(Prf::AES128_XCBC), "prf/aesxcbc"),
    file!(Algorithm::Prf(Prf::HMAC_SHA1), "prf/sha1"),
    file!(Algorithm::Prf(Prf::HMAC_SHA2_256), "prf/sha256"),
    file!(Algorithm::Prf(Prf::HMAC_SHA2_384), "prf/sha384"),
    file!(Algorithm::Prf(Prf::HMAC_SHA2_512), "prf/sha512"),
    file!(Algorithm::Hash(Hash::SHA1), "hash/sha1"),
    file!(Algorithm::Hash(Hash::SHA2_256), "hash/sha256"),
    file!(Algorithm::Hash(Hash::SHA2_384), "hash/sha384"),
    file!(Algorithm::Hash(Hash::SHA2_512), "hash/sha512"),
    file!(Algorithm::KeyExchange(KeyExchange::X25519), "key_exchange/x25519"),
    file!(Algorithm::KeyExchange(KeyExchange::ECP_256), "key_exchange/ecp256"),
    file!(Algorithm::KeyExchange(KeyExchange::ECP_384), "key_exchange/ecp384"),
    file!(Algorithm::KeyExchange(KeyExchange::ECP_521), "key_exchange/ecp521"),
    file!(Algorithm::KeyExchange(KeyExchange::MODP_1024), "key_exchange/modp1024"),
    file!(Algorithm::KeyExchange(KeyExchange::MODP_1536), "key_exchange/modp1536"),
    file!(Algorithm::KeyExchange(KeyExchange::MODP_2048), "key_exchange/modp2048"),
    file!(Algorithm::KeyExchange(KeyExchange::MODP_3072), "key_exchange/modp3072"),
    file!(Algorithm::KeyExchange(KeyExchange::MODP_4096), "key_exchange/modp4096"),
    file!(Algorithm::KeyExchange(KeyExchange::MODP_6144), "key_exchange/modp6144"),
    file!(Algorithm::KeyExchange(KeyExchange::MODP_8192), "key_exchange/modp8192"),
    file!(signature(Scheme::RsaPkcs1, Hash::SHA1), "signature/rsa-sha1"),
    file!(signature(Scheme::RsaPkcs1, Hash::SHA2_256), "signature/rsa-sha256"),
    file!(signature(Scheme::RsaPkcs1, Hash::SHA2_384), "signature/rsa-sha384"),
    file!(signature(Scheme::RsaPkcs1, Hash::SHA2_512), "signature/rsa-sha512"),
    file!(signature(Scheme::RsaPss, Hash::SHA2_256), "signature/rsa-pss-sha256"),
    file!(signature(Scheme::RsaPss, Hash::SHA2_384), "signature/rsa-pss-sha384"),
    file!(signature(Scheme::RsaPss, Hash::SHA2_512), "signature/rsa-pss-sha512"),
    file!(signature(Scheme::EcdsaP256, Hash::SHA2_256), "signature/ecdsa-p256-sha256"),
    file!(signature(Scheme::EcdsaP256, Hash::SHA2_384), "signature/ecdsa-p256-sha384"),
    file!(signature(Scheme::EcdsaP256, Hash::SHA2_512), "signature/ecdsa-p256-sha512"),
    file!(signature(Scheme::EcdsaP384, Hash::SHA2_256), "signature/ecdsa-p384-sha256"),
    file!(signature(Scheme::EcdsaP384, Hash::SHA2_384), "signature/ecdsa-p384-sha384"),
    file!(signature(Scheme::EcdsaP384, Hash::SHA2_512), "signature/ecdsa-p384-sha512"),
    file!(signature(Scheme::EcdsaP521, Hash::SHA2_256), "signature/ecdsa-p521-sha256"),
    file!(signature(Scheme::EcdsaP521, Hash::SHA2_384), "signature/ecdsa-p521-sha384"),
    file!(signature(Scheme::EcdsaP521, Hash::SHA2_512), "signature/ecdsa-p521-sha512"),
    file!(signature(Scheme::Dsa, Hash::SHA1), "signature/dsa-sha1"),
    file!(signature(Scheme::Dsa, Hash::SHA2_256), "signature/dsa-sha256"),
    file!(signature(Scheme::Dsa, Hash::SHA2_384), "signature/dsa-sha384"),
    file!(signature(Scheme::Dsa, Hash::SHA2_512), "signature/dsa-sha512"),
    file!(Algorithm::Signature(Signature::ED25519), "signature/ed25519"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer;

    #[test]
    fn each_file_can_be_read_and_says_where_it_comes_from() {
        for (algorithm, file) in FILES {
            let answers = answer::parse(file).unwrap();
            assert!(answers.len() >= 2, "{algorithm}");
            assert!(file.lines().filter(|line| line.starts_with("# ")).count() >= 2, "{algorithm}");
        }
    }
}
