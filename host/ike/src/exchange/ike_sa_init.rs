//! IKE_SA_INIT: suites, key exchange and nonces, in clear (RFC 7296 §1.2), with COOKIE, INVALID_KE_PAYLOAD
//! and NAT detection.
//!
//! Nothing that arrives here is authentic. It moves an exchange forward, or is noise; it ends none.

use std::net::SocketAddr;
use std::sync::Arc;

use vpnhost_crypto::{ActiveKeyExchange, CryptoError, SecretBytes};
use vpnhost_model::{Encapsulation, IkeSpi, IkeSuite, KeyExchange as Method, Now, Path, Role, Suite};

use crate::config::{EncapsulationPolicy, PeerConfig};
use crate::error::IkeError;
use crate::exchange::proposals;
use crate::exchange::shape::{self, ExchangeShapes, Shape};
use crate::extension::cookie::CookieClaim;
use crate::extension::nat_detection;
use crate::host::Host;
use crate::input::JobResult;
use crate::limits;
use crate::output::{CloseReason, Event, Job};
use crate::question::rank_proposals;
use crate::sa::IkeSa;
use crate::sa::keys::{self, IkeKeys, Nonces};
use crate::sa::secured::Secured;
use crate::sa::state::State;
use crate::sa::window::Window;
use crate::timer::Timer;
use crate::wire::payload::{KeyExchange, Nonce, Notify, NotifyType, SecurityAssociation};
use crate::wire::{DecodeErrorKind, ExchangeType, Flags, Header, Message, Payload, PayloadType};
use crate::work::{Resumed, Track};

/// This host begins.
pub(crate) struct SaInitSent {
    stage: Stage,
    suites: Vec<IkeSuite>,
    method: Method,
    active: Option<Box<dyn ActiveKeyExchange>>,
    nonce_i: Vec<u8>,
    cookie: Option<Vec<u8>>,
    attempts: u8,
    request: Vec<u8>,
    answer: Option<Answer>,
    refused: Option<NotifyType>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ranking,
    StartingKeyExchange,
    Sent,
    CompletingKeyExchange,
}

/// A response that fits.
struct Answer {
    octets: Vec<u8>,
    suite: IkeSuite,
    nonce_r: Vec<u8>,
}

/// The peer begins.
pub(crate) struct SaInitAnswered {
    pub(crate) candidates: Vec<Arc<PeerConfig>>,
    pub(crate) init: InitRecord,
    suites: Vec<IkeSuite>,
    suite: Option<IkeSuite>,
    offer: SecurityAssociation,
    key_exchange: KeyExchange,
}

/// What IKE_AUTH needs of IKE_SA_INIT.
#[derive(Clone, Debug, Default)]
pub(crate) struct InitRecord {
    /// RealMessage1.
    pub(crate) request: Vec<u8>,
    /// RealMessage2.
    pub(crate) response: Vec<u8>,
    pub(crate) nonce_i: Vec<u8>,
    pub(crate) nonce_r: Vec<u8>,
}

impl SaInitSent {
    /// Returns the unprotected refusal that came, if one did.
    pub(crate) fn refusal(&self) -> Option<CloseReason> {
        self.refused.map(|notify| CloseReason::RefusedByPeer { notify: notify.to_string() })
    }
}

// ---- initiator -------------------------------------------------------------------------------------

impl IkeSa {
    /// Makes an IKE SA that this host begins.
    pub(crate) fn initiate(
        host: &mut Host,
        now: Now,
        connection: Arc<PeerConfig>,
        gateway: SocketAddr,
    ) -> Result<Self, IkeError> {
        let (id, spi) = host.name_ike_sa()?;
        let nonce_i = host.draw_nonce()?;
        let any: std::net::IpAddr = if gateway.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
        // A gateway on a port of its own is spoken to from the NAT traversal socket.
        let port = if gateway.port() == 500 { host.config.ports[0] } else { host.config.ports[1] };
        let path = Path {
            local: SocketAddr::new(any, port),
            remote: gateway,
            interface: None,
            encapsulation: Encapsulation::Raw,
        };
        let state = State::SaInitSent(Box::new(SaInitSent {
            stage: Stage::Ranking,
            suites: Vec::new(),
            method: Method::NONE,
            active: None,
            nonce_i,
            cookie: None,
            attempts: 0,
            request: Vec::new(),
            answer: None,
            refused: None,
        }));
        let mut sa = Self::new(now, (id, Role::Initiator), (spi, IkeSpi::ZERO), path, state);
        sa.connection = Some(Arc::clone(&connection));
        sa.announced = true;
        tracing::info!(ike_sa = %id, connection = connection.name, "IKE SA begun");
        host.event(Event::IkeSaStarted {
            ike_sa: id,
            connection: Some(connection.name.clone()),
            role: Role::Initiator,
            path,
        });
        Ok(sa)
    }

    /// Ranks the suites to offer.
    pub(crate) fn start_init(&mut self, host: &mut Host, now: Now) {
        let Some(connection) = self.connection.clone() else { return };
        let suites = proposals::usable_ike(host.crypto, host.config.allow_legacy, &connection.ike);
        if suites.is_empty() {
            return self.end(host, now, CloseReason::NoProposalChosen);
        }
        let menu: Vec<Suite> = suites.iter().copied().map(Suite::Ike).collect();
        if let State::SaInitSent(init) = &mut self.state {
            init.suites = suites;
        }
        let about = (connection.name.as_str(), Role::Initiator);
        let question = rank_proposals::question(host.crypto, self, about, &menu, None);
        self.ask(host, now, Track::Local, question);
    }

    /// Goes on as initiator.
    pub(crate) fn resume_init_sent(&mut self, host: &mut Host, now: Now, resumed: Resumed) {
        let State::SaInitSent(init) = &mut self.state else { return };
        let result = match (init.stage, resumed) {
            (Stage::Ranking, Resumed::Answer(answer, by)) => {
                init.suites = rank_proposals::ranked(answer, &init.suites);
                let Some(first) = init.suites.first() else {
                    return self.end(host, now, CloseReason::NoProposalChosen);
                };
                init.method = first.key_exchange;
                let order = join(&init.suites);
                self.decided(host, "rank_proposals", by, order);
                self.start_init_key_exchange(host)
            }
            (Stage::StartingKeyExchange, Resumed::Work(JobResult::Started(started))) => match started {
                Ok(active) => {
                    init.active = Some(active);
                    init.stage = Stage::Sent;
                    self.send_init(host, now)
                }
                Err(error) => Err(error.into()),
            },
            (Stage::CompletingKeyExchange, Resumed::Work(JobResult::Completed(completed))) => match completed
            {
                Ok(shared) => self.complete_init(host, now, &shared),
                // The value may be forged: once more from the start, as far as attempts go.
                Err(CryptoError::BadPeerKey) if init.attempts < limits::INIT_ATTEMPTS => {
                    self.start_init_key_exchange(host)
                }
                Err(error) => Err(error.into()),
            },
            (
                Stage::Ranking | Stage::StartingKeyExchange | Stage::Sent | Stage::CompletingKeyExchange,
                Resumed::Answer(..) | Resumed::Work(_),
            ) => Ok(()),
        };
        self.settle(host, now, result);
    }

    fn start_init_key_exchange(&mut self, host: &mut Host) -> Result<(), IkeError> {
        let State::SaInitSent(init) = &mut self.state else { return Ok(()) };
        let algorithm = host.crypto.find_key_exchange(init.method).ok_or(CryptoError::Unsupported)?;
        init.stage = Stage::StartingKeyExchange;
        init.answer = None;
        self.window.withdraw();
        self.timers.stop(Timer::Retransmit);
        let random = host.draw_key_exchange()?;
        self.work(host, Track::Local, Job::StartKeyExchange(algorithm, random));
        Ok(())
    }

    /// Sends the request, with what COOKIE and INVALID_KE_PAYLOAD asked for.
    fn send_init(&mut self, host: &mut Host, now: Now) -> Result<(), IkeError> {
        let mut nat = self.nat_notifies(host);
        let State::SaInitSent(init) = &mut self.state else { return Ok(()) };
        let Some(active) = &init.active else { return Ok(()) };
        init.attempts += 1;
        let suites: Vec<Suite> = init.suites.iter().copied().map(Suite::Ike).collect();
        let mut payloads = Vec::new();
        if let Some(cookie) = &init.cookie {
            // RFC 7296, 2.6: the cookie is the first payload, everything else is unchanged.
            payloads.push(Payload::Notify(Notify::new(NotifyType::COOKIE, cookie.clone())));
        }
        payloads.push(Payload::SecurityAssociation(proposals::offer(&suites, &[])));
        let data = active.public().to_vec();
        payloads.push(Payload::KeyExchange(KeyExchange { method: init.method, data }));
        payloads.push(Payload::Nonce(Nonce { data: init.nonce_i.clone() }));
        payloads.append(&mut nat);
        payloads.push(notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED));
        let flags = Flags { initiator: true, version: false, response: false };
        let header = Header::new((self.spi_i, IkeSpi::ZERO), ExchangeType::IKE_SA_INIT, flags, 0);
        init.request = Message { header, payloads }.encode()?;
        let datagram = init.request.clone();
        self.launch(host, now, vec![datagram]);
        Ok(())
    }

    /// Takes a response to IKE_SA_INIT.
    pub(crate) fn handle_init_response(&mut self, host: &mut Host, now: Now, path: Path, datagram: &[u8]) {
        let State::SaInitSent(init) = &self.state else { return };
        let message = match Message::decode(datagram) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(ike_sa = %self.id, %error, "malformed IKE_SA_INIT response");
                return;
            }
        };
        if init.stage != Stage::Sent || message.header.message_id != 0 || shape::find(&message).is_none() {
            return;
        }
        let result = if let Some(cookie) = message.notify(NotifyType::COOKIE) {
            self.on_cookie(host, now, &cookie.data)
        } else if let Some(invalid) = message.notify(NotifyType::INVALID_KE_PAYLOAD) {
            self.on_invalid_ke(host, &invalid.data)
        } else if let Some(error) = message.error_notify() {
            self.remember_refusal(now, error.kind);
            Ok(())
        } else {
            self.on_init_answer(host, path, &message, datagram)
        };
        self.settle(host, now, result);
    }

    fn on_cookie(&mut self, host: &mut Host, now: Now, cookie: &[u8]) -> Result<(), IkeError> {
        let State::SaInitSent(init) = &mut self.state else { return Ok(()) };
        let sane = (1..=limits::COOKIE).contains(&cookie.len()) && init.attempts < limits::INIT_ATTEMPTS;
        if !sane || init.cookie.as_deref() == Some(cookie) {
            return Ok(());
        }
        tracing::debug!(ike_sa = %self.id, "the peer wants its cookie back");
        init.cookie = Some(cookie.to_vec());
        self.window.withdraw();
        self.send_init(host, now)
    }

    fn on_invalid_ke(&mut self, host: &mut Host, data: &[u8]) -> Result<(), IkeError> {
        let State::SaInitSent(init) = &mut self.state else { return Ok(()) };
        let Ok(number) = <[u8; 2]>::try_from(data) else { return Ok(()) };
        let method = Method(u16::from_be_bytes(number));
        // A method that was not offered is never followed: it would be a downgrade.
        let offered = init.suites.iter().any(|suite| suite.key_exchange == method);
        if !offered || method == init.method || init.attempts >= limits::INIT_ATTEMPTS {
            tracing::debug!(ike_sa = %self.id, %method, "INVALID_KE_PAYLOAD not followed");
            return Ok(());
        }
        init.method = method;
        self.start_init_key_exchange(host)
    }

    /// RFC 7296, 2.21.1: an unprotected error may be forged, so the true answer is waited for a while.
    fn remember_refusal(&mut self, now: Now, kind: NotifyType) {
        let State::SaInitSent(init) = &mut self.state else { return };
        tracing::debug!(ike_sa = %self.id, notify = %kind, "unprotected refusal, perhaps not the peer's");
        init.refused.get_or_insert(kind);
        self.timers.set_earlier(Timer::UnprotectedError, now.instant + limits::UNPROTECTED_ERROR_PATIENCE);
    }

    /// Nothing better came than an unprotected refusal.
    pub(crate) fn believe_refusal(&mut self, host: &mut Host, now: Now) {
        let State::SaInitSent(init) = &self.state else { return };
        if let (Stage::Sent, Some(reason)) = (init.stage, init.refusal()) {
            self.end(host, now, reason);
        }
    }

    fn on_init_answer(
        &mut self,
        host: &mut Host,
        path: Path,
        message: &Message,
        datagram: &[u8],
    ) -> Result<(), IkeError> {
        let State::SaInitSent(init) = &mut self.state else { return Ok(()) };
        let (Some(choice), Some(ke), Some(nonce)) =
            (message.security_association(), message.key_exchange(), message.nonce())
        else {
            return Ok(());
        };
        let offered: Vec<Suite> = init.suites.iter().copied().map(Suite::Ike).collect();
        let chosen = proposals::chosen(choice, &offered).map(|(suite, _)| suite);
        // The group must be the one of the public value that was sent.
        let Some(Suite::Ike(suite)) = chosen.filter(|_| ke.method == init.method) else {
            tracing::debug!(ike_sa = %self.id, "a choice that was not offered, perhaps not the peer's");
            return Ok(());
        };
        if suite.key_exchange != init.method || message.header.spi_r.is_zero() {
            return Ok(());
        }
        let Some(active) = init.active.take() else { return Ok(()) };
        init.stage = Stage::CompletingKeyExchange;
        init.answer = Some(Answer { octets: datagram.to_vec(), suite, nonce_r: nonce.data.clone() });
        let data = ke.data.clone();
        self.window.withdraw();
        self.timers.stop(Timer::Retransmit);
        self.timers.stop(Timer::UnprotectedError);
        self.spi_r = message.header.spi_r;
        self.fragmentation = message.notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED).is_some();
        self.path = Path { local: path.local, interface: path.interface, ..self.path };
        self.find_nats(host, message);
        self.float(host);
        self.work(host, Track::Local, Job::CompleteKeyExchange(active, data));
        Ok(())
    }

    fn complete_init(&mut self, host: &mut Host, now: Now, shared: &SecretBytes) -> Result<(), IkeError> {
        let State::SaInitSent(init) = &mut self.state else { return Ok(()) };
        let Some(answer) = init.answer.take() else { return Ok(()) };
        let record = InitRecord {
            request: std::mem::take(&mut init.request),
            response: answer.octets,
            nonce_i: init.nonce_i.clone(),
            nonce_r: answer.nonce_r,
        };
        self.secure(host, answer.suite, shared, &record)?;
        self.window = Window::new(1, 0);
        self.begin_auth(host, now, record)
    }

    // ---- both ----------------------------------------------------------------------------------------

    /// Derives the keys and takes them into use.
    fn secure(
        &mut self,
        host: &Host,
        suite: IkeSuite,
        shared: &SecretBytes,
        record: &InitRecord,
    ) -> Result<(), IkeError> {
        let prf = host.crypto.find_prf(suite.prf).ok_or(CryptoError::Unsupported)?;
        let nonces = Nonces { i: &record.nonce_i, r: &record.nonce_r };
        let seed = keys::skeyseed(prf, nonces, shared)?;
        let spis = (self.spi_i, self.spi_r);
        let layout = packet_layout(host, suite)?;
        let keys = IkeKeys::derive(prf, layout, &seed, nonces, spis)?;
        self.secured = Some(Secured::new(host.crypto, suite, keys, self.role)?);
        Ok(())
    }

    /// Says where this host's messages come from and go to, as far as it knows.
    fn nat_notifies(&self, host: &Host) -> Vec<Payload> {
        let spis = (self.spi_i, self.spi_r);
        let (local, remote) = (self.path.local, self.path.remote);
        let mut sources = Vec::new();
        if self.wants_encapsulation() {
            // RFC 7296, 2.23: a hash that matches nothing makes the peer wrap ESP in UDP.
            sources.extend(nat_detection::hash(host.crypto, spis, SocketAddr::new(local.ip(), 0)));
        } else if local.ip().is_unspecified() {
            // The kernel chooses the source: any of our addresses may be it.
            let mine = host.local_addresses.iter().map(|link| link.address);
            let family = mine.filter(|address| address.is_ipv4() == local.is_ipv4());
            sources.extend(family.take(limits::NAT_DETECTION_SOURCES).filter_map(|ip| {
                nat_detection::hash(host.crypto, spis, SocketAddr::new(ip, local.port())).ok()
            }));
        }
        if sources.is_empty() {
            sources.extend(nat_detection::hash(host.crypto, spis, local));
        }
        let destination = nat_detection::hash(host.crypto, spis, remote);
        let source = |digest: [u8; 20]| (NotifyType::NAT_DETECTION_SOURCE_IP, digest);
        sources
            .into_iter()
            .map(source)
            .chain(destination.map(|digest| (NotifyType::NAT_DETECTION_DESTINATION_IP, digest)))
            .map(|(kind, digest)| Payload::Notify(Notify::new(kind, digest)))
            .collect()
    }

    fn find_nats(&mut self, host: &Host, message: &Message) {
        let digests = |kind: NotifyType| -> Vec<&[u8]> {
            let of_kind = message.notifies().filter(|notify| notify.kind == kind);
            of_kind.map(|notify| notify.data.as_slice()).collect()
        };
        let sources = digests(NotifyType::NAT_DETECTION_SOURCE_IP);
        let destinations = digests(NotifyType::NAT_DETECTION_DESTINATION_IP);
        let spis = (message.header.spi_i, message.header.spi_r);
        let ends = (self.path.local, self.path.remote);
        self.nat = nat_detection::find(host.crypto, spis, ends, (&sources, &destinations));
        tracing::debug!(ike_sa = %self.id, nat = ?self.nat, "NAT detection");
    }

    /// Moves to the NAT traversal port where there is a NAT, or where the operator wants UDP.
    ///
    /// RFC 7296, 2.23: the initiator moves, right after IKE_SA_INIT.
    fn float(&mut self, host: &Host) {
        let wanted = self.nat.local || self.nat.peer || self.wants_encapsulation();
        if self.nat.supported && wanted {
            self.path.local.set_port(host.config.ports[1]);
            if self.path.remote.port() == 500 {
                self.path.remote.set_port(4500);
            }
        }
        self.choose_encapsulation(host);
    }
}

// ---- responder -------------------------------------------------------------------------------------

/// Returns the nonce of an IKE_SA_INIT request, by which a repeated one is known.
pub(crate) fn nonce_of(datagram: &[u8]) -> Option<Vec<u8>> {
    Message::decode(datagram).ok()?.nonce().map(|nonce| nonce.data.clone())
}

/// Takes an IKE_SA_INIT request; returns the IKE SA that it begins, if any.
pub(crate) fn accept(host: &mut Host, now: Now, path: Path, datagram: &[u8]) -> Option<IkeSa> {
    let header = Header::decode(datagram).ok()?;
    let message = match Message::decode(datagram) {
        Ok(message) => message,
        Err(error) => {
            tracing::debug!(%path, %error, "malformed IKE_SA_INIT request");
            if error.kind == DecodeErrorKind::UnknownCritical {
                let notify = Notify::new(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, vec![error.payload.0]);
                answer_unprotected(host, now, path, &header, notify);
            }
            return None;
        }
    };
    shape::find(&message)?;
    let (offer, ke, nonce) = (message.security_association()?, message.key_exchange()?, message.nonce()?);
    if ke.data.len() > limits::KEY_EXCHANGE_DATA || !admit(host, now, path, &message) {
        return None;
    }
    let candidates = candidates(host, path);
    let suites = acceptable(host, &candidates, offer);
    if suites.is_empty() {
        tracing::info!("a peer offered no acceptable proposal for an IKE SA");
        tracing::debug!(%path, "no common proposal");
        answer_unprotected(host, now, path, &header, Notify::new(NotifyType::NO_PROPOSAL_CHOSEN, vec![]));
        return None;
    }
    let (id, spi) = host.name_ike_sa().ok()?;
    let nonce_r = host.draw_nonce().ok()?;
    let init =
        InitRecord { request: datagram.to_vec(), response: Vec::new(), nonce_i: nonce.data.clone(), nonce_r };
    host.directory.inits.insert((header.spi_i, nonce.data.clone()), id);
    let state = State::SaInitAnswered(Box::new(SaInitAnswered {
        candidates,
        init,
        suites,
        suite: None,
        offer: offer.clone(),
        key_exchange: ke.clone(),
    }));
    let mut sa = IkeSa::new(now, (id, Role::Responder), (header.spi_i, spi), path, state);
    sa.find_nats(host, &message);
    sa.fragmentation = message.notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED).is_some();
    Some(sa)
}

/// Lets a request in: room is left, and whoever asks from where many ask has returned a cookie.
fn admit(host: &mut Host, now: Now, path: Path, message: &Message) -> bool {
    let (all, of_address) = host.half_open(path.remote.ip());
    if all >= limits::HALF_OPEN || of_address >= limits::HALF_OPEN_PER_ADDRESS || host.jobs.is_full() {
        tracing::debug!(%path, all, of_address, "IKE_SA_INIT dropped: too many are half open");
        return false;
    }
    let crowded =
        all >= host.config.cookie_threshold || of_address >= limits::HALF_OPEN_PER_ADDRESS_BEFORE_COOKIE;
    if !crowded {
        return true;
    }
    let Some(nonce) = message.nonce() else { return false };
    let claim = CookieClaim { nonce_i: &nonce.data, remote: path.remote, spi_i: message.header.spi_i };
    if let Some(cookie) = message.notify(NotifyType::COOKIE)
        && host.cookies.admits(now.instant, host.crypto, claim, &cookie.data)
    {
        return true;
    }
    match host.cookies.bake(now.instant, &mut *host.random, host.crypto, claim) {
        Ok(cookie) => {
            let notify = Notify::new(NotifyType::COOKIE, cookie);
            if let Some(octets) = unprotected(&message.header, notify) {
                host.transmit(path, octets);
            }
        }
        Err(error) => tracing::warn!(%error, "no cookie could be made"),
    }
    false
}

/// Returns the connections that an address may belong to, in the order of the file.
fn candidates(host: &Host, path: Path) -> Vec<Arc<PeerConfig>> {
    let from_there = |connection: &&Arc<PeerConfig>| {
        let gateways = &connection.gateways;
        gateways.is_empty() || gateways.iter().any(|gateway| gateway.address.ip() == path.remote.ip())
    };
    let responders = host.config.connections.iter().filter(|connection| connection.respond);
    responders.filter(from_there).cloned().collect()
}

/// Returns the suites of the connections that the offer has, in the order of the file.
fn acceptable(host: &Host, candidates: &[Arc<PeerConfig>], offer: &SecurityAssociation) -> Vec<IkeSuite> {
    let configured: Vec<IkeSuite> =
        candidates.iter().flat_map(|connection| connection.ike.iter().copied()).collect();
    let usable = proposals::usable_ike(host.crypto, host.config.allow_legacy, &configured);
    usable.into_iter().filter(|suite| proposals::fitting(&Suite::Ike(*suite), offer).is_some()).collect()
}

/// Sends an answer in clear, if not too many were sent lately.
fn answer_unprotected(host: &mut Host, now: Now, path: Path, request: &Header, notify: Notify) {
    if let Some(octets) = unprotected(request, notify) {
        host.transmit_unprotected(now, path, octets);
    }
}

/// Writes the answer in clear to a request: its SPIs and Message ID, and one Notify.
pub(crate) fn unprotected(request: &Header, notify: Notify) -> Option<Vec<u8>> {
    let flags = Flags { initiator: !request.flags.initiator, version: false, response: true };
    let spis = (request.spi_i, request.spi_r);
    let header = Header::new(spis, request.exchange, flags, request.message_id);
    Message { header, payloads: vec![Payload::Notify(notify)] }.encode().ok()
}

impl IkeSa {
    /// Begins to answer: counts as half open, and ranks what both sides can do.
    pub(crate) fn start_answer(&mut self, host: &mut Host, now: Now) {
        host.count_half_open(self.path.remote.ip());
        self.counted_half_open = Some(self.path.remote.ip());
        let State::SaInitAnswered(init) = &self.state else { return };
        let timing = init.candidates.first().map(|connection| connection.timing).unwrap_or_default();
        self.timers.set(Timer::HalfOpen, now.instant + timing.half_open);
        let menu: Vec<Suite> = init.suites.iter().copied().map(Suite::Ike).collect();
        let key_share = Some(init.key_exchange.method);
        let connection = init.candidates.first().map_or("", |connection| connection.name.as_str());
        let about = (connection, Role::Responder);
        let question = rank_proposals::question(host.crypto, self, about, &menu, key_share);
        // A crowd must not buy plugins' time: then the native policy answers at once.
        let (all, _) = host.half_open(self.path.remote.ip());
        if all > host.config.cookie_threshold {
            let answer = crate::question::answer_natively(&*host.policy, &question);
            let native = crate::work::AnsweredBy::Native;
            return self.resume(host, now, Track::Remote, Resumed::Answer(answer, native));
        }
        self.ask(host, now, Track::Remote, question);
    }

    /// Goes on as responder.
    pub(crate) fn resume_init_answered(&mut self, host: &mut Host, now: Now, resumed: Resumed) {
        let State::SaInitAnswered(init) = &mut self.state else { return };
        let result = match resumed {
            Resumed::Answer(answer, by) if init.suite.is_none() => {
                let ranked = rank_proposals::ranked(answer, &init.suites);
                let Some(suite) = ranked.first().copied() else {
                    return self.refuse_init(host, now, Notify::new(NotifyType::NO_PROPOSAL_CHOSEN, vec![]));
                };
                init.suite = Some(suite);
                let method = init.key_exchange.method;
                self.decided(host, "rank_proposals", by, suite.to_string());
                if suite.key_exchange != method {
                    // RFC 7296, 1.2: the initiator guessed another group; nothing is kept of it.
                    let wanted = suite.key_exchange.0.to_be_bytes();
                    return self.refuse_init(host, now, Notify::new(NotifyType::INVALID_KE_PAYLOAD, wanted));
                }
                self.answer_init_key_exchange(host, method)
            }
            Resumed::Work(JobResult::Responded(responded)) => responded
                .map_err(IkeError::from)
                .and_then(|(public, shared)| self.answer_init(host, now, public, &shared)),
            Resumed::Answer(..) | Resumed::Work(_) => Ok(()),
        };
        self.settle(host, now, result);
    }

    fn answer_init_key_exchange(&mut self, host: &mut Host, method: Method) -> Result<(), IkeError> {
        let State::SaInitAnswered(init) = &self.state else { return Ok(()) };
        let algorithm = host.crypto.find_key_exchange(method).ok_or(CryptoError::Unsupported)?;
        let data = init.key_exchange.data.clone();
        let random = host.draw_key_exchange()?;
        self.work(host, Track::Remote, Job::RespondKeyExchange(algorithm, data, random));
        Ok(())
    }

    /// Refuses in clear and forgets: nothing is kept of a request that has to come again.
    fn refuse_init(&mut self, host: &mut Host, now: Now, notify: Notify) {
        let State::SaInitAnswered(init) = &self.state else { return };
        if let Ok(header) = Header::decode(&init.init.request) {
            answer_unprotected(host, now, self.path, &header, notify);
        }
        self.end(host, now, CloseReason::NoProposalChosen);
    }

    fn answer_init(
        &mut self,
        host: &mut Host,
        now: Now,
        public: Vec<u8>,
        shared: &SecretBytes,
    ) -> Result<(), IkeError> {
        let always = |init: &SaInitAnswered| {
            let encapsulation = init.candidates.first().map(|connection| connection.encapsulation);
            encapsulation == Some(EncapsulationPolicy::Always)
        };
        let State::SaInitAnswered(init) = &self.state else { return Ok(()) };
        let Some(suite) = init.suite else { return Ok(()) };
        // Which connection it is shows only in IKE_AUTH; the first that fits stands for it here.
        if always(init) {
            self.connection = init.candidates.first().cloned();
        }
        let number =
            proposals::fitting(&Suite::Ike(suite), &init.offer).map_or(1, |proposal| proposal.number);
        let mut payloads = vec![
            Payload::SecurityAssociation(proposals::choice(&Suite::Ike(suite), number, &[])),
            Payload::KeyExchange(KeyExchange { method: suite.key_exchange, data: public }),
            Payload::Nonce(Nonce { data: init.init.nonce_r.clone() }),
        ];
        payloads.extend(self.nat_notifies(host));
        if self.fragmentation {
            payloads.push(notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED));
        }
        let flags = Flags { initiator: false, version: false, response: true };
        let header = Header::new((self.spi_i, self.spi_r), ExchangeType::IKE_SA_INIT, flags, 0);
        let octets = Message { header, payloads }.encode()?;
        self.connection = None;
        let State::SaInitAnswered(init) = &mut self.state else { return Ok(()) };
        init.init.response = octets.clone();
        let record = init.init.clone();
        self.secure(host, suite, shared, &record)?;
        self.announced = true;
        let (ike_sa, role, path) = (self.id, Role::Responder, self.path);
        tracing::info!(%ike_sa, "IKE SA begun by a peer");
        host.event(Event::IkeSaStarted { ike_sa, connection: None, role, path });
        host.transmit(self.path, octets.clone());
        self.last_sent = now.instant;
        self.window = Window::new(0, 0);
        self.window.answer(vec![octets]);
        Ok(())
    }

    /// The request came again: whoever asked gets the answer again, if there is one yet.
    pub(crate) fn repeat_init(&mut self, host: &mut Host, path: Path) {
        if self.window.expected() != 1 {
            return;
        }
        for datagram in self.window.reply() {
            host.transmit(path, datagram.clone());
        }
    }
}

/// Returns the lengths of an IKE suite's keys.
pub(crate) fn packet_layout(
    host: &Host,
    suite: IkeSuite,
) -> Result<vpnhost_crypto::PacketLayout, CryptoError> {
    use vpnhost_crypto::PacketAlgorithm;
    Ok(host.crypto.find_packet(suite.packet).ok_or(CryptoError::Unsupported)?.layout())
}

pub(crate) fn notify(kind: NotifyType) -> Payload {
    Payload::Notify(Notify::new(kind, vec![]))
}

/// Writes suites for people.
pub(crate) fn join<S: std::fmt::Display>(suites: &[S]) -> String {
    suites.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// RFC 7296 §1.2 and appendix C.1.
pub(crate) const SHAPES: ExchangeShapes = ExchangeShapes {
    exchange: ExchangeType::IKE_SA_INIT,
    requests: &[Shape::of(
        "request",
        &[PayloadType::SECURITY_ASSOCIATION, PayloadType::KEY_EXCHANGE, PayloadType::NONCE],
        &[],
    )],
    responses: &[
        Shape::of(
            "answer",
            &[PayloadType::SECURITY_ASSOCIATION, PayloadType::KEY_EXCHANGE, PayloadType::NONCE],
            &[],
        ),
        Shape::error("error"),
        Shape::of("cookie", &[PayloadType::NOTIFY], &[]),
    ],
};
