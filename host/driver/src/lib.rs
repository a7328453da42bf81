//! The one crate that does I/O: sockets, TUN, netlink, clock, event loop.
//!
//! It carries out what the machines ask for, and knows neither WebAssembly nor the command line.

pub mod data_plane;
pub mod pmtu;
pub mod raw_esp;
pub mod tun;
pub mod udp;
