//! The endpoint: finds the IKE SA that an input is for, and delivers what IKE SAs tell each other and their
//! connections. What happens within an IKE SA is not decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::{CryptoBackend, SecureRandom};
use vpnhost_model::{
    AddressPair, ChildSaId, IkeSaId, Instant, LocalAddress, Now, PacketId, Path, Role, Translator,
};
use vpnhost_policy::{Answer, PathCause, Policy, Power, QuestionSet, SituationCause};

use crate::config::EndpointConfig;
use crate::connection::ConnectionState;
use crate::exchange::ike_sa_init;
use crate::extension::{crash_detection, unknown_spi};
use crate::host::{Host, Letter};
use crate::input::{Command, JobResult, OutputFailure, TrafficReport};
use crate::limits;
use crate::output::{CloseReason, JobId, Output, QuestionId};
use crate::sa::IkeSa;
use crate::sa::mapping::{Memory, Network};
use crate::sa::queue::Task;
use crate::sa::state::State;
use crate::timer::Timer;
use crate::wire::payload::{Notify, NotifyType};
use crate::wire::{ExchangeType, Header};
use crate::work::{Resumed, Wait};

/// An IKEv2 endpoint: initiator and responder of any number of IKE SAs.
///
/// See the crate's documentation for the contract.
pub struct IkeEndpoint {
    pub(crate) host: Host,
    pub(crate) sas: BTreeMap<IkeSaId, IkeSa>,
    pub(crate) connections: BTreeMap<String, ConnectionState>,
    deadlines: BTreeSet<(Instant, Timer, IkeSaId)>,
    scheduled: BTreeMap<IkeSaId, (Instant, Timer)>,
    /// The addresses of peers that IKE SAs may go to, as they were told.
    remotes: BTreeSet<IpAddr>,
}

impl IkeEndpoint {
    /// Makes an endpoint; connections that are to be up begin at once.
    pub fn new(
        config: EndpointConfig,
        crypto: &'static dyn CryptoBackend,
        random: Box<dyn SecureRandom>,
        policy: Arc<dyn Policy>,
        now: Now,
    ) -> Self {
        let mut endpoint = Self {
            host: Host::new(config, crypto, random, policy, now),
            sas: BTreeMap::new(),
            connections: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            scheduled: BTreeMap::new(),
            remotes: BTreeSet::new(),
        };
        endpoint.begin_configured(now);
        endpoint
    }

    /// Takes a datagram from one of the IKE sockets, without the non-ESP marker. It is decrypted in place. The path's interface
    /// is the one that it came in by, where that is known.
    pub fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        let path = self.host.arrived(path);
        let header = match Header::decode(datagram) {
            Ok(header) => header,
            Err(error) => {
                tracing::trace!(%path, %error, "no IKE message");
                return;
            }
        };
        tracing::trace!(%path, exchange = %header.exchange, message_id = header.message_id, "datagram");
        if self.host.config.idle_port == Some(path.local.port()) && !header.flags.response {
            // An answer from that port would keep the mapping alive whose memory is being learned.
            return;
        }
        if header.version.major() != 2 {
            return self.refuse_version(now, path, &header);
        }
        let begins = header.exchange == ExchangeType::IKE_SA_INIT && !header.flags.response;
        if begins {
            return self.handle_init_request(now, path, &header, datagram);
        }
        // RFC 7296, 3.1: the flag tells which of the two SPIs is this host's.
        let (spi, role) = if header.flags.initiator {
            (header.spi_r, Role::Responder)
        } else {
            (header.spi_i, Role::Initiator)
        };
        let found = self.host.directory.ike_spis.get(&spi).copied();
        let known = found.filter(|id| self.sas.get(id).is_some_and(|sa| is_of(sa, role, &header)));
        match known {
            Some(id) => {
                self.visit(now, id, |sa, host| {
                    sa.handle_datagram(host, now, path, datagram);
                    sa.start_next(host, now);
                });
            }
            None => self.refuse_unknown(now, path, &header, datagram),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(id) = self.host.questions.overdue(now.instant) {
            self.answer(now, id, None, true);
        }
        self.host.end_lingering(Some(now.instant));
        let due: Vec<IkeSaId> = self
            .deadlines
            .iter()
            .take_while(|(deadline, ..)| *deadline <= now.instant)
            .map(|(_, _, id)| *id)
            .collect();
        for id in due {
            self.visit(now, id, |sa, host| {
                while let Some(timer) = sa.timers.take_due(now.instant) {
                    tracing::trace!(ike_sa = %sa.id, ?timer, "due");
                    sa.on_timer(host, now, timer);
                }
            });
        }
        self.retry_connections(now);
    }

    /// Takes the answer to a question; `None` is an abstention. An answer that comes too late finds
    /// no open question and is dropped.
    pub fn handle_answer(&mut self, now: Now, id: QuestionId, answer: Option<Answer>) {
        self.answer(now, id, answer, false);
    }

    /// Takes the result of a job.
    pub fn handle_work(&mut self, now: Now, id: JobId, result: JobResult) {
        let Some((ike_sa, track)) = self.host.jobs.finish(id) else { return };
        self.visit(now, ike_sa, |sa, host| {
            sa.resume_waiting(host, now, (track, Wait::Job(id)), Resumed::Work(result));
        });
    }

    /// Takes an operator's order.
    pub fn handle_command(&mut self, now: Now, command: Command) {
        match command {
            Command::Initiate(name) => self.initiate(now, &name),
            Command::Terminate(name) => self.terminate(now, &name, CloseReason::Local),
            Command::TerminateIkeSa(id) => self.end_sa(now, id, CloseReason::Local),
            Command::TerminateChildSa(id) => {
                self.want_for_child(now, id, Task::DeleteChild(id, CloseReason::Local));
            }
            Command::RekeyIkeSa(id) => self.want(now, id, Task::RekeyIkeSa),
            Command::RekeyChildSa(id) => self.want_for_child(now, id, Task::RekeyChild(id)),
            Command::Reauthenticate(id) => {
                self.reauthenticate(now, id);
                self.deliver(now);
            }
            Command::CheckLiveness(id) => {
                self.visit(now, id, |sa, host| sa.order_liveness(host, now, Task::Liveness));
            }
            Command::TestPath(id, ends) => self.visit(now, id, |sa, host| sa.order_test(host, now, ends)),
            Command::Roam(id, ends) => self.visit(now, id, |sa, host| sa.order_roam(host, now, ends)),
            Command::Configure(config) => self.configure(now, *config),
            Command::LearnGateways(name, gateways) => self.learn_gateways(now, &name, gateways),
            Command::UseCrypto(crypto) => self.use_crypto(crypto),
            Command::UseCrls(crls) => self.use_crls(now, crls),
            Command::Shutdown => self.shut_down(now),
        }
    }

    /// Takes what the packet path tells of its SAs.
    pub fn handle_traffic(&mut self, now: Now, report: TrafficReport) {
        match report {
            TrafficReport::FirstInbound(id) => {
                self.visit_child(now, id, |sa, host| sa.on_first_inbound(host, now, id));
            }
            TrafficReport::Inbound(id, at) => self.visit_child(now, id, |sa, host| {
                sa.heard_traffic(host, at);
                sa.note_traffic(host, now, at);
            }),
            TrafficReport::Resumed(id, resumption) => {
                self.visit_child(now, id, |sa, host| sa.on_resumed(host, now, &resumption));
            }
            TrafficReport::Outbound(id, at) => self.visit_child(now, id, |sa, host| {
                sa.sent_traffic(at);
                sa.suspect(now, at);
                sa.note_traffic(host, now, at);
            }),
            TrafficReport::Moved(id, path) => {
                self.visit_child(now, id, |sa, host| sa.on_moved(host, now, path));
            }
            TrafficReport::SoftLimit(id) => self.visit_child(now, id, |sa, host| {
                sa.want_child_rekey(id);
                sa.start_next(host, now);
            }),
            TrafficReport::Exhausted(id) => {
                self.visit_child(now, id, |sa, host| sa.on_exhausted(host, now, id));
            }
            TrafficReport::Large(id, octets) => {
                self.visit_child(now, id, |sa, host| sa.on_large_packet(host, now, octets));
            }
            TrafficReport::Acquire { destination, .. } => self.acquire(now, destination),
            TrafficReport::UnknownSpi { spi, path, octets } => {
                let path = self.host.arrived(path);
                self.host.say_spi_is_unknown(now, spi, (path, octets));
            }
        }
    }

    /// Takes the news that an output could not be carried out.
    pub fn handle_failure(&mut self, now: Now, failure: OutputFailure) {
        match failure {
            OutputFailure::ChildSa(id, what) => {
                tracing::warn!(child_sa = %id, what, "Child SA could not be installed");
                self.want_for_child(now, id, Task::DeleteChild(id, CloseReason::Internal(what)));
            }
            OutputFailure::Host(id, what) => {
                // Who could not configure it tells why.
                self.end_sa(now, id, CloseReason::Internal(what));
            }
        }
    }

    /// Takes the machine's own addresses, and the pairs of them with peers' addresses that it has a route for: of those
    /// that [`Output::FindPairs`] names, in the order in which the machine would use them itself.
    ///
    /// Where the kernel chooses the source of a message, the peer must know the addresses to see that there is no NAT;
    /// IKE SAs move when they change (RFC 4555).
    pub fn handle_links(&mut self, now: Now, links: &[LocalAddress], pairs: &[AddressPair]) {
        let before = std::mem::replace(&mut self.host.local_addresses, links.to_vec());
        let described_anew = before != links;
        self.host.pairs = pairs.to_vec();
        let may_move = |sa: &&IkeSa| {
            sa.established().is_some() || matches!(sa.state, State::SaInitSent(_) | State::AuthSent(_))
        };
        let moving: Vec<IkeSaId> = self.sas.values().filter(may_move).map(|sa| sa.id).collect();
        for id in moving {
            self.visit(now, id, |sa, host| {
                if described_anew {
                    sa.on_link_changed(host, now, &before);
                }
                sa.on_links(host, now, described_anew);
                sa.start_next(host, now);
            });
        }
    }

    /// Takes what it costs to seal a full packet here, in nanoseconds, for policies to know.
    pub fn use_packet_costs(&mut self, costs: BTreeMap<PacketId, u32>) {
        self.host.packet_costs = costs;
    }

    /// Takes what the machine runs on. Where that is another than before, plans and paths are decided anew.
    pub fn handle_power(&mut self, now: Now, power: Power) {
        let before = std::mem::replace(&mut self.host.power, power);
        if before.source == power.source {
            return;
        }
        let all: Vec<IkeSaId> = self.sas.keys().copied().collect();
        for id in all {
            self.visit(now, id, |sa, host| {
                sa.plan_maintenance(host, now, SituationCause::POWER);
                sa.consider_paths(host, now, PathCause::POWER);
                sa.start_next(host, now);
            });
        }
    }

    /// Has decided anew what other policies may decide otherwise: which way each IKE SA takes, how it is kept alive, what its
    /// peer is told, and when its Child SAs are replaced. With many IKE SAs one after the other, over some time: questions
    /// about peers that come meanwhile must find room.
    pub fn review(&mut self, now: Now) {
        let all: Vec<IkeSaId> = self.sas.keys().copied().collect();
        let spread = limits::REVIEW_EACH * u32::try_from(all.len()).unwrap_or(u32::MAX).saturating_sub(1);
        for id in all {
            let later = Duration::from_nanos(
                self.host.draw_up_to(u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX)),
            );
            self.visit(now, id, |sa, _| sa.review_later(now.instant + later));
        }
    }

    /// Takes the NAT64s that the machine's networks have (RFC 7050): peers of IPv4 are looked for behind them too.
    ///
    /// Comes before [`Self::handle_links`] of the same moment.
    pub fn handle_translators(&mut self, now: Now, translators: &[Translator]) {
        if self.host.translators.learn(translators) {
            self.host.note_remotes();
            self.deliver(now);
        }
    }

    /// Returns what is known of the NATs of networks; worth keeping where it is told of by [`crate::Event::KeepaliveLearned`].
    pub fn networks(&self) -> impl Iterator<Item = (Network, Memory)> + '_ {
        self.host.mappings.all()
    }

    /// Tells whether a Child SA's end keeps a NAT's mapping: only then a silence shows something.
    pub fn keeps_mapping(&self, child_sa: ChildSaId) -> bool {
        let owner = self.host.directory.child_owners.get(&child_sa);
        owner.and_then(|id| self.sas.get(id)).is_some_and(|sa| sa.keepalive().is_some())
    }

    /// Takes what was known of a network's NAT before; what was learned since stays.
    pub fn recall_network(&mut self, network: Network, memory: Memory) {
        self.host.mappings.recall(network, memory);
    }

    /// Names the questions that go out as [`Output::Ask`]; the native policy answers the others.
    pub fn delegate(&mut self, questions: QuestionSet) {
        self.host.delegated = questions;
    }

    /// Returns the next thing that must happen.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.host.poll_output()
    }

    /// Returns when [`Self::handle_timeout`] must be called next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let of_sas = self.deadlines.first().map(|&(deadline, timer, _)| (deadline, timer));
        let answer = self.host.questions.next_deadline().map(|deadline| (deadline, Timer::Answer));
        let lingering = self.host.next_lingering().map(|(until, id)| (until, Timer::OldInbound(id)));
        let retry = self.connections.values().filter_map(|state| state.retry_at).min();
        let retry = retry.map(|deadline| (deadline, Timer::Retry));
        [of_sas, answer, lingering, retry].into_iter().flatten().min()
    }

    /// Returns how soon the packet path should tell of packets that go out, so that a peer who does not answer is noticed
    /// in time; `None` if nobody waits for that.
    pub fn attention(&self) -> Option<std::time::Duration> {
        let patience = |sa: &IkeSa| Some(sa.established()?.plan.suspect).filter(|it| !it.is_zero());
        self.sas.values().filter(|sa| sa.looks_after_path()).filter_map(patience).min().map(|it| it / 4)
    }

    /// Tells whether nothing is up, begun or ending: after `Command::Shutdown` the driver may stop.
    pub fn is_idle(&self) -> bool {
        self.sas.values().all(|sa| matches!(sa.state, State::Gone | State::Closed))
    }

    /// Returns how many IKE SAs have a deadline.
    pub(crate) fn deadlines(&self) -> usize {
        self.deadlines.len()
    }

    // ---- finding IKE SAs -----------------------------------------------------------------------------

    /// Visits an IKE SA, then delivers what it left for others.
    pub(crate) fn visit(&mut self, now: Now, id: IkeSaId, visit: impl FnOnce(&mut IkeSa, &mut Host)) {
        self.visit_one(id, visit);
        self.deliver(now);
    }

    pub(crate) fn visit_one(&mut self, id: IkeSaId, visit: impl FnOnce(&mut IkeSa, &mut Host)) {
        let Some(mut sa) = self.sas.remove(&id) else { return };
        visit(&mut sa, &mut self.host);
        self.keep(sa);
    }

    fn visit_child(&mut self, now: Now, id: ChildSaId, visit: impl FnOnce(&mut IkeSa, &mut Host)) {
        if let Some(owner) = self.host.directory.child_owners.get(&id).copied() {
            self.visit(now, owner, visit);
        }
    }

    /// Keeps an IKE SA and its next deadline, unless it can be forgotten.
    pub(crate) fn keep(&mut self, sa: IkeSa) {
        let id = sa.id;
        if let Some((deadline, timer)) = self.scheduled.remove(&id) {
            self.deadlines.remove(&(deadline, timer, id));
        }
        if matches!(sa.state, State::Closed) {
            self.host.directory.ike_spis.remove(&sa.our_spi());
            return;
        }
        if let Some((deadline, timer)) = sa.timers.next() {
            self.deadlines.insert((deadline, timer, id));
            self.scheduled.insert(id, (deadline, timer));
        }
        self.sas.insert(id, sa);
    }

    /// Delivers births, letters, arrivals and endings until there are none; last words come after all of them.
    pub(crate) fn deliver(&mut self, now: Now) {
        loop {
            let births = std::mem::take(&mut self.host.births);
            births.into_iter().for_each(|sa| self.keep(sa));
            if let Some((to, letter)) = self.host.letters.pop_front() {
                self.deliver_letter(now, to, letter);
            } else if let Some(arrived) = self.host.arrivals.pop() {
                self.on_arrival(now, arrived);
            } else if let Some(id) = self.host.twins.pop() {
                self.review_twins(now, id);
            } else if let Some(id) = self.host.reauthentications.pop() {
                self.reauthenticate(now, id);
            } else if let Some(id) = self.host.lost.pop() {
                self.begin_after_loss(now, id);
            } else if let Some(id) = self.host.doubted.pop() {
                self.renegotiate(now, id);
            } else if let Some(id) = self.host.relieved.pop() {
                self.end_beside(now, id);
            } else if let Some(ending) = self.host.endings.pop() {
                self.on_ending(now, &ending);
            } else {
                self.find_pairs();
                let last_words = std::mem::take(&mut self.host.last_words);
                return last_words.into_iter().for_each(|output| self.host.output(output));
            }
        }
    }

    /// Names the addresses of peers that IKE SAs may go to, if they are others than before.
    fn find_pairs(&mut self) {
        if std::mem::take(&mut self.host.remotes_changed) {
            let remotes = self.sas.values().flat_map(|sa| sa.peer_remotes(&self.host.translators));
            let remotes: BTreeSet<IpAddr> = remotes.collect();
            if remotes != self.remotes {
                self.remotes.clone_from(&remotes);
                self.host.output(Output::FindPairs(remotes));
            }
        }
    }

    fn deliver_letter(&mut self, now: Now, to: IkeSaId, letter: Letter) {
        match letter {
            Letter::Inherit(inheritance) if self.sas.contains_key(&to) => {
                self.visit_one(to, |sa, host| sa.inherit(host, now, *inheritance));
            }
            Letter::Inherit(inheritance) => IkeSa::bury(&mut self.host, to, *inheritance),
            Letter::CheckLiveness => self.visit_one(to, |sa, host| {
                sa.want(Task::Liveness);
                sa.start_next(host, now);
            }),
            Letter::Newcomer => self.visit_one(to, |sa, _| sa.note_newcomer()),
            Letter::Follow(path) => self.visit_one(to, |sa, host| sa.follow_successor(host, now, path)),
            Letter::Delete(reason) => self.visit_one(to, |sa, host| sa.order_end(host, now, reason)),
        }
    }

    pub(crate) fn want(&mut self, now: Now, id: IkeSaId, task: Task) {
        self.visit(now, id, |sa, host| {
            sa.want(task);
            sa.start_next(host, now);
        });
    }

    fn want_for_child(&mut self, now: Now, id: ChildSaId, task: Task) {
        if let Some(owner) = self.host.directory.child_owners.get(&id).copied() {
            self.want(now, owner, task);
        }
    }

    pub(crate) fn end_sa(&mut self, now: Now, id: IkeSaId, reason: CloseReason) {
        self.visit(now, id, |sa, host| sa.order_end(host, now, reason));
    }

    fn answer(&mut self, now: Now, id: QuestionId, answer: Option<Answer>, overdue: bool) {
        let Some(open) = self.host.questions.close(id) else {
            tracing::debug!(?id, "an answer came too late");
            return;
        };
        let (answer, by) = crate::question::settle(&*self.host.policy, &open.question, answer, overdue);
        self.visit(now, open.ike_sa, |sa, host| {
            let wait = (open.track, Wait::Question(id));
            sa.resume_waiting(host, now, wait, Resumed::Answer(answer, by));
        });
    }

    // ---- messages without an IKE SA ------------------------------------------------------------------

    fn handle_init_request(&mut self, now: Now, path: Path, header: &Header, datagram: &[u8]) {
        // RFC 7296, 2.2, 3.1: Message ID zero, no SPI of ours, sent by the original initiator.
        let first = header.message_id == 0 && header.spi_r.is_zero() && header.flags.initiator;
        if !first || header.spi_i.is_zero() || self.host.shutting_down {
            return;
        }
        if let Some(nonce) = ike_sa_init::nonce_of(datagram)
            && let Some(id) = self.host.directory.inits.get(&(header.spi_i, nonce)).copied()
        {
            return self.visit(now, id, |sa, host| sa.repeat_init(host, path));
        }
        if self.sas.len() >= limits::IKE_SAS {
            return;
        }
        if let Some(sa) = ike_sa_init::accept(&mut self.host, now, path, datagram) {
            let id = sa.id;
            self.keep(sa);
            self.visit(now, id, |sa, host| sa.start_answer(host, now));
        }
    }

    /// RFC 7296, 2.5: a higher major version is answered, in ours.
    fn refuse_version(&mut self, now: Now, path: Path, header: &Header) {
        if header.version.major() > 2 && !header.flags.response {
            let notify = Notify::new(NotifyType::INVALID_MAJOR_VERSION, vec![]);
            if let Some(octets) = ike_sa_init::unprotected(header, vec![notify]) {
                self.host.transmit_unprotected(now, path, octets);
            }
        }
    }

    /// RFC 7296, 2.21.4: a request for an IKE SA that is not here may be answered, but not too often.
    fn refuse_unknown(&mut self, now: Now, path: Path, header: &Header, datagram: &[u8]) {
        tracing::trace!(%path, spi_i = %header.spi_i, spi_r = %header.spi_r, "no such IKE SA");
        if let Some(spi) = unknown_spi::said_in(header, datagram) {
            return self.hear_of_unknown_spi(now, &path, spi);
        }
        if header.flags.response || header.spi_i.is_zero() || header.spi_r.is_zero() {
            return;
        }
        let mut notifies = vec![Notify::new(NotifyType::INVALID_IKE_SPI, vec![])];
        notifies.extend(crash_detection::proof_of_loss(&mut self.host, now, header, datagram));
        if let Some(octets) = ike_sa_init::unprotected(header, notifies) {
            self.host.transmit_unprotected(now, path, octets);
        }
    }
}

/// Tells whether a header's SPIs are those of an IKE SA in which this host has the role.
fn is_of(sa: &IkeSa, role: Role, header: &Header) -> bool {
    let answered = match &sa.state {
        // The responder's SPI is not known before it has answered.
        State::SaInitSent(_) => true,
        State::SaInitAnswered(_)
        | State::AuthSent(_)
        | State::Authorizing(_)
        | State::Established(_)
        | State::Rekeyed
        | State::Closing(_)
        | State::Gone
        | State::Closed => sa.spi_r == header.spi_r,
    };
    sa.role == role && sa.spi_i == header.spi_i && answered
}
