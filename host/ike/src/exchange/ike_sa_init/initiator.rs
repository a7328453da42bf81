//! IKE_SA_INIT as this host begins it.

use std::net::SocketAddr;
use std::sync::Arc;

use vpnhost_crypto::{CryptoError, SecretBytes};
use vpnhost_model::{Encapsulation, IkeSpi, KeyExchange as Method, Now, Path, Protocol, Role, Suite};

use crate::auth::certificates;
use crate::config::PeerConfig;
use crate::error::IkeError;
use crate::exchange::proposals;
use crate::exchange::shape;
use crate::extension::signature_hashes;
use crate::host::Host;
use crate::input::JobResult;
use crate::limits;
use crate::output::{CloseReason, Event, Job};
use crate::question::rank_proposals;
use crate::reason::Asked;
use crate::sa::IkeSa;
use crate::sa::state::State;
use crate::sa::window::Window;
use crate::timer::Timer;
use crate::wire::payload::{KeyExchange, Nonce, Notify, NotifyType};
use crate::wire::{ExchangeType, Flags, Header, Message, Payload};
use crate::work::{Resumed, Track};

use super::{Answer, InitRecord, SaInitSent, Stage, join, notify};

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
        tracing::debug!(ike_sa = %id, connection = connection.name, "IKE SA begun");
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
            return self.end(host, now, CloseReason::NothingToOffer(Protocol::IKE));
        }
        let menu: Vec<Suite> = suites.iter().copied().map(Suite::Ike).collect();
        if let State::SaInitSent(init) = &mut self.state {
            init.suites = suites;
        }
        let about = (connection.name.as_str(), Role::Initiator);
        let question = rank_proposals::question(host, self, about, (&menu, &[]), None);
        self.ask(host, now, Track::Local, question);
    }

    /// Goes on as initiator.
    pub(crate) fn resume_init_sent(&mut self, host: &mut Host, now: Now, resumed: Resumed) {
        let State::SaInitSent(init) = &mut self.state else { return };
        let result = match (init.stage, resumed) {
            (Stage::Ranking, Resumed::Answer(answer, by)) => {
                init.suites = rank_proposals::ranked(answer, &init.suites);
                let Some(first) = init.suites.first() else {
                    return self.end(host, now, CloseReason::NothingToOffer(Protocol::IKE));
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
        payloads
            .extend(signature_hashes::notify(host, self.connection.iter().map(|connection| &**connection)));
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
            self.on_invalid_ke(host, now, &invalid.data)
        } else if let Some(error) = message.error_notify() {
            let asked = Asked::Ike(init.suites.clone());
            self.remember_refusal(now, CloseReason::refused_by_peer(error.kind, asked));
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

    fn on_invalid_ke(&mut self, host: &mut Host, now: Now, data: &[u8]) -> Result<(), IkeError> {
        let State::SaInitSent(init) = &mut self.state else { return Ok(()) };
        let Ok(number) = <[u8; 2]>::try_from(data) else { return Ok(()) };
        let method = Method(u16::from_be_bytes(number));
        // A method that was not offered is never followed: it would be a downgrade.
        let offered = init.suites.iter().any(|suite| suite.key_exchange == method);
        if !offered || method == init.method || init.attempts >= limits::INIT_ATTEMPTS {
            tracing::debug!(ike_sa = %self.id, %method, "INVALID_KE_PAYLOAD not followed");
            let mut groups: Vec<Method> = init.suites.iter().map(|suite| suite.key_exchange).collect();
            groups.dedup();
            let asked = Asked::Group { wanted: method, offered: groups, child: false };
            let refusal = CloseReason::refused_by_peer(NotifyType::INVALID_KE_PAYLOAD, asked);
            self.remember_refusal(now, refusal);
            return Ok(());
        }
        init.method = method;
        self.start_init_key_exchange(host)
    }

    /// RFC 7296, 2.21.1: an unprotected error may be forged, so the true answer is waited for a while.
    fn remember_refusal(&mut self, now: Now, refusal: CloseReason) {
        let State::SaInitSent(init) = &mut self.state else { return };
        tracing::debug!(ike_sa = %self.id, %refusal, "unprotected refusal, perhaps not the peer's");
        init.refused.get_or_insert(refusal);
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
        init.answer = Some(Answer {
            octets: datagram.to_vec(),
            suite,
            nonce_r: nonce.data.clone(),
            hashes: signature_hashes::read(host, message),
            authorities: certificates::requested(message),
            childless: message.notify(NotifyType::CHILDLESS_IKEV2_SUPPORTED).is_some(),
        });
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
            hashes: answer.hashes,
            authorities: answer.authorities,
            childless: answer.childless,
        };
        self.secure(host, answer.suite, shared, &record)?;
        self.window = Window::new(1, 0);
        self.begin_auth(host, now, record)
    }
}
