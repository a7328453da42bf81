//! What comes in for an IKE SA: placed in the window, opened, given to its exchange; and where its peer is.

use vpnhost_model::{Encapsulation, Instant, Now, Path};

use crate::auth::certificates;
use crate::config::EncapsulationPolicy;
use crate::exchange::shape;
use crate::extension::nat_detection::NatFindings;
use crate::host::Host;
use crate::limits;
use crate::output::CloseReason;
use crate::reason::Asked;
use crate::sa::IkeSa;
use crate::sa::path_test::is_same;
use crate::sa::secured::{Secured, Unsealed};
use crate::sa::state::State;
use crate::sa::window::Incoming;
use crate::timer::Timer;
use crate::wire::payload::{Delete, Notify, NotifyType};
use crate::wire::{DecodeError, DecodeErrorKind, Envelope, ExchangeType, Header, Message, Payload};

impl IkeSa {
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
            self.hear_of_loss(host, now, &header, datagram);
            tracing::trace!(ike_sa = %self.id, "message in clear or malformed");
            return;
        };
        if header.flags.response {
            if !self.window.awaits(header.message_id) {
                return self.take_late_answer(host, now, path, (envelope, datagram));
            }
        } else {
            match self.window.place(header.message_id) {
                // What follows the last request of IKE_AUTH is no more of it.
                Incoming::New
                    if header.exchange == ExchangeType::IKE_AUTH && !self.state.is_authenticating() =>
                {
                    return;
                }
                Incoming::New => {}
                Incoming::Repeated => return self.repeat_reply(host, now, path, (envelope, datagram)),
                Incoming::BeingDecided | Incoming::Outside => return,
            }
        }
        if let State::SaInitAnswered(init) = &self.state
            && !init.reads(now.instant)
        {
            return;
        }
        if envelope.fragment.is_some()
            && self.counted_half_open.is_some()
            && host.half_open_fragments >= host.config.half_open_fragments
        {
            host.tally.fragments_dropped += 1;
            return;
        }
        let octets = datagram.len();
        let Some(secured) = &mut self.secured else { return };
        let unsealed = secured.open(envelope, datagram);
        self.count_fragments(host);
        match unsealed {
            Unsealed::Noise => {
                if let State::SaInitAnswered(init) = &mut self.state {
                    init.heard_noise(now.instant);
                }
            }
            Unsealed::Fragment => {
                self.heard(host, now);
                self.timers.set_earlier(Timer::Fragments, now.instant + limits::FRAGMENTS_WAIT);
            }
            Unsealed::Message(message) => {
                self.timers.stop(Timer::Fragments);
                self.count_arrival(&path, octets);
                self.heard(host, now);
                self.follow(host, now, path);
                if header.flags.response {
                    self.take_response(host, now, (path, &header), message);
                } else {
                    self.reply_path = self.bound(path);
                    self.take_request(host, now, &header, message);
                }
            }
        }
    }

    /// Counts what this IKE SA holds of fragments, while it is half open, with what the others hold.
    pub(crate) fn count_fragments(&mut self, host: &mut Host) {
        let held = self.secured.as_ref().filter(|_| self.counted_half_open.is_some());
        let held = held.map_or(0, Secured::fragment_octets);
        host.half_open_fragments = host.half_open_fragments + held - self.counted_fragments;
        self.counted_fragments = held;
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
        let path = self.bound(path);
        if !self.is_known_at(&path) && !self.window.may_reply_elsewhere(now.instant, path.remote.ip()) {
            return;
        }
        for datagram in self.window.reply() {
            host.transmit(self.id, path, datagram.clone());
        }
        // What goes elsewhere keeps no NAT's mapping of the IKE SA's own path.
        if is_same(&path, &self.path) {
            self.last_sent = now.instant;
        }
        self.unconfirmed_until = self.unconfirmed_until.map(|_| now.instant + limits::ANSWER_ARRIVES);
    }

    /// Tells whether the peer is known to be where a request came from: as long as nobody has proved who he is, where he
    /// began.
    pub(super) fn is_known_at(&self, path: &Path) -> bool {
        let is_proven = |ip| self.mobility().map(|mobility| mobility.verified.contains(ip));
        is_same(path, &self.path)
            || is_proven(path.remote.ip()).unwrap_or_else(|| is_same(path, &self.reply_path))
    }

    /// Takes an answer that came before on another path: it tells that this one works, too.
    fn take_late_answer(
        &mut self,
        host: &mut Host,
        now: Now,
        path: Path,
        (envelope, datagram): (Envelope, &mut [u8]),
    ) {
        let message_id = envelope.header.message_id;
        if self.take_idle_answer(host, now, path, (envelope, &mut *datagram)) {
            return;
        }
        let is_news = self.test.awaits(message_id, &path) && envelope.fragment.is_none();
        let Some(secured) = self.secured.as_mut().filter(|_| is_news) else { return };
        if secured.is_authentic(envelope, datagram) {
            self.on_late_answer(host, now, message_id, &path);
        }
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
        self.keep_token(header, &message);
        match header.exchange {
            ExchangeType::IKE_AUTH => {
                host.tally.certificates_left_out += certificates::left_out(&message);
                self.on_auth_request(host, now, message);
            }
            _ if self.state.is_authenticating() => self.on_initiator_gave_up(host, now, &message),
            ExchangeType::CREATE_CHILD_SA => self.on_create_child_request(host, now, &message),
            _ => self.on_informational_request(host, now, &message),
        }
    }

    /// Answers a request that is authentic and malformed.
    ///
    /// RFC 7296, 2.21.3: INVALID_SYNTAX is fatal to the IKE SA on both sides.
    pub(crate) fn refuse_malformed(
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
        (path, header): (Path, &Header),
        message: Result<Message, DecodeError>,
    ) {
        let round_trip = self.window.accept_response(now.instant, header.message_id);
        self.timers.stop(Timer::Retransmit);
        let heard = self.note_path_answer(now, header.message_id, &path);
        self.go_on_where_answered(&path);
        self.go_on_beside(host, &path);
        let message = match message {
            Ok(message) if shape::find(&message).is_some() => message,
            Ok(_) => return self.refuse_answer(host, now, "a payload is missing".into()),
            Err(error) => return self.refuse_answer(host, now, error.to_string()),
        };
        if message.notify(NotifyType::INVALID_SYNTAX).is_some() {
            let reason = CloseReason::refused_by_peer(NotifyType::INVALID_SYNTAX, Asked::Nothing);
            return self.end(host, now, reason);
        }
        tracing::debug!(ike_sa = %self.id, exchange = %header.exchange, message_id = header.message_id, "response");
        self.keep_token(header, &message);
        match header.exchange {
            ExchangeType::IKE_AUTH => {
                host.tally.certificates_left_out += certificates::left_out(&message);
                self.on_auth_response(host, now, message);
            }
            _ => self.on_local_response(host, now, &message, (round_trip, heard)),
        }
        self.settle_path_test(host, now, heard);
        self.start_next(host, now);
    }

    /// Ends the IKE SA for an answer that is authentic and malformed. The peer takes its answer for good and has no
    /// other way to learn of it: it gets a Delete (RFC 7296 §2.21.2 allows a new exchange for that).
    fn refuse_answer(&mut self, host: &mut Host, now: Now, what: String) {
        tracing::debug!(ike_sa = %self.id, what, "malformed response");
        let reason = CloseReason::Protocol(what);
        match self.state {
            State::AuthSent(_) | State::Established(_) => {
                self.say_goodbye(host, now, reason, Payload::Delete(Delete::ike()));
            }
            State::SaInitSent(_)
            | State::SaInitAnswered(_)
            | State::Authorizing(_)
            | State::Rekeyed
            | State::Closing(_)
            | State::Gone
            | State::Closed => self.end(host, now, reason),
        }
    }

    /// Notes an authentic message of the peer.
    pub(crate) fn heard(&mut self, host: &mut Host, now: Now) {
        self.last_heard = now.instant;
        self.unanswered = None;
        self.trust(now.instant, false);
        self.dismiss_doubt(host, now.instant);
    }

    /// Notes packets of the peer, the last at `at`.
    pub(crate) fn heard_traffic(&mut self, host: &mut Host, at: Instant) {
        if at > self.last_heard {
            self.last_heard = at;
            self.dismiss_doubt(host, at);
        }
        self.unanswered.take_if(|since| *since <= at);
        self.trust(at, true);
        if let Some(pair) = self.current_pair()
            && let Some(mobility) = self.mobility_mut()
        {
            mobility.paths.note_traffic(at, pair);
        }
    }

    /// Follows the peer to the address that its last authentic message came from.
    ///
    /// Before the IKE SA is established the initiator moves to the NAT traversal port; later only a
    /// peer behind a NAT moves by itself, when its NAT forgot it (RFC 7296 §2.23).
    pub(crate) fn follow(&mut self, host: &mut Host, now: Now, path: Path) {
        let path = Path { encapsulation: self.path.encapsulation, ..path };
        if is_same(&path, &self.path) {
            return;
        }
        match self.state {
            State::SaInitAnswered(_) => {
                self.path = path;
                self.choose_encapsulation(host);
            }
            // An initiator behind a NAT of its own stays with the gateway that it chose.
            // With MOBIKE only an update moves it (RFC 4555 §3.8).
            State::Established(_) if self.mobility().is_some_and(|mobility| mobility.enabled) => {}
            State::Established(_) if self.nat.peer && !(self.nat.local && self.role.is_initiator()) => {
                tracing::debug!(ike_sa = %self.id, "the peer's address changed");
                self.adopt_path(host, now, path, "the peer's NAT gave it another address");
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

    /// The packet path saw authentic ESP from another address.
    ///
    /// RFC 4555, 3.8: with MOBIKE it is a NAT's new mapping, if the peer is behind one, and checked like any new address.
    pub(crate) fn on_moved(&mut self, host: &mut Host, now: Now, path: Path) {
        self.heard_traffic(host, now.instant);
        // A NAT gives another address of the same family. Of the other one it is a move, and an update tells of it.
        if path.remote.is_ipv4() != self.path.remote.is_ipv4() {
            return;
        }
        let path = Path {
            local: self.path.local,
            interface: self.path.interface,
            encapsulation: self.path.encapsulation,
            ..path
        };
        if !self.mobility().is_some_and(|mobility| mobility.enabled) {
            return self.follow(host, now, path);
        }
        if self.nat.peer && !self.looks_after_path() {
            self.follow_traffic(host, now, path);
        }
    }

    /// Decides how ESP travels once the ports are known.
    pub(crate) fn choose_encapsulation(&mut self, host: &Host) {
        self.path.encapsulation = self.encapsulation_on(host, &self.path, self.nat);
    }

    /// Returns how ESP travels on a path: in UDP on the NAT traversal port where a NAT is, or is feigned; raw else.
    pub(crate) fn encapsulation_on(&self, host: &Host, path: &Path, nat: NatFindings) -> Encapsulation {
        let on_nat_port = path.local.port() == host.config.ports[1];
        let wrapped = on_nat_port && (nat.local || nat.peer || self.wants_encapsulation());
        if wrapped { Encapsulation::Udp } else { Encapsulation::Raw }
    }

    /// Tells whether the operator wants ESP in UDP even without a NAT.
    pub(crate) fn wants_encapsulation(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.encapsulation == EncapsulationPolicy::Always)
    }
}

impl State {
    /// Tells whether requests of IKE_AUTH have a place: with EAP there are several.
    fn is_authenticating(&self) -> bool {
        match self {
            Self::SaInitAnswered(_) | Self::Authorizing(_) => true,
            Self::SaInitSent(_)
            | Self::AuthSent(_)
            | Self::Established(_)
            | Self::Rekeyed
            | Self::Closing(_)
            | Self::Gone
            | Self::Closed => false,
        }
    }

    /// Tells whether a message of this exchange and direction has a place in the state: everything
    /// else is dropped before its ICV is looked at.
    fn expects(&self, header: &Header) -> bool {
        let response = header.flags.response;
        match self {
            Self::SaInitSent(_) => header.exchange == ExchangeType::IKE_SA_INIT && response,
            // Amid an EAP conversation an initiator may find that the responder is not who it should be.
            Self::SaInitAnswered(state) if state.eap.is_some() => {
                [ExchangeType::IKE_AUTH, ExchangeType::INFORMATIONAL].contains(&header.exchange) && !response
            }
            Self::SaInitAnswered(_) | Self::Authorizing(_) => {
                header.exchange == ExchangeType::IKE_AUTH && !response
            }
            Self::AuthSent(_) => header.exchange == ExchangeType::IKE_AUTH && response,
            // A repeated IKE_AUTH request finds its answer by its Message ID.
            Self::Established(_) | Self::Rekeyed | Self::Closing(_) => match header.exchange {
                ExchangeType::CREATE_CHILD_SA | ExchangeType::INFORMATIONAL => true,
                ExchangeType::IKE_AUTH => !response,
                _ => false,
            },
            Self::Gone => header.exchange != ExchangeType::IKE_SA_INIT && !response,
            Self::Closed => false,
        }
    }
}
