//! What all IKE SAs of one endpoint share: configuration, algorithms, randomness, names, outputs, and
//! letters from one SA to another. Knows no exchange.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use vpnhost_crypto::{CryptoBackend, CryptoError, DrawnRandom, SecretBytes, SecureRandom};
use vpnhost_model::{
    AddressPair, ChildSaId, ChildSpi, Identity, IkeSaId, IkeSpi, Instant, LocalAddress, Now, PacketId, Path,
};
use vpnhost_pki::{Crl, identity};
use vpnhost_policy::limits::OTHER_SAS;
use vpnhost_policy::{OtherSa, Policy, Power, Question, QuestionKind, QuestionSet};

use crate::config::{EndpointConfig, PeerConfig};
use crate::crowd::Crowd;
use crate::extension::cookie::CookieJar;
use crate::extension::nat_detection::NatFindings;
use crate::limits;
use crate::output::{CloseReason, Event, Job, JobId, Output, Transmit, TransmitKind};
use crate::pool::Pools;
use crate::question::{Asked, Questions, answer_natively, settle};
use crate::sa::IkeSa;
use crate::sa::estate::Estate;
use crate::sa::mapping::Mappings;
use crate::sa::queue::Task;
use crate::tally::Tally;
use crate::translators::Translators;
use crate::work::{Jobs, Track};

/// What all IKE SAs of one endpoint share.
pub(crate) struct Host {
    pub(crate) config: EndpointConfig,
    pub(crate) crypto: &'static dyn CryptoBackend,
    pub(crate) policy: Arc<dyn Policy>,
    pub(crate) delegated: QuestionSet,
    pub(crate) random: Box<dyn SecureRandom>,
    pub(crate) questions: Questions,
    pub(crate) jobs: Jobs,
    pub(crate) pools: Pools,
    pub(crate) cookies: CookieJar,
    pub(crate) local_addresses: Vec<LocalAddress>,
    /// What the machine runs on.
    pub(crate) power: Power,
    /// What it costs to seal a full packet, in nanoseconds.
    pub(crate) packet_costs: BTreeMap<PacketId, u32>,
    /// Pairs of addresses that the machine has a route for.
    pub(crate) pairs: Vec<AddressPair>,
    /// The NAT64s of this host's networks.
    pub(crate) translators: Translators,
    /// IKE SAs may go to other addresses of peers than before.
    pub(crate) remotes_changed: bool,
    pub(crate) directory: Directory,
    /// What is known of the NATs of the networks that this host is in, or was.
    pub(crate) mappings: Mappings,
    /// When the machine woke up last: what was missed before shows nothing of a NAT.
    pub(crate) woke: Instant,
    pub(crate) births: Vec<IkeSa>,
    pub(crate) letters: VecDeque<(IkeSaId, Letter)>,
    /// IKE SAs that were just established.
    pub(crate) arrivals: Vec<IkeSaId>,
    /// IKE SAs that may have a twin.
    pub(crate) twins: Vec<IkeSaId>,
    /// IKE SAs whose peers are to be authenticated anew.
    pub(crate) reauthentications: Vec<IkeSaId>,
    /// IKE SAs whose peers may be gone.
    pub(crate) doubted: Vec<IkeSaId>,
    /// IKE SAs whose peers are there after all.
    pub(crate) relieved: Vec<IkeSaId>,
    /// Revocation lists of the configuration, and those fetched since.
    crls: Arc<[Crl]>,
    fetched_crls: Vec<Crl>,
    pub(crate) endings: Vec<Ending>,
    /// What goes out when everything that was left for others is delivered.
    pub(crate) last_words: Vec<Output>,
    pub(crate) shutting_down: bool,
    outputs: VecDeque<Output>,
    lingering: BTreeMap<ChildSaId, (Instant, ChildSpi)>,
    unprotected: TokenBucket,
    /// What others say in clear of lost Child SAs.
    pub(crate) loss_hints: TokenBucket,
    pub(crate) started: Instant,
    /// What tokens are made under that prove a loss of IKE SAs.
    pub(crate) crash_secret: Option<SecretBytes>,
    /// Tokens that are said in clear.
    pub(crate) crash_tokens: TokenBucket,
    /// IKE SAs that their peers proved to have lost.
    pub(crate) lost: Vec<IkeSaId>,
    /// Refusals of strangers that are told of.
    pub(crate) refusals: TokenBucket,
    /// What was refused to stay within the bounds.
    pub(crate) tally: Tally,
    /// Octets of fragments that half-open IKE SAs hold.
    pub(crate) half_open_fragments: usize,
    last_ike_sa: u64,
    last_child_sa: u64,
}

/// What SAs are found by.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// Our SPIs of IKE SAs.
    pub(crate) ike_spis: BTreeMap<IkeSpi, IkeSaId>,
    /// Answered IKE_SA_INITs by the initiator's SPI and nonce: a repeated one finds its answer.
    pub(crate) inits: BTreeMap<(IkeSpi, Vec<u8>), IkeSaId>,
    /// The IKE SA that a Child SA belongs to.
    pub(crate) child_owners: BTreeMap<ChildSaId, IkeSaId>,
    /// SPIs that this host receives ESP on.
    pub(crate) child_spis: BTreeSet<ChildSpi>,
    /// Established IKE SAs of a peer, whichever way it writes its identity.
    peers: BTreeMap<Identity, BTreeSet<IkeSaId>>,
    /// What is known of them.
    established: BTreeMap<IkeSaId, Entry>,
    /// Half-open IKE SAs as responder, and who failed to authenticate.
    pub(crate) crowd: Crowd,
}

/// What is known of an established IKE SA.
#[derive(Debug)]
struct Entry {
    since: Instant,
    connection: String,
    remote: SocketAddr,
    /// The children of the connection that packets go out on, by their places in it.
    sending: BTreeSet<usize>,
}

impl Directory {
    /// Enters an established IKE SA of a peer.
    pub(crate) fn enter(
        &mut self,
        now: Instant,
        peer: &Identity,
        (connection, remote): (&str, SocketAddr),
        ike_sa: IkeSaId,
    ) {
        self.peers.entry(identity::folded(peer)).or_default().insert(ike_sa);
        let connection = connection.to_owned();
        self.established.insert(ike_sa, Entry { since: now, connection, remote, sending: BTreeSet::new() });
    }

    /// Returns the established IKE SAs of a peer.
    pub(crate) fn of_peer(&self, peer: &Identity) -> impl Iterator<Item = IkeSaId> {
        self.peers.get(&identity::folded(peer)).into_iter().flatten().copied()
    }

    /// Tells a policy of the established IKE SAs of a peer, the newest first, as many as it is told of.
    pub(crate) fn others(&self, now: Instant, peer: &Identity) -> Vec<OtherSa> {
        let mut entries: Vec<&Entry> =
            self.of_peer(peer).filter_map(|id| self.established.get(&id)).collect();
        entries.sort_by_key(|entry| Reverse(entry.since));
        let other = |entry: &Entry| OtherSa {
            connection: entry.connection.clone(),
            remote: entry.remote,
            up_secs: u32::try_from(now.saturating_since(entry.since).as_secs()).unwrap_or(u32::MAX),
            hints: Vec::new(),
        };
        entries.into_iter().take(OTHER_SAS).map(other).collect()
    }

    /// Notes where an IKE SA's peer is now.
    pub(crate) fn note_remote(&mut self, ike_sa: IkeSaId, remote: SocketAddr) {
        if let Some(entry) = self.established.get_mut(&ike_sa) {
            entry.remote = remote;
        }
    }

    /// Returns where an established IKE SA's peer is.
    pub(crate) fn remote(&self, ike_sa: IkeSaId) -> Option<SocketAddr> {
        self.established.get(&ike_sa).map(|entry| entry.remote)
    }

    /// Tells whether the peer of an established IKE SA is there.
    pub(crate) fn is_somebody_at(&self, remote: SocketAddr) -> bool {
        self.established.values().any(|entry| entry.remote == remote)
    }

    /// Returns the connection of an established IKE SA.
    pub(crate) fn connection(&self, ike_sa: IkeSaId) -> Option<&str> {
        self.established.get(&ike_sa).map(|entry| entry.connection.as_str())
    }

    /// Strikes out an IKE SA that ended, or that another replaced.
    pub(crate) fn leave(&mut self, ike_sa: IkeSaId) {
        self.established.remove(&ike_sa);
        self.peers.retain(|_, sas| {
            sas.remove(&ike_sa);
            !sas.is_empty()
        });
    }

    /// Notes which children of an IKE SA's connection packets go out on.
    pub(crate) fn note_sending(&mut self, ike_sa: IkeSaId, sending: BTreeSet<usize>) {
        if let Some(entry) = self.established.get_mut(&ike_sa) {
            entry.sending = sending;
        }
    }

    /// Tells whether packets for a peer go out on a child of a connection, whichever IKE SA it belongs to.
    pub(crate) fn sends(&self, peer: &Identity, connection: &str, index: usize) -> bool {
        let mut entries = self.of_peer(peer).filter_map(|ike_sa| self.established.get(&ike_sa));
        entries.any(|entry| entry.connection == connection && entry.sending.contains(&index))
    }

    /// Returns since when an IKE SA is established.
    pub(crate) fn established_since(&self, ike_sa: IkeSaId) -> Instant {
        self.established.get(&ike_sa).map(|entry| entry.since).unwrap_or_default()
    }
}

/// What one IKE SA tells another.
#[derive(Debug)]
pub(crate) enum Letter {
    /// You inherit what the IKE SA has that you replace.
    Inherit(Box<Inheritance>),
    /// See whether the peer is there.
    CheckLiveness,
    /// The peer has begun another IKE SA.
    Newcomer,
    /// The IKE SA that took your place moved there.
    Follow(Path),
    /// Say goodbye to the peer, and end.
    Delete(CloseReason),
}

/// What passes from an IKE SA to the one that replaces it.
#[derive(Debug)]
pub(crate) struct Inheritance {
    /// The replaced IKE SA.
    pub(crate) from: IkeSaId,
    /// The connection of both.
    pub(crate) connection: Arc<PeerConfig>,
    /// What it leaves.
    pub(crate) estate: Estate,
    /// The exchanges that wait.
    pub(crate) tasks: Vec<Task>,
    /// Where it is by now, and the NATs on the way.
    pub(crate) place: (Path, NatFindings),
}

/// An IKE SA that ended, for the connection's next attempt.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) connection: Arc<PeerConfig>,
    /// The peer, once known.
    pub(crate) peer: Option<Identity>,
    pub(crate) was_established: bool,
    /// Whether it ever had a Child SA.
    pub(crate) carried: bool,
    pub(crate) reason: CloseReason,
}

impl Host {
    /// Returns what is known of the link that an address of this machine lies on.
    pub(crate) fn link_of(&self, local: IpAddr, interface: Option<u32>) -> Option<&LocalAddress> {
        let on = |link: &&LocalAddress| interface.is_none_or(|interface| interface == link.interface);
        self.local_addresses.iter().filter(on).find(|link| link.address == local)
    }

    pub(crate) fn new(
        config: EndpointConfig,
        crypto: &'static dyn CryptoBackend,
        random: Box<dyn SecureRandom>,
        policy: Arc<dyn Policy>,
        now: Now,
    ) -> Self {
        let mut pools = Pools::default();
        pools.configure(&config.pools);
        let crls = config.crls.as_slice().into();
        Self {
            config,
            crypto,
            policy,
            delegated: QuestionSet::EMPTY,
            random,
            questions: Questions::default(),
            jobs: Jobs::default(),
            pools,
            cookies: CookieJar::default(),
            local_addresses: Vec::new(),
            power: Power::UNKNOWN,
            packet_costs: BTreeMap::new(),
            pairs: Vec::new(),
            translators: Translators::default(),
            remotes_changed: false,
            directory: Directory::default(),
            mappings: Mappings::default(),
            woke: Instant::default(),
            births: Vec::new(),
            letters: VecDeque::new(),
            arrivals: Vec::new(),
            twins: Vec::new(),
            reauthentications: Vec::new(),
            doubted: Vec::new(),
            relieved: Vec::new(),
            crls,
            fetched_crls: Vec::new(),
            endings: Vec::new(),
            last_words: Vec::new(),
            shutting_down: false,
            outputs: VecDeque::new(),
            lingering: BTreeMap::new(),
            unprotected: TokenBucket::new(limits::UNPROTECTED_ANSWERS_PER_SECOND, now.instant),
            loss_hints: TokenBucket::new(limits::LOSS_HINTS_PER_SECOND, now.instant),
            started: now.instant,
            crash_secret: None,
            crash_tokens: TokenBucket::new(limits::CRASH_TOKENS_PER_SECOND, now.instant),
            lost: Vec::new(),
            refusals: TokenBucket::new(limits::REFUSALS_TOLD_PER_SECOND, now.instant),
            tally: Tally::default(),
            half_open_fragments: 0,
            last_ike_sa: 0,
            last_child_sa: 0,
        }
    }

    /// Returns the revocation lists.
    pub(crate) fn crls(&self) -> Arc<[Crl]> {
        Arc::clone(&self.crls)
    }

    /// Takes revocation lists that were fetched, beside those of the configuration.
    pub(crate) fn use_crls(&mut self, fetched: Vec<Crl>) {
        self.fetched_crls = fetched;
        self.gather_crls();
    }

    /// Puts the revocation lists of the configuration and those fetched together.
    pub(crate) fn gather_crls(&mut self) {
        self.crls = self.config.crls.iter().chain(&self.fetched_crls).cloned().collect();
    }

    /// Adds an output behind the others.
    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Adds an event behind the other outputs.
    pub(crate) fn event(&mut self, event: Event) {
        self.output(Output::Event(event));
    }

    /// Sends an IKE datagram, of an IKE SA if there is one already.
    pub(crate) fn transmit(&mut self, ike_sa: impl Into<Option<IkeSaId>>, path: Path, octets: Vec<u8>) {
        let ike_sa = ike_sa.into();
        self.output(Output::Transmit(Transmit { ike_sa, path, octets, kind: TransmitKind::Ike }));
    }

    /// Takes what comes out of an act, instead of letting it happen.
    pub(crate) fn withhold(&mut self, act: impl FnOnce(&mut Self)) -> VecDeque<Output> {
        let before = std::mem::take(&mut self.outputs);
        act(self);
        std::mem::replace(&mut self.outputs, before)
    }

    /// Lets datagrams go when everything that was left for others is delivered. They are nobody's: the machine is being
    /// freed from the IKE SA, which they need not wait for.
    pub(crate) fn say_last(&mut self, outputs: impl IntoIterator<Item = Output>) {
        self.last_words.extend(outputs.into_iter().map(|mut output| {
            if let Output::Transmit(transmit) = &mut output {
                transmit.ike_sa = None;
            }
            output
        }));
    }

    /// Takes the next output.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Tells whether a question goes out, and is not for the native policy.
    pub(crate) fn delegates(&self, kind: QuestionKind) -> bool {
        self.delegated.contains(kind)
    }

    /// Puts a question: to the native policy, which answers at once, or to those that it is
    /// delegated to.
    pub(crate) fn ask(&mut self, now: Now, ike_sa: IkeSaId, track: Track, question: Question) -> Asked {
        if !self.delegates(question.kind()) {
            return Asked::Answered(answer_natively(&*self.policy, &question));
        }
        if self.questions.is_full() {
            // As when nobody answers in time: permission is never given by silence.
            return Asked::Answered(settle(&*self.policy, &question, None, true).0);
        }
        let deadline = now.instant + self.config.answer_deadline;
        let id = self.questions.open(ike_sa, track, question.clone(), deadline);
        self.output(Output::Ask(id, Box::new(question)));
        Asked::Open(id)
    }

    /// Gives a job away.
    pub(crate) fn work(&mut self, ike_sa: IkeSaId, track: Track, job: Job) -> JobId {
        let id = self.jobs.begin(ike_sa, track);
        self.output(Output::Work(id, job));
        id
    }

    /// Draws octets for one key exchange.
    pub(crate) fn draw_key_exchange(&mut self) -> Result<DrawnRandom, CryptoError> {
        DrawnRandom::draw(&mut *self.random, DrawnRandom::KEY_EXCHANGE)
    }

    /// Draws a nonce.
    pub(crate) fn draw_nonce(&mut self) -> Result<Vec<u8>, CryptoError> {
        let mut nonce = vec![0; limits::NONCE];
        self.random.fill(&mut nonce)?;
        Ok(nonce)
    }

    /// Draws a number from zero to `most`.
    pub(crate) fn draw_up_to(&mut self, most: u64) -> u64 {
        let mut octets = [0; 8];
        // Used for jitter only: without randomness there is none.
        match self.random.fill(&mut octets) {
            Ok(()) if most < u64::MAX => u64::from_be_bytes(octets) % (most + 1),
            Ok(()) => u64::from_be_bytes(octets),
            Err(_) => 0,
        }
    }

    /// Names a new IKE SA and draws its SPI.
    pub(crate) fn name_ike_sa(&mut self) -> Result<(IkeSaId, IkeSpi), CryptoError> {
        self.last_ike_sa += 1;
        let id = IkeSaId(self.last_ike_sa);
        loop {
            let mut octets = [0; 8];
            self.random.fill(&mut octets)?;
            let spi = IkeSpi(octets);
            if !spi.is_zero() && !self.directory.ike_spis.contains_key(&spi) {
                self.directory.ike_spis.insert(spi, id);
                return Ok((id, spi));
            }
        }
    }

    /// Draws an SPI to receive ESP on; it is taken until [`Self::free_child_spi`].
    pub(crate) fn draw_child_spi(&mut self) -> Result<ChildSpi, CryptoError> {
        loop {
            let mut octets = [0; 4];
            self.random.fill(&mut octets)?;
            let spi = ChildSpi(u32::from_be_bytes(octets));
            if crate::exchange::proposals::is_assignable(spi) && self.directory.child_spis.insert(spi) {
                self.output(Output::ReserveSpi(spi));
                return Ok(spi);
            }
        }
    }

    /// Gives an SPI back.
    pub(crate) fn free_child_spi(&mut self, spi: ChildSpi) {
        if self.directory.child_spis.remove(&spi) {
            self.output(Output::FreeSpi(spi));
        }
    }

    /// Names a new Child SA.
    pub(crate) fn name_child_sa(&mut self, owner: IkeSaId) -> ChildSaId {
        self.last_child_sa += 1;
        let id = ChildSaId(self.last_child_sa);
        self.directory.child_owners.insert(id, owner);
        id
    }

    /// Lets a Child SA end: at once, or its inbound half a while later.
    pub(crate) fn retire_child(&mut self, id: ChildSaId, spi_in: ChildSpi, until: Option<Instant>) {
        self.directory.child_owners.remove(&id);
        match until {
            Some(until) => {
                self.lingering.insert(id, (until, spi_in));
            }
            None => {
                self.free_child_spi(spi_in);
                self.output(Output::RemoveChildSa(id));
            }
        }
    }

    /// Returns how many old inbound halves there are.
    pub(crate) fn lingering(&self) -> usize {
        self.lingering.len()
    }

    /// Returns when the next old inbound half ends.
    pub(crate) fn next_lingering(&self) -> Option<(Instant, ChildSaId)> {
        self.lingering.iter().map(|(&id, &(until, _))| (until, id)).min()
    }

    /// Ends the old inbound halves whose time has come, or all.
    pub(crate) fn end_lingering(&mut self, now: Option<Instant>) {
        let due = |until: Instant| now.is_none_or(|now| until <= now);
        let ended: Vec<ChildSaId> =
            self.lingering.iter().filter(|(_, (until, _))| due(*until)).map(|(&id, _)| id).collect();
        for id in ended {
            if let Some((_, spi)) = self.lingering.remove(&id) {
                self.free_child_spi(spi);
                self.output(Output::RemoveChildSa(id));
            }
        }
    }

    /// Returns the path that a message came on, as it is compared with others: with its interface only where that tells two
    /// links with one address apart, of which either leads to the peer. What comes in by another interface than answers leave
    /// by, as on a machine with two links in one network, comes on the same path.
    pub(crate) fn arrived(&self, path: Path) -> Path {
        // A link-local address means something on its own link alone (RFC 4007 §6).
        if matches!(path.remote.ip(), IpAddr::V6(remote) if remote.is_unicast_link_local()) {
            return path;
        }
        let of = |pair: &&AddressPair| (pair.local, pair.remote) == (path.local.ip(), path.remote.ip());
        let twins = || self.pairs.iter().filter(of).map(|pair| pair.interface);
        let is_one = |interface: &u32| twins().count() > 1 && twins().any(|twin| twin == *interface);
        Path { interface: path.interface.filter(is_one), ..path }
    }

    /// Sends an answer to an unprotected message, if not too many were sent lately (RFC 7296 §2.21.4).
    pub(crate) fn transmit_unprotected(&mut self, now: Now, path: Path, octets: Vec<u8>) {
        if self.unprotected.take(now.instant) {
            self.transmit(None, path, octets);
        } else {
            tracing::debug!(%path, "no answer to an unprotected message: too many lately");
        }
    }

    /// Finds a connection by name.
    pub(crate) fn connection(&self, name: &str) -> Option<&Arc<PeerConfig>> {
        self.config.connections.iter().find(|connection| connection.name == name)
    }

    /// Has the pairs of addresses looked for anew: peers have other addresses than before.
    pub(crate) fn note_remotes(&mut self) {
        self.remotes_changed = true;
    }

    /// Writes a letter to an IKE SA; it is delivered after the present one was visited.
    pub(crate) fn write_letter(&mut self, to: IkeSaId, letter: Letter) {
        self.letters.push_back((to, letter));
    }

    /// Forgets what is open for an IKE SA that ended.
    pub(crate) fn forget_ike_sa(&mut self, id: IkeSaId) {
        self.questions.forget(id);
        self.jobs.forget(id);
        self.pools.release(id);
        self.mappings.end_trial(id);
        self.directory.inits.retain(|_, other| *other != id);
        self.directory.leave(id);
        self.note_remotes();
    }
}

/// So many answers a second, and as many at once.
pub(crate) struct TokenBucket {
    each_second: u32,
    tokens: u32,
    since: Instant,
}

impl TokenBucket {
    fn new(each_second: u32, since: Instant) -> Self {
        Self { each_second, tokens: each_second, since }
    }

    /// Takes one, if one is left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if now.saturating_since(self.since).as_secs() >= 1 {
            *self = Self::new(self.each_second, now);
        }
        let left = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        left
    }
}
