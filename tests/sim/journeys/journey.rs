//! One journey, drawn from a seed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vpnhost_ike::{Command, Event, PeerConfig};
use vpnhost_kit::agreement::between;
use vpnhost_kit::configuration::{A_ADDRESS, B_ADDRESS, endpoint, initiator, responder};
use vpnhost_kit::host::{HostSettings, link};
use vpnhost_kit::nat::Nat;
use vpnhost_kit::network::{Sent, Weather};
use vpnhost_kit::random::Random;
use vpnhost_kit::simulation::settings;
use vpnhost_kit::{A, B, Simulation};
use vpnhost_model::{Instant, LinkKind, LocalAddress};
use vpnhost_policy::Policy;

use crate::world::{children, millis, secs};

/// Between two packets of each side.
const GAP: Duration = millis(250);
/// How long a journey lasts.
const STEPS: u64 = 400;

/// A network that the host is in, or may come into.
struct Place {
    kind: LinkKind,
    interface: u32,
    /// What addresses begin with here.
    number: u8,
    turn: u8,
    present: bool,
    weather: Weather,
    dead_until: Option<Instant>,
}

impl Place {
    fn new(kind: LinkKind, number: u8) -> Self {
        let weather = Weather::FAIR;
        let interface = u32::from(number) + 2;
        Self { kind, interface, number, turn: 0, present: true, weather, dead_until: None }
    }

    fn address(&self) -> IpAddr {
        [10, self.number, self.turn, 7].into()
    }

    fn outside(&self) -> IpAddr {
        [198, 51, self.number, self.turn].into()
    }

    fn link(&self) -> LocalAddress {
        link(self.address(), self.interface, self.kind)
    }

    fn is_fit(&self) -> bool {
        self.present && self.dead_until.is_none() && self.weather.loss <= 5
    }
}

/// What came of a journey.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) moves: u64,
    pub(crate) events: u64,
    pub(crate) octets: u64,
    pub(crate) negotiations: u64,
    /// Seconds of rest, and what IKE sent in them; by its kind, too.
    pub(crate) rested: u64,
    pub(crate) octets_at_rest: u64,
    pub(crate) at_rest: BTreeMap<&'static str, Sent>,
    pub(crate) longest_gap: Duration,
    pub(crate) lost: u64,
    pub(crate) sent: u64,
    pub(crate) metered: u64,
    pub(crate) round_trips: Duration,
}

struct Journey {
    simulation: Simulation,
    random: Random,
    places: Vec<Place>,
    outcome: Outcome,
    /// Since when some path is fit without interruption.
    fit_since: Option<Instant>,
    /// When each side got a packet last.
    heard: [Instant; 2],
    number: u64,
    /// How long nothing may come in at either end although some path has been fit for as long.
    longest_gap: Duration,
}

impl Journey {
    fn begin(seed: u64, policy: Arc<dyn Policy>, longest_gap: Duration) -> Self {
        let a = initiator(children());
        // It comes from anywhere.
        let b = PeerConfig { gateways: Vec::new(), ..responder(&a) };
        let a = HostSettings { policy, ..settings(A_ADDRESS, endpoint(a), 2 * seed) };
        let simulation = Simulation::pair_of([a, settings(B_ADDRESS, endpoint(b), 2 * seed + 1)], seed);
        let random = Random::new(seed ^ 0x70a1);
        let places = vec![
            Place::new(LinkKind::WIFI, 1),
            Place::new(LinkKind::CELLULAR, 2),
            Place::new(LinkKind::ETHERNET, 3),
        ];
        let heard = [simulation.now().instant; 2];
        let outcome = Outcome::default();
        let mut journey =
            Self { simulation, random, places, outcome, fit_since: None, heard, number: 0, longest_gap };
        journey.places[2].present = journey.random.percent(20);
        (0..3).for_each(|at| journey.enter(at));
        journey.settle_links();
        journey.simulation.run_for(secs(5));
        journey.heard = [journey.simulation.now().instant; 2];
        journey
    }

    /// Comes into another network at a place: another address, another NAT, another weather.
    fn enter(&mut self, at: usize) {
        let lifetime = *self.random.pick(&[15, 30, 60, 180, 300, 900, 3600]);
        self.enter_behind(at, secs(lifetime));
    }

    fn enter_behind(&mut self, at: usize, lifetime: Duration) {
        let (least, loss) = (self.random.below(120), [0, 0, 0, 2, 5, 20][self.random.below(6) as usize]);
        let delay = (millis(2 + least), millis(2 + least + self.random.below(40)));
        let place = &mut self.places[at];
        place.turn = place.turn.wrapping_add(1);
        place.weather = Weather { loss, duplication: 1, delay };
        place.dead_until = None;
        if place.kind != LinkKind::ETHERNET {
            let nat = Nat::new(&[place.address()], place.outside(), lifetime);
            self.simulation.network.nats.push(nat);
        }
    }

    /// Tells the network and the host how things are now.
    fn settle_links(&mut self) {
        let roads = &mut self.simulation.network.roads;
        roads.clear();
        for place in &self.places {
            let weather = if place.dead_until.is_some() { Weather::DEAD } else { place.weather };
            roads.insert(place.address(), weather);
            roads.insert(place.outside(), weather);
        }
        let links: Vec<LocalAddress> = self.places.iter().filter(|it| it.present).map(Place::link).collect();
        let known = &self.simulation.hosts[A].links;
        if *known != links {
            self.simulation.set_links(A, links);
        }
        let fit = self.places.iter().any(Place::is_fit);
        let now = self.simulation.now().instant;
        self.fit_since = if fit { self.fit_since.or(Some(now)) } else { None };
    }

    /// Something happens on the way.
    fn disturb(&mut self) {
        let now = self.simulation.now().instant;
        let at = self.random.below(2) as usize;
        self.outcome.events += 1;
        match self.random.below(11) {
            10 => return self.rest(),
            0..=2 => {
                let present = self.places[at].present;
                if present {
                    self.places[at].present = false;
                } else {
                    self.enter(at);
                    self.places[at].present = true;
                }
            }
            3 => self.enter(at),
            4 => self.places[at].dead_until = Some(now + secs(2 + self.random.below(20))),
            5 => {
                let until = now + secs(2 + self.random.below(40));
                self.places.iter_mut().for_each(|place| place.dead_until = Some(until));
            }
            6 => self.simulation.network.nats.iter_mut().for_each(Nat::rebind),
            7 => self.places[2].present = !self.places[2].present,
            8 => self.flap(at),
            _ => self.rekey(),
        }
        // Somewhere one can always come back to.
        if !self.places.iter().any(|place| place.present) && self.random.percent(50) {
            self.enter(0);
            self.places[0].present = true;
        }
        self.settle_links();
    }

    /// Nobody says anything for a while, up to an hour and a half: NATs forget, gateways forget, and keys grow old.
    fn rest(&mut self) {
        let long = secs(60 + self.random.below(5_340));
        let before = self.simulation.network.octets_of_ike();
        let kinds = self.simulation.network.sent_of_ike.clone();
        self.simulation.run_for(long);
        self.outcome.octets_at_rest += self.simulation.network.octets_of_ike() - before;
        self.outcome.rested += long.as_secs();
        for (kind, sent) in &self.simulation.network.sent_of_ike {
            let was = kinds.get(kind).copied().unwrap_or_default();
            let all = self.outcome.at_rest.entry(kind).or_default();
            all.datagrams += sent.datagrams - was.datagrams;
            all.octets += sent.octets - was.octets;
        }
        let now = self.simulation.now().instant;
        (self.heard, self.fit_since) = ([now; 2], self.fit_since.map(|_| now));
    }

    fn flap(&mut self, at: usize) {
        for turn in 0..6 {
            self.places[at].present = turn % 2 == 1;
            self.settle_links();
            let pause = millis(self.random.below(400));
            self.simulation.run_for(pause);
        }
    }

    fn rekey(&mut self) {
        let side = self.random.below(2) as usize;
        let sas = self.simulation.established(side);
        let Some(sa) = sas.first() else { return };
        let child = sa.children.first().map(|child| child.id);
        let command = match child.filter(|_| self.random.percent(60)) {
            Some(child) => Command::RekeyChildSa(child),
            None => Command::RekeyIkeSa(sa.id),
        };
        self.simulation.command(side, command);
    }

    /// A quarter of a second: a packet each way, and what became of those before.
    fn step(&mut self) {
        let now = self.simulation.now().instant;
        let dead = |place: &mut Place| place.dead_until = place.dead_until.filter(|until| *until > now);
        self.places.iter_mut().for_each(dead);
        self.settle_links();
        self.number += 1;
        let delivered = |simulation: &Simulation| [A, B].map(|side| simulation.hosts[side].delivered.len());
        let before = delivered(&self.simulation);
        for (from, number) in [(A, 2 * self.number), (B, 2 * self.number + 1)] {
            let children = self.simulation.established(from).into_iter().flat_map(|sa| sa.children).next();
            if let Some(child) = children {
                let packet = between(&child.local[0], &child.remote[0], number);
                self.simulation.send_inner(from, &packet.encode());
            }
        }
        self.simulation.run_for(GAP);
        let now = self.simulation.now().instant;
        self.outcome.sent += 1;
        let after = delivered(&self.simulation);
        for side in [A, B] {
            if after[side] > before[side] {
                self.heard[side] = now;
            }
        }
        self.outcome.lost += u64::from(after[A] == before[A]);
        self.judge(now);
    }

    fn judge(&mut self, now: Instant) {
        let path = self.simulation.established(A).first().map(|sa| sa.path);
        let at = path.and_then(|path| self.places.iter().find(|place| place.address() == path.local.ip()));
        if let Some(place) = at {
            self.outcome.metered += u64::from(place.kind == LinkKind::CELLULAR);
            self.outcome.round_trips += place.weather.delay.0 * 2;
        }
        // What cannot be is not asked for: without a fit path nothing comes in, at either end.
        let Some(since) = self.fit_since else { return };
        let [at_a, at_b] = self.heard.map(|heard| (now - heard).min(now - since));
        let gap = at_a.max(at_b);
        self.outcome.longest_gap = self.outcome.longest_gap.max(gap);
        let places: Vec<_> = self
            .places
            .iter()
            .map(|it| (it.address(), it.present, it.dead_until.is_some(), it.weather.loss))
            .collect();
        assert!(
            gap <= self.longest_gap,
            "nothing came in for {at_a:?}, and {at_b:?} at the gateway, until {now:?} although a path was fit: {places:?}, {:?}",
            self.simulation.established(A)
        );
    }

    /// The journey ends in one good place.
    fn arrive(mut self) -> Outcome {
        self.outcome.octets = self.simulation.network.octets_of_ike() - self.outcome.octets_at_rest;
        // A keepalive every 20 s holds a NAT open that forgets after 30.
        for at in 0..self.places.len() {
            self.enter_behind(at, secs(30));
            self.places[at].weather = Weather::FAIR;
        }
        self.places[0].present = true;
        self.places.iter_mut().for_each(|place| place.dead_until = None);
        self.settle_links();
        for _ in 0..8 {
            self.step();
        }
        // A request of the storm is repeated for a while, an IKE SA that was begun beside is ended in its time.
        self.simulation.run_for(secs(180));
        // Keys may have grown old just now: what a rekey replaces lingers for a moment. What only the gateway has, because its
        // last word of IKE_AUTH was lost, it waits with for as long as with any client that is away.
        let holdings = |simulation: &Simulation, side: usize| {
            let holdings = simulation.hosts[side].endpoint.holdings();
            (holdings.ike_sas, holdings.half_open, holdings.child_sas, simulation.hosts[side].installed.len())
        };
        for _ in 0..16 {
            if [A, B].iter().all(|&side| holdings(&self.simulation, side) == (1, 0, 2, 2)) {
                break;
            }
            self.simulation.run_for(secs(15));
        }
        for side in [A, B] {
            assert_eq!(self.simulation.hosts[side].in_clear, 0, "a packet went out in clear");
            assert_eq!(
                holdings(&self.simulation, side),
                (1, 0, 2, 2),
                "IKE SAs, half open, Child SAs, installed"
            );
        }
        self.simulation.assert_agreed(A, B);
        self.simulation.assert_passes(A, B);
        let moves = self.simulation.hosts[A].events.iter().filter(|it| matches!(it, Event::Moved { .. }));
        self.outcome.moves = moves.count() as u64;
        let begun =
            self.simulation.hosts[A].events.iter().filter(|it| matches!(it, Event::IkeSaStarted { .. }));
        self.outcome.negotiations = begun.count() as u64 - 1;
        self.outcome
    }
}

/// Travels under a policy; no gap is longer than allowed.
pub(crate) fn travel(seed: u64, policy: Arc<dyn Policy>, longest_gap: Duration) -> Outcome {
    let mut journey = Journey::begin(seed, policy, longest_gap);
    for _ in 0..STEPS {
        if journey.random.percent(6) {
            journey.disturb();
        }
        journey.step();
    }
    journey.arrive()
}
