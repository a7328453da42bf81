//! Private keys as files have them: PKCS#8 (RFC 5958), PKCS#1 (RFC 8017), SEC1 (RFC 5915), and OpenSSL's
//! traditional form of DSA, each in PEM or DER. Backends see PKCS#8 only.

use std::fmt;

use ::der::{Error, SliceReader, Tag};

use crate::public_key::{DSA, EC, ED25519, RSA, algorithm_parts, bits, curve, dsa_parameters};
use crate::{KeyError, KeyKind, SecretBytes, der, limits};

/// A private key, zeroized when dropped and never printed.
#[derive(Clone)]
pub struct PrivateKey {
    kind: KeyKind,
    pkcs8: SecretBytes,
}

impl PrivateKey {
    /// Reads a file: the first private key of a PEM text, or DER.
    ///
    /// # Errors
    /// [`KeyError`] says why; weak keys are read, see [`KeyKind::admit`].
    pub fn read(file: &[u8]) -> Result<Self, KeyError> {
        if file.len() > limits::PRIVATE_KEY_OCTETS {
            return Err(KeyError::Unreadable);
        }
        let Some(block) = private_block(file)? else {
            return Self::from_der(file);
        };
        let (_, octets) = pem_rfc7468::decode_vec(block).map_err(|_| KeyError::Unreadable)?;
        let octets = SecretBytes::new(octets);
        Self::from_der(octets.expose())
    }

    /// Reads DER of any of the forms.
    fn from_der(octets: &[u8]) -> Result<Self, KeyError> {
        let forms = [of_pkcs8, of_pkcs1, of_sec1, of_traditional_dsa];
        let mut kept = KeyError::Unreadable;
        for form in forms {
            match form(octets) {
                Ok(key) => return Ok(key),
                Err(KeyError::Unreadable) => {}
                Err(error) => kept = error,
            }
        }
        Err(kept)
    }

    /// Returns the kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Lends the PKCS#8 DER to a backend.
    pub fn pkcs8(&self) -> &[u8] {
        self.pkcs8.expose()
    }

    /// Lends what PKCS#8 wraps: PKCS#1 for RSA, SEC1 for ECDSA, an OCTET STRING for Ed25519, x for DSA.
    pub fn inner(&self) -> &[u8] {
        let parts = pkcs8_parts(self.pkcs8.expose());
        parts.map(|(_, inner)| inner).expect("it was read when the key was made")
    }

    /// Returns p, q, g, x of a DSA key, big-endian without leading zeros.
    pub fn dsa_numbers(&self) -> Option<[&[u8]; 4]> {
        let (algorithm, inner) = pkcs8_parts(self.pkcs8.expose()).ok()?;
        let (name, parameters) = algorithm_parts(algorithm).ok()?;
        if name != DSA {
            return None;
        }
        let [p, q, g] = dsa_parameters(parameters).ok()?;
        let x = der::read_unsigned(&mut SliceReader::new(inner).ok()?).ok()?;
        Some([p, q, g, x])
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.kind)
    }
}

/// Finds the first private key of a text; `None` if the file is no PEM at all.
fn private_block(file: &[u8]) -> Result<Option<&[u8]>, KeyError> {
    const BEGIN: &str = "-----BEGIN ";
    let Some(text) = std::str::from_utf8(file).ok().filter(|text| text.contains(BEGIN)) else {
        return Ok(None);
    };
    for (at, _) in text.match_indices(BEGIN) {
        let block = &text[at..];
        let (label, _) = block[BEGIN.len()..].split_once("-----").ok_or(KeyError::Unreadable)?;
        if !label.ends_with("PRIVATE KEY") {
            continue;
        }
        let end = format!("-----END {label}-----");
        let end_at = block.find(&end).ok_or(KeyError::Unreadable)?;
        if label.starts_with("ENCRYPTED") || block[..end_at].contains("Proc-Type: 4,ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        return Ok(Some(&block.as_bytes()[..end_at + end.len()]));
    }
    Err(KeyError::Unreadable)
}

/// Splits PKCS#8: the AlgorithmIdentifier's content, and the wrapped key.
fn pkcs8_parts(octets: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let mut reader = der::sequence(octets)?;
    let version = der::expect(&mut reader, Tag::Integer)?;
    if version != [0] && version != [1] {
        return Err(Tag::Integer.value_error().into());
    }
    let algorithm = der::expect(&mut reader, Tag::Sequence)?;
    // Attributes and a public key may follow, and say nothing new.
    Ok((algorithm, der::expect(&mut reader, Tag::OctetString)?))
}

fn of_pkcs8(octets: &[u8]) -> Result<PrivateKey, KeyError> {
    let unreadable = |_: Error| KeyError::Unreadable;
    // EncryptedPrivateKeyInfo: an algorithm, and octets.
    if let Ok(mut reader) = der::sequence(octets)
        && der::expect(&mut reader, Tag::Sequence).is_ok()
        && der::expect(&mut reader, Tag::OctetString).is_ok()
    {
        return Err(KeyError::Encrypted);
    }
    let (algorithm, inner) = pkcs8_parts(octets).map_err(unreadable)?;
    let (name, parameters) = algorithm_parts(algorithm).map_err(unreadable)?;
    let kind = match name {
        RSA => rsa_kind(inner)?,
        EC => curve(parameters)?,
        ED25519 => KeyKind::Ed25519,
        DSA => dsa_kind(parameters)?,
        _ => return Err(KeyError::UnsupportedKind),
    };
    // Version 2 with a public key is written anew: not every library reads it, and nothing is lost.
    Ok(wrap(kind, &algorithm_der(algorithm), inner))
}

fn of_pkcs1(octets: &[u8]) -> Result<PrivateKey, KeyError> {
    let kind = rsa_kind(octets)?;
    let name = der::value(0x06, &[RSA.as_bytes()]);
    Ok(wrap(kind, &der::value(der::SEQUENCE, &[&name, der::NULL]), octets))
}

fn of_sec1(octets: &[u8]) -> Result<PrivateKey, KeyError> {
    let parameters = sec1_parameters(octets).map_err(|_| KeyError::Unreadable)?;
    let kind = curve(parameters)?;
    let name = der::value(0x06, &[EC.as_bytes()]);
    Ok(wrap(kind, &der::value(der::SEQUENCE, &[&name, parameters]), octets))
}

fn of_traditional_dsa(octets: &[u8]) -> Result<PrivateKey, KeyError> {
    let [p, q, g, x] = traditional_dsa(octets).map_err(|_| KeyError::Unreadable)?;
    let numbers = [p, q, g].map(der::unsigned);
    let parameters = der::value(der::SEQUENCE, &[&numbers[0], &numbers[1], &numbers[2]]);
    let kind = dsa_kind(&parameters)?;
    let name = der::value(0x06, &[DSA.as_bytes()]);
    let inner = SecretBytes::new(der::unsigned(x));
    Ok(wrap(kind, &der::value(der::SEQUENCE, &[&name, &parameters]), inner.expose()))
}

fn algorithm_der(content: &[u8]) -> Vec<u8> {
    der::value(der::SEQUENCE, &[content])
}

fn wrap(kind: KeyKind, algorithm: &[u8], inner: &[u8]) -> PrivateKey {
    let inner = der::secret(der::OCTET_STRING, &[inner]);
    let pkcs8 = der::secret(der::SEQUENCE, &[&[der::INTEGER, 1, 0], algorithm, inner.expose()]);
    PrivateKey { kind, pkcs8 }
}

fn rsa_kind(pkcs1: &[u8]) -> Result<KeyKind, KeyError> {
    let modulus = || {
        let mut reader = der::sequence(pkcs1)?;
        der::expect(&mut reader, Tag::Integer)?;
        let modulus = der::read_unsigned(&mut reader)?;
        // e, d, p, q, d mod p-1, d mod q-1, 1/q mod p: nine numbers in all.
        (0..7).try_for_each(|_| der::read_unsigned(&mut reader).map(drop))?;
        der::end(&reader).map(|()| modulus)
    };
    let modulus = modulus().map_err(|_: Error| KeyError::Unreadable)?;
    Ok(KeyKind::Rsa { bits: bits(modulus) })
}

fn dsa_kind(parameters: &[u8]) -> Result<KeyKind, KeyError> {
    let [p, q, _] = dsa_parameters(parameters).map_err(|_| KeyError::Unreadable)?;
    Ok(KeyKind::Dsa { p_bits: bits(p), q_bits: bits(q) })
}

fn sec1_parameters(octets: &[u8]) -> Result<&[u8], Error> {
    let mut reader = der::sequence(octets)?;
    if der::expect(&mut reader, Tag::Integer)? != [1] {
        return Err(Tag::Integer.value_error().into());
    }
    der::expect(&mut reader, Tag::OctetString)?;
    der::expect(&mut reader, der::context(0))
}

fn traditional_dsa(octets: &[u8]) -> Result<[&[u8]; 4], Error> {
    let mut reader = der::sequence(octets)?;
    der::expect(&mut reader, Tag::Integer)?;
    let mut number = || der::read_unsigned(&mut reader);
    let (p, q, g, _y, x) = (number()?, number()?, number()?, number()?, number()?);
    der::end(&reader)?;
    Ok([p, q, g, x])
}
