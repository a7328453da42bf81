//! IKE_AUTH as a peer begins it.

use std::cmp::Reverse;
use std::sync::Arc;

use vpnhost_model::{Identity, Now, Role};
use vpnhost_pki::identity;
use vpnhost_policy::Answer;

use crate::auth::certificates;
use crate::auth::signature::Signed;
use crate::auth::verified::AuthVerified;
use crate::config::{Childless, PeerAuth, PeerConfig};
use crate::error::IkeError;
use crate::exchange::create_child_sa::{ChildOffer, Next, Refusal};
use crate::exchange::ike_sa_init::notify;
use crate::exchange::{RemoteExchange, proposals};
use crate::extension::configuration::{self, Wanted};
use crate::extension::crash_detection;
use crate::extension::mobike;
use crate::host::Host;
use crate::output::{AuthenticationFailure, CloseReason};
use crate::question::assign_addresses::{self, Chosen};
use crate::reason::IdentityGap;
use crate::sa::IkeSa;
use crate::sa::state::State;
use crate::timer::Timer;
use crate::wire::payload::{Authentication, Identification, Notify, NotifyType, SecurityAssociation};
use crate::wire::{ExchangeType, Message, Payload};
use crate::work::{AnsweredBy, Resumed, Track};

use super::proof::{AuthError, OwnClaim, PeerClaim, Step, admits_method, another_method, secret_for};
use super::{Assigning, Authorizing, FirstChild, RemoteAuth, Verifying};

impl IkeSa {
    /// Takes the IKE_AUTH request: finds the connection that it is for, and verifies the proof.
    pub(crate) fn on_auth_request(&mut self, host: &mut Host, now: Now, message: Message) {
        let State::SaInitAnswered(state) = &self.state else { return };
        if state.eap.is_some() {
            return self.on_eap_request(host, now, &message);
        }
        if !mobike::came_unchanged(&message, self.reply_path) {
            return self.refuse_nat(host, now);
        }
        let Some(id) = message.id_initiator().cloned() else {
            return self.refuse_malformed(host, now, ExchangeType::IKE_AUTH, None);
        };
        let suite = self.secured.as_ref().map(|secured| secured.suite);
        let fits = |connection: &&Arc<PeerConfig>| {
            let wanted = message.id_responder().map(|id| &id.identity);
            suite.is_some_and(|suite| connection.ike.contains(&suite))
                && wanted.is_none_or(|wanted| identity::matches(&connection.local_id, wanted))
                && connection.peer_id.admits(&id.identity)
        };
        let mut fitting: Vec<Arc<PeerConfig>> = state.candidates.iter().filter(fits).cloned().collect();
        // Those that tell as closely whom they are for stay in the order of the file.
        fitting.sort_by_key(|connection| Reverse(connection.peer_id.closeness()));
        let connection = match for_peer(&fitting, &id.identity, message.authentication()) {
            Ok(connection) => Arc::clone(connection),
            Err(AuthenticationFailure::UnknownIdentity) => {
                let wanted = message.id_responder().map(|id| &id.identity);
                let gap = IdentityGap::find(&id.identity, wanted, suite, &state.candidates);
                return self.refuse_auth(host, now, CloseReason::UnknownIdentity(Box::new(gap)));
            }
            Err(failure) => return self.refuse_auth(host, now, CloseReason::AuthenticationFailed(failure)),
        };
        self.connection = Some(Arc::clone(&connection));
        if connection.childless == Childless::Never && message.security_association().is_none() {
            // RFC 6023, 3: it was not told that it may.
            return self.refuse_malformed(host, now, ExchangeType::IKE_AUTH, None);
        }
        let Some(authentication) = message.authentication() else {
            return self.begin_eap_as_server(host, now, &connection, message);
        };
        let claim = PeerClaim {
            connection: &connection,
            role: Role::Initiator,
            id: &id,
            authentication,
            message: &message,
            init: &state.init,
        };
        let step = self.verify_peer(host, now, &claim);
        if let State::SaInitAnswered(state) = &mut self.state {
            state.verifying = Some(Box::new(Verifying { connection, peer_id: id.identity, message }));
        }
        match step {
            Ok(Step::Done(proof)) => self.on_initiator_verified(host, now, Ok(proof)),
            Ok(Step::Job(job)) => self.work(host, Track::Remote, job),
            Err(failure) => self.on_initiator_verified(host, now, Err(failure)),
        }
    }

    /// Goes on once the peer's proof is verified.
    pub(crate) fn on_initiator_verified(
        &mut self,
        host: &mut Host,
        now: Now,
        verified: Result<AuthVerified, AuthenticationFailure>,
    ) {
        let State::SaInitAnswered(state) = &mut self.state else { return };
        let Some(verifying) = state.verifying.take() else { return };
        let init = state.init.clone();
        let Verifying { connection, peer_id, message } = *verifying;
        match verified {
            Ok(proof) => {
                let local_id = connection.local_id.clone();
                let (child, own) = (None, None);
                let authorizing = Authorizing {
                    proof,
                    connection,
                    local_id,
                    peer_id,
                    init,
                    message,
                    child,
                    labels: Vec::new(),
                    own,
                };
                self.authorize(host, now, Track::Remote, authorizing);
            }
            Err(failure) => self.refuse_auth(host, now, CloseReason::AuthenticationFailed(failure)),
        }
    }

    /// The request was changed on the way, and its sender allows no NAT (RFC 4555 §3.9).
    fn refuse_nat(&mut self, host: &mut Host, now: Now) {
        self.respond(host, now, ExchangeType::IKE_AUTH, &[notify(NotifyType::UNEXPECTED_NAT_DETECTED)]);
        self.end(host, now, CloseReason::Protocol("a NAT is on the path, and the peer allows none".into()));
    }

    /// Answers AUTHENTICATION_FAILED, whatever the reason was, and ends (RFC 7296 §2.21.2).
    pub(super) fn refuse_auth(&mut self, host: &mut Host, now: Now, reason: CloseReason) {
        tracing::debug!(ike_sa = %self.id, %reason, "peer refused");
        self.respond(host, now, ExchangeType::IKE_AUTH, &[notify(NotifyType::AUTHENTICATION_FAILED)]);
        self.end(host, now, reason);
    }

    /// Makes this host's proof.
    pub(super) fn sign_as_responder(&self, host: &mut Host, now: Now) -> Result<Step<Signed>, AuthError> {
        let State::Authorizing(authorizing) = &self.state else {
            return Err(IkeError::Local("the state").into());
        };
        let id = Identification::new(authorizing.local_id.clone());
        let authorities = certificates::requested(&authorizing.message);
        let claim = OwnClaim {
            connection: &authorizing.connection,
            role: Role::Responder,
            id: &id,
            peer: Some(&authorizing.peer_id),
            init: &authorizing.init,
            authorities: authorities.as_deref(),
            credential: None,
        };
        self.sign_own(host, now, &claim)
    }

    /// Begins the answer, gives addresses and decides the first Child SA.
    pub(super) fn finish_auth_as_responder(
        &mut self,
        host: &mut Host,
        now: Now,
        authorizing: Authorizing,
        signed: Signed,
    ) {
        let Authorizing { proof, connection, local_id, message, init, .. } = authorizing;
        // Before an EAP conversation it was sent already.
        let id = proof.eap().is_none().then(|| Payload::IdResponder(Identification::new(local_id)));
        let mut reply: Vec<Payload> = id.into_iter().collect();
        reply.extend(signed.certificates);
        reply.push(signed.authentication);
        reply.extend(crash_detection::token(host, (self.spi_i, self.spi_r)));
        reply.extend(self.auth_lifetime_notify());
        if self.take_mobike_offer(host, now, &message) {
            reply.extend(self.mobike_offer(host));
        }
        let wanted = configuration::read_request(message.configuration());
        let first = FirstChild { connection, message, init, reply };
        match wanted {
            Some(wanted) => self.ask_for_pools(host, now, wanted, first),
            None if first.connection.requires_address() => {
                let refusal = Refusal::of(NotifyType::FAILED_CP_REQUIRED);
                let refusal = refusal.because(CloseReason::AddressRequired);
                self.decide_first_child(host, now, first, Some(refusal));
            }
            None => self.decide_first_child(host, now, first, None),
        }
    }

    /// Asks which pools the peer's addresses come from, if any has one for it.
    fn ask_for_pools(&mut self, host: &mut Host, now: Now, wanted: Wanted, first: FirstChild) {
        match assign_addresses::question(now, self, host, &wanted) {
            Some((question, pools)) => {
                let assigning = RemoteAuth::Assigning(Assigning { wanted, pools, first });
                self.set_remote(RemoteExchange::Auth(Box::new(assigning)));
                self.ask(host, now, Track::Remote, question);
            }
            None => self.give_addresses(host, now, (&Chosen::default(), &wanted), first),
        }
    }

    /// Gives the peer addresses out of the pools that were chosen, and decides the first Child SA.
    fn give_addresses(
        &mut self,
        host: &mut Host,
        now: Now,
        (chosen, wanted): (&Chosen, &Wanted),
        mut first: FirstChild,
    ) {
        let Some(established) = self.established() else { return };
        let owner = (&established.peer_id.clone(), self.id);
        let Some((configuration, addresses)) = configuration::grant(&mut host.pools, chosen, owner, wanted)
        else {
            let pool = match &chosen.why {
                Some(why) => format!("pool that a policy allows: {why}"),
                None => configuration::exhausted(&host.pools, &first.connection.pools, wanted),
            };
            tracing::warn!(pool, "no virtual address is free");
            let refusal = Refusal::of(NotifyType::INTERNAL_ADDRESS_FAILURE);
            let refusal = refusal.because(CloseReason::PoolExhausted(pool));
            return self.decide_first_child(host, now, first, Some(refusal));
        };
        first.reply.push(Payload::Configuration(configuration));
        if let Some(established) = self.established_mut() {
            established.estate.peer_addresses = addresses;
        }
        self.decide_first_child(host, now, first, None);
    }

    /// Decides the first Child SA, unless it failed already.
    fn decide_first_child(
        &mut self,
        host: &mut Host,
        now: Now,
        first: FirstChild,
        mut failed: Option<Refusal>,
    ) {
        let FirstChild { connection, message, init, reply } = first;
        let offer = match (message.security_association(), message.ts_initiator(), message.ts_responder()) {
            (Some(offer), Some(ts_i), Some(ts_r)) => ChildOffer {
                groups: proposals::groups(offer),
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
            _ => return self.answer_auth(host, now, reply, failed.map_or(Ok(None), Err)),
        };
        if connection.childless == Childless::Force {
            let refusal = Refusal::of(NotifyType::NO_ADDITIONAL_SAS);
            failed.get_or_insert(refusal.because(CloseReason::ChildlessRequired));
        }
        if let Some(refusal) = failed {
            return self.answer_auth(host, now, reply, Err(refusal));
        }
        match self.start_decision(host, offer) {
            Ok((decision, question)) => {
                let deciding = RemoteAuth::Deciding(decision, reply);
                self.set_remote(RemoteExchange::Auth(Box::new(deciding)));
                self.ask(host, now, Track::Remote, question);
            }
            Err(refusal) => self.answer_auth(host, now, reply, Err(refusal)),
        }
    }

    /// Goes on with the peer's addresses, or with the first Child SA.
    pub(crate) fn resume_remote_auth(
        &mut self,
        host: &mut Host,
        now: Now,
        auth: RemoteAuth,
        resumed: Resumed,
    ) {
        let (decision, reply) = match (auth, resumed) {
            (RemoteAuth::Deciding(decision, reply), resumed) => {
                (self.step_decision(host, now, decision, resumed), reply)
            }
            (RemoteAuth::Assigning(assigning), Resumed::Answer(answer, by)) => {
                return self.on_pools_chosen(host, now, assigning, (answer, by));
            }
            // It waits for nothing else.
            (RemoteAuth::Assigning(_), Resumed::Work(_)) => return,
        };
        match decision {
            Ok(Next::Wait(decision, wait)) => {
                let deciding = RemoteAuth::Deciding(*decision, reply);
                self.set_remote(RemoteExchange::Auth(Box::new(deciding)));
                self.wait_for(host, now, wait);
            }
            Ok(Next::Done(payloads)) => self.answer_auth(host, now, reply, Ok(Some(payloads))),
            Err(refusal) => self.answer_auth(host, now, reply, Err(refusal)),
        }
    }

    fn on_pools_chosen(
        &mut self,
        host: &mut Host,
        now: Now,
        assigning: Assigning,
        (answer, by): (Option<Answer>, AnsweredBy),
    ) {
        let Assigning { wanted, pools, first } = assigning;
        let chosen = assign_addresses::chosen(answer, &pools);
        if chosen.pools != pools || chosen.dns.is_some() || chosen.why.is_some() {
            self.decided(host, "assign_addresses", by, chosen.to_string());
        }
        self.give_addresses(host, now, (&chosen, &wanted), first);
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
                self.on_peer_child_failed(host, refusal.child.unwrap_or_default(), refusal.reason());
                reply.push(Payload::Notify(Notify::new(refusal.notify, refusal.data)));
            }
        }
        self.respond(host, now, ExchangeType::IKE_AUTH, &reply);
        self.foretell_login(host, now);
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

/// Finds the connection that a peer is for among those that its identity fits, the closest before: the first that wants the
/// proof that it brings, and for a shared key has one.
fn for_peer<'a>(
    fitting: &'a [Arc<PeerConfig>],
    peer: &Identity,
    authentication: Option<&Authentication>,
) -> Result<&'a Arc<PeerConfig>, AuthenticationFailure> {
    let first = fitting.first().ok_or(AuthenticationFailure::UnknownIdentity)?;
    let used = authentication.map(|authentication| authentication.method);
    let mut proving = fitting.iter().filter(|it| admits_method(&it.peer_auth, used)).peekable();
    if proving.peek().is_none() {
        return Err(another_method(used, &first.peer_auth));
    }
    let by_secret = |it: &PeerConfig| it.peer_auth == PeerAuth::SharedKey;
    proving
        .find(|it| !by_secret(it) || secret_for(&it.secrets, peer).is_some())
        .ok_or(AuthenticationFailure::NoSecret)
}

fn without_groups(offer: &SecurityAssociation) -> SecurityAssociation {
    proposals::strip_key_exchange(offer)
}
