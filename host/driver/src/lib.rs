//! The one crate that does I/O: sockets, TUN, netlink, clock, event loop.
//!
//! It carries out what the machines ask for, and knows neither WebAssembly nor the command line.
//!
//! ```no_run
//! # async fn example(config: vpnhost_driver::HostConfig) -> Result<(), vpnhost_driver::DriverError> {
//! use vpnhost_driver::Host;
//! let host = Host::start(config).await?;
//! let handle = host.handle();
//! // … `handle.command(..)`, `handle.events()`, `handle.snapshot()`, `handle.shutdown()` from elsewhere.
//! # drop(handle);
//! host.run().await
//! # }
//! ```

pub mod data_plane;
pub mod pmtu;
pub mod raw_esp;
pub mod tun;
pub mod udp;
