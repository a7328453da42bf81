//! The questions that operators may answer, and the trait of who answers them.
//!
//! A question carries a menu: what the host itself finds safe (offered ∩ configured). An answer is
//! indices into it, a subset of it, or numbers within its bounds, and [`Question::admits`] checks
//! that; an answer off the menu is no answer. Pure data: no I/O, no clock, no dependency outside
//! the house, and everything builds for wasm32, since plugins speak in these types too.
//!
//! ```
//! use vpnhost_policy::{Chain, PathMenu, PathRanking, Policy, Question};
//!
//! struct LastFirst;
//!
//! impl Policy for LastFirst {
//!     fn name(&self) -> &str {
//!         "last-first"
//!     }
//!
//!     fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
//!         Some(PathRanking::of((0..menu.paths.len()).rev()))
//!     }
//! }
//!
//! let chain = Chain::new(vec![std::sync::Arc::new(LastFirst)]);
//! # let menu = PathMenu {
//! #     connection: "corp".into(), cause: vpnhost_policy::PathCause::REVIEW, current: None,
//! #     role: vpnhost_model::Role::Initiator, peer_id: vpnhost_model::Identity::Fqdn("moon".into()),
//! #     labels: Vec::new(), unix_secs: 0,
//! #     paths: Vec::new(), since_move_ms: None, moves: 0, power: vpnhost_policy::Power::UNKNOWN, hints: Vec::new(),
//! # };
//! let decision = chain.decide(&Question::RankPaths(menu));
//! assert_eq!(decision.decided_by.as_deref(), Some("last-first"));
//! ```

pub mod advertise_addresses;
pub mod assign_addresses;
pub mod attribute;
pub mod authorize_peer;
pub mod chain;
pub mod choose_credential;
pub mod deliberation;
pub mod limits;
pub mod narrow_selectors;
pub mod plan_lifetimes;
pub mod plan_maintenance;
pub mod policy;
pub mod power;
pub mod question;
pub mod rank_paths;
pub mod rank_proposals;
pub mod ranking;
pub mod record;
pub mod settlement;

pub use advertise_addresses::{AddressFacts, Advertisement, AdvertisementMenu, CheckTime};
pub use assign_addresses::{AddressMenu, Assignment, PoolFacts};
pub use attribute::Attribute;
pub use authorize_peer::{Authorization, OtherSa, PeerCertificate, PeerClaim, PeerEap};
pub use chain::Chain;
pub use choose_credential::{CredentialChoice, CredentialFacts, CredentialMenu};
pub use deliberation::{Decision, Deliberation, Outcome, Step};
pub use narrow_selectors::{Narrowing, SelectorMenu};
pub use plan_lifetimes::{LifetimeMenu, Lifetimes, LifetimesBounds};
pub use plan_maintenance::{Bounds, MaintenanceBounds, MaintenancePlan, Situation, SituationCause};
pub use policy::{Failure, OnFailure, Policy, Reply};
pub use power::{Power, PowerSource};
pub use question::{Answer, Question, QuestionKind, QuestionSet};
pub use rank_paths::{PathCause, PathFacts, PathMenu, PathRanking, PathStanding};
pub use rank_proposals::{OfferedSuite, PeerHint, ProposalMenu, Strength};
pub use ranking::Ranking;
pub use record::{ImportCall, ImportValue, Metric, MetricValue, RecordedReply, Sha256};
pub use settlement::{NativePart, Settlement, settle};
