//! Transforms: algorithms by their IANA numbers (RFC 7296 §3.3.2), with the names that operators use.

use std::fmt;

/// What a proposal, a Delete or a Notify is about (RFC 7296 §3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// An IKE SA.
    pub const IKE: Self = Self(1);
    /// AH.
    pub const AH: Self = Self(2);
    /// ESP.
    pub const ESP: Self = Self(3);
}

/// The kind of a transform (RFC 7296 §3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransformType(pub u8);

impl TransformType {
    /// ENCR.
    pub const ENCRYPTION: Self = Self(1);
    /// PRF.
    pub const PRF: Self = Self(2);
    /// INTEG.
    pub const INTEGRITY: Self = Self(3);
    /// D-H, now "key exchange method".
    pub const KEY_EXCHANGE: Self = Self(4);
    /// ESN, now "sequence numbers".
    pub const SEQUENCE: Self = Self(5);
}

/// One transform as it is offered: kind, number and key length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transform {
    /// Its kind.
    pub kind: TransformType,
    /// Its number within the kind.
    pub id: u16,
    /// The Key Length attribute in bits.
    pub key_bits: Option<u16>,
}

/// Declares a newtype of an IANA number with its known members and their names.
macro_rules! registry {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $number:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u16);

        impl $name {
            $($(#[$item_doc])* pub const $item: Self = Self($number);)*

            /// Returns the operators' name, or `None` for a number without one here.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some($text),)* _ => None }
            }

            /// Returns the algorithm of an operator's name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self($number)),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!(stringify!($name), "({})"), self.0),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

registry! {
    /// Transform type 1. AES names carry no key length; a suite writes it behind: `aes256`, `aes128gcm16`.
    Encryption {
        /// DES, never offered.
        DES = 2, "des";
        /// 3DES-CBC, 192-bit keys without a Key Length attribute.
        TRIPLE_DES = 3, "3des";
        /// NULL (RFC 2410).
        NULL = 11, "null";
        /// AES-CBC (RFC 3602).
        AES_CBC = 12, "aes";
        /// AES-CTR (RFC 3686).
        AES_CTR = 13, "aesctr";
        /// AES-CCM with an 8-octet ICV (RFC 4309).
        AES_CCM_8 = 14, "aesccm8";
        /// AES-CCM with a 12-octet ICV.
        AES_CCM_12 = 15, "aesccm12";
        /// AES-CCM with a 16-octet ICV.
        AES_CCM_16 = 16, "aesccm16";
        /// AES-GCM with an 8-octet ICV (RFC 4106).
        AES_GCM_8 = 18, "aesgcm8";
        /// AES-GCM with a 12-octet ICV.
        AES_GCM_12 = 19, "aesgcm12";
        /// AES-GCM with a 16-octet ICV.
        AES_GCM_16 = 20, "aesgcm16";
        /// ChaCha20-Poly1305 (RFC 7634), 256-bit keys without a Key Length attribute.
        CHACHA20_POLY1305 = 28, "chacha20poly1305";
    }
}

registry! {
    /// Transform type 2.
    Prf {
        /// PRF_HMAC_MD5, never offered.
        HMAC_MD5 = 1, "prfmd5";
        /// PRF_HMAC_SHA1.
        HMAC_SHA1 = 2, "prfsha1";
        /// PRF_AES128_XCBC (RFC 4434).
        AES128_XCBC = 4, "prfaesxcbc";
        /// PRF_HMAC_SHA2_256.
        HMAC_SHA2_256 = 5, "prfsha256";
        /// PRF_HMAC_SHA2_384.
        HMAC_SHA2_384 = 6, "prfsha384";
        /// PRF_HMAC_SHA2_512.
        HMAC_SHA2_512 = 7, "prfsha512";
        /// PRF_AES128_CMAC (RFC 4615).
        AES128_CMAC = 8, "prfaescmac";
    }
}

registry! {
    /// Transform type 3.
    Integrity {
        /// None: the encryption is an AEAD.
        NONE = 0, "none";
        /// AUTH_HMAC_SHA1_96.
        HMAC_SHA1_96 = 2, "sha1";
        /// AUTH_AES_XCBC_96.
        AES_XCBC_96 = 5, "aesxcbc";
        /// AUTH_AES_CMAC_96.
        AES_CMAC_96 = 8, "aescmac";
        /// AUTH_HMAC_SHA2_256_128.
        HMAC_SHA2_256_128 = 12, "sha256";
        /// AUTH_HMAC_SHA2_384_192.
        HMAC_SHA2_384_192 = 13, "sha384";
        /// AUTH_HMAC_SHA2_512_256.
        HMAC_SHA2_512_256 = 14, "sha512";
    }
}

registry! {
    /// Transform type 4.
    KeyExchange {
        /// None: no new key exchange for a Child SA.
        NONE = 0, "none";
        /// 768-bit MODP, never offered.
        MODP_768 = 1, "modp768";
        /// 1024-bit MODP.
        MODP_1024 = 2, "modp1024";
        /// 1536-bit MODP (RFC 3526).
        MODP_1536 = 5, "modp1536";
        /// 2048-bit MODP.
        MODP_2048 = 14, "modp2048";
        /// 3072-bit MODP.
        MODP_3072 = 15, "modp3072";
        /// 4096-bit MODP.
        MODP_4096 = 16, "modp4096";
        /// 6144-bit MODP.
        MODP_6144 = 17, "modp6144";
        /// 8192-bit MODP.
        MODP_8192 = 18, "modp8192";
        /// 256-bit random ECP (RFC 5903).
        ECP_256 = 19, "ecp256";
        /// 384-bit random ECP.
        ECP_384 = 20, "ecp384";
        /// 521-bit random ECP.
        ECP_521 = 21, "ecp521";
        /// Curve25519 (RFC 8031).
        X25519 = 31, "x25519";
        /// Curve448.
        X448 = 32, "x448";
    }
}

registry! {
    /// Transform type 5.
    Sequence {
        /// 32-bit sequence numbers.
        SHORT = 0, "noesn";
        /// Extended sequence numbers (RFC 4303 §2.2.1).
        EXTENDED = 1, "esn";
    }
}

impl Encryption {
    /// Tells whether this protects integrity by itself (RFC 5282).
    pub fn is_aead(self) -> bool {
        matches!(self.0, 14..=16 | 18..=20 | 28)
    }

    /// Tells whether the Key Length attribute must be given (RFC 7296 §3.3.5).
    pub fn has_key_length(self) -> bool {
        matches!(self.0, 12..=16 | 18..=20)
    }

    /// Returns the length of the key in bits for an algorithm that has only one.
    pub fn fixed_key_bits(self) -> Option<u16> {
        match self {
            Self::DES => Some(64),
            Self::TRIPLE_DES => Some(192),
            Self::NULL => Some(0),
            Self::CHACHA20_POLY1305 => Some(256),
            _ => None,
        }
    }

    /// Tells whether only `allow_legacy` admits it.
    pub fn is_legacy(self) -> bool {
        self == Self::TRIPLE_DES
    }
}

impl Integrity {
    /// Tells whether only `allow_legacy` admits it.
    pub fn is_legacy(self) -> bool {
        self == Self::HMAC_SHA1_96
    }
}

impl Prf {
    /// Tells whether only `allow_legacy` admits it.
    pub fn is_legacy(self) -> bool {
        self == Self::HMAC_SHA1
    }

    /// Returns the PRF that operators mean when they name only an integrity algorithm.
    pub fn of_integrity(integrity: Integrity) -> Option<Self> {
        match integrity {
            Integrity::HMAC_SHA1_96 => Some(Self::HMAC_SHA1),
            Integrity::HMAC_SHA2_256_128 => Some(Self::HMAC_SHA2_256),
            Integrity::HMAC_SHA2_384_192 => Some(Self::HMAC_SHA2_384),
            Integrity::HMAC_SHA2_512_256 => Some(Self::HMAC_SHA2_512),
            Integrity::AES_XCBC_96 => Some(Self::AES128_XCBC),
            Integrity::AES_CMAC_96 => Some(Self::AES128_CMAC),
            _ => None,
        }
    }
}

impl KeyExchange {
    /// Tells whether only `allow_legacy` admits it.
    pub fn is_legacy(self) -> bool {
        matches!(self, Self::MODP_1024 | Self::MODP_1536)
    }
}

/// Names a whole packet protection: what ESP and the SK payload are sealed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId {
    /// The encryption.
    pub encryption: Encryption,
    /// Its key length in bits, without salt.
    pub key_bits: u16,
    /// The integrity algorithm, [`Integrity::NONE`] beside an AEAD.
    pub integrity: Integrity,
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_encryption(f, self.encryption, self.key_bits)?;
        match self.integrity {
            Integrity::NONE => Ok(()),
            integrity => write!(f, "-{integrity}"),
        }
    }
}

/// Writes `aes256gcm16` for AES-GCM-16 and 256: the key length stands behind `aes`.
fn write_encryption(f: &mut fmt::Formatter<'_>, encryption: Encryption, key_bits: u16) -> fmt::Result {
    match encryption.name() {
        Some(name) if encryption.has_key_length() => {
            let mode = name.strip_prefix("aes").unwrap_or(name);
            write!(f, "aes{key_bits}{mode}")
        }
        _ => write!(f, "{encryption}"),
    }
}
