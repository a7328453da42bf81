//! IKE_AUTH: who both sides are, proved, and the first Child SA (RFC 7296 §1.2, §2.15).

mod initiator;
mod responder;

use std::sync::Arc;

use vpnhost_crypto::SecretBytes;
use vpnhost_model::{ChildSpi, EspSuite, Identity, Now, Role, TrafficSelector};
use vpnhost_policy::SituationCause;

use crate::auth::octets::SignedOctets;
use crate::auth::shared_key;
use crate::auth::verified::{self, AuthVerified};
use crate::config::{PeerConfig, PeerIdentity, Secrets};
use crate::error::IkeError;
use crate::exchange::create_child_sa::ChildDecision;
use crate::exchange::ike_sa_init::InitRecord;
use crate::exchange::shape::{ExchangeShapes, Shape};
use crate::extension::initial_contact;
use crate::host::Host;
use crate::output::{AuthenticationFailure, CloseReason, Event};
use crate::question::authorize_peer;
use crate::sa::IkeSa;
use crate::sa::queue::Task;
use crate::sa::state::{Established, State};
use crate::wire::payload::{AuthMethod, Authentication, Identification, NotifyType};
use crate::wire::{ExchangeType, Message, Payload, PayloadType};
use crate::work::{AnsweredBy, Resumed, Track};

/// This host has sent its proof, or is about to.
pub(crate) struct AuthSent {
    pub(crate) child: Option<OfferedChild>,
    init: InitRecord,
    suites: Vec<EspSuite>,
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
}

impl Authorizing {
    /// Returns the Child SA that this host offered, if it is the initiator.
    pub(crate) fn offered_child(&self) -> Option<&OfferedChild> {
        self.child.as_ref()
    }
}

/// The rest of the peer's IKE_AUTH request, on an IKE SA that is established by it.
pub(crate) struct RemoteAuth {
    /// IDr, AUTH and CP of the answer.
    reply: Vec<Payload>,
    decision: Option<ChildDecision>,
}

impl IkeSa {
    /// Computes the AUTH data of this host's role.
    fn sign(&self, role: Role, secret: &SecretBytes, id: &Identification) -> Result<Vec<u8>, IkeError> {
        let init = match &self.state {
            State::AuthSent(auth) => &auth.init,
            State::SaInitAnswered(init) => &init.init,
            State::Authorizing(authorizing) => &authorizing.init,
            State::SaInitSent(_)
            | State::Established(_)
            | State::Rekeyed
            | State::Closing(_)
            | State::Gone
            | State::Closed => return Err(IkeError::Local("the state")),
        };
        let secured = self.secured()?;
        let body = id.signed_octets();
        let octets = signed_octets(role, secured, init, &body);
        Ok(shared_key::compute(secured.prf, secret, &octets)?.into_public())
    }

    /// Verifies the peer's proof, in its role.
    fn verify(
        &self,
        connection: &PeerConfig,
        peer_role: Role,
        (id, authentication): (&Identification, &Authentication),
        init: &InitRecord,
    ) -> Result<AuthVerified, AuthenticationFailure> {
        if !admits_identity(&connection.peer_id, &id.identity) {
            return Err(AuthenticationFailure::UnknownIdentity);
        }
        let secret = secret_for(&connection.secrets, &id.identity).ok_or(AuthenticationFailure::NoSecret)?;
        if authentication.method != AuthMethod::SHARED_KEY {
            return Err(another_method(authentication.method));
        }
        let Some(secured) = &self.secured else { return Err(AuthenticationFailure::WrongSecret) };
        let body = id.signed_octets();
        let octets = signed_octets(peer_role, secured, init, &body);
        verified::verify_shared_key(secured.prf, secret, &octets, &authentication.data)
    }

    /// Asks whether a peer that has proved its identity is welcome.
    fn authorize(&mut self, host: &mut Host, now: Now, track: Track, authorizing: Authorizing) {
        self.connection = Some(Arc::clone(&authorizing.connection));
        let others = host.directory.peers.get(&authorizing.peer_id).map_or(0, |sas| sas.len());
        let ids = (&authorizing.local_id, &authorizing.peer_id);
        let question = authorize_peer::question(now, self, &authorizing.connection.name, ids, others);
        self.state = State::Authorizing(Box::new(authorizing));
        self.ask(host, now, track, question);
    }

    /// Goes on once it is decided whether the peer is welcome.
    pub(crate) fn resume_authorizing(&mut self, host: &mut Host, now: Now, resumed: Resumed) {
        let Resumed::Answer(answer, by) = resumed else { return };
        let verdict = authorize_peer::verdict(answer);
        let outcome =
            verdict.as_ref().map_or_else(|reason| format!("refused: {reason}"), |()| "allowed".into());
        self.decided(host, "authorize_peer", by, outcome);
        if let Err(reason) = verdict {
            let reason = match by {
                AnsweredBy::Plugins => CloseReason::RefusedByPlugin(reason),
                AnsweredBy::Native => CloseReason::RefusedByPolicy(reason),
            };
            if self.role.is_initiator() {
                return self.refuse_peer(host, now, reason);
            }
            return self.refuse_auth(host, now, reason);
        }
        let signed = match self.role {
            Role::Initiator => Ok(None),
            Role::Responder => self.sign_as_responder(),
        };
        let signed = match signed {
            Ok(signed) => signed,
            Err(error) => return self.settle(host, now, Err(error)),
        };
        let State::Authorizing(authorizing) = std::mem::replace(&mut self.state, State::Closed) else {
            return;
        };
        self.establish(host, now, &authorizing);
        match signed {
            None => self.finish_auth_as_initiator(host, now, *authorizing),
            Some(reply) => self.decide_first_child(host, now, *authorizing, reply),
        }
    }

    /// The IKE SA is up.
    fn establish(&mut self, host: &mut Host, now: Now, authorizing: &Authorizing) {
        let ids = (authorizing.local_id.clone(), authorizing.peer_id.clone());
        let connection = Arc::clone(&authorizing.connection);
        let established = Established::new(now.instant, authorizing.proof.clone(), connection, ids);
        self.state = State::Established(Box::new(established));
        self.leave_half_open(host);
        host.directory.enter(now.instant, &authorizing.peer_id, &authorizing.connection.name, self.id);
        host.arrivals.push(authorizing.connection.name.clone());
        if self.role == Role::Responder {
            self.choose_encapsulation(host);
            if authorizing.message.notify(NotifyType::INITIAL_CONTACT).is_some() {
                initial_contact::honour(host, &authorizing.peer_id, self.id, self.begun);
            }
        }
        if let Some(facts) = self.facts() {
            tracing::debug!(ike_sa = %self.id, connection = facts.connection, suite = %facts.suite, "IKE SA established");
            host.event(Event::IkeSaEstablished(Box::new(facts)));
        }
        self.start_maintenance(host, now, SituationCause::ESTABLISHED);
    }

    /// Tells that a Child SA of the connection could not be made, or not renewed.
    pub(crate) fn tell_child_failed(&self, host: &mut Host, index: usize, reason: CloseReason) {
        let Some(established) = self.established() else { return };
        let connection = &established.connection;
        let child = connection.children.get(index).map_or_else(String::new, |child| child.name.clone());
        host.event(Event::ChildSaFailed {
            ike_sa: self.id,
            connection: connection.name.clone(),
            child,
            reason,
        });
    }

    /// A Child SA of the connection could not be made. A connection whose only child failed ends.
    pub(crate) fn on_child_failed(&mut self, host: &mut Host, now: Now, index: usize, reason: CloseReason) {
        tracing::debug!(ike_sa = %self.id, index, %reason, "no Child SA");
        self.tell_child_failed(host, index, reason.clone());
        let initiator = self.role.is_initiator();
        let Some(established) = self.established_mut().filter(|_| initiator) else { return };
        let connection = Arc::clone(&established.connection);
        let failures = established.estate.failures.entry(index).or_insert(0);
        *failures += 1;
        let pause = connection.timing.retry_first * 2u32.pow((*failures).min(10));
        let pause = pause.min(connection.timing.retry_cap);
        let hopeless = established.estate.children.is_empty() && connection.children.len() == 1;
        if hopeless {
            established.queue.push(Task::DeleteIkeSa(reason));
        } else {
            self.put_off_for(now, pause, Task::CreateChild(index));
        }
    }
}

/// What AUTH of a role covers.
fn signed_octets<'a>(
    role: Role,
    secured: &'a crate::sa::secured::Secured,
    init: &'a InitRecord,
    id_body: &'a [u8],
) -> SignedOctets<'a> {
    match role {
        Role::Initiator => {
            SignedOctets { message: &init.request, nonce: &init.nonce_r, sk_p: &secured.keys.sk_pi, id_body }
        }
        Role::Responder => {
            SignedOctets { message: &init.response, nonce: &init.nonce_i, sk_p: &secured.keys.sk_pr, id_body }
        }
    }
}

fn admits_identity(expected: &PeerIdentity, peer: &Identity) -> bool {
    match expected {
        PeerIdentity::Is(identity) => identity.matches(peer),
        PeerIdentity::Any => true,
    }
}

fn secret_for<'a>(secrets: &'a Secrets, peer: &Identity) -> Option<&'a SecretBytes> {
    let own = secrets.by_peer.iter().find(|(identity, _)| identity.matches(peer)).map(|(_, secret)| secret);
    own.or(secrets.default.as_ref())
}

/// Returns the secret to begin with: the expected peer's, or the only one there is.
fn secret_for_expected(connection: &PeerConfig) -> Option<&SecretBytes> {
    let secrets = &connection.secrets;
    match &connection.peer_id {
        PeerIdentity::Is(peer) => secret_for(secrets, peer),
        PeerIdentity::Any => {
            let mut all = secrets.by_peer.values().chain(&secrets.default);
            all.next().filter(|_| all.next().is_none())
        }
    }
}

/// The peer proves itself in a way that the connection does not want.
fn another_method(used: AuthMethod) -> AuthenticationFailure {
    AuthenticationFailure::Method { used: used.to_string(), wanted: "a pre-shared key" }
}

enum AuthError {
    Ike(IkeError),
    Failed(AuthenticationFailure),
}

impl From<IkeError> for AuthError {
    fn from(error: IkeError) -> Self {
        Self::Ike(error)
    }
}

impl From<AuthenticationFailure> for AuthError {
    fn from(failure: AuthenticationFailure) -> Self {
        Self::Failed(failure)
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
            &[PayloadType::AUTHENTICATION, PayloadType::ID_RESPONDER, PayloadType::CONFIGURATION],
        ),
        Shape::of(
            "without a Child SA",
            &[PayloadType::ID_INITIATOR, PayloadType::AUTHENTICATION],
            &[PayloadType::ID_RESPONDER, PayloadType::CONFIGURATION],
        ),
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
        Shape::error("error"),
    ],
};
