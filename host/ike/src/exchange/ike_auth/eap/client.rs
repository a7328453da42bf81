//! EAP as an initiator, which is the client of the conversation (RFC 7296 §2.16).

use std::sync::Arc;

use vpnhost_model::{Now, Role};

use crate::auth::eap::{EapFailure, EapMethod, EapStep};
use crate::auth::verified::AuthVerified;
use crate::config::{LocalAuth, PeerAuth, PeerConfig};
use crate::host::Host;
use crate::limits;
use crate::output::{AuthenticationFailure, CloseReason};
use crate::sa::IkeSa;
use crate::sa::state::State;
use crate::timer::Timer;
use crate::wire::payload::Identification;
use crate::wire::{ExchangeType, Message, Payload};
use crate::work::Track;

use super::super::initiator::unproven;
use super::super::proof::{PeerClaim, Step, another_method, not_expected};
use super::super::{Authorizing, Verifying};
use super::{EapTalk, failed};

impl IkeSa {
    /// Takes a response that belongs to a conversation, or should.
    pub(in crate::exchange) fn on_eap_response(&mut self, host: &mut Host, now: Now, message: Message) {
        let State::AuthSent(auth) = &self.state else { return };
        let Some(connection) = self.connection.clone() else { return };
        match &auth.eap {
            None => self.on_first_eap_response(host, now, &connection, message),
            Some(talk) if talk.outcome.is_some() => self.on_proof_after_eap(host, now, connection, message),
            Some(_) => match message.eap() {
                Some(packet) => {
                    let stepped = self.step_talk(host, Some(packet.clone()));
                    self.refuse_unless(host, now, stepped);
                }
                None => self.end(host, now, unproven(&connection, &message)),
            },
        }
    }

    /// Verifies the responder's certificate, if it shows one, and begins.
    fn on_first_eap_response(
        &mut self,
        host: &mut Host,
        now: Now,
        connection: &Arc<PeerConfig>,
        message: Message,
    ) {
        let State::AuthSent(auth) = &self.state else { return };
        let Some(id) = message.id_responder() else {
            return self.end(
                host,
                now,
                CloseReason::Protocol("EAP begins without the responder's identity".into()),
            );
        };
        let (LocalAuth::Eap(_), alone) = (&connection.local_auth, connection.peer_auth == PeerAuth::EapAlone)
        else {
            let failure =
                AuthenticationFailure::Method { used: "EAP".to_owned(), wanted: connection.peer_auth.name() };
            return self.refuse_peer(host, now, CloseReason::AuthenticationFailed(failure));
        };
        let Some(authentication) = message.authentication() else {
            let step = if !alone {
                Err(another_method(None, &connection.peer_auth))
            } else if connection.peer_id.admits(&id.identity) {
                Ok(())
            } else {
                Err(not_expected(&connection.peer_id, &id.identity))
            };
            return match step {
                Ok(()) => self.begin_eap_as_client(host, now, None, &message),
                Err(failure) => self.refuse_peer(host, now, CloseReason::AuthenticationFailed(failure)),
            };
        };
        // RFC 5998, 3: a responder may show a certificate all the same; then it is verified.
        let (role, init) = (Role::Responder, &auth.init);
        let claim = PeerClaim { connection, role, id, authentication, message: &message, init };
        let step = self.verify_peer(host, now, &claim);
        let peer_id = id.identity.clone();
        if let State::AuthSent(auth) = &mut self.state {
            let connection = Arc::clone(connection);
            auth.verifying = Some(Box::new(Verifying { connection, peer_id, message }));
        }
        match step {
            Ok(Step::Done(proof)) => self.on_responder_verified(host, now, Ok(proof)),
            Ok(Step::Job(job)) => self.work(host, Track::Local, job),
            Err(failure) => self.on_responder_verified(host, now, Err(failure)),
        }
    }

    /// Begins the conversation with the packet of the first response.
    pub(in crate::exchange) fn begin_eap_as_client(
        &mut self,
        host: &mut Host,
        now: Now,
        gateway: Option<AuthVerified>,
        message: &Message,
    ) {
        let Some(connection) = self.connection.clone() else { return };
        let (LocalAuth::Eap(config), Some(id), Some(packet)) =
            (&connection.local_auth, message.id_responder(), message.eap())
        else {
            return;
        };
        let alone = gateway.is_none();
        let method = match host.begin_eap(now, config, (&id.identity, alone)) {
            Ok(method) => method,
            Err(error) => return self.settle(host, now, Err(error)),
        };
        let mut talk = EapTalk::new(method, alone, id.clone());
        talk.gateway = gateway;
        if let State::AuthSent(auth) = &mut self.state {
            auth.eap = Some(talk);
        }
        self.timers.set(Timer::HalfOpen, now.instant + limits::EAP_PATIENCE);
        let stepped = self.step_talk(host, Some(packet.clone()));
        self.refuse_unless(host, now, stepped);
    }

    /// Goes on with what came of the responder's packet.
    pub(in crate::exchange) fn on_client_step(
        &mut self,
        host: &mut Host,
        now: Now,
        method: Box<dyn EapMethod>,
        step: EapStep,
    ) {
        let State::AuthSent(auth) = &mut self.state else { return };
        let Some(talk) = &mut auth.eap else { return };
        let payload = match step {
            EapStep::Send(packet) => {
                talk.method = Some(method);
                Payload::Eap(packet)
            }
            EapStep::Success { outcome, .. } => {
                if talk.alone && !(outcome.stands_alone && outcome.msk.is_some()) {
                    let failure = failed(EapFailure::CannotStandAlone(outcome.method));
                    return self.refuse_peer(host, now, CloseReason::AuthenticationFailed(failure));
                }
                tracing::debug!(ike_sa = %self.id, method = outcome.method, rounds = talk.rounds, "EAP succeeded");
                talk.outcome = Some(outcome.clone());
                let State::AuthSent(auth) = &self.state else { return };
                let Some(connection) = &self.connection else { return };
                let id = Identification::new(connection.local_id.clone());
                match self.sign_with_outcome(&id, &auth.init, &outcome) {
                    Ok(payload) => payload,
                    Err(error) => return self.settle(host, now, Err(error)),
                }
            }
            // The responder has ended what it refuses.
            EapStep::Failure { failure: failure @ EapFailure::Refused(_), .. } => {
                return self.end(host, now, CloseReason::AuthenticationFailed(failed(failure)));
            }
            EapStep::Failure { failure, .. } => {
                return self.refuse_peer(host, now, CloseReason::AuthenticationFailed(failed(failure)));
            }
        };
        let sent = self.request(host, now, ExchangeType::IKE_AUTH, &[payload]);
        self.settle(host, now, sent);
    }

    /// The responder's AUTH behind the conversation, and with it the rest of its answer.
    fn on_proof_after_eap(
        &mut self,
        host: &mut Host,
        now: Now,
        connection: Arc<PeerConfig>,
        message: Message,
    ) {
        let Some(authentication) = message.authentication() else {
            return self.end(host, now, unproven(&connection, &message));
        };
        let State::AuthSent(auth) = &mut self.state else { return };
        let Some(talk) = auth.eap.take() else { return };
        let (init, child) = (auth.init.clone(), auth.child.clone());
        let Some(outcome) = &talk.outcome else { return };
        let known = (outcome, None, talk.gateway);
        match self.verify_with_outcome(&talk.peer, &init, known, authentication) {
            Ok(proof) => {
                let (local_id, peer_id) = (connection.local_id.clone(), talk.peer.identity);
                let own = None;
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
                self.authorize(host, now, Track::Local, authorizing);
            }
            Err(failure) => self.refuse_peer(host, now, CloseReason::AuthenticationFailed(failure)),
        }
    }

    fn refuse_unless(&mut self, host: &mut Host, now: Now, stepped: Result<(), AuthenticationFailure>) {
        if let Err(failure) = stepped {
            self.refuse_peer(host, now, CloseReason::AuthenticationFailed(failure));
        }
    }
}
