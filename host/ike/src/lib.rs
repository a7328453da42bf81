//! IKEv2 (RFC 7296) as a value that is fed and drained: no I/O, no clock, no randomness of its own.
//!
//! # Contract
//!
//! [`IkeEndpoint`] is initiator and responder of any number of IKE SAs. Inputs are its `handle_*` methods;
//! each takes the time first. After every one of them,
//!
//! 1. drain [`IkeEndpoint::poll_output`] to `None` and carry out each [`Output`] **in its order**: an
//!    inbound Child SA is installed before the reply goes out that makes the peer use it;
//! 2. sleep until [`IkeEndpoint::poll_timeout`], or until there is another input.
//!
//! What takes time or needs the outside is an output that comes back as an input: [`Output::Work`] as
//! [`IkeEndpoint::handle_work`], [`Output::Ask`] as [`IkeEndpoint::handle_answer`]. A question whose
//! deadline passes is answered here, by the native policy; `authorize_peer` alone is refused then.
//!
//! Inputs return no errors: what a network can cause is noise, which is counted and logged, or ends one
//! SA, which [`Event::IkeSaClosed`] tells with its [`CloseReason`]. Octets without a valid ICV change no
//! state. Everything has a bound: see [`limits`].
//!
//! With the same seed, inputs and instants an endpoint gives the same outputs.
//!
//! # The run loop
//!
//! ```
//! use std::sync::Arc;
//! use vpnhost_ike::{EndpointConfig, IkeEndpoint, Output};
//! use vpnhost_model::{Instant, Now};
//! # struct Zeros;
//! # impl vpnhost_crypto::SecureRandom for Zeros {
//! #     fn fill(&mut self, out: &mut [u8]) -> Result<(), vpnhost_crypto::CryptoError> {
//! #         out.fill(0);
//! #         Ok(())
//! #     }
//! # }
//! # let random = Box::new(Zeros);
//! let now = Now { instant: Instant(0), ..Now::default() };
//! let crypto = vpnhost_rustcrypto::backend();
//! let policy = Arc::new(vpnhost_policy_standard::Standard);
//! let mut endpoint = IkeEndpoint::new(EndpointConfig::default(), crypto, random, policy, now);
//!
//! // Once round the loop, after any input:
//! while let Some(output) = endpoint.poll_output() {
//!     match output {
//!         Output::Transmit(transmit) => drop(transmit), // to the socket of transmit.path.local
//!         Output::Work(id, job) => endpoint.handle_work(now, id, job.run()),
//!         Output::Ask(id, _question) => endpoint.handle_answer(now, id, None),
//!         Output::ReserveSpi(_) | Output::FreeSpi(_) => {}
//!         Output::InstallChildSa(_) | Output::ActivateOutbound(_) | Output::MoveChildSas(..) => {}
//!         Output::PathMtu(..) | Output::LimitChildSa(..) => {} // to the packet path
//!         Output::RemoveChildSa(_) | Output::ConfigureHost(_) | Output::ReleaseHost(_) => {}
//!         Output::RenameIkeSa { .. } | Output::FindPairs(_) | Output::Event(_) => {}
//!     }
//! }
//! assert_eq!(endpoint.poll_timeout(), None); // nothing is configured: nothing to wait for
//! ```
//!
//! # Rooms
//!
//! `wire` knows octets, `exchange` what is said when, `extension` what rides on exchanges, `question` what
//! others may decide, `sa` what an IKE SA is, `endpoint` only which IKE SA an input is for.

mod auth;
pub mod config;
mod connection;
mod crowd;
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
pub mod reason;
mod sa;
pub mod status;
mod tally;
mod timer;
mod translators;
mod twins;
pub mod wire;
mod work;

pub use auth::eap::{EapBegin, EapConfig, EapFacts, EapFailure, EapMethod, EapOutcome, EapSetup, EapStep};
pub use auth::judged::{CertificateFacts, Court, JudgedCertificate};
pub use auth::signature::{SignJob, Signed};
pub use auth::verified::{AuthVerified, RejudgeJob, VerifyJob};
pub use config::{
    ChildConfig, ChildFailure, Childless, EncapsulationPolicy, EndpointConfig, Gateway, LocalAuth,
    OwnCertificate, PeerAuth, PeerConfig, PeerIdentity, PoolConfig, RequestAddress, ReturnRoutability,
    Secrets, SelectorConfig, Start, Timing, Trust, Uniqueness,
};
pub use endpoint::IkeEndpoint;
pub use error::IkeError;
pub use input::{Command, JobResult, OutputFailure, Resumption, TrafficReport};
pub use output::{
    AuthenticationFailure, ChildSaKeys, CloseReason, DirectionKeys, Event, Hindrance, HostConfiguration,
    IkeSaFacts, Job, JobId, Outlook, Output, QuestionId, Transmit, TransmitKind,
};
pub use sa::mapping::{Memory, Network};
pub use status::{ChildSaStatus, ConnectionStatus, Holdings, IkeSaStatus, PathStatus};
pub use tally::Tally;
pub use timer::Timer;
