//! Hosts on one network and one clock.

use std::time::Duration;

use vpnhost_ike::{Command, EndpointConfig, Event, IkeSaStatus};
use vpnhost_model::{Instant, LocalAddress, Now};

use crate::clock::Clock;
use crate::configuration::{A_ADDRESS, B_ADDRESS, address};
use crate::host::{Delays, HostSettings, HostUnderTest};
use crate::network::{Datagram, Network};
use crate::random::Random;

/// The first host: it begins in most stories.
pub const A: usize = 0;
/// The second host.
pub const B: usize = 1;

/// Steps at one instant after which the clock is said to stand still.
const STEPS_AT_ONE_INSTANT: u32 = 10_000;

/// Hosts, what is between them, and the time.
pub struct Simulation {
    /// The time.
    pub clock: Clock,
    /// The hosts, each at an address of its own.
    pub hosts: Vec<HostUnderTest>,
    /// What is between them.
    pub network: Network,
}

impl Simulation {
    /// Makes a network without hosts.
    pub fn new(seed: u64) -> Self {
        let network = Network::new(Random::new(seed ^ 0x0e77));
        Self { clock: Clock::default(), hosts: Vec::new(), network }
    }

    /// Makes two hosts with the null backend, with no delays.
    pub fn pair(a: EndpointConfig, b: EndpointConfig, seed: u64) -> Self {
        Self::pair_of([settings(A_ADDRESS, a, 2 * seed), settings(B_ADDRESS, b, 2 * seed + 1)], seed)
    }

    /// Makes two hosts.
    pub fn pair_of(settings: [HostSettings; 2], seed: u64) -> Self {
        let mut simulation = Self::new(seed);
        settings.into_iter().for_each(|settings| simulation.start(settings));
        simulation
    }

    /// Starts a further host.
    pub fn start(&mut self, settings: HostSettings) {
        self.hosts.push(HostUnderTest::new(self.now(), settings));
        self.post();
    }

    /// Ends a host without a word, as a loss of power does, and starts it anew.
    pub fn restart(&mut self, host: usize, settings: HostSettings) {
        self.hosts[host] = HostUnderTest::new(self.now(), settings);
        self.post();
    }

    /// Returns the time.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Gives an order to a host.
    pub fn command(&mut self, host: usize, command: Command) {
        self.hosts[host].command(self.clock.now(), command);
        self.post();
    }

    /// Gives a host other addresses.
    pub fn set_links(&mut self, host: usize, links: Vec<LocalAddress>) {
        self.hosts[host].set_links(self.clock.now(), links);
        self.post();
    }

    /// Gives a packet to a host's TUN, and tells whether it went out as ESP.
    pub fn send_inner(&mut self, host: usize, octets: &[u8]) -> bool {
        let sent = self.hosts[host].send_inner(self.clock.now(), octets);
        self.post();
        sent
    }

    /// Gives a datagram to a host, past the network.
    pub fn inject(&mut self, host: usize, datagram: Datagram) {
        self.hosts[host].receive(self.clock.now(), datagram);
        self.post();
    }

    /// Gives a datagram to a host, past the network, and returns what the host says to it instead of sending it.
    pub fn provoke(&mut self, host: usize, datagram: Datagram) -> Vec<Datagram> {
        let host = &mut self.hosts[host];
        host.receive(self.clock.now(), datagram);
        host.outbox.drain(..).collect()
    }

    /// Lets time pass, with everything that happens meanwhile.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now().instant + span;
        let mut steps = 0;
        while let Some(next) = self.next_step().filter(|next| *next <= until) {
            steps = if next > self.now().instant { 0 } else { steps + 1 };
            assert!(steps < STEPS_AT_ONE_INSTANT, "the clock stands still at {next:?}");
            self.clock.advance_to(next);
            self.step();
        }
        self.clock.advance_to(until);
    }

    /// Lets time pass until something holds, and tells whether it came to hold.
    pub fn run_until(&mut self, most: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let until = self.now().instant + most;
        while !holds(self) {
            let Some(next) = self.next_step().filter(|next| *next <= until) else { return false };
            self.run_for(next - self.now().instant);
        }
        true
    }

    /// Returns the IKE SAs of a host that are established.
    pub fn established(&self, host: usize) -> Vec<IkeSaStatus> {
        self.hosts[host].established(self.now())
    }

    /// Returns the only IKE SA of a host.
    pub fn ike_sa(&self, host: usize) -> IkeSaStatus {
        let mut all = self.established(host);
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    /// Tells whether a host told something.
    pub fn saw(&self, host: usize, what: impl Fn(&Event) -> bool) -> bool {
        self.hosts[host].events.iter().any(what)
    }

    fn next_step(&self) -> Option<Instant> {
        let timeouts = self.hosts.iter().filter_map(HostUnderTest::poll_timeout);
        timeouts.chain(self.network.next_arrival()).min()
    }

    /// Does what is due now: one arrival, or what hosts wait for.
    fn step(&mut self) {
        let now = self.now();
        if let Some(datagram) = self.network.take_arrival(now.instant) {
            let host = self.hosts.iter_mut().find(|host| host.has(datagram.destination.ip()));
            if let Some(host) = host {
                host.receive(now, datagram);
            }
        } else {
            for host in &mut self.hosts {
                if host.poll_timeout().is_some_and(|due| due <= now.instant) {
                    host.handle_timeout(now);
                }
            }
        }
        self.post();
    }

    /// Takes the hosts' datagrams to the network.
    fn post(&mut self) {
        let now = self.clock.now().instant;
        for host in &mut self.hosts {
            while let Some(datagram) = host.outbox.pop_front() {
                self.network.send(now, datagram);
            }
        }
    }
}

/// Whoever has one seed run again wants to see it.
impl Drop for Simulation {
    fn drop(&mut self) {
        if std::thread::panicking() && crate::seeds::wanted().is_some() {
            eprintln!("{}", self.network.capture);
            for host in &self.hosts {
                eprintln!("{}:", host.address);
                host.events.iter().for_each(|event| eprintln!("  {event:?}"));
            }
        }
    }
}

/// Makes a host's settings: the null backend, no delays, nothing delegated.
pub fn settings(at: &str, config: EndpointConfig, seed: u64) -> HostSettings {
    HostSettings {
        address: address(at),
        config,
        crypto: vpnhost_null::backend(),
        seed,
        delays: Delays::NONE,
        delegated: vpnhost_policy::QuestionSet::EMPTY,
        policy: std::sync::Arc::new(vpnhost_policy_standard::Standard),
    }
}
