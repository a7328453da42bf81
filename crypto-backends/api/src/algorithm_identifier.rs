//! Signature algorithms as AlgorithmIdentifier: RFC 7427's AUTH data and certificates name them so.

use crate::{Hash, KeyKind, Scheme, Signature, der};

/// Contents of object identifiers and whole values in DER, as RFC 7427 Appendix A, RFC 8420 and RFC 5758
/// list them; DSA with SHA-384 and SHA-512 from NIST's registry.
const TABLE: &[(Scheme, Hash, &[u8])] = &[
    (Scheme::RsaPkcs1, Hash::SHA1, b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00"),
    (Scheme::RsaPkcs1, Hash::SHA2_256, b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"),
    (Scheme::RsaPkcs1, Hash::SHA2_384, b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00"),
    (Scheme::RsaPkcs1, Hash::SHA2_512, b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00"),
    (Scheme::Dsa, Hash::SHA1, b"\x30\x09\x06\x07\x2a\x86\x48\xce\x38\x04\x03"),
    (Scheme::Dsa, Hash::SHA2_256, b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x02"),
    (Scheme::Dsa, Hash::SHA2_384, b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x03"),
    (Scheme::Dsa, Hash::SHA2_512, b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x04"),
    (Scheme::EcdsaP256, Hash::SHA1, b"\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01"),
    (Scheme::EcdsaP256, Hash::SHA2_256, b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"),
    (Scheme::EcdsaP256, Hash::SHA2_384, b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"),
    (Scheme::EcdsaP256, Hash::SHA2_512, b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04"),
    (Scheme::Ed25519, Hash::IDENTITY, b"\x30\x05\x06\x03\x2b\x65\x70"),
];

const RSASSA_PSS: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
const MGF1: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08";
const SHA2: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02";
/// The trailer field's only value, which DER leaves out and RFC 7427's example writes.
const TRAILER: &[u8] = b"\xa3\x03\x02\x01\x01";
/// Hashes of RSASSA-PSS: the last octet of the name, and octets of a digest.
const PSS_HASHES: [(Hash, u8, u8); 3] =
    [(Hash::SHA2_256, 1, 32), (Hash::SHA2_384, 2, 48), (Hash::SHA2_512, 3, 64)];

impl Signature {
    /// Returns the AlgorithmIdentifier in DER, as it is sent; `None` for a name that there is none of.
    pub fn algorithm_identifier(self) -> Option<Vec<u8>> {
        if self.scheme == Scheme::RsaPss {
            return pss(self.hash, [der::NULL; 2], &[]);
        }
        let found =
            TABLE.iter().find(|(scheme, hash, _)| *scheme == any_curve(self.scheme) && *hash == self.hash);
        found.map(|(_, _, octets)| octets.to_vec())
    }

    /// Reads an AlgorithmIdentifier in DER; for ECDSA the key says which curve.
    ///
    /// Parameters may be NULL or absent in either place (RFC 4055 §2.1, RFC 7427 §3); RSASSA-PSS is known
    /// with MGF1 over the same hash and a salt as long as a digest.
    pub fn from_algorithm_identifier(octets: &[u8], key: KeyKind) -> Option<Self> {
        let curve = match key {
            KeyKind::EcdsaP384 => Scheme::EcdsaP384,
            KeyKind::EcdsaP521 => Scheme::EcdsaP521,
            KeyKind::EcdsaP256 | KeyKind::Rsa { .. } | KeyKind::Ed25519 | KeyKind::Dsa { .. } => {
                Scheme::EcdsaP256
            }
        };
        let equal = |known: &[u8]| octets == known || octets == with_or_without_null(known);
        let plain = TABLE.iter().find(|(_, _, known)| equal(known)).map(|&(scheme, hash, _)| {
            Self::new(if scheme == Scheme::EcdsaP256 { curve } else { scheme }, hash)
        });
        plain.or_else(|| {
            let nulls: [[&[u8]; 2]; 4] = [[der::NULL; 2], [der::NULL, &[]], [&[], der::NULL], [&[]; 2]];
            let variants = nulls.iter().flat_map(|nulls| [(nulls, &[][..]), (nulls, TRAILER)]);
            let is = |hash| {
                let mut all = variants.clone().filter_map(|(nulls, trailer)| pss(hash, *nulls, trailer));
                all.any(|known| known == octets)
            };
            let hash = PSS_HASHES.iter().map(|(hash, ..)| *hash).find(|hash| is(*hash));
            hash.map(|hash| Self::new(Scheme::RsaPss, hash))
        })
    }
}

/// The names of ECDSA do not say which curve.
fn any_curve(scheme: Scheme) -> Scheme {
    match scheme {
        Scheme::EcdsaP256 | Scheme::EcdsaP384 | Scheme::EcdsaP521 => Scheme::EcdsaP256,
        Scheme::RsaPkcs1 | Scheme::RsaPss | Scheme::Ed25519 | Scheme::Dsa => scheme,
    }
}

/// Takes NULL parameters away, or adds them.
fn with_or_without_null(known: &[u8]) -> Vec<u8> {
    let content = &known[2..];
    match content.strip_suffix(der::NULL) {
        Some(name) => der::value(der::SEQUENCE, &[name]),
        None => der::value(der::SEQUENCE, &[content, der::NULL]),
    }
}

/// Writes the AlgorithmIdentifier of RSASSA-PSS (RFC 8017 §A.2.3) with the given parameters of its two hashes.
fn pss(hash: Hash, nulls: [&[u8]; 2], trailer: &[u8]) -> Option<Vec<u8>> {
    let (_, last, salt) = PSS_HASHES.iter().find(|(known, ..)| *known == hash)?;
    let [outer, inner] = nulls.map(|null| der::value(der::SEQUENCE, &[SHA2, &[*last], null]));
    let mgf = der::value(der::SEQUENCE, &[MGF1, &inner]);
    let salt = der::value(der::INTEGER, &[&[*salt]]);
    let fields = [(0xa0, &outer), (0xa1, &mgf), (0xa2, &salt)].map(|(tag, field)| der::value(tag, &[field]));
    let parameters = der::value(der::SEQUENCE, &[&fields[0], &fields[1], &fields[2], trailer]);
    Some(der::value(der::SEQUENCE, &[RSASSA_PSS, &parameters]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA: KeyKind = KeyKind::Rsa { bits: 2048 };

    #[test]
    fn every_identifier_is_read_back() {
        let schemes = [Scheme::RsaPkcs1, Scheme::RsaPss, Scheme::EcdsaP256, Scheme::Dsa, Scheme::Ed25519];
        let hashes = [Hash::SHA1, Hash::SHA2_256, Hash::SHA2_384, Hash::SHA2_512, Hash::IDENTITY];
        let all = schemes.iter().flat_map(|scheme| hashes.map(|hash| Signature::new(*scheme, hash)));
        let named: Vec<_> = all.filter_map(|id| Some((id, id.algorithm_identifier()?))).collect();
        assert_eq!(named.len(), TABLE.len() + PSS_HASHES.len());
        for (id, octets) in named {
            assert_eq!(Signature::from_algorithm_identifier(&octets, RSA), Some(id));
        }
    }

    #[test]
    fn the_key_says_which_curve() {
        let octets = Signature::new(Scheme::EcdsaP521, Hash::SHA2_256).algorithm_identifier().unwrap();
        for (key, scheme) in [
            (KeyKind::EcdsaP256, Scheme::EcdsaP256),
            (KeyKind::EcdsaP384, Scheme::EcdsaP384),
            (KeyKind::EcdsaP521, Scheme::EcdsaP521),
        ] {
            let id = Signature::from_algorithm_identifier(&octets, key).unwrap();
            assert_eq!(id, Signature::new(scheme, Hash::SHA2_256));
            assert!(id.fits(key));
        }
    }

    #[test]
    fn rsassa_pss_is_read_as_rfc_7427_appendix_a_4_3_has_it() {
        let known = b"\x30\x46\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x39\xa0\
            \x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
            \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\
            \x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\xa2\x03\
            \x02\x01\x20\xa3\x03\x02\x01\x01";
        let id = Signature::new(Scheme::RsaPss, Hash::SHA2_256);
        assert_eq!(Signature::from_algorithm_identifier(known, RSA), Some(id));
        // DER leaves a default out.
        let sent = id.algorithm_identifier().unwrap();
        assert_eq!(sent[15..], known[15..known.len() - TRAILER.len()]);
        assert_eq!(sent.len(), known.len() - TRAILER.len());
    }

    #[test]
    fn null_parameters_may_be_left_out_or_added() {
        let without = b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";
        let id = Signature::new(Scheme::RsaPkcs1, Hash::SHA2_256);
        assert_eq!(Signature::from_algorithm_identifier(without, RSA), Some(id));
        let with = b"\x30\x07\x06\x03\x2b\x65\x70\x05\x00";
        assert_eq!(Signature::from_algorithm_identifier(with, RSA), Some(Signature::ED25519));
        assert_eq!(Signature::from_algorithm_identifier(b"\x30\x05\x06\x03\x2b\x65\x71", RSA), None);
        assert_eq!(Signature::from_algorithm_identifier(b"", RSA), None);
    }
}
