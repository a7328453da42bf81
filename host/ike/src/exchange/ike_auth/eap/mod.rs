//! The rounds of IKE_AUTH in which an initiator proves itself by EAP (RFC 7296 §2.16, RFC 5998), on both sides.
//!
//! The initiator leaves out AUTH. The responder proves itself by certificate, or says nothing where the method is to
//! prove both, and begins the conversation. What the conversation makes is the key of two last AUTH payloads. Each
//! step of the conversation is a job: this room carries its packets, and knows no method.

mod client;
mod server;

use vpnhost_crypto::{DrawnRandom, SecretBytes};
use vpnhost_model::{Identity, Now, Role};

use crate::auth::eap::{EapBegin, EapConfig, EapFacts, EapFailure, EapMethod, EapOutcome};
use crate::auth::shared_key;
use crate::auth::verified::{self, AuthVerified, EapKnown};
use crate::error::IkeError;
use crate::exchange::ike_sa_init::InitRecord;
use crate::host::Host;
use crate::limits;
use crate::output::{AuthenticationFailure, CloseReason, Job};
use crate::sa::IkeSa;
use crate::sa::secured::Secured;
use crate::sa::state::State;
use crate::wire::payload::{AuthMethod, Authentication, Eap, Identification};
use crate::wire::{Message, Payload};
use crate::work::Track;

use super::proof::signed_octets;

/// An EAP conversation under way.
pub(crate) struct EapTalk {
    /// The conversation, unless a job has it.
    method: Option<Box<dyn EapMethod>>,
    /// Whether the responder shows no certificate.
    alone: bool,
    rounds: u32,
    /// The peer's ID payload as it came: AUTH covers it.
    peer: Identification,
    /// What the responder's certificate proved to an initiator.
    gateway: Option<AuthVerified>,
    /// The initiator's first request, which a responder makes the Child SA of.
    first: Option<Message>,
    /// What a responder sends before the first packet: IDr, CERT, AUTH.
    prelude: Vec<Payload>,
    /// What the conversation came to; the last AUTH payloads follow.
    outcome: Option<EapOutcome>,
}

impl EapTalk {
    fn new(method: Box<dyn EapMethod>, alone: bool, peer: Identification) -> Box<Self> {
        Box::new(Self {
            method: Some(method),
            alone,
            rounds: 0,
            peer,
            gateway: None,
            first: None,
            prelude: Vec::new(),
            outcome: None,
        })
    }
}

impl IkeSa {
    fn talk(&mut self) -> Option<&mut EapTalk> {
        match &mut self.state {
            State::AuthSent(auth) => auth.eap.as_deref_mut(),
            State::SaInitAnswered(state) => state.eap.as_deref_mut(),
            State::SaInitSent(_)
            | State::Authorizing(_)
            | State::Established(_)
            | State::Rekeyed
            | State::Closing(_)
            | State::Gone
            | State::Closed => None,
        }
    }

    /// Returns why a conversation comes to nothing that the other end has left: what it was told last, or no more
    /// than that time is up.
    pub(crate) fn unfinished_talk(&mut self) -> Option<CloseReason> {
        let talk = self.talk()?;
        let told = talk.method.as_ref().and_then(|method| method.failure());
        let failure = told.unwrap_or(EapFailure::TooMuch("the conversation did not come to its end in time"));
        Some(CloseReason::AuthenticationFailed(failed(failure)))
    }

    /// Has the next step taken, within the bound of rounds.
    fn step_talk(&mut self, host: &mut Host, packet: Option<Eap>) -> Result<(), AuthenticationFailure> {
        let track = if self.role.is_initiator() { Track::Local } else { Track::Remote };
        let Some(talk) = self.talk() else { return Ok(()) };
        talk.rounds += 1;
        if talk.rounds > limits::EAP_ROUNDS {
            return Err(failed(EapFailure::TooMuch("the conversation does not come to an end")));
        }
        if let Some(method) = talk.method.take() {
            self.work(host, track, Job::Eap(method, packet));
        }
        Ok(())
    }

    /// Computes the AUTH payload of this host behind the conversation.
    fn sign_with_outcome(
        &self,
        id: &Identification,
        init: &InitRecord,
        outcome: &EapOutcome,
    ) -> Result<Payload, IkeError> {
        let secured = self.secured()?;
        let body = id.signed_octets();
        let octets = signed_octets(self.role, secured, init, &body);
        let data = shared_key::compute(secured.prf, key_of(outcome, self.role, secured), &octets)?;
        let method = AuthMethod::SHARED_KEY;
        Ok(Payload::Authentication(Authentication { method, data: data.into_public() }))
    }

    /// Verifies the peer's.
    fn verify_with_outcome(
        &self,
        peer: &Identification,
        init: &InitRecord,
        (outcome, client, gateway): (&EapOutcome, Option<EapFacts>, Option<AuthVerified>),
        authentication: &Authentication,
    ) -> Result<AuthVerified, AuthenticationFailure> {
        let wrong = || failed(EapFailure::WrongKey);
        if authentication.method != AuthMethod::SHARED_KEY {
            return Err(wrong());
        }
        let secured = self.secured.as_ref().ok_or_else(wrong)?;
        let role = self.role.other();
        let body = peer.signed_octets();
        let octets = signed_octets(role, secured, init, &body);
        let key = key_of(outcome, role, secured);
        let known = EapKnown { client, shown: outcome.certificate.clone(), gateway };
        verified::verify_eap(secured.prf, key, &octets, &authentication.data, known)
    }
}

/// RFC 7296, 2.16: a method without a key of its own leaves that to SK_pi and SK_pr.
fn key_of<'a>(outcome: &'a EapOutcome, role: Role, secured: &'a Secured) -> &'a SecretBytes {
    let of_ike = match role {
        Role::Initiator => &secured.keys.sk_pi,
        Role::Responder => &secured.keys.sk_pr,
    };
    outcome.msk.as_ref().unwrap_or(of_ike)
}

fn failed(failure: EapFailure) -> AuthenticationFailure {
    AuthenticationFailure::Eap(failure)
}

impl Host {
    /// Begins a conversation.
    fn begin_eap(
        &mut self,
        now: Now,
        config: &EapConfig,
        (peer, stands_alone): (&Identity, bool),
    ) -> Result<Box<dyn EapMethod>, IkeError> {
        let random = DrawnRandom::draw(&mut *self.random, limits::EAP_RANDOM)?;
        let (unix, peer, crypto, crls) = (now.unix, peer.clone(), self.crypto, self.crls());
        Ok(config.0.begin(EapBegin { unix, peer, random, stands_alone, crypto, crls }))
    }
}
