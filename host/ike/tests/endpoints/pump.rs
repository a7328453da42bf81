//! Two endpoints back to back on a virtual clock: what one sends the other gets, unless a test says otherwise.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vpnhost_crypto::{CryptoError, SecretBytes, SecureRandom};
use vpnhost_ike::{
    ChildConfig, ChildSaKeys, Command, EncapsulationPolicy, EndpointConfig, Event, Gateway,
    HostConfiguration, IkeEndpoint, IkeSaStatus, Job, JobId, JobResult, LocalAuth, Output, PeerAuth,
    PeerConfig, PeerIdentity, QuestionId, RequestAddress, Secrets, SelectorConfig, Start, Timing,
    TrafficReport, Transmit, TransmitKind, limits,
};
use vpnhost_model::{
    AddressPair, ChildSaId, ChildSpi, Encapsulation, EspSuite, Identity, IkeSaId, IkeSuite, Instant,
    Lifetime, LinkKind, LocalAddress, Mode, Now, Path, Sequence, TrafficSelector, Translator,
};
use vpnhost_policy::Question;
use vpnhost_policy_standard::Standard;

/// The initiator of most tests.
pub(crate) const A: usize = 0;
/// The responder of most tests.
pub(crate) const B: usize = 1;

/// Octets that look random and come again with the same seed.
pub(crate) struct Seeded(pub u64);

impl SecureRandom for Seeded {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        for octet in out {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *octet = (mixed >> 56) as u8;
        }
        Ok(())
    }
}

/// First octets of the next nonces that a side draws.
pub(crate) type Script = Arc<Mutex<VecDeque<u8>>>;

/// Draws nonces as scripted, and everything else, IVs and keys, by seed.
struct Scripted {
    script: Script,
    random: Seeded,
}

impl SecureRandom for Scripted {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        self.random.fill(out)?;
        if out.len() == limits::NONCE
            && let Some(first) = self.script.lock().unwrap().pop_front()
        {
            out[0] = first;
        }
        Ok(())
    }
}

/// One endpoint and what came out of it.
pub(crate) struct Side {
    pub(crate) endpoint: IkeEndpoint,
    pub(crate) address: IpAddr,
    pub(crate) events: Vec<Event>,
    pub(crate) installed: BTreeMap<ChildSaId, ChildSaKeys>,
    pub(crate) sends_on: Vec<ChildSaId>,
    pub(crate) reserved: BTreeSet<ChildSpi>,
    pub(crate) host: BTreeMap<IkeSaId, HostConfiguration>,
    pub(crate) sent: Vec<Transmit>,
    /// Path MTUs that were measured.
    pub(crate) path_mtus: Vec<(Path, u16)>,
    /// What Child SAs are limited to since they were installed.
    pub(crate) limited: Vec<(ChildSaId, Lifetime)>,
    pub(crate) questions: Vec<(QuestionId, Question)>,
    pub(crate) jobs: VecDeque<(JobId, Job)>,
    pub(crate) hold_jobs: bool,
    /// The peers' addresses for which pairs are asked.
    pub(crate) remotes: BTreeSet<IpAddr>,
    /// This side's addresses, where a test says which; else it has `address` alone.
    pub(crate) addresses: Option<Vec<IpAddr>>,
    /// The interfaces that it has or had: each is of one address, and of several with the same one the first, the second.
    pub(crate) interfaces: Vec<(IpAddr, usize)>,
    /// The addresses on which traffic costs money.
    pub(crate) metered: Vec<IpAddr>,
}

/// Whether a datagram arrives.
pub(crate) type Filter = Box<dyn FnMut(usize, &Transmit) -> bool>;

/// Two endpoints and the wire between them.
pub(crate) struct Pump {
    pub(crate) now: Now,
    pub(crate) sides: [Side; 2],
    pub(crate) wire: VecDeque<(Instant, usize, Transmit)>,
    pub(crate) latency: Duration,
    /// An address to and from which everything takes longer, and by how much.
    pub(crate) slow: Option<(IpAddr, Duration)>,
    pub(crate) filter: Filter,
    pub(crate) weather: Option<Weather>,
    /// What each side is configured with.
    pub(crate) configs: [EndpointConfig; 2],
    /// Whether `B` delegates questions.
    pub(crate) delegates: bool,
    /// The nonces that each side draws next.
    pub(crate) nonces: [Script; 2],
    /// What `A` looks like from `B`: address and port behind a NAT.
    pub(crate) masquerade: Option<SocketAddr>,
    /// The side that is suspended: it hears nothing, and nothing wakes it.
    pub(crate) asleep: Option<usize>,
    /// The NAT64 that `A`'s IPv6 goes through, and the address that `B` sees.
    pub(crate) nat64: Option<(Translator, IpAddr)>,
    /// The home routers behind `A`'s interfaces, and the addresses that `B` sees: the first is where the kernel sends what is
    /// bound to none.
    pub(crate) homes: Vec<(u32, IpAddr)>,
}

/// The port that silences are tried on; a NAT gives it the mapping after the other.
pub(crate) const IDLE_PORT: u16 = 4511;

/// How far the ports of a NAT64 are from those of its client.
pub(crate) const NAT64_PORTS: u16 = 10_000;

/// What the network does by itself, in percent.
pub(crate) struct Weather {
    pub(crate) random: Seeded,
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    pub(crate) most_delay: Duration,
}

impl Seeded {
    /// Draws a number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let mut octets = [0; 8];
        self.fill(&mut octets).unwrap();
        u64::from_be_bytes(octets) % bound
    }
}

impl Side {
    fn new(config: EndpointConfig, index: usize, (seed, script): (u64, &Script), now: Now) -> Self {
        Self {
            endpoint: IkeEndpoint::new(
                config,
                vpnhost_rustcrypto::backend(),
                Box::new(Scripted { script: Arc::clone(script), random: Seeded(seed) }),
                Arc::new(Standard),
                now,
            ),
            address: ["192.0.2.1", "192.0.2.2"][index].parse().unwrap(),
            events: Vec::new(),
            installed: BTreeMap::new(),
            sends_on: Vec::new(),
            reserved: BTreeSet::new(),
            host: BTreeMap::new(),
            sent: Vec::new(),
            path_mtus: Vec::new(),
            limited: Vec::new(),
            questions: Vec::new(),
            jobs: VecDeque::new(),
            hold_jobs: false,
            remotes: BTreeSet::new(),
            addresses: None,
            interfaces: Vec::new(),
            metered: Vec::new(),
        }
    }
}

impl Side {
    /// Tells whether an address is this side's.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.addresses.as_ref().map_or(address == self.address, |own| own.contains(&address))
    }
}

impl Pump {
    /// Gives a side other addresses, each on an interface of its own.
    pub(crate) fn set_addresses(&mut self, side: usize, addresses: &[&str]) {
        self.sides[side].addresses = Some(addresses.iter().map(|text| text.parse().unwrap()).collect());
        self.tell_links(side);
        self.drain();
    }

    fn tell_links(&mut self, side: usize) {
        let now = self.now;
        let side = &mut self.sides[side];
        let Some(addresses) = &side.addresses else { return };
        let links: Vec<LocalAddress> = addresses
            .iter()
            .enumerate()
            .map(|(at, address)| {
                let twins = addresses[..at].iter().filter(|other| *other == address).count();
                let known = side.interfaces.iter().position(|interface| *interface == (*address, twins));
                let number = known.unwrap_or_else(|| {
                    side.interfaces.push((*address, twins));
                    side.interfaces.len() - 1
                });
                LocalAddress {
                    address: *address,
                    interface: u32::try_from(number).unwrap() + 2,
                    name: format!("eth{number}"),
                    kind: LinkKind::ETHERNET,
                    mtu: 1500,
                    metered: side.metered.contains(address),
                }
            })
            .collect();
        let pair = |remote: IpAddr, link: &LocalAddress| AddressPair {
            local: link.address,
            interface: link.interface,
            remote,
        };
        let pairs: Vec<AddressPair> = side
            .remotes
            .iter()
            .flat_map(|remote| links.iter().map(move |link| pair(*remote, link)))
            .filter(|pair| pair.local.is_ipv4() == pair.remote.is_ipv4())
            .collect();
        side.endpoint.handle_links(now, &links, &pairs);
    }

    /// A side loses all that it knows, and starts anew.
    pub(crate) fn restart(&mut self, side: usize, seed: u64) {
        let config = self.configs[side].clone();
        self.sides[side] = Side::new(config, side, (seed, &self.nonces[side]), self.now);
        self.drain();
    }

    pub(crate) fn new(a: EndpointConfig, b: EndpointConfig) -> Self {
        Self::seeded(a, b, 1)
    }

    pub(crate) fn seeded(a: EndpointConfig, b: EndpointConfig, seed: u64) -> Self {
        let now = Now {
            instant: Instant(1_000_000_000),
            unix: Duration::from_secs(1_800_000_000),
            utc_offset_secs: 0,
        };
        let nonces = [Script::default(), Script::default()];
        Self {
            now,
            sides: [
                Side::new(a.clone(), A, (seed * 2, &nonces[A]), now),
                Side::new(b.clone(), B, (seed * 2 + 1, &nonces[B]), now),
            ],
            nonces,
            delegates: false,
            configs: [a, b],
            wire: VecDeque::new(),
            latency: Duration::from_millis(10),
            slow: None,
            filter: Box::new(|_, _| true),
            weather: None,
            masquerade: None,
            asleep: None,
            nat64: None,
            homes: Vec::new(),
        }
    }

    pub(crate) fn command(&mut self, side: usize, command: Command) {
        self.sides[side].endpoint.handle_command(self.now, command);
        self.drain();
    }

    pub(crate) fn traffic(&mut self, side: usize, report: TrafficReport) {
        self.sides[side].endpoint.handle_traffic(self.now, report);
        self.drain();
    }

    /// Carries out every output of both sides.
    pub(crate) fn drain(&mut self) {
        for index in [A, B] {
            while let Some(output) = self.sides[index].endpoint.poll_output() {
                self.carry_out(index, output);
            }
        }
    }

    fn carry_out(&mut self, index: usize, output: Output) {
        let side = &mut self.sides[index];
        match output {
            Output::ReserveSpi(spi) => assert!(side.reserved.insert(spi), "reserved twice"),
            Output::FreeSpi(spi) => assert!(side.reserved.remove(&spi), "freed before it was reserved"),
            Output::InstallChildSa(keys) => {
                assert!(side.reserved.contains(&keys.spi_in), "an SPI of nobody");
                assert!(side.installed.insert(keys.id, *keys).is_none(), "installed twice");
            }
            Output::ActivateOutbound(id) => {
                assert!(side.installed.contains_key(&id), "activated before it was installed");
                side.sends_on.push(id);
            }
            Output::MoveChildSas(id, path) => {
                side.installed
                    .values_mut()
                    .filter(|keys| keys.ike_sa == id)
                    .for_each(|keys| keys.path = path);
            }
            Output::LimitChildSa(id, lifetime) => side.limited.push((id, lifetime)),
            Output::PathMtu(path, octets) => side.path_mtus.push((path, octets)),
            Output::RemoveChildSa(id) => {
                assert!(side.installed.remove(&id).is_some(), "removed before it was installed");
                side.sends_on.retain(|other| *other != id);
            }
            Output::ConfigureHost(configuration) => {
                side.host.insert(configuration.ike_sa, *configuration);
            }
            Output::ReleaseHost(id) => assert!(side.host.remove(&id).is_some(), "released what is not there"),
            Output::RenameIkeSa { old, new } => {
                if let Some(configuration) = side.host.remove(&old) {
                    side.host.insert(new, HostConfiguration { ike_sa: new, ..configuration });
                }
                side.installed
                    .values_mut()
                    .filter(|keys| keys.ike_sa == old)
                    .for_each(|keys| keys.ike_sa = new);
            }
            Output::Transmit(transmit) => {
                side.sent.push(transmit.clone());
                if transmit.kind == TransmitKind::Ike && (self.filter)(index, &transmit) {
                    let ends = [transmit.path.local.ip(), transmit.path.remote.ip()];
                    let more = self.slow.filter(|(slow, _)| ends.contains(slow)).map(|(_, more)| more);
                    for delay in self.delays() {
                        let delay = delay + more.unwrap_or_default();
                        self.wire.push_back((self.now.instant + delay, index, transmit.clone()));
                    }
                }
            }
            Output::FindPairs(remotes) => {
                side.remotes = remotes;
                self.tell_links(index);
            }
            Output::Ask(id, question) => side.questions.push((id, *question)),
            Output::Work(id, job) if side.hold_jobs => side.jobs.push_back((id, job)),
            Output::Work(id, job) => side.endpoint.handle_work(self.now, id, job.run()),
            Output::Event(event) => side.events.push(event),
        }
    }

    /// Returns after which times a datagram arrives: not at all, once, or more often.
    fn delays(&mut self) -> Vec<Duration> {
        let Some(weather) = &mut self.weather else { return vec![self.latency] };
        let mut copies = u64::from(weather.random.below(100) >= weather.loss);
        copies += u64::from(weather.random.below(100) < weather.duplication);
        let most = weather.most_delay.as_micros() as u64;
        (0..copies).map(|_| self.latency + Duration::from_micros(weather.random.below(most))).collect()
    }

    /// Runs the jobs that were held back.
    pub(crate) fn run_jobs(&mut self, side: usize) {
        while let Some((id, job)) = self.sides[side].jobs.pop_front() {
            self.work(side, id, job.run());
        }
    }

    /// Hands a job's result in.
    pub(crate) fn work(&mut self, side: usize, id: JobId, result: JobResult) {
        self.sides[side].endpoint.handle_work(self.now, id, result);
        self.drain();
    }

    pub(crate) fn deliver(&mut self, from: usize, transmit: &Transmit) {
        let to = 1 - from;
        let mut local = transmit.path.remote;
        let source = transmit.path.local.ip();
        let source = if source.is_unspecified() { self.sides[from].address } else { source };
        if !self.sides[from].has(source) || self.asleep == Some(to) {
            return;
        }
        let mut remote = SocketAddr::new(source, transmit.path.local.port());
        match self.masquerade {
            Some(outside) if from == A => {
                let more = u16::from(transmit.path.local.port() == IDLE_PORT);
                remote = SocketAddr::new(outside.ip(), outside.port() + more);
            }
            Some(outside) if local == SocketAddr::new(outside.ip(), outside.port() + 1) => {
                local = SocketAddr::new(self.sides[A].address, IDLE_PORT);
            }
            // The NAT knows one mapping, and forwards it to the port that it was made for.
            Some(outside) if local == outside => {
                local = SocketAddr::new(
                    self.sides[A].address,
                    self.sides[A]
                        .sent
                        .iter()
                        .rev()
                        .map(|sent| sent.path.local.port())
                        .find(|port| *port != IDLE_PORT)
                        .unwrap(),
                );
            }
            Some(_) => return,
            None => {}
        }
        match self.nat64 {
            Some((translator, outside)) if from == A && source.is_ipv6() => {
                let Some(original) = translator.extract(local.ip()) else { return };
                local.set_ip(original);
                remote = SocketAddr::new(outside, remote.port() + NAT64_PORTS);
            }
            Some((translator, outside)) if local.ip() == outside => {
                let own = self.sides[A].addresses.iter().flatten().find(|address| address.is_ipv6());
                let Some(own) = own.copied() else { return };
                local = SocketAddr::new(own, local.port() - NAT64_PORTS);
                remote.set_ip(translator.synthesize(source).unwrap());
            }
            Some(_) | None => {}
        }
        let mut interface = None;
        if let Some(first) = self.homes.first().filter(|_| from == A) {
            let by = transmit.path.interface.unwrap_or(first.0);
            let Some((_, outside)) = self.homes.iter().find(|(home, _)| *home == by) else { return };
            remote.set_ip(*outside);
        } else if let Some((by, _)) = self.homes.iter().find(|(_, outside)| *outside == local.ip()) {
            let own = self.sides[A].addresses.iter().flatten().next();
            local.set_ip(*own.expect("the twins' address"));
            interface = Some(*by);
        }
        if !self.sides[to].has(local.ip()) {
            return;
        }
        let path = Path { local, remote, interface, encapsulation: Encapsulation::Raw };
        let mut octets = transmit.octets.clone();
        self.sides[to].endpoint.handle_datagram(self.now, path, &mut octets);
        self.drain();
    }

    /// Gives a datagram to a side, as if it came from an address.
    pub(crate) fn inject(&mut self, to: usize, remote: &str, local_port: u16, octets: &[u8]) {
        let path = Path {
            local: SocketAddr::new(self.sides[to].address, local_port),
            remote: remote.parse().unwrap(),
            interface: None,
            encapsulation: Encapsulation::Raw,
        };
        self.sides[to].endpoint.handle_datagram(self.now, path, &mut octets.to_vec());
        self.drain();
    }

    /// Lets time pass, with everything that happens meanwhile.
    pub(crate) fn run_for(&mut self, span: Duration) {
        let until = self.now.instant + span;
        self.drain();
        loop {
            let arrival = self.wire.iter().map(|(at, ..)| *at).min();
            let awake: Vec<usize> = [A, B].into_iter().filter(|side| self.asleep != Some(*side)).collect();
            let timers = awake.iter().filter_map(|side| self.sides[*side].endpoint.poll_timeout());
            let timer = timers.map(|(at, _)| at).min();
            let Some(next) = arrival.into_iter().chain(timer).min().filter(|next| *next <= until) else {
                break;
            };
            self.advance_to(next.max(self.now.instant));
            if arrival.is_some_and(|at| at <= self.now.instant) {
                let due = self.wire.iter().enumerate().filter(|(_, (at, ..))| *at <= self.now.instant);
                let at = due.min_by_key(|(_, (at, ..))| *at).unwrap().0;
                let (_, from, transmit) = self.wire.remove(at).unwrap();
                self.deliver(from, &transmit);
            } else {
                for index in awake {
                    self.sides[index].endpoint.handle_timeout(self.now);
                }
                self.drain();
            }
        }
        self.advance_to(until);
    }

    /// Suspends a side for so long.
    pub(crate) fn sleep(&mut self, side: usize, span: Duration) {
        self.asleep = Some(side);
        self.run_for(span);
        self.wake(side, span);
    }

    /// Has a side go on that slept for so long, as a driver does.
    pub(crate) fn wake(&mut self, side: usize, slept: Duration) {
        self.asleep = None;
        self.sides[side].endpoint.handle_resume(self.now, slept);
        self.sides[side].endpoint.handle_timeout(self.now);
        self.drain();
    }

    fn advance_to(&mut self, instant: Instant) {
        self.now.unix += instant - self.now.instant;
        self.now.instant = instant;
    }

    /// A second: enough for any exchange without loss.
    pub(crate) fn settle(&mut self) {
        self.run_for(Duration::from_secs(1));
    }

    pub(crate) fn established(&self, side: usize) -> Vec<IkeSaStatus> {
        self.sides[side].endpoint.ike_sas(self.now).into_iter().filter(|sa| sa.established).collect()
    }

    /// Checks what must hold at rest: one IKE SA on each side with the same SPIs, and as many Child
    /// SAs with keys that fit, each sent on.
    pub(crate) fn assert_connected(&self, children: usize) {
        let (a, b) = (self.established(A), self.established(B));
        assert_eq!((a.len(), b.len()), (1, 1), "one IKE SA each: {a:#?} {b:#?}");
        assert_eq!((a[0].spi_i, a[0].spi_r), (b[0].spi_i, b[0].spi_r));
        assert_eq!((a[0].children.len(), b[0].children.len()), (children, children), "{a:#?} {b:#?}");
        for child in &a[0].children {
            let other =
                b[0].children.iter().find(|other| other.spi_in == child.spi_out).expect("its other half");
            assert_eq!(child.spi_in, other.spi_out);
            assert!(child.sends && other.sends, "{child:?} {other:?}");
            assert_eq!((&child.local, &child.remote), (&other.remote, &other.local));
            let (ours, theirs) = (&self.sides[A].installed[&child.id], &self.sides[B].installed[&other.id]);
            assert_eq!((&ours.inbound, &ours.outbound), (&theirs.outbound, &theirs.inbound));
            assert_eq!(ours.ike_sa, a[0].id);
        }
    }

    /// Checks that nothing is left on a side.
    pub(crate) fn assert_empty(&self, side: usize) {
        let side = &self.sides[side];
        assert!(side.endpoint.is_idle(), "{:#?}", side.endpoint.ike_sas(self.now));
        assert!(side.installed.is_empty(), "{:?}", side.installed.keys());
        assert!(side.reserved.is_empty(), "{:?}", side.reserved);
        assert!(side.host.is_empty());
    }

    pub(crate) fn saw(&self, side: usize, what: impl Fn(&Event) -> bool) -> bool {
        self.sides[side].events.iter().any(what)
    }

    /// Returns the only IKE SA of a side.
    pub(crate) fn ike_sa(&self, side: usize) -> IkeSaStatus {
        let mut all = self.established(side);
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    /// Returns the only Child SA of a side.
    pub(crate) fn child_sa(&self, side: usize) -> ChildSaId {
        let sa = self.ike_sa(side);
        assert_eq!(sa.children.len(), 1, "{sa:#?}");
        sa.children[0].id
    }
}

pub(crate) fn ts(text: &str) -> SelectorConfig {
    let (base, length) = text.split_once('/').unwrap();
    SelectorConfig::Fixed(TrafficSelector::prefix(base.parse().unwrap(), length.parse().unwrap()).unwrap())
}

pub(crate) fn id(text: &str) -> Identity {
    Identity::parse(text).unwrap()
}

/// A child with fixed selectors, as `A` sees it.
pub(crate) fn child(name: &str, esp: &str, local: &str, remote: &str) -> ChildConfig {
    ChildConfig {
        name: name.into(),
        local: vec![ts(local)],
        remote: vec![ts(remote)],
        esp: EspSuite::parse_all(esp, &[Sequence::SHORT]).unwrap(),
        mode: Mode::Tunnel,
        lifetime: Lifetime {
            rekey_after: Some(Duration::from_secs(3600)),
            rekey_bytes: None,
            rekey_packets: None,
            jitter_percent: 10,
        },
        replay_window: 64,
    }
}

/// The same child as `B` sees it.
pub(crate) fn mirrored(child: &ChildConfig) -> ChildConfig {
    ChildConfig { local: child.remote.clone(), remote: child.local.clone(), ..child.clone() }
}

/// `A`'s connection to `B`.
pub(crate) fn initiator(ike: &str, children: Vec<ChildConfig>) -> PeerConfig {
    let secret = SecretBytes::new(b"a secret that both know".to_vec());
    PeerConfig {
        name: "b".into(),
        initiate: true,
        respond: true,
        gateways: vec![Gateway { address: "192.0.2.2:500".parse().unwrap() }],
        local_id: id("a.lab"),
        peer_id: PeerIdentity::Is(id("b.lab")),
        local_auth: LocalAuth::SharedKey,
        peer_auth: PeerAuth::SharedKey,
        secrets: Secrets { by_peer: BTreeMap::new(), default: Some(secret) },
        ike: IkeSuite::parse_all(ike).unwrap(),
        children,
        start: Start::Manual,
        request_address: RequestAddress::default(),
        pools: Vec::new(),
        encapsulation: EncapsulationPolicy::Auto,
        mobike: false,
        return_routability: vpnhost_ike::ReturnRoutability::default(),
        timing: Timing { liveness_idle: Duration::ZERO, ..Timing::default() },
        unique: vpnhost_ike::Uniqueness::default(),
        on_child_failed: vpnhost_ike::ChildFailure::default(),
        childless: vpnhost_ike::Childless::default(),
        sha1_auth: false,
    }
}

/// `B`'s connection to `A`.
pub(crate) fn responder(a: &PeerConfig) -> PeerConfig {
    PeerConfig {
        name: "a".into(),
        gateways: vec![Gateway { address: "192.0.2.1:500".parse().unwrap() }],
        local_id: id("b.lab"),
        peer_id: PeerIdentity::Is(id("a.lab")),
        children: a.children.iter().map(mirrored).collect(),
        start: Start::Manual,
        request_address: RequestAddress::default(),
        ..a.clone()
    }
}

pub(crate) fn config(connection: PeerConfig) -> EndpointConfig {
    EndpointConfig {
        connections: vec![Arc::new(connection)],
        allow_legacy: true,
        ..EndpointConfig::default()
    }
}

pub(crate) const IKE: &str = "aes128-sha256-x25519";

/// Two endpoints with one child, nothing begun yet.
pub(crate) fn pair() -> Pump {
    pair_of(initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]))
}

pub(crate) fn pair_of(a: PeerConfig) -> Pump {
    let b = responder(&a);
    Pump::new(config(a), config(b))
}

/// Two endpoints that are connected.
pub(crate) fn connected() -> Pump {
    let mut pump = pair();
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    pump
}
