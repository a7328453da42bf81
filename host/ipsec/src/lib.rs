//! ESP in place (RFC 4303, RFC 3948): security associations and the packet path, without I/O.
//!
//! [`Outbound`] takes inner packets and makes ESP packets of them; [`Inbound`] does the reverse. Each
//! is a value that one thread owns and feeds with [`Batch`]es; each changes only by its command
//! ([`OutboundCommand`], [`InboundCommand`]). Faults are [`Counters`] by [`DropCause`]; the little that
//! IKE must know is a [`TrafficReport`]. Time comes in with each call, randomness at the start.
//! It knows neither sockets nor IKE: outer IP and UDP headers are the kernel's or the driver's.
//!
//! ```
//! # use vpnhost_ipsec::{Batch, Counters, Outbound, TunnelConfig, Verdict};
//! # struct Zero; impl vpnhost_crypto::SecureRandom for Zero {
//! #   fn fill(&mut self, out: &mut [u8]) -> Result<(), vpnhost_crypto::CryptoError> { out.fill(0); Ok(()) } }
//! # let counters = std::sync::Arc::new(Counters::default());
//! # let now = vpnhost_model::Instant(0);
//! let mut outbound = Outbound::new(TunnelConfig::default(), Box::new(Zero), counters);
//! let mut batch = Batch::new(64, 1500);
//! // A packet is read from the TUN into the next free slot …
//! let room = batch.room().expect("an empty batch has room");
//! room[0] = 0x45;
//! batch.push(20);
//! // … sealed together with its neighbours, and then sent, written back, or forgotten.
//! outbound.seal(now, &mut batch);
//! for (packet, octets) in batch.packets() {
//!     match packet.verdict() {
//!         Verdict::Send(path) => { let _ = (path, packet.tos(), octets); }
//!         Verdict::Reply => { /* write the ICMP error to the TUN */ }
//!         Verdict::Deliver | Verdict::Pending | Verdict::Waits | Verdict::Dropped(_) => {}
//!     }
//! }
//! while let Some(report) = outbound.poll_report() { let _ = report; }
//! ```

mod batch;
mod checksum;
mod counters;
mod early;
mod ecn;
mod error;
mod esp;
mod fragment;
mod icmp;
mod inbound;
mod iv;
mod lifetime;
pub mod limits;
mod mss;
mod mtu;
mod outbound;
mod packet;
mod replay;
mod report;
mod sad;
mod selectors;
mod spd;
mod transport;
mod waiting;

pub use batch::{Arrival, Batch, Packet, Verdict};
pub use counters::{Counters, DropCause};
pub use error::CommandError;
pub use inbound::{Inbound, InboundCommand, InboundSa};
pub use lifetime::{DirectionActivity, SaActivity, SoftLimits};
pub use mtu::TunnelConfig;
pub use outbound::{Outbound, OutboundCommand, OutboundSa};
pub use report::TrafficReport;
