//! IKE_SA_INIT as a peer begins it (RFC 7296 §1.2, §2.6).

use std::sync::Arc;

use vpnhost_crypto::{CryptoError, SecretBytes};
use vpnhost_model::{IkeSuite, KeyExchange as Method, Now, Path, Role, Suite};

use crate::auth::certificates;
use crate::config::{EncapsulationPolicy, PeerConfig};
use crate::crowd::Admission;
use crate::error::IkeError;
use crate::exchange::proposals;
use crate::exchange::shape;
use crate::extension::childless;
use crate::extension::cookie::CookieClaim;
use crate::extension::signature_hashes;
use crate::host::Host;
use crate::input::JobResult;
use crate::limits;
use crate::output::{CloseReason, Event, Job};
use crate::question::rank_proposals;
use crate::reason::ProposalGap;
use crate::sa::IkeSa;
use crate::sa::state::State;
use crate::sa::window::Window;
use crate::timer::Timer;
use crate::wire::payload::{KeyExchange, Nonce, Notify, NotifyType, SecurityAssociation};
use crate::wire::{DecodeErrorKind, ExchangeType, Flags, Header, Message, Payload};
use crate::work::{Resumed, Track};

use super::{InitRecord, Noise, SaInitAnswered, notify};

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
        answer_unprotected(host, now, path, &header, Notify::new(NotifyType::NO_PROPOSAL_CHOSEN, vec![]));
        tell_refusal(host, now, path, &candidates, offer);
        return None;
    }
    let (id, spi) = host.name_ike_sa().ok()?;
    let nonce_r = host.draw_nonce().ok()?;
    let init = InitRecord {
        request: datagram.to_vec(),
        response: Vec::new(),
        nonce_i: nonce.data.clone(),
        nonce_r,
        hashes: signature_hashes::read(host, &message),
        authorities: None,
        childless: false,
    };
    host.directory.inits.insert((header.spi_i, nonce.data.clone()), id);
    let state = State::SaInitAnswered(Box::new(SaInitAnswered {
        candidates,
        init,
        suites,
        suite: None,
        offer: offer.clone(),
        key_exchange: ke.clone(),
        verifying: None,
        eap: None,
        noise: Noise::default(),
    }));
    let mut sa = IkeSa::new(now, (id, Role::Responder), (header.spi_i, spi), path, state);
    sa.find_nats(host, &message);
    sa.fragmentation = message.notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED).is_some();
    Some(sa)
}

/// Lets a request in: room is left, and whoever asks from where many ask has returned a cookie.
fn admit(host: &mut Host, now: Now, path: Path, message: &Message) -> bool {
    let address = path.remote.ip();
    let admission = host.directory.crowd.admission(now.instant, address, host.config.cookie_threshold);
    match admission {
        Admission::Full => {}
        Admission::WithCookie | Admission::Open if host.jobs.is_full() => {}
        Admission::Open => return true,
        Admission::WithCookie if returns_cookie(host, now, path, message) => {
            host.directory.crowd.admitted(now.instant, address);
            return true;
        }
        Admission::WithCookie => return false,
    }
    host.tally.inits_dropped += 1;
    tracing::debug!(%path, ?admission, "IKE_SA_INIT dropped: there are too many");
    false
}

/// Tells whether a request has the cookie that its sender was given; if not, it is given one.
fn returns_cookie(host: &mut Host, now: Now, path: Path, message: &Message) -> bool {
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
            if let Some(octets) = unprotected(&message.header, vec![notify]) {
                host.tally.cookies_asked += 1;
                host.transmit(None, path, octets);
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

/// Tells why nothing came of a request, if not too many were told of lately: it is a stranger's.
fn tell_refusal(
    host: &mut Host,
    now: Now,
    path: Path,
    candidates: &[Arc<PeerConfig>],
    offer: &SecurityAssociation,
) {
    if !host.refusals.take(now.instant) {
        return;
    }
    let reason = if candidates.is_empty() {
        CloseReason::NoConnection
    } else {
        CloseReason::NoProposalChosen(Box::new(ProposalGap::among(offer, candidates)))
    };
    tracing::debug!(%path, %reason, "IKE_SA_INIT refused");
    host.event(Event::Refused { path, reason });
}

/// Sends an answer in clear, if not too many were sent lately.
fn answer_unprotected(host: &mut Host, now: Now, path: Path, request: &Header, notify: Notify) {
    if let Some(octets) = unprotected(request, vec![notify]) {
        host.transmit_unprotected(now, path, octets);
    }
}

/// Writes the answer in clear to a request: its SPIs and Message ID, and what Notifies say.
pub(crate) fn unprotected(request: &Header, notifies: Vec<Notify>) -> Option<Vec<u8>> {
    let flags = Flags { initiator: !request.flags.initiator, version: false, response: true };
    let spis = (request.spi_i, request.spi_r);
    let header = Header::new(spis, request.exchange, flags, request.message_id);
    let payloads = notifies.into_iter().map(Payload::Notify).collect();
    Message { header, payloads }.encode().ok()
}

impl IkeSa {
    /// Begins to answer: counts as half open, and ranks what both sides can do.
    pub(crate) fn start_answer(&mut self, host: &mut Host, now: Now) {
        let threshold = host.config.cookie_threshold;
        host.directory.crowd.enter(self.path.remote.ip());
        self.counted_half_open = Some(self.path.remote.ip());
        let State::SaInitAnswered(init) = &self.state else { return };
        let timing = init.candidates.first().map(|connection| connection.timing).unwrap_or_default();
        let patience = host.directory.crowd.patience(timing.half_open, threshold);
        self.timers.set(Timer::HalfOpen, now.instant + patience);
        let menu: Vec<Suite> = init.suites.iter().copied().map(Suite::Ike).collect();
        let candidates = init.candidates.iter();
        let configured: Vec<IkeSuite> =
            candidates.flat_map(|connection| connection.ike.iter().copied()).collect();
        let mut missing = proposals::usable_ike(host.crypto, host.config.allow_legacy, &configured);
        missing.retain(|suite| !init.suites.contains(suite));
        missing.truncate(limits::NOT_OFFERED);
        let missing: Vec<Suite> = missing.into_iter().map(Suite::Ike).collect();
        let key_share = Some(init.key_exchange.method);
        let connection = init.candidates.first().map_or("", |connection| connection.name.as_str());
        let about = (connection, Role::Responder);
        let question = rank_proposals::question(host, self, about, (&menu, &missing), key_share);
        // A crowd must not buy plugins' time: then the native policy answers at once.
        if host.directory.crowd.half_open() > threshold {
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
        let kind = notify.kind;
        if let Ok(header) = Header::decode(&init.init.request) {
            answer_unprotected(host, now, self.path, &header, notify);
        }
        self.end(host, now, CloseReason::Refused(kind));
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
        // RFC 7427, 4: only whoever told its own hashes understands ours.
        let candidates = init.candidates.iter().map(|connection| &**connection);
        if !init.init.hashes.is_empty() {
            payloads.extend(signature_hashes::notify(host, candidates.clone()));
        }
        payloads.extend(childless::supported(candidates.clone()));
        payloads.extend(certificates::request(host.crypto, candidates));
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
        tracing::debug!(%ike_sa, "IKE SA begun by a peer");
        host.event(Event::IkeSaStarted { ike_sa, connection: None, role, path });
        host.transmit(ike_sa, self.path, octets.clone());
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
            host.transmit(self.id, path, datagram.clone());
        }
    }
}
