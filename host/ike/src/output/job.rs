//! Slow work that is done outside of the core, and comes back as an input.

use vpnhost_crypto::{ActiveKeyExchange, DrawnRandom, KeyExchangeAlgorithm};

use crate::auth::eap::EapMethod;
use crate::auth::signature::SignJob;
use crate::auth::verified::{RejudgeJob, VerifyJob};
use crate::input::JobResult;
use crate::wire::payload::Eap;

/// Slow work, done elsewhere; it is a function of what it carries.
pub enum Job {
    /// Begins a key exchange.
    StartKeyExchange(&'static dyn KeyExchangeAlgorithm, DrawnRandom),
    /// Answers one.
    RespondKeyExchange(&'static dyn KeyExchangeAlgorithm, Vec<u8>, DrawnRandom),
    /// Completes one.
    CompleteKeyExchange(Box<dyn ActiveKeyExchange>, Vec<u8>),
    /// Signs this host's AUTH payload.
    Sign(Box<SignJob>),
    /// Verifies a peer's certificates and AUTH payload.
    VerifyPeer(Box<VerifyJob>),
    /// Takes a step of an EAP conversation: with the peer's packet, or as the server who begins.
    Eap(Box<dyn EapMethod>, Option<Eap>),
    /// Judges the certificates of an authenticated peer again.
    RejudgePeer(Box<RejudgeJob>),
}

impl Job {
    /// Does the work: called on whatever thread the driver chooses.
    pub fn run(self) -> JobResult {
        match self {
            Self::StartKeyExchange(algorithm, mut random) => JobResult::Started(algorithm.start(&mut random)),
            Self::RespondKeyExchange(algorithm, peer, mut random) => {
                JobResult::Responded(algorithm.respond(&peer, &mut random))
            }
            Self::CompleteKeyExchange(active, peer) => JobResult::Completed(active.complete(&peer)),
            Self::Sign(job) => JobResult::Signed(job.run()),
            Self::VerifyPeer(job) => JobResult::PeerVerified(job.run()),
            Self::Eap(mut method, packet) => {
                let step = method.step(packet.as_ref());
                JobResult::Eap(method, step)
            }
            Self::RejudgePeer(job) => JobResult::PeerVerified(job.run()),
        }
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::StartKeyExchange(..) => "StartKeyExchange",
            Self::RespondKeyExchange(..) => "RespondKeyExchange",
            Self::CompleteKeyExchange(..) => "CompleteKeyExchange",
            Self::Sign(_) => "Sign",
            Self::VerifyPeer(_) => "VerifyPeer",
            Self::Eap(..) => "Eap",
            Self::RejudgePeer(_) => "RejudgePeer",
        })
    }
}
