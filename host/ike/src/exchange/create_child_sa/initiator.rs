//! CREATE_CHILD_SA for a Child SA that this host wants.

use vpnhost_crypto::{ActiveKeyExchange, CryptoError};
use vpnhost_model::{
    ChildSaId, ChildSpi, EspSuite, KeyExchange as Method, Mode, Now, Protocol, Role, Suite, TrafficSelector,
};

use crate::error::IkeError;
use crate::exchange::ike_sa_init::{join, notify};
use crate::exchange::{LocalExchange, proposals, selectors};
use crate::extension::transport_nat;
use crate::host::Host;
use crate::input::JobResult;
use crate::limits;
use crate::output::{CloseReason, Job};
use crate::question::rank_proposals;
use crate::reason::Asked;
use crate::sa::IkeSa;
use crate::sa::child::NewChild;
use crate::sa::estate::lowest_nonce;
use crate::sa::queue::Task;
use crate::wire::payload::{KeyExchange, Nonce, Notify, NotifyType};
use crate::wire::{ExchangeType, Message, Payload};
use crate::work::{Resumed, Track};

/// A Child SA that this host wants.
pub(crate) struct LocalChild {
    pub(crate) index: usize,
    pub(crate) rekeys: Option<ChildSaId>,
    pub(crate) spi_in: ChildSpi,
    suites: Vec<EspSuite>,
    method: Method,
    nonce_i: Vec<u8>,
    ts_i: Vec<TrafficSelector>,
    ts_r: Vec<TrafficSelector>,
    attempts: u8,
    /// The peer replaced the old one too, and has deleted it since: what it made, and the lower of its nonces.
    pub(crate) rival: Option<(ChildSaId, Vec<u8>)>,
    /// What the peer deleted before its answer arrived, by the SPIs that it receives on.
    pub(crate) early_deletes: Vec<ChildSpi>,
    stage: LocalStage,
}

enum LocalStage {
    Ranking,
    StartingKeyExchange,
    Sent(Option<Box<dyn ActiveKeyExchange>>),
    CompletingKeyExchange(Box<NewChild>),
}

impl LocalChild {
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
            return Asked::Group { wanted, offered, child: true };
        }
        let selectors = (self.ts_i.clone(), self.ts_r.clone());
        Asked::Child { suites: self.suites.clone(), rekey: self.rekeys.is_some(), selectors }
    }

    /// Returns what it was begun for.
    pub(crate) fn task(&self) -> Task {
        self.rekeys.map_or(Task::CreateChild(self.index), Task::RekeyChild)
    }
}

impl IkeSa {
    /// Ranks the suites of a Child SA that this host wants.
    pub(crate) fn begin_create_child(
        &mut self,
        host: &mut Host,
        now: Now,
        index: usize,
        rekeys: Option<ChildSaId>,
    ) {
        let Some(established) = self.established() else { return };
        let Some(config) = established.connection.children.get(index) else { return };
        if rekeys.is_none() && established.estate.has(index) {
            return;
        }
        let connection = established.connection.name.clone();
        let suites = proposals::usable_esp(host.crypto, host.config.allow_legacy, &config.esp);
        let (addresses, peer_addresses) = self.virtual_addresses();
        let drawn = host.draw_nonce().and_then(|nonce| Ok((nonce, host.draw_child_spi()?)));
        let (nonce_i, spi_in) = match drawn {
            Ok(drawn) => drawn,
            Err(error) => return self.settle(host, now, Err(error.into())),
        };
        let child = LocalChild {
            index,
            rekeys,
            spi_in,
            method: Method::NONE,
            nonce_i,
            ts_i: selectors::resolve(&config.local, &addresses, self.path.local.ip()),
            ts_r: selectors::resolve(&config.remote, &peer_addresses, self.path.remote.ip()),
            attempts: 0,
            rival: None,
            early_deletes: Vec::new(),
            stage: LocalStage::Ranking,
            suites: suites.clone(),
        };
        let menu: Vec<Suite> = suites.into_iter().map(Suite::Esp).collect();
        let question =
            rank_proposals::question(host, self, (&connection, Role::Initiator), (&menu, &[]), None);
        self.set_local(LocalExchange::CreateChild(Box::new(child)));
        self.ask(host, now, Track::Local, question);
    }

    pub(crate) fn set_local(&mut self, local: LocalExchange) {
        if let Some(established) = self.established_mut() {
            established.local = Some(local);
        }
    }

    /// Goes on with a Child SA that this host wants.
    pub(crate) fn resume_local_child(
        &mut self,
        host: &mut Host,
        now: Now,
        mut child: Box<LocalChild>,
        resumed: Resumed,
    ) {
        let stage = std::mem::replace(&mut child.stage, LocalStage::Ranking);
        match (stage, resumed) {
            (LocalStage::Ranking, Resumed::Answer(answer, by)) => {
                child.suites = rank_proposals::ranked(answer, &child.suites);
                let order = join(&child.suites);
                let Some(first) = child.suites.first() else {
                    host.free_child_spi(child.spi_in);
                    let reason = CloseReason::NothingToOffer(Protocol::ESP);
                    return self.on_child_failed(host, now, child.index, reason);
                };
                child.method = first.key_exchange;
                self.decided(host, "rank_proposals", by, order);
                self.start_local_key_exchange(host, now, child);
            }
            (LocalStage::StartingKeyExchange, Resumed::Work(JobResult::Started(started))) => match started {
                Ok(active) => self.send_create_child(host, now, child, Some(active)),
                Err(error) => self.abandon_half_made(host, now, child.spi_in, error.into()),
            },
            (LocalStage::CompletingKeyExchange(new), Resumed::Work(JobResult::Completed(completed))) => {
                match completed {
                    Ok(shared) => {
                        let new = NewChild { shared: Some(shared), ..*new };
                        self.finish_local_child(host, now, new, child.rival);
                    }
                    Err(error) => self.abandon_half_made(host, now, child.spi_in, error.into()),
                }
            }
            (
                stage @ (LocalStage::Ranking
                | LocalStage::StartingKeyExchange
                | LocalStage::Sent(_)
                | LocalStage::CompletingKeyExchange(_)),
                Resumed::Answer(..) | Resumed::Work(_),
            ) => {
                child.stage = stage;
                self.set_local(LocalExchange::CreateChild(child));
            }
        }
    }

    fn start_local_key_exchange(&mut self, host: &mut Host, now: Now, mut child: Box<LocalChild>) {
        if child.method == Method::NONE {
            return self.send_create_child(host, now, child, None);
        }
        let algorithm = host.crypto.find_key_exchange(child.method).ok_or(CryptoError::Unsupported);
        match algorithm.and_then(|algorithm| Ok((algorithm, host.draw_key_exchange()?))) {
            Ok((algorithm, random)) => {
                child.stage = LocalStage::StartingKeyExchange;
                self.set_local(LocalExchange::CreateChild(child));
                self.work(host, Track::Local, Job::StartKeyExchange(algorithm, random));
            }
            Err(error) => self.abandon_half_made(host, now, child.spi_in, error.into()),
        }
    }

    fn send_create_child(
        &mut self,
        host: &mut Host,
        now: Now,
        mut child: Box<LocalChild>,
        active: Option<Box<dyn ActiveKeyExchange>>,
    ) {
        let Some(established) = self.established() else { return };
        let mut payloads = Vec::new();
        if let Some(old) = child.rekeys {
            let Some(old) = established.estate.children.get(&old) else {
                // The old one went while this was being prepared.
                host.free_child_spi(child.spi_in);
                return;
            };
            // RFC 7296, 1.3.3: REKEY_SA names the SA by the SPI that the sender receives on.
            payloads.push(Payload::Notify(Notify::about_esp(NotifyType::REKEY_SA, old.spi_in)));
        }
        let mode = established.connection.children.get(child.index).map(|config| config.mode);
        if mode == Some(Mode::Transport) {
            payloads.push(notify(NotifyType::USE_TRANSPORT_MODE));
        }
        let suites: Vec<Suite> = child.suites.iter().copied().map(Suite::Esp).collect();
        let offer = proposals::offer(&suites, &child.spi_in.0.to_be_bytes());
        payloads.push(Payload::SecurityAssociation(offer));
        payloads.push(Payload::Nonce(Nonce { data: child.nonce_i.clone() }));
        if let Some(active) = &active {
            let data = active.public().to_vec();
            payloads.push(Payload::KeyExchange(KeyExchange { method: child.method, data }));
        }
        payloads.push(Payload::TsInitiator(child.ts_i.clone().into()));
        payloads.push(Payload::TsResponder(child.ts_r.clone().into()));
        child.attempts += 1;
        child.stage = LocalStage::Sent(active);
        self.set_local(LocalExchange::CreateChild(child));
        let sent = self.request(host, now, ExchangeType::CREATE_CHILD_SA, &payloads);
        self.settle(host, now, sent);
    }

    /// Takes the response to CREATE_CHILD_SA.
    pub(crate) fn on_create_child_response(
        &mut self,
        host: &mut Host,
        now: Now,
        message: &Message,
        mut child: Box<LocalChild>,
    ) {
        if let Some(error) = message.error_notify() {
            return self.on_create_child_refused(host, now, error, child);
        }
        let new = match self.read_answer(message, &child) {
            Ok(new) => new,
            Err(reason) => {
                // The peer has made what we cannot take: it has to go there too.
                tracing::warn!(ike_sa = %self.id, %reason, "the answer is not acceptable");
                return self.abandon_half_made(host, now, child.spi_in, reason);
            }
        };
        if child.early_deletes.contains(&new.spi_out) {
            // The Delete overtook the answer: what the answer made is no more.
            host.free_child_spi(child.spi_in);
            if child.rekeys.is_none() {
                self.on_child_failed(host, now, child.index, CloseReason::DeletedByPeer);
            }
            return;
        }
        let LocalStage::Sent(active) = std::mem::replace(&mut child.stage, LocalStage::Ranking) else {
            return;
        };
        if let Some(established) = self.established_mut() {
            established.put_offs = 0;
        }
        match (new.suite.key_exchange, active, message.key_exchange()) {
            (Method::NONE, _, _) => self.finish_local_child(host, now, new, child.rival),
            (_, Some(active), Some(theirs)) => {
                child.stage = LocalStage::CompletingKeyExchange(Box::new(new));
                self.set_local(LocalExchange::CreateChild(child));
                let data = theirs.data.clone();
                self.work(host, Track::Local, Job::CompleteKeyExchange(active, data));
            }
            (_, _, _) => {
                let error = IkeError::syntax("the answer has no key exchange");
                self.abandon_half_made(host, now, child.spi_in, error);
            }
        }
    }

    fn read_answer(&self, message: &Message, child: &LocalChild) -> Result<NewChild, IkeError> {
        let (Some(choice), Some(nonce), Some(ts_i), Some(ts_r)) =
            (message.security_association(), message.nonce(), message.ts_initiator(), message.ts_responder())
        else {
            return Err(IkeError::syntax("the answer lacks a payload"));
        };
        let suites: Vec<Suite> = child.suites.iter().copied().map(Suite::Esp).collect();
        let unoffered =
            IkeError::Peer { notify: NotifyType::NO_PROPOSAL_CHOSEN, what: "not what was offered" };
        let Some((Suite::Esp(suite), proposal)) = proposals::chosen(choice, &suites) else {
            return Err(unoffered);
        };
        let method = message.key_exchange().map_or(Method::NONE, |ke| ke.method);
        if suite.key_exchange != Method::NONE && (method != suite.key_exchange || method != child.method) {
            return Err(IkeError::syntax("the answer's key exchange is another"));
        }
        let within = selectors::is_within(&ts_i.selectors, &child.ts_i)
            && selectors::is_within(&ts_r.selectors, &child.ts_r);
        if !within {
            let what = "selectors wider than offered";
            return Err(IkeError::Peer { notify: NotifyType::TS_UNACCEPTABLE, what });
        }
        // RFC 7296, 1.3.1: the mode is transport only where both want it.
        let wanted = self.established().and_then(|it| it.connection.children.get(child.index));
        let transport = message.notify(NotifyType::USE_TRANSPORT_MODE).is_some()
            && wanted.is_some_and(|config| config.mode == Mode::Transport);
        Ok(NewChild {
            index: child.index,
            spi_in: child.spi_in,
            spi_out: proposal.child_spi().ok_or(unoffered)?,
            suite,
            nonce_i: child.nonce_i.clone(),
            nonce_r: nonce.data.clone(),
            shared: None,
            ours: true,
            local: ts_i.selectors.clone(),
            remote: ts_r.selectors.clone(),
            mode: if transport { Mode::Transport } else { Mode::Tunnel },
            translation: transport_nat::of_responder(self.nat),
            replaces: child.rekeys,
        })
    }

    /// Ends the IKE SA over a Child SA that cannot be made: if the peer has made its half, only so does it go there.
    fn abandon_half_made(&mut self, host: &mut Host, now: Now, spi_in: ChildSpi, error: IkeError) {
        host.free_child_spi(spi_in);
        self.begin_delete_ike_sa(host, now, error.close_reason());
    }

    fn on_create_child_refused(
        &mut self,
        host: &mut Host,
        now: Now,
        error: &Notify,
        mut child: Box<LocalChild>,
    ) {
        if error.kind == NotifyType::INVALID_KE_PAYLOAD && child.attempts < limits::INVALID_KE_ATTEMPTS {
            let method = <[u8; 2]>::try_from(error.data.as_slice()).map(|n| Method(u16::from_be_bytes(n)));
            let offered = |method| child.suites.iter().any(|suite| suite.key_exchange == method);
            if let Ok(method) = method
                && method != child.method
                && offered(method)
            {
                child.method = method;
                return self.start_local_key_exchange(host, now, child);
            }
        }
        host.free_child_spi(child.spi_in);
        let reason = CloseReason::refused_by_peer(error.kind, child.asked(error));
        match (child.rekeys, error.kind) {
            (Some(old), kind) => self.on_rekey_child_refused(host, now, old, (kind, reason)),
            (None, NotifyType::TEMPORARY_FAILURE) => {
                self.put_off(host, now, Task::CreateChild(child.index));
            }
            (None, _) => self.on_child_failed(host, now, child.index, reason),
        }
    }

    fn finish_local_child(
        &mut self,
        host: &mut Host,
        now: Now,
        new: NewChild,
        rival: Option<(ChildSaId, Vec<u8>)>,
    ) {
        let (replaces, spi_in) = (new.replaces, new.spi_in);
        let lowest = lowest_nonce(&new.nonce_i, &new.nonce_r);
        match self.install_child(host, now, new) {
            Ok(id) => {
                if let Some(old) = replaces {
                    self.finish_local_rekey(host, (old, id), &lowest, rival);
                }
            }
            Err(error) => self.abandon_half_made(host, now, spi_in, error),
        }
        self.start_next(host, now);
    }
}
