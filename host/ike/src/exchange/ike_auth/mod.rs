//! IKE_AUTH: who both sides are, proved, and the first Child SA (RFC 7296 §1.2, §2.15).

mod credential;
pub(crate) mod eap;
mod initiator;
pub(crate) mod proof;
mod responder;

use std::sync::Arc;

use vpnhost_model::{ChildSpi, EspSuite, Identity, Now, Role, TrafficSelector};
use vpnhost_policy::{Answer, Attribute, SituationCause};

use crate::auth::signature::Signed;
use crate::auth::verified::AuthVerified;
use crate::config::PeerConfig;
use crate::exchange::create_child_sa::ChildDecision;
use crate::exchange::ike_sa_init::{InitRecord, join};
use crate::exchange::shape::{ExchangeShapes, Shape};
use crate::extension::configuration::Wanted;
use crate::extension::crash_detection;
use crate::extension::initial_contact::{self, Newcomer};
use crate::host::Host;
use crate::input::JobResult;
use crate::output::{CloseReason, Event};
use crate::question::authorize_peer;
use crate::sa::IkeSa;
use crate::sa::state::{Established, State};
use crate::wire::payload::NotifyType;
use crate::wire::{ExchangeType, Message, Payload, PayloadType};
use crate::work::{AnsweredBy, Resumed, Track};

use credential::Credential;
use eap::EapTalk;
use proof::{AuthError, Step};

/// This host has sent its proof, or is about to.
pub(crate) struct AuthSent {
    pub(crate) child: Option<OfferedChild>,
    init: InitRecord,
    suites: Vec<EspSuite>,
    /// The certificate that this host shows, of several.
    credential: Credential,
    /// The peer's response, while its proof is being verified.
    verifying: Option<Box<Verifying>>,
    /// The EAP conversation that this host proves itself by.
    eap: Option<Box<EapTalk>>,
}

impl AuthSent {
    fn new(init: InitRecord, suites: Vec<EspSuite>) -> Self {
        Self { child: None, init, suites, credential: Credential::default(), verifying: None, eap: None }
    }
}

/// A message whose sender's proof is being verified.
pub(crate) struct Verifying {
    connection: Arc<PeerConfig>,
    peer_id: Identity,
    message: Message,
}

/// The first Child SA as this host offers it.
#[derive(Clone, Debug)]
pub(crate) struct OfferedChild {
    pub(crate) spi_in: ChildSpi,
    suites: Vec<EspSuite>,
    ts_i: Vec<TrafficSelector>,
    ts_r: Vec<TrafficSelector>,
}

/// The peer's proof is right; whether the peer is welcome is being decided.
pub(crate) struct Authorizing {
    proof: AuthVerified,
    connection: Arc<PeerConfig>,
    local_id: Identity,
    peer_id: Identity,
    init: InitRecord,
    message: Message,
    child: Option<OfferedChild>,
    /// What a policy calls the peer.
    labels: Vec<Attribute>,
    /// A responder's own proof, where it is made already: with the key of an EAP conversation.
    own: Option<Signed>,
}

impl Authorizing {
    /// Returns the Child SA that this host offered, if it is the initiator.
    pub(crate) fn offered_child(&self) -> Option<&OfferedChild> {
        self.child.as_ref()
    }
}

/// The rest of the peer's IKE_AUTH request, on an IKE SA that is established by it, and what it waits for.
pub(crate) enum RemoteAuth {
    /// Which pools the peer's addresses come from.
    Assigning(Assigning),
    /// What its first Child SA is to be; with what the answer says before.
    Deciding(ChildDecision, Vec<Payload>),
}

/// A peer that wants addresses.
pub(crate) struct Assigning {
    wanted: Wanted,
    /// The names of the menu's pools.
    pools: Vec<String>,
    first: FirstChild,
}

/// What the peer's first Child SA is decided from.
struct FirstChild {
    connection: Arc<PeerConfig>,
    message: Message,
    init: InitRecord,
    /// IDr, AUTH and CP of the answer.
    reply: Vec<Payload>,
}

impl IkeSa {
    /// Asks whether a peer that has proved its identity is welcome.
    fn authorize(&mut self, host: &mut Host, now: Now, track: Track, authorizing: Authorizing) {
        self.connection = Some(Arc::clone(&authorizing.connection));
        let ids = (&authorizing.local_id, &authorizing.peer_id);
        let about = (authorizing.connection.name.as_str(), &authorizing.proof);
        let contact = authorizing.message.notify(NotifyType::INITIAL_CONTACT).is_some();
        let question = authorize_peer::question(now, (self, host), about, ids, contact);
        self.state = State::Authorizing(Box::new(authorizing));
        self.ask(host, now, track, question);
    }

    /// Goes on once it is decided whether the peer is welcome, or once a responder's own proof is signed.
    pub(crate) fn resume_authorizing(&mut self, host: &mut Host, now: Now, resumed: Resumed) {
        match resumed {
            Resumed::Answer(answer, by) => self.on_verdict(host, now, answer, by),
            Resumed::Work(JobResult::Signed(Ok(signed))) => self.finish_authorizing(host, now, Some(signed)),
            Resumed::Work(JobResult::Signed(Err(failure))) => {
                self.refuse_auth(host, now, CloseReason::AuthenticationFailed(failure));
            }
            // It waits for nothing else.
            Resumed::Work(
                JobResult::Started(_)
                | JobResult::Responded(_)
                | JobResult::Completed(_)
                | JobResult::Eap(..)
                | JobResult::PeerVerified(_),
            ) => {}
        }
    }

    fn on_verdict(&mut self, host: &mut Host, now: Now, answer: Option<Answer>, by: AnsweredBy) {
        let verdict = authorize_peer::verdict(answer);
        let verdict = verdict.and_then(|labels| self.is_unique(host).map(|()| labels));
        let outcome = match &verdict {
            Ok(labels) if labels.is_empty() => "allowed".to_owned(),
            Ok(labels) => format!("allowed, {}", join(labels)),
            Err(reason) => format!("refused: {reason}"),
        };
        self.decided(host, "authorize_peer", by, outcome);
        match verdict {
            Ok(labels) => {
                if let State::Authorizing(authorizing) = &mut self.state {
                    authorizing.labels = labels;
                }
            }
            Err(reason) => {
                let reason = match by {
                    AnsweredBy::Plugins => CloseReason::RefusedByPlugin(reason),
                    AnsweredBy::Native => CloseReason::RefusedByPolicy(reason),
                };
                if self.role.is_initiator() {
                    return self.refuse_peer(host, now, reason);
                }
                return self.refuse_auth(host, now, reason);
            }
        }
        if self.role.is_initiator() {
            return self.finish_authorizing(host, now, None);
        }
        if let State::Authorizing(authorizing) = &mut self.state
            && let Some(signed) = authorizing.own.take()
        {
            return self.finish_authorizing(host, now, Some(signed));
        }
        match self.sign_as_responder(host, now) {
            Ok(Step::Done(signed)) => self.finish_authorizing(host, now, Some(signed)),
            Ok(Step::Job(job)) => self.work(host, Track::Remote, job),
            Err(AuthError::Ike(error)) => self.settle(host, now, Err(error)),
            Err(AuthError::Failed(failure)) => {
                self.refuse_auth(host, now, CloseReason::AuthenticationFailed(failure));
            }
        }
    }

    /// The peer is welcome, and a responder's own proof is made: the IKE SA is up.
    fn finish_authorizing(&mut self, host: &mut Host, now: Now, signed: Option<Signed>) {
        let State::Authorizing(authorizing) = std::mem::replace(&mut self.state, State::Closed) else {
            return;
        };
        self.establish(host, now, &authorizing);
        match signed {
            None => self.finish_auth_as_initiator(host, now, *authorizing),
            Some(signed) => self.finish_auth_as_responder(host, now, *authorizing, signed),
        }
    }

    /// Holds a peer that begins against how many IKE SAs it may have.
    fn is_unique(&self, host: &mut Host) -> Result<(), String> {
        match &self.state {
            State::Authorizing(authorizing) if self.role == Role::Responder => {
                initial_contact::admits(host, &authorizing.connection, &self.newcomer(authorizing))
            }
            State::Authorizing(_)
            | State::SaInitSent(_)
            | State::SaInitAnswered(_)
            | State::AuthSent(_)
            | State::Established(_)
            | State::Rekeyed
            | State::Closing(_)
            | State::Gone
            | State::Closed => Ok(()),
        }
    }

    fn newcomer<'a>(&self, authorizing: &'a Authorizing) -> Newcomer<'a> {
        Newcomer {
            ike_sa: self.id,
            peer: &authorizing.peer_id,
            remote: self.path.remote,
            begun: self.begun,
            initial_contact: authorizing.message.notify(NotifyType::INITIAL_CONTACT).is_some(),
        }
    }

    /// The IKE SA is up.
    fn establish(&mut self, host: &mut Host, now: Now, authorizing: &Authorizing) {
        let ids = (authorizing.local_id.clone(), authorizing.peer_id.clone());
        let connection = Arc::clone(&authorizing.connection);
        let mut established =
            Established::new(now.instant, authorizing.proof.clone(), connection, ids, self.role);
        established.estate.mobility.set_up_took = self.test.round_trip(&self.path);
        established.labels = authorizing.labels.clone();
        established.crash_token = crash_detection::given(&authorizing.message);
        self.state = State::Established(Box::new(established));
        // One that is to have none is of use without.
        self.carried |= authorizing.connection.children.is_empty();
        self.leave_half_open(host);
        let place = (authorizing.connection.name.as_str(), self.path.remote);
        host.directory.enter(now.instant, &authorizing.peer_id, place, self.id);
        host.arrivals.push(self.id);
        if self.role == Role::Responder {
            self.choose_encapsulation(host);
            // Whether the answer arrived, and the peer has the IKE SA, shows what comes in.
            self.unanswered = Some(now.instant);
            initial_contact::honour(host, &authorizing.connection, &self.newcomer(authorizing));
        }
        if let Some(facts) = self.facts() {
            tracing::debug!(ike_sa = %self.id, connection = facts.connection, suite = %facts.suite, "IKE SA established");
            host.event(Event::IkeSaEstablished(Box::new(facts)));
        }
        self.start_maintenance(host, now, SituationCause::ESTABLISHED);
    }
}

/// RFC 7296 §1.2, §2.15, §2.16 and appendix C.2.
pub(crate) const SHAPES: ExchangeShapes = ExchangeShapes {
    exchange: ExchangeType::IKE_AUTH,
    requests: &[
        Shape::of(
            "with a Child SA",
            &[
                PayloadType::ID_INITIATOR,
                PayloadType::SECURITY_ASSOCIATION,
                PayloadType::TS_INITIATOR,
                PayloadType::TS_RESPONDER,
            ],
            // CERT and CERTREQ may stand in any of these forms, and several times.
            &[PayloadType::AUTHENTICATION, PayloadType::ID_RESPONDER, PayloadType::CONFIGURATION],
        ),
        Shape::of(
            "without a Child SA",
            &[PayloadType::ID_INITIATOR],
            &[PayloadType::AUTHENTICATION, PayloadType::ID_RESPONDER, PayloadType::CONFIGURATION],
        ),
        Shape::of("of an EAP conversation", &[PayloadType::EAP], &[]),
        Shape::of("proof behind an EAP conversation", &[PayloadType::AUTHENTICATION], &[]),
    ],
    responses: &[
        Shape::of(
            "with a Child SA",
            &[
                PayloadType::ID_RESPONDER,
                PayloadType::AUTHENTICATION,
                PayloadType::SECURITY_ASSOCIATION,
                PayloadType::TS_INITIATOR,
                PayloadType::TS_RESPONDER,
            ],
            &[PayloadType::CONFIGURATION],
        ),
        Shape::of(
            "without a Child SA",
            &[PayloadType::ID_RESPONDER, PayloadType::AUTHENTICATION],
            &[PayloadType::CONFIGURATION],
        ),
        Shape::of(
            "of an EAP conversation",
            &[PayloadType::EAP],
            &[PayloadType::ID_RESPONDER, PayloadType::AUTHENTICATION],
        ),
        Shape::of(
            "behind an EAP conversation, with a Child SA",
            &[
                PayloadType::AUTHENTICATION,
                PayloadType::SECURITY_ASSOCIATION,
                PayloadType::TS_INITIATOR,
                PayloadType::TS_RESPONDER,
            ],
            &[PayloadType::CONFIGURATION],
        ),
        Shape::of(
            "behind an EAP conversation, without a Child SA",
            &[PayloadType::AUTHENTICATION],
            &[PayloadType::CONFIGURATION],
        ),
        Shape::error("error"),
    ],
};
