//! IKE_AUTH: who both sides are, proved, and the first Child SA (RFC 7296 §1.2, §2.15).

use std::sync::Arc;

use vpnhost_crypto::SecretBytes;
use vpnhost_model::{ChildSpi, EspSuite, Identity, Mode, Now, Role, Suite, TrafficSelector};
use vpnhost_policy::SituationCause;

use crate::auth::octets::SignedOctets;
use crate::auth::shared_key;
use crate::auth::verified::{self, AuthVerified};
use crate::config::{PeerConfig, PeerIdentity, Secrets, SelectorConfig};
use crate::error::IkeError;
use crate::exchange::create_child_sa::{ChildDecision, ChildOffer, Refusal};
use crate::exchange::ike_sa_init::{InitRecord, join, notify};
use crate::exchange::shape::{ExchangeShapes, Shape};
use crate::exchange::{RemoteExchange, proposals, selectors};
use crate::extension::configuration::{self, Granted};
use crate::extension::initial_contact;
use crate::host::Host;
use crate::output::{AuthenticationFailure, CloseReason, Event};
use crate::question::{authorize_peer, rank_proposals};
use crate::sa::IkeSa;
use crate::sa::child::NewChild;
use crate::sa::queue::Task;
use crate::sa::state::{Established, State};
use crate::timer::Timer;
use crate::wire::payload::{
    AuthMethod, Authentication, Identification, Notify, NotifyType, SecurityAssociation,
};
use crate::wire::{ExchangeType, Message, Payload, PayloadType};
use crate::work::{Resumed, Track};

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

// ---- initiator -------------------------------------------------------------------------------------

impl IkeSa {
    /// Ranks the suites of the first Child SA.
    pub(crate) fn begin_auth(&mut self, host: &mut Host, now: Now, init: InitRecord) -> Result<(), IkeError> {
        let Some(connection) = self.connection.clone() else { return Ok(()) };
        let configured = connection.children.first().map_or(&[][..], |child| &child.esp);
        let usable = proposals::usable_esp(host.crypto, host.config.allow_legacy, configured);
        let suites = proposals::without_key_exchange(&usable);
        let menu: Vec<Suite> = suites.iter().copied().map(Suite::Esp).collect();
        self.state = State::AuthSent(Box::new(AuthSent { child: None, init, suites }));
        let about = (connection.name.as_str(), Role::Initiator);
        let question = rank_proposals::question(host.crypto, self, about, &menu, None);
        self.ask(host, now, Track::Local, question);
        Ok(())
    }

    /// Sends the proof once the suites are ranked.
    pub(crate) fn resume_auth_sent(&mut self, host: &mut Host, now: Now, resumed: Resumed) {
        let (State::AuthSent(auth), Resumed::Answer(answer, by)) = (&mut self.state, resumed) else { return };
        auth.suites = rank_proposals::ranked(answer, &auth.suites);
        if auth.suites.is_empty() {
            return self.end(host, now, CloseReason::NoProposalChosen);
        }
        let order = join(&auth.suites);
        self.decided(host, "rank_proposals", by, order);
        match self.send_auth(host, now) {
            Ok(()) => {}
            Err(AuthError::Ike(error)) => self.settle(host, now, Err(error)),
            Err(AuthError::Failed(failure)) => {
                self.end(host, now, CloseReason::AuthenticationFailed(failure))
            }
        }
    }

    fn send_auth(&mut self, host: &mut Host, now: Now) -> Result<(), AuthError> {
        let Some(connection) = self.connection.clone() else { return Ok(()) };
        let secret = secret_for_expected(&connection).ok_or(AuthenticationFailure::NoSecret)?;
        let id = Identification::new(connection.local_id.clone());
        let data = self.sign(Role::Initiator, secret, &id)?;
        let child = self.offer_first_child(host, &connection)?;
        let mut payloads = vec![Payload::IdInitiator(id)];
        if let PeerIdentity::Is(peer) = &connection.peer_id {
            if initial_contact::is_first(host, peer) {
                payloads.push(notify(NotifyType::INITIAL_CONTACT));
            }
            payloads.push(Payload::IdResponder(Identification::new(peer.clone())));
        }
        payloads.push(Payload::Authentication(Authentication { method: AuthMethod::SHARED_KEY, data }));
        payloads.extend(configuration::request(connection.request_address).map(Payload::Configuration));
        let suites: Vec<Suite> = child.suites.iter().copied().map(Suite::Esp).collect();
        let offer = proposals::offer(&suites, &child.spi_in.0.to_be_bytes());
        payloads.push(Payload::SecurityAssociation(offer));
        payloads.push(Payload::TsInitiator(child.ts_i.clone().into()));
        payloads.push(Payload::TsResponder(child.ts_r.clone().into()));
        if connection.children.first().is_some_and(|child| child.mode == Mode::Transport) {
            payloads.push(notify(NotifyType::USE_TRANSPORT_MODE));
        }
        if let State::AuthSent(auth) = &mut self.state {
            auth.child = Some(child);
        }
        self.request(host, now, ExchangeType::IKE_AUTH, &payloads)?;
        Ok(())
    }

    fn offer_first_child(&self, host: &mut Host, connection: &PeerConfig) -> Result<OfferedChild, IkeError> {
        let State::AuthSent(auth) = &self.state else { return Err(IkeError::Local("the state")) };
        let wanted = connection.request_address;
        let (local, remote) = connection
            .children
            .first()
            .map_or((&[][..], &[][..]), |child| (&child.local[..], &child.remote[..]));
        let families = (wanted.v4, wanted.v6);
        Ok(OfferedChild {
            spi_in: host.draw_child_spi()?,
            suites: auth.suites.clone(),
            ts_i: selectors::resolve_before_assignment(local, families, self.path.local.ip()),
            ts_r: selectors::resolve(remote, &[], self.path.remote.ip()),
        })
    }

    /// Takes the response to IKE_AUTH.
    pub(crate) fn on_auth_response(&mut self, host: &mut Host, now: Now, message: Message) {
        let State::AuthSent(auth) = &mut self.state else { return };
        let Some(connection) = self.connection.clone() else { return };
        let (init, child) = (auth.init.clone(), auth.child.clone());
        let (Some(id), Some(authentication)) = (message.id_responder(), message.authentication()) else {
            // RFC 7296, 2.21.2: without the responder's AUTH there is no IKE SA.
            let notify = message.error_notify().map_or_else(String::new, |notify| notify.kind.to_string());
            return self.end(host, now, CloseReason::RefusedByPeer { notify });
        };
        let peer_id = id.identity.clone();
        match self.verify(&connection, Role::Responder, (id, authentication), &init) {
            Ok(proof) => {
                let local_id = connection.local_id.clone();
                self.authorize(
                    host,
                    now,
                    Track::Local,
                    Authorizing { proof, connection, local_id, peer_id, init, message, child },
                );
            }
            Err(failure) => self.refuse_peer(host, now, CloseReason::AuthenticationFailed(failure)),
        }
    }

    /// Tells the responder that it is not who it should be, and ends (RFC 7296 §2.21.2).
    fn refuse_peer(&mut self, host: &mut Host, now: Now, reason: CloseReason) {
        tracing::warn!(ike_sa = %self.id, %reason, "peer refused");
        self.say_goodbye(host, now, reason, notify(NotifyType::AUTHENTICATION_FAILED));
    }

    fn finish_auth_as_initiator(&mut self, host: &mut Host, now: Now, authorizing: Authorizing) {
        let Authorizing { connection, message, init, child, .. } = authorizing;
        if let (Some(reply), Some(established)) = (message.configuration(), self.established_mut()) {
            let assigned = configuration::read_reply(reply, connection.request_address);
            established.estate.addresses = assigned.addresses;
            established.estate.dns = assigned.dns;
        }
        let Some(child) = child else { return };
        match self.first_child(&connection, &message, &init, &child) {
            Ok(new) => match self.install_child(host, now, new) {
                Ok(id) => self.activate_child(host, id),
                Err(error) => {
                    host.free_child_spi(child.spi_in);
                    self.settle(host, now, Err(error));
                }
            },
            Err(reason) => {
                host.free_child_spi(child.spi_in);
                self.on_child_failed(host, now, 0, reason);
            }
        }
        for index in 1..connection.children.len() {
            self.want(Task::CreateChild(index));
        }
    }

    /// Reads the first Child SA out of the response, or why there is none.
    fn first_child(
        &self,
        connection: &PeerConfig,
        message: &Message,
        init: &InitRecord,
        offered: &OfferedChild,
    ) -> Result<NewChild, CloseReason> {
        if let Some(error) = message.error_notify() {
            return Err(CloseReason::RefusedByPeer { notify: error.kind.to_string() });
        }
        let (Some(choice), Some(ts_i), Some(ts_r)) =
            (message.security_association(), message.ts_initiator(), message.ts_responder())
        else {
            return Err(CloseReason::Protocol("the answer has no Child SA".into()));
        };
        let suites: Vec<Suite> = offered.suites.iter().copied().map(Suite::Esp).collect();
        let chosen = proposals::chosen(choice, &suites);
        let Some((Suite::Esp(suite), proposal)) = chosen else { return Err(CloseReason::NoProposalChosen) };
        let Some(spi_out) = proposal.child_spi() else { return Err(CloseReason::NoProposalChosen) };
        // A dynamic selector that was offered wide is held to the addresses that were given.
        let given = connection.children.first().map_or_else(Vec::new, |child| {
            let (addresses, _) = self.virtual_addresses();
            selectors::resolve(&child.local, &addresses, self.path.local.ip())
        });
        let within = selectors::is_within(&ts_i.selectors, &offered.ts_i)
            && selectors::is_within(&ts_r.selectors, &offered.ts_r);
        let local = selectors::intersect(&ts_i.selectors, &given);
        if !within || local.is_empty() {
            return Err(CloseReason::TsUnacceptable);
        }
        let transport = message.notify(NotifyType::USE_TRANSPORT_MODE).is_some()
            && connection.children.first().is_some_and(|child| child.mode == Mode::Transport);
        Ok(NewChild {
            index: 0,
            spi_in: offered.spi_in,
            spi_out,
            suite,
            nonce_i: init.nonce_i.clone(),
            nonce_r: init.nonce_r.clone(),
            shared: None,
            ours: true,
            local,
            remote: ts_r.selectors.clone(),
            mode: if transport { Mode::Transport } else { Mode::Tunnel },
            replaces: None,
        })
    }

    // ---- both ----------------------------------------------------------------------------------------

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
            return Err(AuthenticationFailure::Method);
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
            let reason = CloseReason::RefusedByPolicy(reason);
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
        host.directory.enter(now.instant, &authorizing.peer_id, self.id);
        host.arrivals.push(authorizing.connection.name.clone());
        if self.role == Role::Responder {
            self.choose_encapsulation(host);
            if authorizing.message.notify(NotifyType::INITIAL_CONTACT).is_some() {
                initial_contact::honour(host, &authorizing.peer_id, self.id, self.begun);
            }
        }
        if let Some(facts) = self.facts() {
            tracing::info!(ike_sa = %self.id, connection = facts.connection, suite = %facts.suite, "IKE SA established");
            host.event(Event::IkeSaEstablished(Box::new(facts)));
        }
        self.start_maintenance(host, now, SituationCause::ESTABLISHED);
    }

    /// A Child SA of the connection could not be made. A connection whose only child failed ends.
    pub(crate) fn on_child_failed(&mut self, host: &mut Host, now: Now, index: usize, reason: CloseReason) {
        let (ike_sa, initiator) = (self.id, self.role.is_initiator());
        let Some(established) = self.established_mut() else { return };
        let connection = Arc::clone(&established.connection);
        let child = connection.children.get(index).map_or_else(String::new, |child| child.name.clone());
        tracing::warn!(%ike_sa, child, %reason, "no Child SA");
        host.event(Event::ChildSaFailed {
            ike_sa,
            connection: connection.name.clone(),
            child,
            reason: reason.clone(),
        });
        if !initiator {
            return;
        }
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

// ---- responder -------------------------------------------------------------------------------------

impl IkeSa {
    /// Takes the IKE_AUTH request: finds the connection that it is for, and verifies the proof.
    pub(crate) fn on_auth_request(&mut self, host: &mut Host, now: Now, message: Message) {
        let State::SaInitAnswered(state) = &self.state else { return };
        let Some(id) = message.id_initiator().cloned() else { return };
        let init = state.init.clone();
        let suite = self.secured.as_ref().map(|secured| secured.suite);
        let fits = |connection: &&Arc<PeerConfig>| {
            let wanted = message.id_responder().map(|id| &id.identity);
            suite.is_some_and(|suite| connection.ike.contains(&suite))
                && wanted.is_none_or(|wanted| connection.local_id.matches(wanted))
                && admits_identity(&connection.peer_id, &id.identity)
        };
        let fitting: Vec<Arc<PeerConfig>> = state.candidates.iter().filter(fits).cloned().collect();
        let with_secret =
            fitting.iter().find(|connection| secret_for(&connection.secrets, &id.identity).is_some());
        let Some(connection) = with_secret.cloned() else {
            let failure = if fitting.is_empty() {
                AuthenticationFailure::UnknownIdentity
            } else {
                AuthenticationFailure::NoSecret
            };
            return self.refuse_auth(host, now, CloseReason::AuthenticationFailed(failure));
        };
        self.connection = Some(Arc::clone(&connection));
        // RFC 7296, 2.16: an initiator that leaves out AUTH wants EAP.
        let Some(authentication) = message.authentication() else {
            let method = AuthenticationFailure::Method;
            return self.refuse_auth(host, now, CloseReason::AuthenticationFailed(method));
        };
        match self.verify(&connection, Role::Initiator, (&id, authentication), &init) {
            Ok(proof) => {
                let (local_id, peer_id) = (connection.local_id.clone(), id.identity);
                self.authorize(
                    host,
                    now,
                    Track::Remote,
                    Authorizing { proof, connection, local_id, peer_id, init, message, child: None },
                );
            }
            Err(failure) => self.refuse_auth(host, now, CloseReason::AuthenticationFailed(failure)),
        }
    }

    /// Answers AUTHENTICATION_FAILED, whatever the reason was, and ends (RFC 7296 §2.21.2).
    fn refuse_auth(&mut self, host: &mut Host, now: Now, reason: CloseReason) {
        tracing::warn!(ike_sa = %self.id, %reason, "peer refused");
        self.respond(host, now, ExchangeType::IKE_AUTH, &[notify(NotifyType::AUTHENTICATION_FAILED)]);
        self.end(host, now, reason);
    }

    /// Makes IDr and AUTH.
    fn sign_as_responder(&self) -> Result<Option<Vec<Payload>>, IkeError> {
        let State::Authorizing(authorizing) = &self.state else { return Err(IkeError::Local("the state")) };
        let secret = secret_for(&authorizing.connection.secrets, &authorizing.peer_id)
            .ok_or(IkeError::Local("the secret"))?;
        let id = Identification::new(authorizing.local_id.clone());
        let data = self.sign(Role::Responder, secret, &id)?;
        let authentication = Authentication { method: AuthMethod::SHARED_KEY, data };
        Ok(Some(vec![Payload::IdResponder(id), Payload::Authentication(authentication)]))
    }

    /// Gives addresses and decides the first Child SA.
    fn decide_first_child(
        &mut self,
        host: &mut Host,
        now: Now,
        authorizing: Authorizing,
        mut reply: Vec<Payload>,
    ) {
        let Authorizing { connection, peer_id, message, init, .. } = authorizing;
        let owner = (&peer_id, self.id);
        let granted = configuration::grant(&mut host.pools, &connection, owner, message.configuration());
        let mut failed = None;
        match granted {
            Granted::NotAsked if requires_address(&connection) => {
                failed = Some(Refusal::of(NotifyType::FAILED_CP_REQUIRED));
            }
            Granted::NotAsked => {}
            Granted::Reply(configuration, addresses) => {
                reply.push(Payload::Configuration(configuration));
                if let Some(established) = self.established_mut() {
                    established.estate.peer_addresses = addresses;
                }
            }
            Granted::Exhausted(pool) => {
                tracing::warn!(pool, "no virtual address is free");
                failed = Some(Refusal::of(NotifyType::INTERNAL_ADDRESS_FAILURE));
            }
        }
        let offer = match (message.security_association(), message.ts_initiator(), message.ts_responder()) {
            (Some(offer), Some(ts_i), Some(ts_r)) => ChildOffer {
                offer: without_groups(offer),
                ts_i: ts_i.selectors.clone(),
                ts_r: ts_r.selectors.clone(),
                nonce_i: init.nonce_i,
                nonce_r: init.nonce_r,
                key_exchange: None,
                transport: message.notify(NotifyType::USE_TRANSPORT_MODE).is_some(),
                rekeys: None,
                first: true,
            },
            // RFC 6023: an IKE SA without a Child SA is a thing.
            _ => return self.answer_auth(host, now, reply, Ok(None)),
        };
        if let Some(refusal) = failed {
            return self.answer_auth(host, now, reply, Err(refusal));
        }
        let decision = self.start_decision(host, offer);
        match decision {
            Ok((decision, question)) => {
                self.set_remote(RemoteExchange::Auth(Box::new(RemoteAuth {
                    reply,
                    decision: Some(decision),
                })));
                self.ask(host, now, Track::Remote, question);
            }
            Err(refusal) => self.answer_auth(host, now, reply, Err(refusal)),
        }
    }

    /// Goes on with the first Child SA.
    pub(crate) fn resume_remote_auth(
        &mut self,
        host: &mut Host,
        now: Now,
        mut auth: Box<RemoteAuth>,
        resumed: Resumed,
    ) {
        let Some(decision) = auth.decision.take() else { return };
        match self.step_decision(host, now, decision, resumed) {
            Ok(crate::exchange::create_child_sa::Next::Wait(decision, wait)) => {
                auth.decision = Some(*decision);
                self.set_remote(RemoteExchange::Auth(auth));
                self.wait_for(host, now, wait);
            }
            Ok(crate::exchange::create_child_sa::Next::Done(payloads, child)) => {
                self.activate_child(host, child);
                self.answer_auth(host, now, auth.reply, Ok(Some(payloads)));
            }
            Err(refusal) => self.answer_auth(host, now, auth.reply, Err(refusal)),
        }
    }

    /// Answers IKE_AUTH: with a Child SA, without one, or with why there is none.
    ///
    /// RFC 7296, 1.2, 2.21.2: the IKE SA is up even if the Child SA is not.
    fn answer_auth(
        &mut self,
        host: &mut Host,
        now: Now,
        mut reply: Vec<Payload>,
        child: Result<Option<Vec<Payload>>, Refusal>,
    ) {
        match child {
            Ok(payloads) => reply.extend(payloads.into_iter().flatten()),
            Err(refusal) => {
                if let Some(established) = self.established() {
                    host.event(Event::ChildSaFailed {
                        ike_sa: self.id,
                        connection: established.connection.name.clone(),
                        child: established
                            .connection
                            .children
                            .first()
                            .map_or_else(String::new, |child| child.name.clone()),
                        reason: refusal.reason(),
                    });
                }
                reply.push(Payload::Notify(Notify::new(refusal.notify, refusal.data)));
            }
        }
        self.respond(host, now, ExchangeType::IKE_AUTH, &reply);
        self.timers.stop(Timer::HalfOpen);
        self.start_next(host, now);
    }

    /// Keeps the exchange that the peer began while something is waited for.
    pub(crate) fn set_remote(&mut self, remote: RemoteExchange) {
        if let Some(established) = self.established_mut() {
            established.remote = Some(remote);
        }
    }
}

/// A connection whose peers can only be reached at addresses out of its pools requires them to ask.
fn requires_address(connection: &PeerConfig) -> bool {
    let dynamic = |selector: &SelectorConfig| *selector == SelectorConfig::Dynamic;
    !connection.pools.is_empty() && connection.children.iter().all(|child| child.remote.iter().all(dynamic))
}

fn without_groups(offer: &SecurityAssociation) -> SecurityAssociation {
    proposals::strip_key_exchange(offer)
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
