//! EAP as a responder, which is the server of the conversation (RFC 7296 §2.16).

use vpnhost_model::{Identity, Now, Role};

use crate::auth::certificates;
use crate::auth::eap::{EapFacts, EapFailure, EapMethod, EapStep};
use crate::auth::signature::Signed;
use crate::config::{LocalAuth, PeerAuth, PeerConfig};
use crate::exchange::ike_sa_init::notify;
use crate::host::Host;
use crate::output::{AuthenticationFailure, CloseReason};
use crate::reason::Asked;
use crate::sa::IkeSa;
use crate::sa::state::State;
use crate::wire::payload::{Authentication, Identification, NotifyType};
use crate::wire::{ExchangeType, Message, Payload};
use crate::work::Track;

use super::super::Authorizing;
use super::super::proof::{AuthError, OwnClaim, Step};
use super::{EapTalk, failed};

impl IkeSa {
    /// Begins a conversation with an initiator that asks for one: this host's own proof is first.
    pub(in crate::exchange) fn begin_eap_as_server(
        &mut self,
        host: &mut Host,
        now: Now,
        connection: &PeerConfig,
        message: Message,
    ) {
        let (PeerAuth::Eap(config), Some(id)) = (&connection.peer_auth, message.id_initiator().cloned())
        else {
            return;
        };
        let alone = connection.local_auth == LocalAuth::EapAlone;
        if alone && message.notify(NotifyType::EAP_ONLY_AUTHENTICATION).is_none() {
            let failure = failed(EapFailure::WantsCertificate);
            return self.refuse_auth(host, now, CloseReason::AuthenticationFailed(failure));
        }
        let method = match host.begin_eap(now, config, (&id.identity, alone)) {
            Ok(method) => method,
            Err(error) => return self.settle(host, now, Err(error)),
        };
        let own = Identification::new(connection.local_id.clone());
        let mut talk = EapTalk::new(method, alone, id.clone());
        talk.prelude = vec![Payload::IdResponder(own.clone())];
        let authorities = certificates::requested(&message);
        talk.first = Some(message);
        let State::SaInitAnswered(state) = &mut self.state else { return };
        state.eap = Some(talk);
        let init = state.init.clone();
        if alone {
            let begun = self.step_talk(host, None);
            return self.refuse_client_unless(host, now, begun);
        }
        let claim = OwnClaim {
            connection,
            role: Role::Responder,
            id: &own,
            peer: Some(&id.identity),
            init: &init,
            authorities: authorities.as_deref(),
            credential: None,
        };
        match self.sign_own(host, now, &claim) {
            Ok(Step::Done(signed)) => self.on_gateway_signed(host, now, Ok(signed)),
            Ok(Step::Job(job)) => self.work(host, Track::Remote, job),
            Err(AuthError::Ike(error)) => self.settle(host, now, Err(error)),
            Err(AuthError::Failed(failure)) => self.on_gateway_signed(host, now, Err(failure)),
        }
    }

    /// This host's own proof is made: the conversation begins.
    pub(crate) fn on_gateway_signed(
        &mut self,
        host: &mut Host,
        now: Now,
        signed: Result<Signed, AuthenticationFailure>,
    ) {
        let begun = signed.and_then(|signed| {
            if let Some(talk) = self.talk() {
                talk.prelude.extend(signed.certificates);
                talk.prelude.push(signed.authentication);
            }
            self.step_talk(host, None)
        });
        self.refuse_client_unless(host, now, begun);
    }

    /// Takes a further request of IKE_AUTH.
    pub(in crate::exchange) fn on_eap_request(&mut self, host: &mut Host, now: Now, message: &Message) {
        let Some(talk) = self.talk() else { return };
        match (&talk.outcome, message.eap(), message.authentication()) {
            (None, Some(packet), _) => {
                let stepped = self.step_talk(host, Some(packet.clone()));
                self.refuse_client_unless(host, now, stepped);
            }
            (Some(_), _, Some(authentication)) => self.on_client_proof(host, now, authentication),
            (None, None, _) | (Some(_), _, None) => {
                self.refuse_malformed(host, now, ExchangeType::IKE_AUTH, None);
            }
        }
    }

    /// The initiator ends what it has begun: often what this host has just told it to be a failure.
    pub(crate) fn on_initiator_gave_up(&mut self, host: &mut Host, now: Now, message: &Message) {
        self.respond(host, now, ExchangeType::INFORMATIONAL, &[]);
        let method = self.talk().and_then(|talk| talk.method.as_ref());
        let reason = match (method.and_then(|method| method.failure()), message.error_notify()) {
            (Some(failure), _) => CloseReason::AuthenticationFailed(failed(failure)),
            (None, Some(notify)) => CloseReason::refused_by_peer(notify.kind, Asked::Nothing),
            (None, None) => CloseReason::DeletedByPeer,
        };
        self.end(host, now, reason);
    }

    /// Goes on with what came of the initiator's packet.
    pub(crate) fn on_server_step(
        &mut self,
        host: &mut Host,
        now: Now,
        method: Box<dyn EapMethod>,
        step: EapStep,
    ) {
        let id = self.id;
        let Some(talk) = self.talk() else { return };
        let mut payloads = std::mem::take(&mut talk.prelude);
        let failure = match step {
            EapStep::Send(packet) => {
                let is_refused = method.failure().is_some();
                talk.method = Some(method);
                payloads.push(Payload::Eap(packet));
                if is_refused {
                    // Whoever guesses need not wait for the end, nor does this count.
                    self.count_failure(host, now);
                }
                None
            }
            EapStep::Success { outcome, .. } if talk.alone && !outcome.stands_alone => {
                payloads.push(notify(NotifyType::AUTHENTICATION_FAILED));
                Some(EapFailure::CannotStandAlone(outcome.method))
            }
            EapStep::Success { packet, outcome } => {
                tracing::debug!(ike_sa = %id, method = outcome.method, rounds = talk.rounds, "EAP succeeded");
                talk.outcome = Some(outcome);
                payloads.extend(packet.map(Payload::Eap));
                None
            }
            EapStep::Failure { packet, failure } => {
                payloads.extend(packet.map(Payload::Eap));
                Some(failure)
            }
        };
        self.respond(host, now, ExchangeType::IKE_AUTH, &payloads);
        if let Some(failure) = failure {
            let reason = CloseReason::AuthenticationFailed(failed(failure));
            tracing::debug!(ike_sa = %self.id, %reason, "peer refused");
            self.end(host, now, reason);
        }
    }

    /// The initiator's AUTH behind the conversation: it is who the method says, and speaks on this IKE SA.
    fn on_client_proof(&mut self, host: &mut Host, now: Now, authentication: &Authentication) {
        let Some(connection) = self.connection.clone() else { return };
        let State::SaInitAnswered(state) = &mut self.state else { return };
        let Some(EapTalk { peer, outcome: Some(outcome), first: Some(message), .. }) =
            state.eap.take().map(|talk| *talk)
        else {
            return;
        };
        let init = state.init.clone();
        let facts = EapFacts {
            identity: outcome.identity.clone(),
            method: outcome.method,
            ike_id: peer.identity.clone(),
        };
        let verified = self.verify_with_outcome(&peer, &init, (&outcome, Some(facts), None), authentication);
        let proof = match verified {
            Ok(proof) => proof,
            Err(failure) => {
                return self.refuse_auth(host, now, CloseReason::AuthenticationFailed(failure));
            }
        };
        if !connection.peer_id.admits_user(&outcome.identity) {
            let failure = failed(EapFailure::AnotherUser(outcome.identity));
            return self.refuse_auth(host, now, CloseReason::AuthenticationFailed(failure));
        }
        let local_id = connection.local_id.clone();
        let own = Identification::new(local_id.clone());
        let own = match self.sign_with_outcome(&own, &init, &outcome) {
            Ok(authentication) => Some(Signed { certificates: Vec::new(), authentication }),
            Err(error) => return self.settle(host, now, Err(error)),
        };
        // What the method has proved counts, not what IDi claims: phones name the address that they have.
        let peer_id = Identity::Eap(outcome.identity);
        let child = None;
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

    fn refuse_client_unless(
        &mut self,
        host: &mut Host,
        now: Now,
        stepped: Result<(), AuthenticationFailure>,
    ) {
        if let Err(failure) = stepped {
            self.refuse_auth(host, now, CloseReason::AuthenticationFailed(failure));
        }
    }
}
