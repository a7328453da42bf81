//! Journeys: a host on its way through networks that come, go, lie dead and forget, and what of it the tunnel notices.
//!
//! A journey is drawn from a seed: Wi-Fi whose address changes and which flaps, a carrier behind NATs with lifetimes from
//! 15 s to an hour, a cable now and then, paths that die silently, lifts in which nothing works, NATs that are restarted,
//! loss; and rekeys by both sides amid all of it. Packets go both ways four times a second.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vpnhost_ike::{Command, Event, PeerConfig};
use vpnhost_kit::agreement::between;
use vpnhost_kit::configuration::{A_ADDRESS, B_ADDRESS, endpoint, initiator, responder};
use vpnhost_kit::host::{HostSettings, link};
use vpnhost_kit::nat::Nat;
use vpnhost_kit::network::Weather;
use vpnhost_kit::random::Random;
use vpnhost_kit::simulation::settings;
use vpnhost_kit::{A, B, Simulation, seeds};
use vpnhost_model::{Instant, LinkKind, LocalAddress};
use vpnhost_plugin_sdk::{Configure, Settings};
use vpnhost_policy::{Chain, Policy};
use vpnhost_policy_standard::Standard;

use crate::world::{children, millis, secs};

/// How many journeys.
const JOURNEYS: u64 = 10_000;
/// Between two packets of each side.
const GAP: Duration = millis(250);
/// How long a journey lasts.
const STEPS: u64 = 400;
/// How long nothing may come in although some path has been fit for as long: a suspicion (1 s), a probe that is lost
/// twice in bad weather (1 s, 1.8 s), the update, lost as often, and the check; where a NAT forgets meanwhile, all of it anew.
const LONGEST_GAP: Duration = secs(20);
/// The most octets of IKE that a move may cost on average, with everything around it: probes, lost requests, negotiations
/// that were begun beside, rekeys.
const OCTETS_PER_EVENT: u64 = 2_500;

/// The most that any one journey may cost for each event, those around its begin and its end included.
const OCTETS_OF_A_BAD_DAY: u64 = 8_000;

/// The most that IKE may send in an hour of rest: where no path carries anything a peer is looked for once a minute, on each.
const OCTETS_OF_AN_HOUR: u64 = 400_000;

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
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    moves: u64,
    events: u64,
    octets: u64,
    negotiations: u64,
    /// Seconds of rest, and what IKE sent in them.
    rested: u64,
    octets_at_rest: u64,
    longest_gap: Duration,
    lost: u64,
    sent: u64,
    metered: u64,
    round_trips: Duration,
}

struct Journey {
    simulation: Simulation,
    random: Random,
    places: Vec<Place>,
    outcome: Outcome,
    /// Since when some path is fit without interruption.
    fit_since: Option<Instant>,
    heard: Instant,
    number: u64,
}

impl Journey {
    fn begin(seed: u64, policy: Arc<dyn Policy>) -> Self {
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
        let heard = simulation.now().instant;
        let outcome = Outcome::default();
        let mut journey = Self { simulation, random, places, outcome, fit_since: None, heard, number: 0 };
        journey.places[2].present = journey.random.percent(20);
        (0..3).for_each(|at| journey.enter(at));
        journey.settle_links();
        journey.simulation.run_for(secs(5));
        journey.heard = journey.simulation.now().instant;
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
        let before = self.simulation.network.octets;
        self.simulation.run_for(long);
        self.outcome.octets_at_rest += self.simulation.network.octets - before;
        self.outcome.rested += long.as_secs();
        let now = self.simulation.now().instant;
        (self.heard, self.fit_since) = (now, self.fit_since.map(|_| now));
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
        let before = self.simulation.hosts[A].delivered.len();
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
        let came = self.simulation.hosts[A].delivered.len() - before;
        if came > 0 {
            self.heard = now;
        } else {
            self.outcome.lost += 1;
        }
        self.judge(now);
    }

    fn judge(&mut self, now: Instant) {
        let path = self.simulation.established(A).first().map(|sa| sa.path);
        let at = path.and_then(|path| self.places.iter().find(|place| place.address() == path.local.ip()));
        if let Some(place) = at {
            self.outcome.metered += u64::from(place.kind == LinkKind::CELLULAR);
            self.outcome.round_trips += place.weather.delay.0 * 2;
        }
        // What cannot be is not asked for: without a fit path nothing comes in.
        let Some(since) = self.fit_since else { return };
        let gap = (now - self.heard).min(now - since);
        self.outcome.longest_gap = self.outcome.longest_gap.max(gap);
        let places: Vec<_> = self
            .places
            .iter()
            .map(|it| (it.address(), it.present, it.dead_until.is_some(), it.weather.loss))
            .collect();
        assert!(
            gap <= LONGEST_GAP,
            "nothing came in for {gap:?} until {now:?} although a path was fit: {places:?}, {:?}",
            self.simulation.established(A)
        );
    }

    /// The journey ends in one good place.
    fn arrive(mut self) -> Outcome {
        self.outcome.octets = self.simulation.network.octets - self.outcome.octets_at_rest;
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
        // Keys may have grown old just now: what a rekey replaces lingers for a moment.
        for _ in 0..4 {
            if [A, B].iter().all(|&side| self.simulation.hosts[side].installed.len() == 2) {
                break;
            }
            self.simulation.run_for(secs(15));
        }
        self.simulation.assert_agreed(A, B);
        self.simulation.assert_passes(A, B);
        for side in [A, B] {
            let holdings = self.simulation.hosts[side].endpoint.holdings();
            assert_eq!(self.simulation.hosts[side].in_clear, 0, "a packet went out in clear");
            assert_eq!((holdings.ike_sas, holdings.half_open, holdings.child_sas), (1, 0, 2), "{holdings:?}");
        }
        let moves = self.simulation.hosts[A].events.iter().filter(|it| matches!(it, Event::Moved { .. }));
        self.outcome.moves = moves.count() as u64;
        let begun =
            self.simulation.hosts[A].events.iter().filter(|it| matches!(it, Event::IkeSaStarted { .. }));
        self.outcome.negotiations = begun.count() as u64 - 1;
        self.outcome
    }
}

fn travel(seed: u64, policy: Arc<dyn Policy>) -> Outcome {
    let mut journey = Journey::begin(seed, policy);
    for _ in 0..STEPS {
        if journey.random.percent(6) {
            journey.disturb();
        }
        journey.step();
    }
    journey.arrive()
}

#[test]
fn ten_thousand_journeys_end_with_one_tunnel_that_both_ends_agree_on() {
    let outcomes = seeds::run(0..JOURNEYS, |seed| travel(seed, Arc::new(Standard)));
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(|(_, outcome)| of(outcome)).sum::<u64>();
    let (moves, events, octets) = (sum(|it| it.moves), sum(|it| it.events), sum(|it| it.octets));
    println!(
        "{} journeys, {events} events, {moves} moves, {} negotiations",
        outcomes.len(),
        sum(|it| it.negotiations)
    );
    let (rested, at_rest) = (sum(|it| it.rested), sum(|it| it.octets_at_rest));
    println!(
        "{} octets of IKE an event, {} an hour at rest",
        octets / events.max(1),
        at_rest * 3600 / rested.max(1)
    );
    let over = |limit| outcomes.iter().filter(|(_, outcome)| outcome.longest_gap > limit).count();
    println!("a gap over 3 s in {}, over 5 s in {}", over(secs(3)), over(secs(5)));
    for (seed, outcome) in &outcomes {
        let most = OCTETS_OF_A_BAD_DAY * (outcome.events + 10);
        assert!(
            outcome.octets <= most,
            "SEED={seed}: {} octets for {} events",
            outcome.octets,
            outcome.events
        );
        let most = OCTETS_OF_AN_HOUR * (outcome.rested + 3600) / 3600;
        assert!(outcome.octets_at_rest <= most, "SEED={seed}: {} octets at rest", outcome.octets_at_rest);
    }
    if outcomes.len() > 100 {
        assert!(octets <= events * OCTETS_PER_EVENT, "{} octets an event", octets / events);
        // What a NAT forgets while every path is bad takes longer.
        assert!(over(secs(3)) * 20 <= outcomes.len() && over(secs(5)) * 100 <= outcomes.len());
    }
}

#[test]
fn each_policy_pays_for_what_it_is_for() {
    let no_settings = Settings::new([]);
    let native: Arc<dyn Policy> = Arc::new(Standard);
    let before =
        |first: Arc<dyn Policy>| -> Arc<dyn Policy> { Arc::new(Chain::new(vec![first, Arc::new(Standard)])) };
    let policies: Vec<(&str, Arc<dyn Policy>)> = vec![
        ("native", native),
        (
            "lowest-rtt",
            before(Arc::new(vpnhost_plugin_lowest_rtt::LowestRtt::configure(&no_settings).unwrap())),
        ),
        ("cheapest", before(Arc::new(vpnhost_plugin_cheapest::Cheapest::configure(&no_settings).unwrap()))),
        ("sticky", before(Arc::new(vpnhost_plugin_sticky::Sticky::configure(&no_settings).unwrap()))),
    ];
    let mut table = String::from("policy      moves  metered  mean RTT  lost  octets a move\n");
    let mut sums = Vec::new();
    for (name, policy) in policies {
        let outcomes = seeds::run(0..200, |seed| travel(seed, Arc::clone(&policy)));
        let mut all = Outcome::default();
        for (_, outcome) in &outcomes {
            all.moves += outcome.moves;
            all.sent += outcome.sent;
            all.metered += outcome.metered;
            all.lost += outcome.lost;
            all.octets += outcome.octets;
            all.round_trips += outcome.round_trips;
        }
        let share = |part: u64| 100.0 * part as f64 / all.sent.max(1) as f64;
        let mean = all.round_trips.as_secs_f64() * 1000.0 / all.sent.max(1) as f64;
        writeln!(
            table,
            "{name:<11} {:>5} {:>7.1}% {mean:>6.0} ms {:>4.1}% {:>9}",
            all.moves,
            share(all.metered),
            share(all.lost),
            all.octets / all.moves.max(1)
        )
        .unwrap();
        sums.push(all);
    }
    println!("{table}");
    let [native, lowest, cheapest, sticky] = sums[..] else { panic!("four policies") };
    if native.sent > 10_000 {
        assert!(
            lowest.round_trips < native.round_trips && lowest.round_trips < sticky.round_trips,
            "{table}"
        );
        assert!(cheapest.metered <= native.metered && cheapest.metered < lowest.metered, "{table}");
        assert!(sticky.moves < native.moves && sticky.moves < lowest.moves, "{table}");
    }
}
