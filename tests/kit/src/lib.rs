//! Hosts on a virtual clock: the IKE endpoint and both halves of the packet path, wired as a driver wires
//! them, and a network that is a value, with loss, duplication, reordering and NAT. Everything follows from
//! a seed. It knows no socket and no clock.
// Its callers are tests: what cannot be is a panic.
#![allow(clippy::missing_panics_doc)]

pub mod agreement;
pub mod capture;
pub mod clock;
pub mod configuration;
pub mod glass;
pub mod host;
pub mod inner;
mod keys;
pub mod nat;
pub mod network;
pub mod random;
pub mod seeds;
pub mod simulation;

pub use capture::Capture;
pub use clock::Clock;
pub use host::{Delays, HostSettings, HostUnderTest};
pub use inner::InnerPacket;
pub use nat::Nat;
pub use network::{Carrier, Datagram, Network, Weather};
pub use random::Random;
pub use simulation::{A, B, Simulation};
