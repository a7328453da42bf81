//! Public keys as certificates carry them: SubjectPublicKeyInfo (RFC 5280 §4.1.2.7, RFC 3279, 5480, 8410).

use std::fmt;

use ::der::{Error, Tag, Tagged as _, asn1::ObjectIdentifier};

use crate::{der, limits};

pub(crate) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
pub(crate) const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");
pub(crate) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(crate) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const CURVES: [(ObjectIdentifier, KeyKind); 3] = [
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"), KeyKind::EcdsaP256),
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), KeyKind::EcdsaP384),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), KeyKind::EcdsaP521),
];

/// The kind of a key, with its size where kinds have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// RSA.
    Rsa {
        /// Bits of the modulus.
        bits: u32,
    },
    /// ECDSA over P-256.
    EcdsaP256,
    /// ECDSA over P-384.
    EcdsaP384,
    /// ECDSA over P-521.
    EcdsaP521,
    /// Ed25519.
    Ed25519,
    /// DSA.
    Dsa {
        /// Bits of p.
        p_bits: u32,
        /// Bits of q.
        q_bits: u32,
    },
}

impl KeyKind {
    /// Returns how long the key is in bits.
    pub fn bits(self) -> u32 {
        match self {
            Self::Rsa { bits } => bits,
            Self::Dsa { p_bits, .. } => p_bits,
            Self::EcdsaP256 | Self::Ed25519 => 256,
            Self::EcdsaP384 => 384,
            Self::EcdsaP521 => 521,
        }
    }

    /// Returns the octets of r and of s, where signatures are such a pair.
    pub fn integer_len(self) -> Option<usize> {
        match self {
            Self::EcdsaP256 => Some(32),
            Self::EcdsaP384 => Some(48),
            Self::EcdsaP521 => Some(66),
            Self::Dsa { q_bits, .. } => Some(q_bits.div_ceil(8) as usize),
            Self::Rsa { .. } | Self::Ed25519 => None,
        }
    }

    /// Refuses keys that are too weak, or so big that they cost too much.
    ///
    /// # Errors
    /// [`KeyError::Weak`], [`KeyError::TooLarge`], or [`KeyError::Legacy`] for DSA unless `allow_legacy`.
    pub fn admit(self, allow_legacy: bool) -> Result<(), KeyError> {
        match self {
            Self::Rsa { bits } => {
                let min = if allow_legacy { limits::RSA_BITS_LEGACY } else { limits::RSA_BITS_MIN };
                match bits {
                    _ if bits < min => Err(KeyError::Weak { bits, min }),
                    _ if bits > limits::RSA_BITS_MAX => Err(KeyError::TooLarge { bits }),
                    _ => Ok(()),
                }
            }
            // FIPS 186-4, 4.2, and no other sizes, so that nobody makes this host compute for long.
            Self::Dsa { p_bits, q_bits } => match (p_bits, q_bits) {
                (1024, 160) | (2048, 224 | 256) | (3072, 256) if allow_legacy => Ok(()),
                (1024, 160) | (2048, 224 | 256) | (3072, 256) => Err(KeyError::Legacy),
                _ => Err(KeyError::DsaSize { p_bits, q_bits }),
            },
            Self::EcdsaP256 | Self::EcdsaP384 | Self::EcdsaP521 | Self::Ed25519 => Ok(()),
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "rsa-{bits}"),
            Self::EcdsaP256 => f.write_str("ecdsa-p256"),
            Self::EcdsaP384 => f.write_str("ecdsa-p384"),
            Self::EcdsaP521 => f.write_str("ecdsa-p521"),
            Self::Ed25519 => f.write_str("ed25519"),
            Self::Dsa { p_bits, q_bits } => write!(f, "dsa-{p_bits}-{q_bits}"),
        }
    }
}

/// Why a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The octets are no key.
    #[error("neither PEM nor DER of a key")]
    Unreadable,
    /// The private key is encrypted.
    #[error("the private key is encrypted; decrypt it (openssl pkey) and keep the file mode 0600")]
    Encrypted,
    /// A kind or a curve that no algorithm here has.
    #[error("a key of an unsupported kind: RSA, ECDSA P-256, P-384, P-521, Ed25519 and DSA are supported")]
    UnsupportedKind,
    /// DSA parameters are left out: the issuer's are meant (RFC 3279 §2.3.2).
    #[error("a DSA key without parameters, and no issuer has them")]
    ParametersMissing,
    /// The key is too weak.
    #[error("an RSA key of {bits} bits: {min} at least")]
    Weak {
        /// Its bits.
        bits: u32,
        /// Bits that it must have.
        min: u32,
    },
    /// The key is so large that verifying costs too much.
    #[error("an RSA key of {bits} bits: {max} at most", max = limits::RSA_BITS_MAX)]
    TooLarge {
        /// Its bits.
        bits: u32,
    },
    /// A DSA key of a size that FIPS 186-4 does not have.
    #[error(
        "DSA parameters of {p_bits} and {q_bits} bits: 1024/160, 2048/224, 2048/256 or 3072/256 expected"
    )]
    DsaSize {
        /// Bits of p.
        p_bits: u32,
        /// Bits of q.
        q_bits: u32,
    },
    /// A DSA key, which only an operator who allows legacy algorithms uses.
    #[error("a DSA key, which needs allow_legacy")]
    Legacy,
}

/// A public key: SubjectPublicKeyInfo in DER, and what is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyKind,
    spki: Vec<u8>,
    /// Where in `spki` the subjectPublicKey's octets begin; they end with it.
    octets_at: usize,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`], [`KeyError::UnsupportedKind`], [`KeyError::ParametersMissing`]; weak keys are
    /// read, see [`KeyKind::admit`].
    pub fn from_spki(spki: &[u8]) -> Result<Self, KeyError> {
        let (algorithm, parameters, octets) = parts(spki).map_err(|_| KeyError::Unreadable)?;
        let kind = kind_of(algorithm, parameters, octets)?;
        Ok(Self { kind, spki: spki.to_vec(), octets_at: spki.len() - octets.len() })
    }

    /// Reads a SubjectPublicKeyInfo; a DSA key without parameters has those of its issuer's.
    ///
    /// # Errors
    /// As [`Self::from_spki`].
    pub fn inheriting(spki: &[u8], issuer: &Self) -> Result<Self, KeyError> {
        let (algorithm, parameters, octets) = parts(spki).map_err(|_| KeyError::Unreadable)?;
        if algorithm != DSA || !parameters.is_empty() {
            return Self::from_spki(spki);
        }
        let (of_issuer, inherited, _) = parts(&issuer.spki).map_err(|_| KeyError::Unreadable)?;
        if of_issuer != DSA {
            return Err(KeyError::ParametersMissing);
        }
        Self::from_spki(&assemble(DSA, inherited, octets))
    }

    /// Makes an RSA key of its PKCS#1 form (RFC 8017 §A.1.1).
    ///
    /// # Errors
    /// As [`Self::from_spki`].
    pub fn rsa(pkcs1: &[u8]) -> Result<Self, KeyError> {
        Self::from_spki(&assemble(RSA, der::NULL, pkcs1))
    }

    /// Makes a key of a curve's point, uncompressed for ECDSA.
    ///
    /// # Errors
    /// [`KeyError::UnsupportedKind`] if the kind is no curve, [`KeyError::Unreadable`] for another length.
    pub fn point(kind: KeyKind, octets: &[u8]) -> Result<Self, KeyError> {
        if kind == KeyKind::Ed25519 {
            return Self::from_spki(&assemble(ED25519, &[], octets));
        }
        let (curve, _) = CURVES.iter().find(|(_, curve)| *curve == kind).ok_or(KeyError::UnsupportedKind)?;
        Self::from_spki(&assemble(EC, &der::value(0x06, &[curve.as_bytes()]), octets))
    }

    /// Returns the kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns the SubjectPublicKeyInfo in DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Returns the subjectPublicKey's octets: RFC 8017's RSAPublicKey, a point, or DSA's y in DER.
    pub fn octets(&self) -> &[u8] {
        &self.spki[self.octets_at..]
    }

    /// Returns n and e of an RSA key, big-endian without leading zeros.
    pub fn rsa_numbers(&self) -> Option<[&[u8]; 2]> {
        if matches!(self.kind, KeyKind::Rsa { .. }) { rsa_numbers(self.octets()).ok() } else { None }
    }

    /// Returns p, q, g and y of a DSA key, big-endian without leading zeros.
    pub fn dsa_numbers(&self) -> Option<[&[u8]; 4]> {
        let (algorithm, parameters, octets) = parts(&self.spki).ok()?;
        if algorithm != DSA {
            return None;
        }
        let [p, q, g] = dsa_parameters(parameters).ok()?;
        let mut reader = ::der::SliceReader::new(octets).ok()?;
        Some([p, q, g, der::read_unsigned(&mut reader).ok()?])
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kind)
    }
}

/// Splits a SubjectPublicKeyInfo: algorithm, parameters in DER (empty if absent), key.
fn parts(spki: &[u8]) -> Result<(ObjectIdentifier, &[u8], &[u8]), Error> {
    let mut reader = der::sequence(spki)?;
    let algorithm = der::expect(&mut reader, Tag::Sequence)?;
    let octets = der::read_bits(&mut reader)?;
    der::end(&reader)?;
    let (algorithm, parameters) = algorithm_parts(algorithm)?;
    Ok((algorithm, parameters, octets))
}

/// Splits the content of an AlgorithmIdentifier: the name, and the parameters in DER, empty if absent.
pub(crate) fn algorithm_parts(content: &[u8]) -> Result<(ObjectIdentifier, &[u8]), Error> {
    let mut reader = ::der::SliceReader::new(content)?;
    let name = der::expect(&mut reader, Tag::ObjectIdentifier)?;
    let parameters_at = content.len() - usize::try_from(::der::Reader::remaining_len(&reader))?;
    if !::der::Reader::is_finished(&reader) {
        der::next(&mut reader)?;
    }
    der::end(&reader)?;
    Ok((ObjectIdentifier::from_bytes(name)?, &content[parameters_at..]))
}

fn assemble(algorithm: ObjectIdentifier, parameters: &[u8], octets: &[u8]) -> Vec<u8> {
    let name = der::value(0x06, &[algorithm.as_bytes()]);
    let algorithm = der::value(der::SEQUENCE, &[&name, parameters]);
    der::value(der::SEQUENCE, &[&algorithm, &der::value(der::BIT_STRING, &[&[0], octets])])
}

/// Returns the kind of a curve by its parameters in DER.
pub(crate) fn curve(parameters: &[u8]) -> Result<KeyKind, KeyError> {
    let named = der::whole(parameters).ok().filter(|any| any.tag() == Tag::ObjectIdentifier);
    let named = named.and_then(|any| ObjectIdentifier::from_bytes(any.value()).ok());
    let found = CURVES.iter().find(|(curve, _)| Some(*curve) == named);
    found.map(|(_, kind)| *kind).ok_or(KeyError::UnsupportedKind)
}

fn kind_of(algorithm: ObjectIdentifier, parameters: &[u8], octets: &[u8]) -> Result<KeyKind, KeyError> {
    match algorithm {
        // RFC 3279, 2.3.1: the parameters must be NULL; who leaves them out is understood too.
        RSA if [der::NULL, &[]].contains(&parameters) => {
            let [n, e] = rsa_numbers(octets).map_err(|_| KeyError::Unreadable)?;
            let odd = [n, e].iter().all(|number| number.last().is_some_and(|last| last & 1 == 1));
            if !odd || e.len() > limits::RSA_EXPONENT_OCTETS || e == [1] {
                return Err(KeyError::Unreadable);
            }
            Ok(KeyKind::Rsa { bits: bits(n) })
        }
        EC => {
            let kind = curve(parameters)?;
            // RFC 5480, 2.2: uncompressed points must be supported; nobody sends others.
            let len = kind.integer_len().map(|len| 1 + 2 * len);
            let good = octets.first() == Some(&4) && Some(octets.len()) == len;
            if good { Ok(kind) } else { Err(KeyError::Unreadable) }
        }
        ED25519 if parameters.is_empty() && octets.len() == 32 => Ok(KeyKind::Ed25519),
        DSA if parameters.is_empty() => Err(KeyError::ParametersMissing),
        DSA => {
            let [p, q, _] = dsa_parameters(parameters).map_err(|_| KeyError::Unreadable)?;
            let y = der::whole(octets).ok().filter(|any| any.tag() == Tag::Integer);
            y.ok_or(KeyError::Unreadable)?;
            Ok(KeyKind::Dsa { p_bits: bits(p), q_bits: bits(q) })
        }
        RSA | ED25519 => Err(KeyError::Unreadable),
        _ => Err(KeyError::UnsupportedKind),
    }
}

fn rsa_numbers(pkcs1: &[u8]) -> Result<[&[u8]; 2], Error> {
    let mut reader = der::sequence(pkcs1)?;
    let numbers = [der::read_unsigned(&mut reader)?, der::read_unsigned(&mut reader)?];
    der::end(&reader)?;
    Ok(numbers)
}

pub(crate) fn dsa_parameters(parameters: &[u8]) -> Result<[&[u8]; 3], Error> {
    let mut reader = der::sequence(parameters)?;
    let mut number = || der::read_unsigned(&mut reader);
    let numbers = [number()?, number()?, number()?];
    der::end(&reader)?;
    Ok(numbers)
}

/// Returns the bits of a number without leading zeros.
pub(crate) fn bits(number: &[u8]) -> u32 {
    // Keys of more octets than fit are too large for anything, and refused as such.
    let octets = u32::try_from(number.len()).unwrap_or(u32::MAX / 8);
    octets * 8 - number.first().map_or(0, |first| first.leading_zeros())
}
