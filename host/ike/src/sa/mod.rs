//! An IKE SA: what it is made of, and how its messages come in and go out.
//!
//! What the messages say is the affair of the exchanges; here they are placed in the window, opened, given
//! to their exchange, sealed and sent.

pub(crate) mod child;
pub(crate) mod estate;
pub(crate) mod keys;
pub(crate) mod maintenance;
pub(crate) mod queue;
pub(crate) mod secured;
pub(crate) mod state;
pub(crate) mod window;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vpnhost_model::{ChildSpi, Encapsulation, IkeSaId, IkeSpi, Instant, Now, Path, Role};
use vpnhost_policy::{Question, SituationCause};

use crate::config::PeerConfig;
use crate::error::IkeError;
use crate::exchange::shape;
use crate::extension::nat_detection::NatFindings;
use crate::host::{Ending, Host};
use crate::limits;
use crate::output::{CloseReason, Event, IkeSaFacts, Job, Output};
use crate::question::Asked;
use crate::sa::secured::{Secured, Unsealed};
use crate::sa::state::{Established, State};
use crate::sa::window::{Backoff, Incoming, Retransmission, Window};
use crate::timer::{Timer, TimerTable};
use crate::wire::payload::{Notify, NotifyType};
use crate::wire::{DecodeError, DecodeErrorKind, Envelope, ExchangeType, Flags, Header, Message, Payload};
use crate::work::{Resumed, Track, Wait};

/// An IKE SA in any state.
pub(crate) struct IkeSa {
    pub(crate) id: IkeSaId,
    /// This host's role as original initiator or responder.
    pub(crate) role: Role,
    pub(crate) spi_i: IkeSpi,
    pub(crate) spi_r: IkeSpi,
    pub(crate) path: Path,
    /// Where the request that is being decided came from (RFC 7296 §2.11).
    pub(crate) reply_path: Path,
    pub(crate) nat: NatFindings,
    pub(crate) connection: Option<Arc<PeerConfig>>,
    pub(crate) state: State,
    pub(crate) secured: Option<Secured>,
    pub(crate) window: Window,
    pub(crate) timers: TimerTable,
    pub(crate) waits: BTreeMap<Track, Wait>,
    /// Both sides said IKEV2_FRAGMENTATION_SUPPORTED.
    pub(crate) fragmentation: bool,
    pub(crate) begun: Instant,
    pub(crate) last_sent: Instant,
    pub(crate) last_heard: Instant,
    pub(crate) counted_half_open: Option<IpAddr>,
    /// Until then the answer to the peer's CREATE_CHILD_SA may not have arrived: what it made does not
    /// exist over there yet, and nothing is begun that may be about it.
    pub(crate) unconfirmed_until: Option<Instant>,
    /// What the peer deleted here before this IKE SA inherited it, by the SPIs that it receives on.
    pub(crate) early_deletes: Vec<ChildSpi>,
    /// Whether people were told of it: a redundant IKE SA of a simultaneous rekey comes and goes untold.
    pub(crate) announced: bool,
}

impl IkeSa {
    /// Makes an IKE SA in its first state.
    pub(crate) fn new(
        now: Now,
        (id, role): (IkeSaId, Role),
        spis: (IkeSpi, IkeSpi),
        path: Path,
        state: State,
    ) -> Self {
        Self {
            id,
            role,
            spi_i: spis.0,
            spi_r: spis.1,
            path,
            reply_path: path,
            nat: NatFindings::default(),
            connection: None,
            state,
            secured: None,
            window: Window::default(),
            timers: TimerTable::default(),
            waits: BTreeMap::new(),
            fragmentation: false,
            begun: now.instant,
            last_sent: now.instant,
            last_heard: now.instant,
            counted_half_open: None,
            unconfirmed_until: None,
            early_deletes: Vec::new(),
            announced: false,
        }
    }

    /// Returns the SPI that the peer names this IKE SA by.
    pub(crate) fn our_spi(&self) -> IkeSpi {
        match self.role {
            Role::Initiator => self.spi_i,
            Role::Responder => self.spi_r,
        }
    }

    /// Returns the established state.
    pub(crate) fn established(&self) -> Option<&Established> {
        match &self.state {
            State::Established(established) => Some(established),
            State::SaInitSent(_)
            | State::SaInitAnswered(_)
            | State::AuthSent(_)
            | State::Authorizing(_)
            | State::Rekeyed
            | State::Closing(_)
            | State::Gone
            | State::Closed => None,
        }
    }

    /// Returns the established state, to change it.
    pub(crate) fn established_mut(&mut self) -> Option<&mut Established> {
        match &mut self.state {
            State::Established(established) => Some(established),
            State::SaInitSent(_)
            | State::SaInitAnswered(_)
            | State::AuthSent(_)
            | State::Authorizing(_)
            | State::Rekeyed
            | State::Closing(_)
            | State::Gone
            | State::Closed => None,
        }
    }

    /// Returns the protection of the messages.
    pub(crate) fn secured(&self) -> Result<&Secured, IkeError> {
        self.secured.as_ref().ok_or(IkeError::Local("the protection of the IKE SA"))
    }

    /// Returns what is told of an established IKE SA.
    pub(crate) fn facts(&self) -> Option<IkeSaFacts> {
        let (established, secured) = (self.established()?, self.secured.as_ref()?);
        let keys = &secured.keys;
        Some(IkeSaFacts {
            id: self.id,
            connection: established.connection.name.clone(),
            role: self.role,
            spi_i: self.spi_i,
            spi_r: self.spi_r,
            suite: secured.suite,
            path: self.path,
            local_id: established.local_id.clone(),
            peer_id: established.peer_id.clone(),
            local_behind_nat: self.nat.local,
            peer_behind_nat: self.nat.peer,
            keys: [keys.sk_ei.clone(), keys.sk_er.clone(), keys.sk_ai.clone(), keys.sk_ar.clone()],
        })
    }

    /// Takes a datagram that names this IKE SA.
    pub(crate) fn handle_datagram(&mut self, host: &mut Host, now: Now, path: Path, datagram: &mut [u8]) {
        let Ok(header) = Header::decode(datagram) else { return };
        if !self.state.expects(&header) {
            tracing::trace!(ike_sa = %self.id, exchange = %header.exchange, "message not expected in this state");
            return;
        }
        if header.exchange == ExchangeType::IKE_SA_INIT {
            return self.handle_init_response(host, now, path, datagram);
        }
        let Ok(Some(envelope)) = Envelope::find(datagram) else {
            tracing::trace!(ike_sa = %self.id, "message in clear or malformed");
            return;
        };
        if header.flags.response {
            if !self.window.awaits(header.message_id) {
                return;
            }
        } else {
            match self.window.place(header.message_id) {
                Incoming::New => {}
                Incoming::Repeated => return self.repeat_reply(host, now, path, (envelope, datagram)),
                Incoming::BeingDecided | Incoming::Outside => return,
            }
        }
        let Some(secured) = &mut self.secured else { return };
        match secured.open(envelope, datagram) {
            Unsealed::Noise => {}
            Unsealed::Fragment => {
                self.heard(now);
                self.timers.set_earlier(Timer::Fragments, now.instant + limits::FRAGMENTS_WAIT);
            }
            Unsealed::Message(message) => {
                self.timers.stop(Timer::Fragments);
                self.heard(now);
                self.follow(host, now, path);
                if header.flags.response {
                    self.take_response(host, now, &header, message);
                } else {
                    self.reply_path = path;
                    self.take_request(host, now, &header, message);
                }
            }
        }
    }

    /// Sends the answer to the last request again; of a fragmented request only the first fragment
    /// asks for it (RFC 7383 §2.6.1). Whoever makes up a header with the right Message ID gets none, and
    /// cannot have it sent elsewhere.
    fn repeat_reply(
        &mut self,
        host: &mut Host,
        now: Now,
        path: Path,
        (envelope, datagram): (Envelope, &mut [u8]),
    ) {
        let later = envelope.fragment.is_some_and(|fragment| fragment.number != 1);
        let Some(secured) = self.secured.as_mut().filter(|_| !later) else { return };
        if !secured.is_authentic(envelope, datagram) {
            return;
        }
        tracing::debug!(ike_sa = %self.id, "a repeated request gets its answer again");
        for datagram in self.window.reply() {
            host.transmit(self.id, path, datagram.clone());
        }
        self.last_sent = now.instant;
        self.unconfirmed_until = self.unconfirmed_until.map(|_| now.instant + limits::ANSWER_ARRIVES);
    }

    fn take_request(
        &mut self,
        host: &mut Host,
        now: Now,
        header: &Header,
        message: Result<Message, DecodeError>,
    ) {
        self.window.decide();
        // The next request shows that the last answer has arrived.
        self.unconfirmed_until = None;
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(ike_sa = %self.id, %error, "malformed request");
                return self.refuse_malformed(host, now, header.exchange, Some(error));
            }
        };
        let Some(shape) = shape::find(&message) else {
            return self.refuse_malformed(host, now, header.exchange, None);
        };
        let (exchange, message_id) = (header.exchange, header.message_id);
        tracing::debug!(ike_sa = %self.id, %exchange, message_id, form = shape.name, "request");
        match header.exchange {
            ExchangeType::IKE_AUTH => self.on_auth_request(host, now, message),
            ExchangeType::CREATE_CHILD_SA => self.on_create_child_request(host, now, &message),
            _ => self.on_informational_request(host, now, &message),
        }
    }

    /// Answers a request that is authentic and malformed.
    ///
    /// RFC 7296, 2.21.3: INVALID_SYNTAX is fatal to the IKE SA on both sides.
    fn refuse_malformed(
        &mut self,
        host: &mut Host,
        now: Now,
        exchange: ExchangeType,
        error: Option<DecodeError>,
    ) {
        let unknown = error.filter(|error| error.kind == DecodeErrorKind::UnknownCritical);
        let notify = match unknown {
            Some(error) => Notify::new(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, vec![error.payload.0]),
            None => Notify::new(NotifyType::INVALID_SYNTAX, vec![]),
        };
        self.respond(host, now, exchange, &[Payload::Notify(notify)]);
        if unknown.is_none() || exchange == ExchangeType::IKE_AUTH {
            let what = error.map_or_else(|| "a payload is missing".to_owned(), |error| error.to_string());
            self.end(host, now, CloseReason::Protocol(what));
        }
    }

    fn take_response(
        &mut self,
        host: &mut Host,
        now: Now,
        header: &Header,
        message: Result<Message, DecodeError>,
    ) {
        let round_trip = self.window.accept_response(now.instant, header.message_id);
        self.timers.stop(Timer::Retransmit);
        let message = match message {
            Ok(message) if shape::find(&message).is_some() => message,
            Ok(_) => return self.end(host, now, CloseReason::Protocol("a payload is missing".into())),
            Err(error) => return self.end(host, now, CloseReason::Protocol(error.to_string())),
        };
        if message.notify(NotifyType::INVALID_SYNTAX).is_some() {
            let notify = NotifyType::INVALID_SYNTAX.to_string();
            return self.end(host, now, CloseReason::RefusedByPeer { notify });
        }
        tracing::debug!(ike_sa = %self.id, exchange = %header.exchange, message_id = header.message_id, "response");
        match header.exchange {
            ExchangeType::IKE_AUTH => self.on_auth_response(host, now, message),
            _ => self.on_local_response(host, now, &message, round_trip),
        }
        self.start_next(host, now);
    }

    /// Notes an authentic message or packet of the peer.
    pub(crate) fn heard(&mut self, now: Now) {
        self.last_heard = now.instant;
    }

    /// Follows the peer to the address that its last authentic message came from.
    ///
    /// Before the IKE SA is established the initiator moves to the NAT traversal port; later only a
    /// peer behind a NAT moves by itself, when its NAT forgot it (RFC 7296 §2.23).
    pub(crate) fn follow(&mut self, host: &mut Host, now: Now, path: Path) {
        let path = Path { encapsulation: self.path.encapsulation, ..path };
        if path == self.path {
            return;
        }
        match self.state {
            State::SaInitAnswered(_) => {
                self.path = path;
                self.choose_encapsulation(host);
            }
            // An initiator behind a NAT of its own stays with the gateway that it chose.
            State::Established(_) if self.nat.peer && !(self.nat.local && self.role.is_initiator()) => {
                self.move_to(host, now, path);
            }
            State::Established(_)
            | State::SaInitSent(_)
            | State::AuthSent(_)
            | State::Authorizing(_)
            | State::Rekeyed
            | State::Closing(_)
            | State::Gone
            | State::Closed => {}
        }
    }

    fn move_to(&mut self, host: &mut Host, now: Now, path: Path) {
        tracing::debug!(ike_sa = %self.id, "the peer's address changed");
        self.path = path;
        host.output(Output::MoveChildSas(self.id, path));
        host.event(Event::Moved { ike_sa: self.id, path });
        self.configure_host(host);
        self.plan_maintenance(host, now, SituationCause::MOVED, None);
    }

    /// The packet path saw authentic ESP from another address.
    pub(crate) fn on_moved(&mut self, host: &mut Host, now: Now, path: Path) {
        self.heard(now);
        let path = Path { local: self.path.local, interface: self.path.interface, ..path };
        self.follow(host, now, path);
    }

    /// Decides how ESP travels once the ports are known: in UDP on the NAT traversal port, raw else.
    pub(crate) fn choose_encapsulation(&mut self, host: &Host) {
        let on_nat_port = self.path.local.port() == host.config.ports[1];
        let wrapped = on_nat_port && (self.nat.local || self.nat.peer || self.wants_encapsulation());
        self.path.encapsulation = if wrapped { Encapsulation::Udp } else { Encapsulation::Raw };
    }

    /// Tells whether the operator wants ESP in UDP even without a NAT.
    pub(crate) fn wants_encapsulation(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.encapsulation == crate::config::EncapsulationPolicy::Always)
    }

    /// Sends a request that both sides' keys protect.
    pub(crate) fn request(
        &mut self,
        host: &mut Host,
        now: Now,
        exchange: ExchangeType,
        payloads: &[Payload],
    ) -> Result<(), IkeError> {
        let datagrams = self.seal(host, exchange, (false, self.window.next_request()), payloads)?;
        self.launch(host, now, datagrams);
        Ok(())
    }

    /// Sends a request's datagrams and sets the timer of their repetition.
    pub(crate) fn launch(&mut self, host: &mut Host, now: Now, datagrams: Vec<Vec<u8>>) {
        for datagram in &datagrams {
            host.transmit(self.id, self.path, datagram.clone());
        }
        self.last_sent = now.instant;
        let deadline = self.window.send(now.instant, datagrams, self.backoff());
        self.timers.set(Timer::Retransmit, deadline);
    }

    /// Answers the request that is being decided, and keeps the answer for its repetitions.
    pub(crate) fn respond(
        &mut self,
        host: &mut Host,
        now: Now,
        exchange: ExchangeType,
        payloads: &[Payload],
    ) {
        match self.seal(host, exchange, (true, self.window.expected()), payloads) {
            Ok(datagrams) => {
                for datagram in &datagrams {
                    host.transmit(self.id, self.reply_path, datagram.clone());
                }
                self.last_sent = now.instant;
                self.window.answer(datagrams);
                if exchange == ExchangeType::CREATE_CHILD_SA {
                    self.unconfirmed_until = Some(now.instant + limits::ANSWER_ARRIVES);
                }
            }
            Err(error) => self.end(host, now, error.close_reason()),
        }
    }

    fn seal(
        &mut self,
        host: &mut Host,
        exchange: ExchangeType,
        (response, message_id): (bool, u32),
        payloads: &[Payload],
    ) -> Result<Vec<Vec<u8>>, IkeError> {
        let flags = Flags { initiator: self.role.is_initiator(), version: false, response };
        let header = Header::new((self.spi_i, self.spi_r), exchange, flags, message_id);
        let ip_header = if self.path.remote.is_ipv4() { 20 } else { 40 };
        // UDP's header and the non-ESP marker.
        let datagram = usize::from(host.config.fragment_size.max(limits::DATAGRAM_LEAST));
        let most = if self.fragmentation { datagram - ip_header - 8 - 4 } else { usize::MAX };
        let secured = self.secured.as_mut().ok_or(IkeError::Local("the protection of the IKE SA"))?;
        secured.seal(&mut *host.random, &header, payloads, most)
    }

    fn backoff(&self) -> Backoff {
        let planned = self.established().map(|established| established.plan.backoff);
        let configured = || self.connection.as_ref().map(|connection| Backoff::from(&connection.timing));
        let backoff =
            planned.or_else(configured).unwrap_or_else(|| Backoff::from(&crate::config::Timing::default()));
        match &self.state {
            // Who says goodbye does not wait long for the answer.
            State::Closing(_) => Backoff { tries: backoff.tries.min(limits::FAREWELL_TRIES), ..backoff },
            State::Established(established) if established.queue.ends_ike_sa() => {
                Backoff { tries: backoff.tries.min(limits::FAREWELL_TRIES), ..backoff }
            }
            State::Established(_)
            | State::SaInitSent(_)
            | State::SaInitAnswered(_)
            | State::AuthSent(_)
            | State::Authorizing(_)
            | State::Rekeyed
            | State::Gone
            | State::Closed => backoff,
        }
    }

    /// Repeats the outstanding request, or gives the peer up.
    pub(crate) fn retransmit(&mut self, host: &mut Host, now: Now) {
        let backoff = self.backoff();
        match self.window.retransmit(now.instant, backoff) {
            Retransmission::Again(datagrams, deadline) => {
                tracing::debug!(ike_sa = %self.id, "request repeated");
                datagrams.into_iter().for_each(|datagram| host.transmit(self.id, self.path, datagram));
                self.last_sent = now.instant;
                self.timers.set(Timer::Retransmit, deadline);
            }
            Retransmission::GiveUp { tries } => {
                let reason = match &self.state {
                    State::Closing(reason) => reason.clone(),
                    State::SaInitSent(init) => init.refusal().unwrap_or(CloseReason::PeerDead { tries }),
                    State::SaInitAnswered(_)
                    | State::AuthSent(_)
                    | State::Authorizing(_)
                    | State::Established(_)
                    | State::Rekeyed
                    | State::Gone
                    | State::Closed => CloseReason::PeerDead { tries },
                };
                self.end(host, now, reason);
            }
            Retransmission::Nothing => {}
        }
    }

    /// Puts a question; the exchange goes on when the answer is there, which may be at once.
    pub(crate) fn ask(&mut self, host: &mut Host, now: Now, track: Track, question: Question) {
        match host.ask(now, self.id, track, question) {
            Asked::Answered(answer) => {
                self.resume(host, now, track, Resumed::Answer(answer, crate::work::AnsweredBy::Native));
            }
            Asked::Open(id) => {
                self.waits.insert(track, Wait::Question(id));
            }
        }
    }

    /// Gives a job away; the exchange goes on with its result.
    pub(crate) fn work(&mut self, host: &mut Host, track: Track, job: Job) {
        let id = host.work(self.id, track, job);
        self.waits.insert(track, Wait::Job(id));
    }

    /// What a track waited for is here; what it does not wait for is dropped.
    pub(crate) fn resume_waiting(
        &mut self,
        host: &mut Host,
        now: Now,
        (track, wait): (Track, Wait),
        resumed: Resumed,
    ) {
        if self.waits.get(&track) != Some(&wait) {
            return;
        }
        self.waits.remove(&track);
        self.resume(host, now, track, resumed);
        self.start_next(host, now);
    }

    /// Lets this IKE SA end here and now. What it had goes; its last reply is kept for repetitions.
    pub(crate) fn end(&mut self, host: &mut Host, now: Now, reason: CloseReason) {
        if matches!(self.state, State::Gone | State::Closed) {
            return;
        }
        let was_established =
            matches!(self.state, State::Established(_) | State::Rekeyed | State::Closing(_));
        self.leave_half_open(host);
        self.give_up_estate(host, &reason);
        host.forget_ike_sa(self.id);
        self.waits.clear();
        self.timers.clear();
        self.window.withdraw();
        let repeats = !self.window.reply().is_empty() && self.secured.is_some();
        self.state = if repeats { State::Gone } else { State::Closed };
        self.timers.set(Timer::HalfOpen, now.instant + limits::LAST_REPLY);
        if !self.announced {
            return;
        }
        let connection = self.connection.as_ref().map(|connection| connection.name.clone());
        tracing::debug!(ike_sa = %self.id, connection, %reason, "IKE SA closed");
        host.event(Event::IkeSaClosed { ike_sa: self.id, connection, reason: reason.clone() });
        if let Some(connection) = self.connection.clone() {
            host.endings.push(Ending { connection, was_established, reason });
        }
    }

    /// Counts no longer as half open.
    pub(crate) fn leave_half_open(&mut self, host: &mut Host) {
        if let Some(address) = self.counted_half_open.take() {
            host.uncount_half_open(address);
        }
        self.timers.stop(Timer::HalfOpen);
    }

    /// Sends a last INFORMATIONAL and ends when it is answered, or soon if not.
    pub(crate) fn say_goodbye(&mut self, host: &mut Host, now: Now, reason: CloseReason, payload: Payload) {
        self.leave_half_open(host);
        self.give_up_estate(host, &reason);
        self.waits.clear();
        self.timers.clear();
        self.window.withdraw();
        self.state = State::Closing(reason.clone());
        if let Err(error) = self.request(host, now, ExchangeType::INFORMATIONAL, &[payload]) {
            tracing::warn!(ike_sa = %self.id, %error, "no goodbye could be sent");
            self.end(host, now, reason);
        }
    }

    /// Ends an exchange that cannot go on.
    pub(crate) fn settle(&mut self, host: &mut Host, now: Now, result: Result<(), IkeError>) {
        if let Err(error) = result {
            tracing::debug!(ike_sa = %self.id, %error, "the IKE SA cannot go on");
            self.end(host, now, error.close_reason());
        }
    }

    /// Draws a time from `span` down to `percent` of it less.
    pub(crate) fn jittered(host: &mut Host, span: Duration, percent: u8) -> Duration {
        let most = span.as_nanos() * u128::from(percent.min(100)) / 100;
        let less = host.draw_up_to(u64::try_from(most).unwrap_or(u64::MAX));
        span.saturating_sub(Duration::from_nanos(less))
    }
}

impl State {
    /// Tells whether a message of this exchange and direction has a place in the state: everything
    /// else is dropped before its ICV is looked at.
    fn expects(&self, header: &Header) -> bool {
        let response = header.flags.response;
        match self {
            Self::SaInitSent(_) => header.exchange == ExchangeType::IKE_SA_INIT && response,
            Self::SaInitAnswered(_) | Self::Authorizing(_) => {
                header.exchange == ExchangeType::IKE_AUTH && !response
            }
            Self::AuthSent(_) => header.exchange == ExchangeType::IKE_AUTH && response,
            // A repeated IKE_AUTH request finds its answer by its Message ID.
            Self::Established(_) | Self::Rekeyed | Self::Closing(_) => match header.exchange {
                ExchangeType::CREATE_CHILD_SA | ExchangeType::INFORMATIONAL => true,
                ExchangeType::IKE_AUTH => !response && header.message_id == 1,
                _ => false,
            },
            Self::Gone => header.exchange != ExchangeType::IKE_SA_INIT && !response,
            Self::Closed => false,
        }
    }
}
