//! The one crate that does I/O: sockets, TUN, netlink, clock, event loop.
//!
//! It carries out what the machines ask for, and knows neither WebAssembly nor the command line.
//!
//! ```no_run
//! use vpnhost_driver::{DriverError, Host, HostConfig};
//!
//! async fn serve(config: HostConfig) -> Result<(), DriverError> {
//!     let host = Host::start(config).await?;
//!     let handle = host.handle();
//!     tokio::spawn(async move {
//!         // … up to a signal, say …
//!         handle.shutdown().await;
//!     });
//!     host.run().await
//! }
//! ```

mod ancillary;
mod chronicle;
mod cleanup;
mod clock;
pub mod config;
mod control_plane;
mod data_plane;
mod dns;
pub mod error;
mod event_loop;
mod firewall;
mod forwarding;
mod host;
mod journal;
pub mod limits;
mod links;
mod machine;
mod messages;
mod metered;
mod names;
mod nat64;
mod networks;
mod options;
mod packet_cost;
mod pmtu;
mod power;
mod program;
mod raw_esp;
mod resolver;
mod routes;
pub mod snapshot;
mod state_directory;
mod suspension;
mod tun;
mod udp;
mod work;

pub use chronicle::{Failure, legible};
pub use cleanup::cleanup;
pub use config::{
    ConnectionRouting, DecisionLog, DnsMode, HostConfig, KeyLog, Leak, PoolRouting, RandomSource, TunSettings,
};
pub use error::DriverError;
pub use host::{Host, HostEvent, HostHandle};
pub use journal::{Entry, Move, STRANGERS};
pub use names::{Found, look_up, look_up_outside};
pub use snapshot::{
    ChildSaState, ConnectionState, Decision, IkeSaState, PathState, Phase, PluginState, QuestionCounters,
    Snapshot, Traffic,
};
pub use state_directory::StateDirectory;
