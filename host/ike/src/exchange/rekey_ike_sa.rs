//! CREATE_CHILD_SA for an IKE SA in the place of this one (RFC 7296 §1.3.2, §2.18), and who wins when both
//! sides do so at once (§2.8.1, §2.25.2).

use vpnhost_crypto::{ActiveKeyExchange, CryptoError, SecretBytes};
use vpnhost_model::{IkeSaId, IkeSpi, IkeSuite, KeyExchange as Method, Now, Protocol, Role, Suite};

use crate::error::IkeError;
use crate::exchange::create_child_sa::Refusal;
use crate::exchange::ike_sa_init::{join, packet_layout};
use crate::exchange::{LocalExchange, RemoteExchange, proposals};
use crate::extension::crash_detection;
use crate::host::{Host, Letter};
use crate::input::JobResult;
use crate::limits;
use crate::output::{CloseReason, Event, Job};
use crate::question::rank_proposals;
use crate::reason::Asked;
use crate::sa::IkeSa;
use crate::sa::estate::{lowest_nonce, ours_is_redundant};
use crate::sa::keys::{self, IkeKeys, Nonces};
use crate::sa::queue::Task;
use crate::sa::secured::Secured;
use crate::sa::state::{Rival, State};
use crate::timer::Timer;
use crate::wire::payload::{Delete, KeyExchange, Nonce, Notify, NotifyType, SecurityAssociation};
use crate::wire::{ExchangeType, Message, Payload};
use crate::work::{Resumed, Track};

/// This host's rekey of the IKE SA.
pub(crate) struct LocalIkeRekey {
    id: IkeSaId,
    pub(crate) spi: IkeSpi,
    suites: Vec<IkeSuite>,
    method: Method,
    nonce_i: Vec<u8>,
    attempts: u8,
    stage: LocalStage,
}

enum LocalStage {
    Ranking,
    StartingKeyExchange,
    Sent(Box<dyn ActiveKeyExchange>),
    CompletingKeyExchange {
        suite: IkeSuite,
        spi_r: IkeSpi,
        nonce_r: Vec<u8>,
        /// The peer's token for the new IKE SA.
        token: Option<SecretBytes>,
    },
}

impl LocalIkeRekey {
    /// Tells whether the peer knows nothing of it yet.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(self.stage, LocalStage::Ranking | LocalStage::StartingKeyExchange)
    }

    /// Returns what the peer was asked for, in the light of its answer.
    fn asked(&self, error: &Notify) -> Asked {
        let wanted = <[u8; 2]>::try_from(error.data.as_slice()).map(|n| Method(u16::from_be_bytes(n)));
        if let (NotifyType::INVALID_KE_PAYLOAD, Ok(wanted)) = (error.kind, wanted) {
            let mut offered: Vec<Method> = self.suites.iter().map(|suite| suite.key_exchange).collect();
            offered.dedup();
            return Asked::Group { wanted, offered, child: false };
        }
        Asked::Ike(self.suites.clone())
    }
}

/// The peer's rekey of the IKE SA, on its way to an answer.
pub(crate) struct IkeRekeyDecision {
    offer: SecurityAssociation,
    spi_i: IkeSpi,
    nonce_i: Vec<u8>,
    key_exchange: KeyExchange,
    suites: Vec<IkeSuite>,
    /// What is configured and not offered.
    missing: Vec<IkeSuite>,
    suite: Option<IkeSuite>,
}

/// What the keys of the new IKE SA come from.
struct Material<'a> {
    spis: (IkeSpi, IkeSpi),
    suite: IkeSuite,
    shared: &'a SecretBytes,
    nonces: Nonces<'a>,
}

// ---- initiator -------------------------------------------------------------------------------------

impl IkeSa {
    /// Ranks the suites of the IKE SA that is to take this one's place.
    pub(crate) fn begin_rekey_ike_sa(&mut self, host: &mut Host, now: Now) {
        let Some(established) = self.established() else { return };
        if established.rival.is_some() || !self.announced {
            return;
        }
        let connection = std::sync::Arc::clone(&established.connection);
        let suites = proposals::usable_ike(host.crypto, host.config.allow_legacy, &connection.ike);
        let drawn = host.draw_nonce().and_then(|nonce| Ok((nonce, host.name_ike_sa()?)));
        let (nonce_i, (id, spi)) = match drawn {
            Ok(drawn) => drawn,
            Err(error) => return self.settle(host, now, Err(error.into())),
        };
        let menu: Vec<Suite> = suites.iter().copied().map(Suite::Ike).collect();
        let stage = LocalStage::Ranking;
        let rekey = LocalIkeRekey { id, spi, suites, method: Method::NONE, nonce_i, attempts: 0, stage };
        let about = (connection.name.as_str(), Role::Initiator);
        let question = rank_proposals::question(host, self, about, (&menu, &[]), None);
        self.set_local(LocalExchange::RekeyIkeSa(Box::new(rekey)));
        self.ask(host, now, Track::Local, question);
    }

    /// Goes on with this host's rekey.
    pub(crate) fn resume_local_ike_rekey(
        &mut self,
        host: &mut Host,
        now: Now,
        mut rekey: Box<LocalIkeRekey>,
        resumed: Resumed,
    ) {
        let stage = std::mem::replace(&mut rekey.stage, LocalStage::Ranking);
        match (stage, resumed) {
            (LocalStage::Ranking, Resumed::Answer(answer, by)) => {
                rekey.suites = rank_proposals::ranked(answer, &rekey.suites);
                let order = join(&rekey.suites);
                let Some(first) = rekey.suites.first() else {
                    host.directory.ike_spis.remove(&rekey.spi);
                    return self.on_ike_rekey_failed(host, now, CloseReason::NothingToOffer(Protocol::IKE));
                };
                rekey.method = first.key_exchange;
                self.decided(host, "rank_proposals", by, order);
                self.start_rekey_key_exchange(host, now, rekey);
            }
            (LocalStage::StartingKeyExchange, Resumed::Work(JobResult::Started(started))) => match started {
                Ok(active) => self.send_rekey_ike(host, now, rekey, active),
                Err(error) => self.abandon_ike_rekey(host, now, rekey, error.into()),
            },
            (
                LocalStage::CompletingKeyExchange { suite, spi_r, nonce_r, token },
                Resumed::Work(JobResult::Completed(completed)),
            ) => {
                let result = completed.map_err(IkeError::from).and_then(|shared| {
                    let nonces = Nonces { i: &rekey.nonce_i, r: &nonce_r };
                    let material = Material { spis: (rekey.spi, spi_r), suite, shared: &shared, nonces };
                    self.successor(host, now, (rekey.id, Role::Initiator), &material)
                });
                match result {
                    Ok(mut new) => {
                        if let Some(established) = new.established_mut() {
                            established.crash_token = token;
                        }
                        self.finish_local_ike_rekey(host, now, new, &lowest_nonce(&rekey.nonce_i, &nonce_r))
                    }
                    Err(error) => self.abandon_ike_rekey(host, now, rekey, error),
                }
            }
            (
                stage @ (LocalStage::Ranking
                | LocalStage::StartingKeyExchange
                | LocalStage::Sent(_)
                | LocalStage::CompletingKeyExchange { .. }),
                Resumed::Answer(..) | Resumed::Work(_),
            ) => {
                rekey.stage = stage;
                self.set_local(LocalExchange::RekeyIkeSa(rekey));
            }
        }
    }

    fn start_rekey_key_exchange(&mut self, host: &mut Host, now: Now, mut rekey: Box<LocalIkeRekey>) {
        let algorithm = host.crypto.find_key_exchange(rekey.method).ok_or(CryptoError::Unsupported);
        match algorithm.and_then(|algorithm| Ok((algorithm, host.draw_key_exchange()?))) {
            Ok((algorithm, random)) => {
                rekey.stage = LocalStage::StartingKeyExchange;
                self.set_local(LocalExchange::RekeyIkeSa(rekey));
                self.work(host, Track::Local, Job::StartKeyExchange(algorithm, random));
            }
            Err(error) => self.abandon_ike_rekey(host, now, rekey, error.into()),
        }
    }

    /// Ends the IKE SA whose rekey cannot go on; what was reserved for the new one goes with it.
    fn abandon_ike_rekey(&mut self, host: &mut Host, now: Now, rekey: Box<LocalIkeRekey>, error: IkeError) {
        self.set_local(LocalExchange::RekeyIkeSa(rekey));
        self.begin_delete_ike_sa(host, now, error.close_reason());
    }

    fn send_rekey_ike(
        &mut self,
        host: &mut Host,
        now: Now,
        mut rekey: Box<LocalIkeRekey>,
        active: Box<dyn ActiveKeyExchange>,
    ) {
        let suites: Vec<Suite> = rekey.suites.iter().copied().map(Suite::Ike).collect();
        let data = active.public().to_vec();
        let payloads = [
            Payload::SecurityAssociation(proposals::offer(&suites, &rekey.spi.0)),
            Payload::Nonce(Nonce { data: rekey.nonce_i.clone() }),
            Payload::KeyExchange(KeyExchange { method: rekey.method, data }),
        ];
        rekey.attempts += 1;
        rekey.stage = LocalStage::Sent(active);
        self.set_local(LocalExchange::RekeyIkeSa(rekey));
        let sent = self.request(host, now, ExchangeType::CREATE_CHILD_SA, &payloads);
        self.settle(host, now, sent);
    }

    /// Takes the response to this host's rekey.
    pub(crate) fn on_rekey_ike_response(
        &mut self,
        host: &mut Host,
        now: Now,
        message: &Message,
        mut rekey: Box<LocalIkeRekey>,
    ) {
        if let Some(error) = message.error_notify() {
            let asked = <[u8; 2]>::try_from(error.data.as_slice()).map(|n| Method(u16::from_be_bytes(n)));
            let offered = |method| rekey.suites.iter().any(|suite| suite.key_exchange == method);
            if let (NotifyType::INVALID_KE_PAYLOAD, Ok(method)) = (error.kind, asked)
                && method != rekey.method
                && offered(method)
                && rekey.attempts < limits::INVALID_KE_ATTEMPTS
            {
                rekey.method = method;
                return self.start_rekey_key_exchange(host, now, rekey);
            }
            return self.on_rekey_ike_refused(host, now, error, &rekey);
        }
        let offered: Vec<Suite> = rekey.suites.iter().copied().map(Suite::Ike).collect();
        let answer = (message.security_association(), message.nonce(), message.key_exchange());
        let LocalStage::Sent(active) = std::mem::replace(&mut rekey.stage, LocalStage::Ranking) else {
            return;
        };
        if let (Some(choice), Some(nonce), Some(ke)) = answer
            && let Some((Suite::Ike(suite), proposal)) = proposals::chosen(choice, &offered)
            && let Some(spi_r) = proposals::new_ike_spi(proposal)
            && ke.method == rekey.method
            && suite.key_exchange == rekey.method
        {
            let nonce_r = nonce.data.clone();
            let token = crash_detection::given(message);
            rekey.stage = LocalStage::CompletingKeyExchange { suite, spi_r, nonce_r, token };
            self.set_local(LocalExchange::RekeyIkeSa(rekey));
            return self.work(host, Track::Local, Job::CompleteKeyExchange(active, ke.data.clone()));
        }
        host.directory.ike_spis.remove(&rekey.spi);
        tracing::warn!(ike_sa = %self.id, "the answer to the rekey is not acceptable");
        self.begin_delete_ike_sa(host, now, CloseReason::Protocol("not what was offered".into()));
    }

    fn on_rekey_ike_refused(&mut self, host: &mut Host, now: Now, error: &Notify, rekey: &LocalIkeRekey) {
        tracing::debug!(ike_sa = %self.id, notify = %error.kind, "rekey refused");
        host.directory.ike_spis.remove(&rekey.spi);
        let rival = self.established_mut().and_then(|established| established.rival.take());
        match rival {
            // RFC 7296, 2.8.1: the peer has replaced it already.
            Some(rival) => self.bequeath(host, now, rival.ike_sa),
            None if error.kind == NotifyType::TEMPORARY_FAILURE => {
                self.put_off(host, now, Task::RekeyIkeSa);
            }
            None => {
                let asked = rekey.asked(error);
                self.on_ike_rekey_failed(host, now, CloseReason::refused_by_peer(error.kind, asked));
            }
        }
    }

    /// The IKE SA keeps its keys for now: it is told, and tried again.
    fn on_ike_rekey_failed(&mut self, host: &mut Host, now: Now, reason: CloseReason) {
        let after = self.put_off(host, now, Task::RekeyIkeSa);
        let connection = self.connection.as_ref().map_or_else(String::new, |it| it.name.clone());
        host.event(Event::IkeRekeyFailed { ike_sa: self.id, connection, reason, after });
    }

    /// Both sides have the new IKE SA: decides which of two stands if the peer made one too.
    fn finish_local_ike_rekey(&mut self, host: &mut Host, now: Now, new: IkeSa, lowest: &[u8]) {
        let new_id = new.id;
        host.births.push(new);
        let rival = self.established_mut().and_then(|established| established.rival.take());
        if let Some(rival) = rival.filter(|rival| ours_is_redundant(lowest, &rival.lowest_nonce)) {
            tracing::debug!(redundant = %new_id, stays = %rival.ike_sa, "simultaneous rekey: the peer's stands");
            host.write_letter(new_id, Letter::Delete(CloseReason::Replaced));
            return self.bequeath(host, now, rival.ike_sa);
        }
        self.bequeath(host, now, new_id);
        // RFC 7296, 2.18: who began the rekey deletes the old IKE SA.
        self.say_goodbye(host, now, CloseReason::Replaced, Payload::Delete(Delete::ike()));
    }

    /// Forgets this host's rekey: the peer has ended the IKE SA that it was for.
    pub(crate) fn forget_local_ike_rekey(&mut self, host: &mut Host) {
        if let Some(spi) = self.reserved_ike_spi() {
            host.directory.ike_spis.remove(&spi);
        }
        if let Some(established) = self.established_mut() {
            established.local = None;
        }
        self.waits.remove(&Track::Local);
    }

    // ---- both ----------------------------------------------------------------------------------------

    /// Makes the IKE SA that takes this one's place: new keys, the same peer, the proof inherited.
    fn successor(
        &self,
        host: &Host,
        now: Now,
        (id, role): (IkeSaId, Role),
        material: &Material<'_>,
    ) -> Result<IkeSa, IkeError> {
        let (old, established) =
            (self.secured()?, self.established().ok_or(IkeError::Local("the established IKE SA"))?);
        let prf = host.crypto.find_prf(material.suite.prf).ok_or(CryptoError::Unsupported)?;
        let seed = keys::skeyseed_of_rekey(old.prf, &old.keys.sk_d, material.shared, material.nonces)?;
        let layout = packet_layout(host, material.suite)?;
        let keys = IkeKeys::derive(prf, layout, &seed, material.nonces, material.spis)?;
        let secured = Secured::new(host.crypto, material.suite, keys, role)?;
        let state = State::Established(Box::new(established.successor(now.instant)));
        let mut new = Self::new(now, (id, role), material.spis, self.path, state);
        new.secured = Some(secured);
        new.nat = self.nat;
        new.connection = self.connection.clone();
        new.fragmentation = self.fragmentation;
        new.rival_checks = self.rival_checks;
        (new.probes_void, new.probe_after) = (self.probes_void, self.probe_after);
        // Unless it inherits soon, it is the redundant one of a simultaneous rekey.
        new.timers.set(Timer::ReplacedIkeSa, now.instant + limits::REPLACED_IKE_SA);
        Ok(new)
    }
}

// ---- responder -------------------------------------------------------------------------------------

impl IkeSa {
    /// Takes the peer's rekey of the IKE SA.
    pub(crate) fn on_rekey_ike_request(&mut self, host: &mut Host, now: Now, message: &Message) {
        match self.read_ike_rekey(host, message) {
            Ok(decision) => {
                let menu: Vec<Suite> = decision.suites.iter().copied().map(Suite::Ike).collect();
                let missing: Vec<Suite> = decision.missing.iter().copied().map(Suite::Ike).collect();
                let key_share = Some(decision.key_exchange.method);
                let connection =
                    self.connection.as_ref().map_or_else(String::new, |config| config.name.clone());
                let about = (connection.as_str(), Role::Responder);
                let question = rank_proposals::question(host, self, about, (&menu, &missing), key_share);
                self.set_remote(RemoteExchange::RekeyIkeSa(Box::new(decision)));
                self.ask(host, now, Track::Remote, question);
            }
            Err(refusal) => self.refuse_create(host, now, refusal),
        }
    }

    fn read_ike_rekey(&self, host: &Host, message: &Message) -> Result<IkeRekeyDecision, Refusal> {
        let temporary = || Refusal::of(NotifyType::TEMPORARY_FAILURE);
        let established = self.established().ok_or_else(temporary)?;
        // RFC 7296, 2.25.2: not while a Child SA is created, rekeyed or closed, nor while this one is.
        let child_under_way = match &established.local {
            Some(LocalExchange::CreateChild(_) | LocalExchange::DeleteChild(..)) => true,
            Some(LocalExchange::Liveness | LocalExchange::Path(_) | LocalExchange::RekeyIkeSa(_)) | None => {
                false
            }
        };
        let taken = established.rival.is_some() || !self.announced || established.queue.ends_ike_sa();
        if child_under_way || taken {
            return Err(temporary());
        }
        let (Some(offer), Some(nonce), Some(ke)) =
            (message.security_association(), message.nonce(), message.key_exchange())
        else {
            return Err(Refusal::of(NotifyType::INVALID_SYNTAX));
        };
        let usable =
            proposals::usable_ike(host.crypto, host.config.allow_legacy, &established.connection.ike);
        let fits = |suite: &IkeSuite| {
            let proposal = proposals::fitting(&Suite::Ike(*suite), offer);
            proposal.and_then(proposals::new_ike_spi).is_some()
        };
        let (suites, missing): (Vec<IkeSuite>, Vec<IkeSuite>) = usable.into_iter().partition(fits);
        let first = offer.proposals.iter().find_map(proposals::new_ike_spi);
        let (Some(spi_i), false) = (first, suites.is_empty()) else {
            return Err(Refusal::of(NotifyType::NO_PROPOSAL_CHOSEN));
        };
        Ok(IkeRekeyDecision {
            offer: offer.clone(),
            spi_i,
            nonce_i: nonce.data.clone(),
            key_exchange: ke.clone(),
            suites,
            missing,
            suite: None,
        })
    }

    /// Goes on with the peer's rekey.
    pub(crate) fn resume_ike_rekey_decision(
        &mut self,
        host: &mut Host,
        now: Now,
        mut decision: Box<IkeRekeyDecision>,
        resumed: Resumed,
    ) {
        match resumed {
            Resumed::Answer(answer, by) if decision.suite.is_none() => {
                let ranked = rank_proposals::ranked(answer, &decision.suites);
                let Some(suite) = ranked.first().copied() else {
                    return self.refuse_create(host, now, Refusal::of(NotifyType::NO_PROPOSAL_CHOSEN));
                };
                self.decided(host, "rank_proposals", by, suite.to_string());
                if suite.key_exchange != decision.key_exchange.method {
                    return self.refuse_create(host, now, Refusal::invalid_ke(suite.key_exchange));
                }
                decision.suite = Some(suite);
                let data = decision.key_exchange.data.clone();
                let algorithm =
                    host.crypto.find_key_exchange(suite.key_exchange).ok_or(CryptoError::Unsupported);
                match algorithm.and_then(|algorithm| Ok((algorithm, host.draw_key_exchange()?))) {
                    Ok((algorithm, random)) => {
                        self.set_remote(RemoteExchange::RekeyIkeSa(decision));
                        self.work(host, Track::Remote, Job::RespondKeyExchange(algorithm, data, random));
                    }
                    Err(error) => self.refuse_create(host, now, IkeError::from(error).into()),
                }
            }
            Resumed::Work(JobResult::Responded(Ok((public, shared)))) => {
                if let Err(error) = self.answer_ike_rekey(host, now, &decision, (public, &shared)) {
                    self.refuse_create(host, now, error.into());
                }
            }
            Resumed::Work(JobResult::Responded(Err(error))) => {
                self.refuse_create(host, now, IkeError::from(error).into());
            }
            Resumed::Answer(..) | Resumed::Work(_) => {
                self.refuse_create(host, now, Refusal::of(NotifyType::TEMPORARY_FAILURE));
            }
        }
    }

    fn answer_ike_rekey(
        &mut self,
        host: &mut Host,
        now: Now,
        decision: &IkeRekeyDecision,
        (public, shared): (Vec<u8>, &SecretBytes),
    ) -> Result<(), IkeError> {
        let Some(suite) = decision.suite else { return Err(IkeError::Local("the suite")) };
        let proposal = proposals::fitting(&Suite::Ike(suite), &decision.offer);
        let (number, spi_i) = proposal.map_or((1, decision.spi_i), |proposal| {
            (proposal.number, proposals::new_ike_spi(proposal).unwrap_or(decision.spi_i))
        });
        let nonce_r = host.draw_nonce()?;
        let (id, spi_r) = host.name_ike_sa()?;
        let nonces = Nonces { i: &decision.nonce_i, r: &nonce_r };
        let material = Material { spis: (spi_i, spi_r), suite, shared, nonces };
        let new = self.successor(host, now, (id, Role::Responder), &material).inspect_err(|_| {
            host.directory.ike_spis.remove(&spi_r);
        })?;
        host.births.push(new);
        let mut payloads = vec![
            Payload::SecurityAssociation(proposals::choice(&Suite::Ike(suite), number, &spi_r.0)),
            Payload::Nonce(Nonce { data: nonce_r.clone() }),
            Payload::KeyExchange(KeyExchange { method: suite.key_exchange, data: public }),
        ];
        payloads.extend(crash_detection::token(host, (spi_i, spi_r)));
        self.respond(host, now, ExchangeType::CREATE_CHILD_SA, &payloads);
        let lowest_nonce = lowest_nonce(&decision.nonce_i, &nonce_r);
        let Some(established) = self.established_mut() else { return Ok(()) };
        match established.local {
            // RFC 7296, 2.8.1: which of the two stands shows with the answer to ours.
            Some(LocalExchange::RekeyIkeSa(_)) => {
                established.rival = Some(Rival { ike_sa: id, lowest_nonce })
            }
            Some(
                LocalExchange::Liveness
                | LocalExchange::Path(_)
                | LocalExchange::CreateChild(_)
                | LocalExchange::DeleteChild(..),
            )
            | None => self.bequeath(host, now, id),
        }
        Ok(())
    }
}
