//! A host under test: the IKE endpoint and both halves of the packet path, wired as the driver wires them.
//!
//! Outputs are carried out in their order. What takes time outside (jobs, questions, reports of the packet
//! path) comes back after a delay that follows from the seed.

mod carry_out;
mod packets;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::{CryptoBackend, SecretBytes};
use vpnhost_ike::{
    ChildSaKeys, Command, EndpointConfig, Event, HostConfiguration, IkeEndpoint, IkeSaStatus, Job, JobId,
    QuestionId, TrafficReport,
};
use vpnhost_ipsec::{Batch, Counters, Inbound, Outbound, SaActivity, TunnelConfig};
use vpnhost_model::{AddressPair, ChildSaId, IkeSaId, Instant, LinkKind, LocalAddress, Now};
use vpnhost_null::SeededRandom;
use vpnhost_policy::{Answer, Policy, QuestionSet};

use crate::network::Datagram;
use crate::random::Random;

/// How often the packet path is asked what it carried, while it carries.
const ACTIVITY_INTERVAL: Duration = Duration::from_secs(1);

/// The port on which a host tries silences, if its configuration says so.
pub const IDLE_PORT: u16 = 4501;

/// How long what is outside takes: the least and the most.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// Of a job.
    pub job: (Duration, Duration),
    /// Of an answer to a delegated question.
    pub answer: (Duration, Duration),
    /// Of a report from the packet path.
    pub report: (Duration, Duration),
}

impl Delays {
    /// Everything is done at once.
    pub const NONE: Self = Self { job: NOTHING, answer: NOTHING, report: NOTHING };

    /// A busy machine: answers are sometimes later than their deadline.
    pub const BUSY: Self = Self {
        job: (Duration::from_millis(1), Duration::from_millis(60)),
        answer: (Duration::from_millis(1), Duration::from_millis(240)),
        report: (Duration::ZERO, Duration::from_millis(20)),
    };
}

const NOTHING: (Duration, Duration) = (Duration::ZERO, Duration::ZERO);

/// What a host is made of.
#[derive(Clone)]
pub struct HostSettings {
    /// Its address.
    pub address: IpAddr,
    /// Its connections.
    pub config: EndpointConfig,
    /// Its algorithms.
    pub crypto: &'static dyn CryptoBackend,
    /// What it draws from.
    pub seed: u64,
    /// How long things take.
    pub delays: Delays,
    /// Which questions a chain of plugins decides.
    pub delegated: QuestionSet,
    /// Who decides.
    pub policy: Arc<dyn Policy>,
}

/// What comes back to the endpoint after a while.
pub(crate) enum Pending {
    Job(JobId, Job),
    Answer(QuestionId, Option<Answer>),
    Report(TrafficReport),
    Pairs,
}

/// Makes an address on an interface of its own.
pub fn link(address: IpAddr, interface: u32, kind: LinkKind) -> LocalAddress {
    let name = format!("eth{}", interface.saturating_sub(2));
    LocalAddress { address, interface, name, kind, mtu: 1500, metered: kind == LinkKind::CELLULAR }
}

/// A host, and what came out of it.
pub struct HostUnderTest {
    /// Its first address.
    pub address: IpAddr,
    /// Its addresses now.
    pub links: Vec<LocalAddress>,
    /// Its IKE.
    pub endpoint: IkeEndpoint,
    /// What people were told.
    pub events: Vec<Event>,
    /// The Child SAs that the packet path has, with their keys.
    pub installed: BTreeMap<ChildSaId, ChildSaKeys>,
    /// The keys of the IKE SAs, as the key log gets them.
    pub ike_keys: BTreeMap<IkeSaId, [SecretBytes; 4]>,
    /// Addresses and routes for its IKE SAs.
    pub configured: BTreeMap<IkeSaId, HostConfiguration>,
    /// The inner packets that the TUN got.
    pub delivered: Vec<Vec<u8>>,
    /// How many inner packets could be read in what was sent for them.
    pub in_clear: u64,
    /// What the packet path counted.
    pub counters: Arc<Counters>,
    pub(crate) outbox: VecDeque<Datagram>,
    crypto: &'static dyn CryptoBackend,
    inbound: Inbound,
    outbound: Outbound,
    batch: Batch,
    activities: BTreeMap<ChildSaId, Activity>,
    activity_due: Option<Instant>,
    pending: BTreeMap<(Instant, u64), Pending>,
    pended: u64,
    delays: Delays,
    chance: Random,
    policy: Arc<dyn Policy>,
    /// The peers' addresses that it may go to; a pair is of one family.
    remotes: BTreeSet<IpAddr>,
}

/// What a Child SA carried, and until when that was told.
struct Activity {
    shared: Arc<SaActivity>,
    told_in: Option<Instant>,
    told_out: Option<Instant>,
}

impl HostUnderTest {
    /// Starts a host.
    pub fn new(now: Now, settings: HostSettings) -> Self {
        let HostSettings { address, config, crypto, seed, delays, delegated, policy } = settings;
        let random = Box::new(SeededRandom::new(seed ^ 0x1ce));
        let counters = Arc::new(Counters::default());
        let tunnel = TunnelConfig::default();
        let mut host = Self {
            address,
            endpoint: IkeEndpoint::new(config, crypto, random, Arc::clone(&policy), now),
            policy,
            events: Vec::new(),
            installed: BTreeMap::new(),
            ike_keys: BTreeMap::new(),
            configured: BTreeMap::new(),
            delivered: Vec::new(),
            in_clear: 0,
            outbox: VecDeque::new(),
            crypto,
            inbound: Inbound::new(tunnel, Arc::clone(&counters)),
            outbound: Outbound::new(tunnel, Box::new(SeededRandom::new(seed ^ 0x1f)), Arc::clone(&counters)),
            counters,
            batch: Batch::new(8, 2048),
            activities: BTreeMap::new(),
            activity_due: None,
            pending: BTreeMap::new(),
            pended: 0,
            delays,
            chance: Random::new(seed ^ 0xde1a),
            links: Vec::new(),
            remotes: BTreeSet::new(),
        };
        host.endpoint.delegate(delegated);
        host.set_links(now, vec![link(address, 2, LinkKind::ETHERNET)]);
        host
    }

    /// Gives it other addresses.
    pub fn set_links(&mut self, now: Now, links: Vec<LocalAddress>) {
        self.links = links;
        self.tell_links(now);
    }

    /// Tells whether it has an address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.links.iter().any(|link| link.address == address)
    }

    /// Tells the endpoint of its addresses, and of every pair with a peer's of the same family.
    fn tell_links(&mut self, now: Now) {
        let pair = |remote: IpAddr, link: &LocalAddress| AddressPair {
            local: link.address,
            interface: link.interface,
            remote,
        };
        let of = |remote: &IpAddr| {
            let remote = *remote;
            let fitting = self.links.iter().filter(move |link| link.address.is_ipv4() == remote.is_ipv4());
            fitting.map(move |link| pair(remote, link))
        };
        let pairs: Vec<AddressPair> = self.remotes.iter().flat_map(of).collect();
        self.endpoint.handle_links(now, &self.links, &pairs);
        self.drain(now);
    }

    /// Gives an order.
    pub fn command(&mut self, now: Now, command: Command) {
        self.endpoint.handle_command(now, command);
        self.drain(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(entry) = self.pending.first_entry().filter(|entry| entry.key().0 <= now.instant) {
            match entry.remove() {
                Pending::Job(id, job) => self.endpoint.handle_work(now, id, job.run()),
                Pending::Answer(id, answer) => self.endpoint.handle_answer(now, id, answer),
                Pending::Report(report) => self.endpoint.handle_traffic(now, report),
                Pending::Pairs => self.tell_links(now),
            }
            self.drain(now);
        }
        if self.activity_due.is_some_and(|due| due <= now.instant) {
            self.activity_due = None;
            self.tell_activity(now);
        }
        self.endpoint.handle_timeout(now);
        self.drain(now);
    }

    /// Returns when [`Self::handle_timeout`] must be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let endpoint = self.endpoint.poll_timeout().map(|(at, _)| at);
        let pending = self.pending.keys().next().map(|(at, _)| *at);
        [endpoint, pending, self.activity_due].into_iter().flatten().min()
    }

    /// Returns the IKE SAs that are established.
    pub fn established(&self, now: Now) -> Vec<IkeSaStatus> {
        self.endpoint.ike_sas(now).into_iter().filter(|sa| sa.established).collect()
    }

    /// Returns how many packets were dropped for a cause that is told by its name.
    pub fn dropped(&self, name: &str) -> u64 {
        let wanted = format!("drop_{name}");
        let found = self.counters.snapshot().into_iter().find(|(counter, _)| *counter == wanted);
        found.expect("a cause of this name").1
    }

    fn pend(&mut self, at: Instant, what: Pending) {
        self.pended += 1;
        self.pending.insert((at, self.pended), what);
    }

    /// Tells the endpoint on which Child SAs packets passed since it was told last.
    fn tell_activity(&mut self, now: Now) {
        let mut reports = Vec::new();
        for (&id, activity) in &mut self.activities {
            let (last_in, last_out) = (activity.shared.inbound.last(), activity.shared.outbound.last());
            if let Some(at) = last_in.filter(|_| last_in > activity.told_in) {
                reports.push(TrafficReport::Inbound(id, at));
            }
            if let Some(at) = last_out.filter(|_| last_out > activity.told_out) {
                reports.push(TrafficReport::Outbound(id, at));
            }
            (activity.told_in, activity.told_out) = (last_in, last_out);
        }
        for report in reports {
            self.endpoint.handle_traffic(now, report);
            self.drain(now);
        }
    }
}
