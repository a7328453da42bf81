//! The one crate that does I/O: sockets, TUN, netlink, clock, event loop.
//!
//! It carries out what the machines ask for, and knows neither WebAssembly nor the command line.

#![allow(dead_code)]

mod clock;
pub mod config;
pub mod data_plane;
pub mod error;
mod journal;
mod limits;
pub mod pmtu;
pub mod raw_esp;
pub mod snapshot;
pub mod tun;
pub mod udp;

pub use config::{
    ConnectionRouting, DnsMode, HostConfig, KeyLog, Leak, PoolRouting, RandomSource, TunSettings,
};
pub use error::DriverError;
pub use journal::Entry;
