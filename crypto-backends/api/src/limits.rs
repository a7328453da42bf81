//! Every bound of this crate.

/// Octets of stack that are overwritten behind the making of a key: more than any backend's calls take.
pub(crate) const WIPED_STACK: usize = 64 * 1024;

/// Bits of an RSA modulus at least, whatever the operator allows.
pub(crate) const RSA_BITS_LEGACY: u32 = 1024;

/// Bits of an RSA modulus at least, unless the operator allows legacy algorithms.
pub(crate) const RSA_BITS_MIN: u32 = 2048;

/// Bits of an RSA modulus at most: verifying takes time by their square, signing by their cube.
pub(crate) const RSA_BITS_MAX: u32 = 8192;

/// Octets of an RSA public exponent at most; 65537 has three.
pub(crate) const RSA_EXPONENT_OCTETS: usize = 4;

/// Octets of a private key's file at most.
pub(crate) const PRIVATE_KEY_OCTETS: usize = 64 * 1024;

/// Octets of r and of s at most: those of P-521.
pub(crate) const DSS_INTEGER_OCTETS: usize = 66;
