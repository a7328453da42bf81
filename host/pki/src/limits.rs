//! Every bound of this crate.

/// Octets of a certificate at most; with an RSA key of 8192 bits and a page of names it has 5000.
pub(crate) const CERTIFICATE_OCTETS: usize = 32 * 1024;

/// Certificates of a path at most, the trust anchor counted.
pub(crate) const PATH_LENGTH: usize = 10;

/// Certificates that a peer may send at most; what is beyond is not read.
pub const PEER_CERTIFICATES: usize = 16;

/// Steps of a search for a path: certificates tried as an issuer. Names that all match, as in a mesh made to
/// waste time, end here.
pub(crate) const SEARCH_STEPS: usize = 200;

/// Signatures verified for one peer at most; one of DSA takes 12 ms.
pub(crate) const VERIFICATIONS: usize = 64;

/// Extensions of a certificate or a list at most.
pub(crate) const EXTENSIONS: usize = 64;

/// Names of one extension at most.
pub(crate) const NAMES: usize = 256;

/// Attributes of a distinguished name at most.
pub(crate) const ATTRIBUTES: usize = 64;

/// Nodes of the tree of valid policies at most (CVE-2023-0464: it could grow without end).
pub(crate) const POLICY_NODES: usize = 512;

/// Octets of a revocation list at most.
pub const CRL_OCTETS: usize = 16 * 1024 * 1024;

/// Entries of a revocation list at most.
pub(crate) const CRL_ENTRIES: usize = 400_000;

/// How deep the question "is the one revoked who says that others are not?" goes.
pub(crate) const REVOCATION_DEPTH: usize = 3;

/// Octets of a PEM or DER file of certificates at most.
pub const FILE_OCTETS: usize = CRL_OCTETS * 3 / 2;

/// Revocation lists of one issuer and one scope that are kept; the oldest goes.
pub(crate) const CRLS_OF_ONE_SCOPE: usize = 4;
