//! IKEv2 as a value that is fed and drained: no I/O, no clock, no randomness of its own.

mod auth;
pub mod config;
mod connection;
mod endpoint;
mod error;
mod exchange;
pub mod extension;
mod host;
pub mod input;
pub mod limits;
pub mod output;
mod pool;
mod question;
mod sa;
pub mod status;
mod timer;
pub mod wire;
mod work;

pub use config::{
    ChildConfig, EncapsulationPolicy, EndpointConfig, Gateway, PeerConfig, PeerIdentity, PoolConfig,
    RequestAddress, Secrets, SelectorConfig, Start, Timing,
};
pub use endpoint::IkeEndpoint;
pub use error::IkeError;
pub use input::{Command, JobResult, OutputFailure, TrafficReport};
pub use output::{
    AuthenticationFailure, ChildSaKeys, CloseReason, DirectionKeys, Event, HostConfiguration, IkeSaFacts,
    Job, JobId, Output, QuestionId, Transmit, TransmitKind,
};
pub use status::{ChildSaStatus, ConnectionStatus, IkeSaStatus};
pub use timer::Timer;
