//! IKE_AUTH as this host begins it.

use vpnhost_model::{Mode, Now, Protocol, Role, Suite};
use vpnhost_policy::Answer;

use crate::auth::certificates;
use crate::auth::eap::EapFailure;
use crate::auth::signature::Signed;
use crate::auth::verified::AuthVerified;
use crate::config::{LocalAuth, PeerAuth, PeerConfig};
use crate::error::IkeError;
use crate::exchange::ike_sa_init::{InitRecord, join, notify};
use crate::exchange::{proposals, selectors};
use crate::extension::childless::{self, Unsupported};
use crate::extension::configuration;
use crate::extension::crash_detection;
use crate::extension::initial_contact;
use crate::extension::transport_nat;
use crate::host::Host;
use crate::input::JobResult;
use crate::output::{AuthenticationFailure, CloseReason, Outlook};
use crate::question::rank_proposals;
use crate::reason::{Asked, Proof};
use crate::sa::IkeSa;
use crate::sa::child::NewChild;
use crate::sa::failing;
use crate::sa::queue::Task;
use crate::sa::state::State;
use crate::wire::payload::{Identification, NotifyType};
use crate::wire::{ExchangeType, Message, Payload};
use crate::work::{AnsweredBy, Resumed, Track};

use super::proof::{AuthError, OwnClaim, PeerClaim, Step};
use super::{AuthSent, Authorizing, OfferedChild, Verifying};

impl IkeSa {
    /// Ranks the suites of the first Child SA.
    pub(crate) fn begin_auth(&mut self, host: &mut Host, now: Now, init: InitRecord) -> Result<(), IkeError> {
        let Some(connection) = self.connection.clone() else { return Ok(()) };
        match childless::leaves_out(&connection, init.childless) {
            Err(Unsupported) => {
                self.end(host, now, CloseReason::ChildlessUnsupported);
                return Ok(());
            }
            Ok(true) => {
                self.state = State::AuthSent(Box::new(AuthSent::new(init, Vec::new())));
                let proved = self.prove(host, now);
                self.settle_auth(host, now, proved);
                return Ok(());
            }
            Ok(false) => {}
        }
        let configured = connection.children.first().map_or(&[][..], |child| &child.esp);
        let usable = proposals::usable_esp(host.crypto, host.config.allow_legacy, configured);
        let suites = proposals::without_key_exchange(&usable);
        let menu: Vec<Suite> = suites.iter().copied().map(Suite::Esp).collect();
        self.state = State::AuthSent(Box::new(AuthSent::new(init, suites)));
        let about = (connection.name.as_str(), Role::Initiator);
        let question = rank_proposals::question(host, self, about, (&menu, &[]), None);
        self.ask(host, now, Track::Local, question);
        Ok(())
    }

    /// Makes the proof once the suites are ranked, sends it once it is made, and goes on once the peer's is verified.
    pub(crate) fn resume_auth_sent(&mut self, host: &mut Host, now: Now, resumed: Resumed) {
        let result = match resumed {
            Resumed::Answer(answer, by) if self.is_choosing() => self.on_credential(host, now, answer, by),
            Resumed::Answer(answer, by) => self.on_suites_ranked(host, now, answer, by),
            Resumed::Work(JobResult::Signed(signed)) => {
                signed.map_err(AuthError::from).and_then(|signed| self.send_auth(host, now, Some(signed)))
            }
            Resumed::Work(JobResult::PeerVerified(verified)) => {
                return self.on_responder_verified(host, now, verified);
            }
            Resumed::Work(JobResult::Eap(method, step)) => {
                return self.on_client_step(host, now, method, step);
            }
            // It waits for nothing else.
            Resumed::Work(JobResult::Started(_) | JobResult::Responded(_) | JobResult::Completed(_)) => {
                return;
            }
        };
        self.settle_auth(host, now, result);
    }

    fn settle_auth(&mut self, host: &mut Host, now: Now, result: Result<(), AuthError>) {
        match result {
            Ok(()) => {}
            Err(AuthError::Ike(error)) => self.settle(host, now, Err(error)),
            Err(AuthError::Failed(failure)) => {
                self.end(host, now, CloseReason::AuthenticationFailed(failure))
            }
        }
    }

    fn on_suites_ranked(
        &mut self,
        host: &mut Host,
        now: Now,
        answer: Option<Answer>,
        by: AnsweredBy,
    ) -> Result<(), AuthError> {
        let State::AuthSent(auth) = &mut self.state else { return Ok(()) };
        auth.suites = rank_proposals::ranked(answer, &auth.suites);
        if auth.suites.is_empty() {
            self.end(host, now, CloseReason::NothingToOffer(Protocol::ESP));
            return Ok(());
        }
        let order = join(&auth.suites);
        self.decided(host, "rank_proposals", by, order);
        self.prove(host, now)
    }

    /// Makes this host's proof, where it has one before an EAP conversation.
    pub(super) fn prove(&mut self, host: &mut Host, now: Now) -> Result<(), AuthError> {
        // RFC 7296, 2.16: whoever leaves out AUTH asks for EAP.
        if self.connection.as_ref().is_some_and(|it| matches!(it.local_auth, LocalAuth::Eap(_))) {
            return self.send_auth(host, now, None);
        }
        if self.ask_for_credential(host, now) {
            return Ok(());
        }
        match self.sign_as_initiator(host, now)? {
            Step::Done(signed) => self.send_auth(host, now, Some(signed)),
            Step::Job(job) => {
                self.work(host, Track::Local, job);
                Ok(())
            }
        }
    }

    fn sign_as_initiator(&self, host: &mut Host, now: Now) -> Result<Step<Signed>, AuthError> {
        let (State::AuthSent(auth), Some(connection)) = (&self.state, &self.connection) else {
            return Err(IkeError::Local("the state").into());
        };
        let id = Identification::new(connection.local_id.clone());
        let claim = OwnClaim {
            connection,
            role: Role::Initiator,
            id: &id,
            peer: None,
            init: &auth.init,
            authorities: auth.init.authorities.as_deref(),
            credential: auth.credential.chosen(),
        };
        self.sign_own(host, now, &claim)
    }

    fn send_auth(&mut self, host: &mut Host, now: Now, signed: Option<Signed>) -> Result<(), AuthError> {
        let Some(connection) = self.connection.clone() else { return Ok(()) };
        let child = match childless::leaves_out(&connection, self.is_childless_supported()) {
            Ok(true) => None,
            Ok(false) | Err(Unsupported) => Some(self.offer_first_child(host, &connection)?),
        };
        let mut payloads = vec![Payload::IdInitiator(Identification::new(connection.local_id.clone()))];
        let (certificates, authentication) = match signed {
            Some(signed) => (signed.certificates, Some(signed.authentication)),
            None => (Vec::new(), None),
        };
        payloads.extend(certificates);
        payloads.extend(certificates::request(host.crypto, std::iter::once(&*connection)));
        if let Some(peer) = connection.peer_id.exact() {
            if initial_contact::is_first(host, peer) {
                payloads.push(notify(NotifyType::INITIAL_CONTACT));
            }
            payloads.push(Payload::IdResponder(Identification::new(peer.clone())));
        }
        payloads.extend(authentication);
        payloads.extend(crash_detection::token(host, (self.spi_i, self.spi_r)));
        if connection.peer_auth == PeerAuth::EapAlone {
            payloads.push(notify(NotifyType::EAP_ONLY_AUTHENTICATION));
        }
        payloads.extend(
            configuration::request(connection.request_address, &self.wanted_addresses)
                .map(Payload::Configuration),
        );
        payloads.extend(self.mobike_offer(host));
        if let Some(child) = &child {
            let mode = connection.children.first().map_or(Mode::Tunnel, |child| child.mode);
            payloads.extend(child.payloads(mode));
        }
        if let State::AuthSent(auth) = &mut self.state {
            auth.child = child;
        }
        self.request(host, now, ExchangeType::IKE_AUTH, &payloads)?;
        Ok(())
    }

    fn is_childless_supported(&self) -> bool {
        matches!(&self.state, State::AuthSent(auth) if auth.init.childless)
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
        let State::AuthSent(auth) = &self.state else { return };
        let Some(connection) = self.connection.clone() else { return };
        if auth.eap.is_some() || message.eap().is_some() {
            return self.on_eap_response(host, now, message);
        }
        if matches!(connection.local_auth, LocalAuth::Eap(_)) && message.authentication().is_some() {
            // RFC 7296, 2.16: a gateway that lets in whoever comes without a proof is not the one that was meant.
            return self.refuse_peer(host, now, CloseReason::AuthenticationFailed(not_asked()));
        }
        let (Some(id), Some(authentication)) = (message.id_responder(), message.authentication()) else {
            // RFC 7296, 2.21.2: without the responder's AUTH there is no IKE SA.
            return self.end(host, now, unproven(&connection, &message));
        };
        let claim = PeerClaim {
            connection: &connection,
            role: Role::Responder,
            id,
            authentication,
            message: &message,
            init: &auth.init,
        };
        let step = self.verify_peer(host, now, &claim);
        let peer_id = id.identity.clone();
        if let State::AuthSent(auth) = &mut self.state {
            auth.verifying = Some(Box::new(Verifying { connection, peer_id, message }));
        }
        match step {
            Ok(Step::Done(proof)) => self.on_responder_verified(host, now, Ok(proof)),
            Ok(Step::Job(job)) => self.work(host, Track::Local, job),
            Err(failure) => self.on_responder_verified(host, now, Err(failure)),
        }
    }

    pub(super) fn on_responder_verified(
        &mut self,
        host: &mut Host,
        now: Now,
        verified: Result<AuthVerified, AuthenticationFailure>,
    ) {
        let State::AuthSent(auth) = &mut self.state else { return };
        let Some(verifying) = auth.verifying.take() else { return };
        let (init, child) = (auth.init.clone(), auth.child.clone());
        let Verifying { connection, peer_id, message } = *verifying;
        match verified {
            Ok(proof) if message.eap().is_some() => {
                self.begin_eap_as_client(host, now, Some(proof), &message);
            }
            Ok(proof) => {
                let local_id = connection.local_id.clone();
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

    /// Tells the responder that it is not who it should be, and ends (RFC 7296 §2.21.2).
    pub(super) fn refuse_peer(&mut self, host: &mut Host, now: Now, reason: CloseReason) {
        tracing::warn!(ike_sa = %self.id, %reason, "peer refused");
        self.say_goodbye(host, now, reason, notify(NotifyType::AUTHENTICATION_FAILED));
    }

    pub(super) fn finish_auth_as_initiator(&mut self, host: &mut Host, now: Now, authorizing: Authorizing) {
        let Authorizing { connection, message, init, child, .. } = authorizing;
        self.note_auth_lifetime(host, now, &message);
        self.take_mobike_offer(host, now, &message);
        self.foretell_login(host, now);
        if let (Some(reply), Some(established)) = (message.configuration(), self.established_mut()) {
            let assigned = configuration::read_reply(reply, connection.request_address);
            established.estate.addresses = assigned.addresses;
            established.estate.dns = assigned.dns;
        }
        let Some(child) = child else { return self.follow_childless(host, now, &message) };
        match self.first_child(&connection, &message, &init, &child) {
            Ok(new) => {
                if let Err(error) = self.install_child(host, now, new) {
                    host.free_child_spi(child.spi_in);
                    self.settle(host, now, Err(error));
                }
            }
            Err(reason) => {
                host.free_child_spi(child.spi_in);
                let is_half_made =
                    message.error_notify().is_none() && message.security_association().is_some();
                if is_half_made {
                    // The peer has made what cannot be taken here: only with the IKE SA does it go there.
                    self.tell_child_failed(host, 0, (reason.clone(), Outlook::Closes));
                    return self.begin_delete_ike_sa(host, now, reason);
                }
                // The others would need the address, too.
                if !failing::is_about_address(&reason) {
                    self.want_further_children();
                }
                return self.on_child_failed(host, now, 0, reason);
            }
        }
        self.want_further_children();
    }

    /// The IKE SA is up without a Child SA, as was asked for: all of them follow.
    fn follow_childless(&mut self, host: &mut Host, now: Now, message: &Message) {
        if let Some(error) = message.error_notify() {
            let reason = CloseReason::refused_by_peer(error.kind, Asked::Nothing);
            return self.on_child_failed(host, now, 0, reason);
        }
        if self.established().is_some_and(|established| !established.connection.children.is_empty()) {
            self.want(Task::CreateChild(0));
        }
        self.want_further_children();
    }

    fn want_further_children(&mut self) {
        let children = self.established().map_or(0, |established| established.connection.children.len());
        (1..children).for_each(|index| self.want(Task::CreateChild(index)));
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
            return Err(CloseReason::refused_by_peer(error.kind, offered.asked()));
        }
        let (Some(choice), Some(ts_i), Some(ts_r)) =
            (message.security_association(), message.ts_initiator(), message.ts_responder())
        else {
            return Err(CloseReason::Protocol("the answer has no Child SA".into()));
        };
        let suites: Vec<Suite> = offered.suites.iter().copied().map(Suite::Esp).collect();
        let chosen = proposals::chosen(choice, &suites);
        let unoffered = || CloseReason::Protocol("the answer's proposal was not offered".into());
        let Some((Suite::Esp(suite), proposal)) = chosen else { return Err(unoffered()) };
        let Some(spi_out) = proposal.child_spi() else { return Err(unoffered()) };
        // A dynamic selector that was offered wide is held to the addresses that were given.
        let given = connection.children.first().map_or_else(Vec::new, |child| {
            let (addresses, _) = self.virtual_addresses();
            selectors::resolve(&child.local, &addresses, self.path.local.ip())
        });
        let within = selectors::is_within(&ts_i.selectors, &offered.ts_i)
            && selectors::is_within(&ts_r.selectors, &offered.ts_r);
        let local = selectors::intersect(&ts_i.selectors, &given);
        if !within || local.is_empty() {
            return Err(CloseReason::Protocol(
                "the answer's selectors are not within what was asked for".into(),
            ));
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
            translation: transport_nat::of_responder(self.nat),
            replaces: None,
        })
    }
}

impl OfferedChild {
    /// Returns what IKE_AUTH says of it.
    fn payloads(&self, mode: Mode) -> Vec<Payload> {
        let suites: Vec<Suite> = self.suites.iter().copied().map(Suite::Esp).collect();
        let offer = proposals::offer(&suites, &self.spi_in.0.to_be_bytes());
        let mut payloads = vec![
            Payload::SecurityAssociation(offer),
            Payload::TsInitiator(self.ts_i.clone().into()),
            Payload::TsResponder(self.ts_r.clone().into()),
        ];
        if mode == Mode::Transport {
            payloads.push(notify(NotifyType::USE_TRANSPORT_MODE));
        }
        payloads
    }

    fn asked(&self) -> Asked {
        let selectors = (self.ts_i.clone(), self.ts_r.clone());
        Asked::Child { suites: self.suites.clone(), rekey: false, selectors }
    }
}

fn not_asked() -> AuthenticationFailure {
    AuthenticationFailure::Eap(EapFailure::NotAsked)
}

/// Why an answer without a proof is the end.
pub(super) fn unproven(connection: &PeerConfig, message: &Message) -> CloseReason {
    match message.error_notify() {
        Some(notify) => CloseReason::refused_by_peer(notify.kind, login(connection)),
        None => CloseReason::Protocol("the answer to IKE_AUTH proves nothing".into()),
    }
}

fn login(connection: &PeerConfig) -> Asked {
    let remote = connection.peer_id.exact().cloned();
    Asked::Login { local: connection.local_id.clone(), remote, by: Proof::of(&connection.local_auth) }
}
