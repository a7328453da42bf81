//! CREATE_CHILD_SA for a Child SA that the peer wants, and the decision that IKE_AUTH shares.

use vpnhost_crypto::{CryptoError, SecretBytes};
use vpnhost_model::{
    ChildSaId, ChildSpi, EspSuite, KeyExchange as Method, Mode, Now, Protocol, Role, Suite, TrafficSelector,
    Translation,
};
use vpnhost_policy::Question;

use crate::error::IkeError;
use crate::exchange::ike_sa_init::{join, notify};
use crate::exchange::{LocalExchange, RemoteExchange, proposals, selectors};
use crate::extension::transport_nat;
use crate::host::Host;
use crate::input::JobResult;
use crate::limits;
use crate::output::{CloseReason, Job};
use crate::question::{narrow_selectors, rank_proposals};
use crate::reason::{ProposalGap, SelectorGap};
use crate::sa::IkeSa;
use crate::sa::child::NewChild;
use crate::sa::estate::lowest_nonce;
use crate::sa::state::State;
use crate::wire::payload::{KeyExchange, Nonce, Notify, NotifyType, SecurityAssociation};
use crate::wire::{ExchangeType, Message, Payload};
use crate::work::{Resumed, Track};

/// What the peer asks for.
pub(crate) struct ChildOffer {
    pub(crate) offer: SecurityAssociation,
    /// The groups that the peer names in IKE_AUTH, where none is agreed on.
    pub(crate) groups: Vec<Method>,
    pub(crate) ts_i: Vec<TrafficSelector>,
    pub(crate) ts_r: Vec<TrafficSelector>,
    pub(crate) nonce_i: Vec<u8>,
    pub(crate) nonce_r: Vec<u8>,
    pub(crate) key_exchange: Option<KeyExchange>,
    pub(crate) transport: bool,
    pub(crate) rekeys: Option<ChildSaId>,
    /// It is the first Child SA, of IKE_AUTH, which has neither nonce nor key exchange of its own.
    pub(crate) first: bool,
}

/// A Child SA that the peer wants, on its way to an answer.
pub(crate) struct ChildDecision {
    asked: ChildOffer,
    index: usize,
    local: Vec<TrafficSelector>,
    remote: Vec<TrafficSelector>,
    suites: Vec<EspSuite>,
    suite: Option<EspSuite>,
    stage: DecisionStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DecisionStage {
    Ranking,
    Narrowing,
    AnsweringKeyExchange,
}

/// What a decision waits for next.
pub(crate) enum WaitFor {
    Answer(Box<Question>),
    Result(Job),
}

/// What comes after a step of a decision.
pub(crate) enum Next {
    Wait(Box<ChildDecision>, WaitFor),
    /// The Child SA is installed; these payloads tell the peer of it.
    Done(Vec<Payload>),
}

/// Why the peer does not get what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) notify: NotifyType,
    pub(crate) data: Vec<u8>,
    /// The SA that it is about, by the SPI that the peer named.
    spi: Option<ChildSpi>,
    why: Option<Box<CloseReason>>,
    /// The child of the connection that it is about, if that is known.
    pub(crate) child: Option<usize>,
}

impl Refusal {
    pub(crate) fn of(notify: NotifyType) -> Self {
        Self { notify, data: Vec::new(), spi: None, why: None, child: None }
    }

    pub(crate) fn invalid_ke(method: Method) -> Self {
        Self { data: method.0.to_be_bytes().to_vec(), ..Self::of(NotifyType::INVALID_KE_PAYLOAD) }
    }

    /// The peer names a Child SA that is not here (RFC 7296 §2.25.1).
    pub(crate) fn child_not_found(spi: Option<ChildSpi>) -> Self {
        Self { spi, ..Self::of(NotifyType::CHILD_SA_NOT_FOUND) }
    }

    /// Returns the notification that tells the peer.
    fn to_notify(&self) -> Notify {
        match self.spi {
            Some(spi) => Notify::about_esp(self.notify, spi),
            None => Notify::new(self.notify, self.data.clone()),
        }
    }

    /// Adds what this host's people are told, who may know more than the peer.
    pub(crate) fn because(self, reason: CloseReason) -> Self {
        Self { why: Some(Box::new(reason)), ..self }
    }

    /// Returns the reason for people.
    pub(crate) fn reason(&self) -> CloseReason {
        self.why.as_deref().cloned().unwrap_or(CloseReason::Refused(self.notify))
    }
}

impl From<IkeError> for Refusal {
    fn from(error: IkeError) -> Self {
        Self::of(error.notify())
    }
}

impl IkeSa {
    /// Takes a CREATE_CHILD_SA request of whatever kind.
    pub(crate) fn on_create_child_request(&mut self, host: &mut Host, now: Now, message: &Message) {
        let State::Established(established) = &mut self.state else {
            // RFC 7296, 2.25.2: an IKE SA on its way out takes no new Child SA.
            return self.refuse_create(host, now, Refusal::of(NotifyType::TEMPORARY_FAILURE));
        };
        // RFC 8019, 5: who has SAs made without end is told to slow down.
        if !established.pace.take(now.instant) {
            host.tally.exchanges_put_off += 1;
            return self.refuse_create(host, now, Refusal::of(NotifyType::TEMPORARY_FAILURE));
        }
        let protocol = message
            .security_association()
            .and_then(|offer| offer.proposals.first())
            .map(|proposal| proposal.protocol);
        self.recall_unsent(host);
        let result = match (protocol, message.ts_initiator()) {
            (Some(Protocol::IKE), None) => return self.on_rekey_ike_request(host, now, message),
            _ => self.read_child_offer(host, message),
        };
        let decision = result.and_then(|offer| self.start_decision(host, offer));
        match decision {
            Ok((decision, question)) => {
                self.set_remote(RemoteExchange::CreateChild(Box::new(decision)));
                self.ask(host, now, Track::Remote, question);
            }
            Err(refusal) => self.refuse_create(host, now, refusal),
        }
    }

    /// Answers CREATE_CHILD_SA with an error; nothing else changes.
    pub(crate) fn refuse_create(&mut self, host: &mut Host, now: Now, refusal: Refusal) {
        tracing::debug!(ike_sa = %self.id, notify = %refusal.notify, "CREATE_CHILD_SA refused");
        if refusal.why.is_some() {
            self.on_peer_child_failed(host, refusal.child.unwrap_or_default(), refusal.reason());
        }
        let notify = Payload::Notify(refusal.to_notify());
        self.respond(host, now, ExchangeType::CREATE_CHILD_SA, &[notify]);
        self.start_next(host, now);
    }

    fn read_child_offer(&self, host: &mut Host, message: &Message) -> Result<ChildOffer, Refusal> {
        let Some(established) = self.established() else {
            return Err(Refusal::of(NotifyType::TEMPORARY_FAILURE));
        };
        let rekeying_ike = matches!(established.local, Some(LocalExchange::RekeyIkeSa(_)));
        let taken = established.rival.is_some() || established.queue.ends_ike_sa();
        if rekeying_ike || taken || !self.announced {
            // RFC 7296, 2.25.2; and who has not inherited yet does not know the Child SAs.
            return Err(Refusal::of(NotifyType::TEMPORARY_FAILURE));
        }
        let (Some(offer), Some(nonce), Some(ts_i), Some(ts_r)) =
            (message.security_association(), message.nonce(), message.ts_initiator(), message.ts_responder())
        else {
            return Err(Refusal::of(NotifyType::INVALID_SYNTAX));
        };
        let rekeys = match message.notify(NotifyType::REKEY_SA) {
            Some(notify) => Some(self.find_rekeyed(notify)?),
            None if established.estate.children.len() >= limits::CHILDREN_PER_IKE_SA => {
                return Err(Refusal::of(NotifyType::NO_ADDITIONAL_SAS));
            }
            None => None,
        };
        Ok(ChildOffer {
            offer: offer.clone(),
            groups: Vec::new(),
            ts_i: ts_i.selectors.clone(),
            ts_r: ts_r.selectors.clone(),
            nonce_i: nonce.data.clone(),
            nonce_r: host.draw_nonce().map_err(IkeError::from)?,
            key_exchange: message.key_exchange().cloned(),
            transport: message.notify(NotifyType::USE_TRANSPORT_MODE).is_some(),
            rekeys,
            first: false,
        })
    }

    /// Finds what is acceptable on both sides, and the question which suite to take.
    pub(crate) fn start_decision(
        &self,
        host: &Host,
        asked: ChildOffer,
    ) -> Result<(ChildDecision, Question), Refusal> {
        let Some(established) = self.established() else {
            return Err(Refusal::of(NotifyType::TEMPORARY_FAILURE));
        };
        let (index, local, remote) = self.find_child(&asked).ok_or_else(|| self.no_child(&asked))?;
        let connection = &established.connection;
        let Some(config) = connection.children.get(index) else {
            return Err(Refusal::of(NotifyType::TS_UNACCEPTABLE));
        };
        let configured =
            if asked.first { proposals::without_key_exchange(&config.esp) } else { config.esp.clone() };
        let usable = proposals::usable_esp(host.crypto, host.config.allow_legacy, &configured);
        let fits = |suite: &EspSuite| proposals::fitting(&Suite::Esp(*suite), &asked.offer).is_some();
        let (suites, missing): (Vec<EspSuite>, Vec<EspSuite>) = usable.into_iter().partition(fits);
        if suites.is_empty() {
            let configured: Vec<Suite> = configured.into_iter().map(Suite::Esp).collect();
            let gap = ProposalGap::find(Protocol::ESP, &asked.offer, &configured);
            let refusal = Refusal::of(NotifyType::NO_PROPOSAL_CHOSEN);
            let refusal = refusal.because(CloseReason::NoProposalChosen(Box::new(gap)));
            return Err(Refusal { child: Some(index), ..refusal });
        }
        let menu: Vec<Suite> = suites.iter().copied().map(Suite::Esp).collect();
        let missing: Vec<Suite> = missing.into_iter().map(Suite::Esp).collect();
        let key_share = asked.key_exchange.as_ref().map(|ke| ke.method);
        let about = (connection.name.as_str(), Role::Responder);
        let question = rank_proposals::question(host, self, about, (&menu, &missing), key_share);
        let stage = DecisionStage::Ranking;
        Ok((ChildDecision { asked, index, local, remote, suites, suite: None, stage }, question))
    }

    /// Finds the child of the connection that the offered selectors meet: of a rekey, the old one's.
    fn find_child(&self, asked: &ChildOffer) -> Option<(usize, Vec<TrafficSelector>, Vec<TrafficSelector>)> {
        let established = self.established()?;
        let (addresses, peer_addresses) = self.virtual_addresses();
        // Who got no address in IKE_AUTH has none to send from; the one it is reached at is no substitute.
        let lacks_address = established.connection.requires_address() && peer_addresses.is_empty();
        if lacks_address && established.first_role == Role::Responder {
            return None;
        }
        let old = asked.rekeys.and_then(|id| established.estate.children.get(&id)).map(|child| child.index);
        let every = established.connection.children.iter().enumerate();
        every.filter(|(index, _)| old.is_none_or(|old| old == *index)).find_map(|(index, config)| {
            let ours = selectors::resolve(&config.local, &addresses, self.path.local.ip());
            let theirs = selectors::resolve(&config.remote, &peer_addresses, self.path.remote.ip());
            let (ts_i, ts_r) = self.offered_selectors(asked, config.mode);
            let local = selectors::intersect(&ts_r, &ours);
            let remote = selectors::intersect(&ts_i, &theirs);
            (!local.is_empty() && !remote.is_empty()).then_some((index, local, remote))
        })
    }

    /// No child of the connection has what is asked for: names the one that comes nearest.
    fn no_child(&self, asked: &ChildOffer) -> Refusal {
        let refusal = Refusal::of(NotifyType::TS_UNACCEPTABLE);
        let Some(established) = self.established() else { return refusal };
        let children = &established.connection.children;
        let (addresses, peer_addresses) = self.virtual_addresses();
        let own = children.iter().map(|config| {
            let local = selectors::resolve(&config.local, &addresses, self.path.local.ip());
            let remote = selectors::resolve(&config.remote, &peer_addresses, self.path.remote.ip());
            (config.name.clone(), (local, remote))
        });
        let gap = SelectorGap::find((asked.ts_r.clone(), asked.ts_i.clone()), own);
        let child = children.iter().position(|config| Some(&config.name) == gap.child.as_ref());
        Refusal { child, ..refusal.because(CloseReason::TsUnacceptable(Box::new(gap))) }
    }

    /// Returns the selectors that were offered, as they are meant here.
    fn offered_selectors(
        &self,
        asked: &ChildOffer,
        mode: Mode,
    ) -> (Vec<TrafficSelector>, Vec<TrafficSelector>) {
        if !self.translates(asked, mode) {
            return (asked.ts_i.clone(), asked.ts_r.clone());
        }
        let (theirs, ours) = (self.path.remote.ip(), self.path.local.ip());
        (transport_nat::seen_at(&asked.ts_i, theirs), transport_nat::seen_at(&asked.ts_r, ours))
    }

    /// Tells whether the two hosts of transport mode have other addresses on the peer's side of a NAT.
    fn translates(&self, asked: &ChildOffer, mode: Mode) -> bool {
        asked.transport && mode == Mode::Transport && (self.nat.local || self.nat.peer)
    }

    /// Takes a decision one step further.
    pub(crate) fn step_decision(
        &mut self,
        host: &mut Host,
        now: Now,
        mut decision: ChildDecision,
        resumed: Resumed,
    ) -> Result<Next, Refusal> {
        match (decision.stage, resumed) {
            (DecisionStage::Ranking, Resumed::Answer(answer, by)) => {
                let ranked = rank_proposals::ranked(answer, &decision.suites);
                let suite = *ranked.first().ok_or(Refusal::of(NotifyType::NO_PROPOSAL_CHOSEN))?;
                self.decided(host, "rank_proposals", by, suite.to_string());
                let offered = decision.asked.key_exchange.as_ref().map_or(Method::NONE, |ke| ke.method);
                if suite.key_exchange != Method::NONE && suite.key_exchange != offered {
                    return Err(Refusal::invalid_ke(suite.key_exchange));
                }
                decision.suite = Some(suite);
                decision.stage = DecisionStage::Narrowing;
                let question = self.selector_question(now, &decision)?;
                Ok(Next::Wait(Box::new(decision), WaitFor::Answer(Box::new(question))))
            }
            (DecisionStage::Narrowing, Resumed::Answer(answer, by)) => {
                let narrowed = narrow_selectors::narrowed(answer);
                let (local, remote) = narrowed.ok_or(Refusal::of(NotifyType::TS_UNACCEPTABLE))?;
                if local != decision.local || remote != decision.remote {
                    let outcome = format!("{} === {}", join(&local), join(&remote));
                    self.decided(host, "narrow_selectors", by, outcome);
                }
                (decision.local, decision.remote) = (local, remote);
                match self.child_key_exchange(host, &decision)? {
                    Some(job) => {
                        decision.stage = DecisionStage::AnsweringKeyExchange;
                        Ok(Next::Wait(Box::new(decision), WaitFor::Result(job)))
                    }
                    None => self.conclude_decision(host, now, decision, None),
                }
            }
            (DecisionStage::AnsweringKeyExchange, Resumed::Work(JobResult::Responded(responded))) => {
                let answered = responded.map_err(IkeError::from)?;
                self.conclude_decision(host, now, decision, Some(answered))
            }
            (
                DecisionStage::Ranking | DecisionStage::Narrowing | DecisionStage::AnsweringKeyExchange,
                Resumed::Answer(..) | Resumed::Work(_),
            ) => Err(Refusal::of(NotifyType::TEMPORARY_FAILURE)),
        }
    }

    fn selector_question(&self, now: Now, decision: &ChildDecision) -> Result<Question, Refusal> {
        let Some(established) = self.established() else {
            return Err(Refusal::of(NotifyType::TEMPORARY_FAILURE));
        };
        let connection = &established.connection;
        let child = connection.children.get(decision.index).map_or("", |child| child.name.as_str());
        let about = (connection.name.as_str(), child);
        let mode = connection.children.get(decision.index).map_or(Mode::Tunnel, |child| child.mode);
        let (ts_i, ts_r) = self.offered_selectors(&decision.asked, mode);
        let sides = ((&*decision.local, &*decision.remote), (&*ts_r, &*ts_i));
        Ok(narrow_selectors::question(about, established, sides, (decision.asked.rekeys.is_some(), now)))
    }

    fn child_key_exchange(&self, host: &mut Host, decision: &ChildDecision) -> Result<Option<Job>, Refusal> {
        let method = decision.suite.map_or(Method::NONE, |suite| suite.key_exchange);
        let Some(theirs) = decision.asked.key_exchange.as_ref().filter(|_| method != Method::NONE) else {
            return Ok(None);
        };
        let unsupported = || IkeError::from(CryptoError::Unsupported);
        let algorithm = host.crypto.find_key_exchange(method).ok_or_else(unsupported)?;
        let random = host.draw_key_exchange().map_err(IkeError::from)?;
        Ok(Some(Job::RespondKeyExchange(algorithm, theirs.data.clone(), random)))
    }

    /// Installs what was decided, and writes the answer.
    fn conclude_decision(
        &mut self,
        host: &mut Host,
        now: Now,
        decision: ChildDecision,
        answered: Option<(Vec<u8>, SecretBytes)>,
    ) -> Result<Next, Refusal> {
        let ChildDecision { asked, index, local, remote, suite, .. } = decision;
        let active = |old| self.established().is_some_and(|it| it.estate.is_active(old));
        if asked.rekeys.is_some_and(|old| !active(old)) {
            // RFC 7296, 2.25.1: while this was being decided, our own exchange replaced the old one.
            return Err(Refusal::of(NotifyType::TEMPORARY_FAILURE));
        }
        let refusal = || Refusal::of(NotifyType::NO_PROPOSAL_CHOSEN);
        let suite = suite.ok_or_else(refusal)?;
        let proposal = proposals::fitting(&Suite::Esp(suite), &asked.offer).ok_or_else(refusal)?;
        let spi_out = proposal.child_spi().ok_or_else(refusal)?;
        let spi_in = host.draw_child_spi().map_err(IkeError::from)?;
        let (public, shared) = answered.unzip();
        let configured = self
            .established()
            .and_then(|established| established.connection.children.get(index))
            .map_or(Mode::Tunnel, |config| config.mode);
        let mode = if asked.transport { configured } else { Mode::Tunnel };
        let mut payloads = Vec::new();
        if mode == Mode::Transport {
            payloads.push(notify(NotifyType::USE_TRANSPORT_MODE));
        }
        let choice = proposals::choice(&Suite::Esp(suite), proposal.number, &spi_in.0.to_be_bytes());
        payloads.push(Payload::SecurityAssociation(choice));
        if !asked.first {
            payloads.push(Payload::Nonce(Nonce { data: asked.nonce_r.clone() }));
        }
        if let Some(data) = public {
            payloads.push(Payload::KeyExchange(KeyExchange { method: suite.key_exchange, data }));
        }
        let (mut ts_i, mut ts_r) = (remote.clone(), local.clone());
        let mut translation = Translation::None;
        if self.translates(&asked, mode) {
            translation = transport_nat::from_offered(&asked.ts_i, &asked.ts_r);
            ts_i = transport_nat::as_offered(&remote, &asked.ts_i);
            ts_r = transport_nat::as_offered(&local, &asked.ts_r);
        }
        payloads.push(Payload::TsInitiator(ts_i.into()));
        payloads.push(Payload::TsResponder(ts_r.into()));
        if asked.first {
            self.foretell_groups(host, (index, suite), &asked.groups);
        }
        let lowest = lowest_nonce(&asked.nonce_i, &asked.nonce_r);
        let new = NewChild {
            index,
            spi_in,
            spi_out,
            suite,
            nonce_i: asked.nonce_i,
            nonce_r: asked.nonce_r,
            shared,
            ours: false,
            local,
            remote,
            mode,
            translation,
            replaces: asked.rekeys,
        };
        let child = self.install_child(host, now, new).inspect_err(|_| host.free_child_spi(spi_in))?;
        if let Some(old) = asked.rekeys {
            self.replace_by_peer(now, old, child, lowest);
        }
        Ok(Next::Done(payloads))
    }

    /// Waits for what a decision needs next.
    pub(crate) fn wait_for(&mut self, host: &mut Host, now: Now, wait: WaitFor) {
        match wait {
            WaitFor::Answer(question) => self.ask(host, now, Track::Remote, *question),
            WaitFor::Result(job) => self.work(host, Track::Remote, job),
        }
    }

    /// Goes on with a Child SA that the peer wants.
    pub(crate) fn resume_child_decision(
        &mut self,
        host: &mut Host,
        now: Now,
        decision: Box<ChildDecision>,
        resumed: Resumed,
    ) {
        match self.step_decision(host, now, *decision, resumed) {
            Ok(Next::Wait(decision, wait)) => {
                self.set_remote(RemoteExchange::CreateChild(decision));
                self.wait_for(host, now, wait);
            }
            Ok(Next::Done(payloads)) => {
                self.respond(host, now, ExchangeType::CREATE_CHILD_SA, &payloads);
                self.start_next(host, now);
            }
            Err(refusal) => self.refuse_create(host, now, refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_not_here_is_named_as_the_peer_named_it() {
        // RFC 7296, 2.25.1: about ESP, with the SPI of REKEY_SA.
        let spi = ChildSpi(0xc0de_0001);
        let told = Refusal::child_not_found(Some(spi)).to_notify();
        assert_eq!(told, Notify::about_esp(NotifyType::CHILD_SA_NOT_FOUND, spi));
    }
}
