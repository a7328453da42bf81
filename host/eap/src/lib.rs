//! EAP (RFC 3748) behind `ike`'s trait: a client's and a server's conversation, by EAP-MSCHAPv2 and EAP-TLS.
//!
//! Nothing here does I/O or reads a clock. A conversation is fed with packets ([`vpnhost_ike::EapMethod`]); what it
//! yields are packets and, at last, who the client is and the Master Session Key. It knows nothing of IKE's rounds,
//! retransmissions or identities.
//!
//! MD4 and DES serve [`MsChapV2`](ClientMethod::MsChapV2) alone, inside of the server's TLS-like protection that
//! IKE gives: what is sent can be tried against a dictionary by whoever poses as the server, so a client shows it
//! only to a gateway that proved itself by certificate. EAP-TLS rests on rustls; certificates are judged by
//! `vpnhost-pki`, as IKE's own are.

mod client;
pub mod limits;
mod method;
mod mschapv2;
mod packet;
mod server;
mod tls;
mod users;

pub use client::{ClientMethod, ClientSetup};
pub use mschapv2::crypt::PasswordHash;
pub use server::{ServerMethod, ServerSetup};
pub use tls::TlsPeer;
pub use users::Users;
