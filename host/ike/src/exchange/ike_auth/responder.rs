//! IKE_AUTH as a peer begins it.

use std::sync::Arc;

use vpnhost_model::{Now, Role};

use crate::config::{PeerConfig, SelectorConfig};
use crate::error::IkeError;
use crate::exchange::create_child_sa::{ChildOffer, Next, Refusal};
use crate::exchange::ike_sa_init::notify;
use crate::exchange::{RemoteExchange, proposals};
use crate::extension::configuration::{self, Granted};
use crate::host::Host;
use crate::output::{AuthenticationFailure, CloseReason};
use crate::sa::IkeSa;
use crate::sa::state::State;
use crate::timer::Timer;
use crate::wire::payload::{
    AuthMethod, Authentication, Identification, Notify, NotifyType, SecurityAssociation,
};
use crate::wire::{ExchangeType, Message, Payload};
use crate::work::{Resumed, Track};

use super::{Authorizing, RemoteAuth, admits_identity, secret_for};

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
            let method = AuthenticationFailure::Method { used: "EAP".to_owned(), wanted: "a pre-shared key" };
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
    pub(super) fn refuse_auth(&mut self, host: &mut Host, now: Now, reason: CloseReason) {
        tracing::debug!(ike_sa = %self.id, %reason, "peer refused");
        self.respond(host, now, ExchangeType::IKE_AUTH, &[notify(NotifyType::AUTHENTICATION_FAILED)]);
        self.end(host, now, reason);
    }

    /// Makes IDr and AUTH.
    pub(super) fn sign_as_responder(&self) -> Result<Option<Vec<Payload>>, IkeError> {
        let State::Authorizing(authorizing) = &self.state else { return Err(IkeError::Local("the state")) };
        let secret = secret_for(&authorizing.connection.secrets, &authorizing.peer_id)
            .ok_or(IkeError::Local("the secret"))?;
        let id = Identification::new(authorizing.local_id.clone());
        let data = self.sign(Role::Responder, secret, &id)?;
        let authentication = Authentication { method: AuthMethod::SHARED_KEY, data };
        Ok(Some(vec![Payload::IdResponder(id), Payload::Authentication(authentication)]))
    }

    /// Gives addresses and decides the first Child SA.
    pub(super) fn decide_first_child(
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
                let reason = CloseReason::AddressRequired;
                failed = Some(Refusal::of(NotifyType::FAILED_CP_REQUIRED).because(reason));
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
                let reason = CloseReason::PoolExhausted(pool);
                failed = Some(Refusal::of(NotifyType::INTERNAL_ADDRESS_FAILURE).because(reason));
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
            Ok(Next::Wait(decision, wait)) => {
                auth.decision = Some(*decision);
                self.set_remote(RemoteExchange::Auth(auth));
                self.wait_for(host, now, wait);
            }
            Ok(Next::Done(payloads)) => self.answer_auth(host, now, auth.reply, Ok(Some(payloads))),
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
                self.tell_child_failed(host, refusal.child.unwrap_or_default(), refusal.reason());
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
