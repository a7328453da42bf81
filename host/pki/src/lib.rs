//! Certificates to identities: chains, trust anchors, revocation lists (RFC 5280, RFC 4945).
//!
//! Nothing here opens a file, asks the network or reads a clock: octets and the time come in, and a judgement
//! goes out. [`verify_for`] is the judgement: it finds a path from a peer's certificate to a trust anchor,
//! validates it, asks the revocation lists that are there, checks that the key may be used for IKE, and that the
//! certificate is the identity's that the peer claims. Every refusal has a stable code and a sentence.
//!
//! What is signed is verified over the octets as they came, never over an encoding made anew. Everything is
//! bounded: certificates, names, paths, signatures verified for one peer.
//!
//! ```
//! use std::time::Duration;
//! use vpnhost_pki::{Certificate, Rules, Store, identity, verify_for};
//!
//! # fn read(_: &str) -> Vec<u8> { Vec::new() }
//! # fn example(sent_by_the_peer: &[u8], now: Duration) -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::new(Certificate::read_all(&read("ca.pem"))?);
//! let chain = [Certificate::from_der(sent_by_the_peer)?];
//! let moon = identity::parse("moon.example.org").ok_or("no identity")?;
//! let verified = verify_for(vpnhost_rustcrypto::backend(), &store, (&chain, &moon), now, &Rules::default());
//! match verified {
//!     Ok(verified) => println!("AUTH must be signed with {:?}", verified.key),
//!     Err(refusal) => println!("{}: {refusal}", refusal.code()),
//! }
//! # Ok(())
//! # }
//! ```

mod certificate;
mod credential;
mod crl;
mod der;
mod error;
mod extension;
mod general_name;
pub mod identity;
pub mod limits;
mod name;
mod path;
mod pattern;
mod pem;
mod policy;
mod renewal;
mod revocation;
mod signed;
mod store;
mod time;
mod verify;

pub use certificate::Certificate;
pub use credential::{Credential, signatures_of};
pub use crl::Crl;
pub use error::{FileError, Lack, Malformed, Refusal};
pub use general_name::GeneralName;
pub use name::Name;
pub use pattern::Pattern;
pub use pem::read_public_keys;
pub use renewal::{renew, signer};
pub use revocation::Revocation;
pub use store::Store;
pub use verify::{Purpose, Rules, Verified, verify, verify_for};
