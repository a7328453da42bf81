//! Random questions, the same for the same seed: usual ones, and those at the ends of what a host may ask.

use std::net::{IpAddr, SocketAddr};

use vpnhost_model::{Identity, LinkKind, Protocol, Role, TrafficSelector, Transform, TransformType};
use vpnhost_policy::{
    AddressFacts, AddressMenu, AdvertisementMenu, Attribute, Bounds, CheckTime, CredentialFacts,
    CredentialMenu, LifetimeMenu, Lifetimes, LifetimesBounds, MaintenanceBounds, MaintenancePlan,
    OfferedSuite, OtherSa, PathCause, PathFacts, PathMenu, PathStanding, PeerCertificate, PeerClaim, PeerEap,
    PeerHint, PoolFacts, Power, PowerSource, ProposalMenu, Question, QuestionKind, SelectorMenu, Situation,
    SituationCause, Strength, limits,
};

/// What kind of menus are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Of every length up to what is usual.
    Usual,
    /// Every list and text is empty, as far as a host asks so.
    Empty,
    /// Every list is as long as it may be.
    Largest,
    /// Every number that may grow is one that nobody knows yet.
    Unknown,
    /// Everything is zero, false, empty or not there, apart from one candidate.
    Plain,
    /// The same, but everything that could be there is there, once.
    Whole,
}

impl Shape {
    /// Those that every plugin must stand; the others are what scenarios are laid over.
    pub const ALL: [Self; 4] = [Self::Usual, Self::Empty, Self::Largest, Self::Unknown];

    /// Returns what such menus are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usual => "usual menus",
            Self::Empty => "empty menus",
            Self::Largest => "largest menus",
            Self::Unknown => "unknown numbers",
            Self::Plain | Self::Whole => "plain menus",
        }
    }
}

/// SplitMix64: short, and good enough to fill menus.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
    shape: Shape,
    candidates: Option<u64>,
}

impl Random {
    /// Begins with a seed, for usual menus.
    pub fn new(seed: u64) -> Self {
        Self::shaped(seed, Shape::Usual)
    }

    /// Begins with a seed.
    pub fn shaped(seed: u64, shape: Shape) -> Self {
        Self { state: seed, shape, candidates: None }
    }

    /// Makes menus of so many candidates, and of at most one of everything else: few hosts give more labels and hints.
    pub fn with_candidates(mut self, count: u64) -> Self {
        self.candidates = Some(count);
        self
    }

    /// Returns a question of a kind.
    pub fn question(&mut self, kind: QuestionKind) -> Question {
        match kind {
            QuestionKind::RankProposals => Question::RankProposals(self.proposal_menu()),
            QuestionKind::AuthorizePeer => Question::AuthorizePeer(self.peer_claim()),
            QuestionKind::NarrowSelectors => Question::NarrowSelectors(self.selector_menu()),
            QuestionKind::RankPaths => Question::RankPaths(self.path_menu()),
            QuestionKind::PlanMaintenance => Question::PlanMaintenance(self.situation()),
            QuestionKind::AssignAddresses => Question::AssignAddresses(self.address_menu()),
            QuestionKind::ChooseCredential => Question::ChooseCredential(self.credential_menu()),
            QuestionKind::AdvertiseAddresses => Question::AdvertiseAddresses(self.advertisement_menu()),
            QuestionKind::PlanLifetimes => Question::PlanLifetimes(self.lifetime_menu()),
        }
    }

    fn proposal_menu(&mut self) -> ProposalMenu {
        ProposalMenu {
            connection: self.text(),
            role: self.role(),
            protocol: Protocol(self.code(u8::MAX)),
            peer: PeerHint {
                remote: self.socket(),
                local: self.socket(),
                behind_nat: self.option(Self::flag),
                peer_behind_nat: self.option(Self::flag),
                hints: self.list(2, Self::attribute),
            },
            peer_id: self.option(Self::identity),
            labels: self.menu(4, limits::LABELS, Self::attribute),
            suites: self.candidates(limits::SUITES, limits::SUITES, Self::suite),
            not_offered: self.menu(8, limits::SUITES, Self::suite),
            hints: self.menu(4, limits::HINTS, Self::attribute),
        }
    }

    fn suite(&mut self) -> OfferedSuite {
        OfferedSuite {
            transforms: self.list(6, Self::transform),
            strength: Strength(self.code(u8::MAX)),
            backend: self.text(),
            overhead_octets: self.option(Self::short),
            packet_ns: self.option(Self::word),
            key_share_present: self.flag(),
            hints: self.list(2, Self::attribute),
        }
    }

    fn transform(&mut self) -> Transform {
        Transform {
            kind: TransformType(self.code(u8::MAX)),
            id: self.short(),
            key_bits: self.option(Self::short),
        }
    }

    fn peer_claim(&mut self) -> PeerClaim {
        PeerClaim {
            connection: self.text(),
            role: self.role(),
            local_id: self.identity(),
            peer_id: self.identity(),
            auth_method: self.code(u8::MAX),
            key: self.text(),
            certificate: self.option(|it| PeerCertificate {
                subject: it.text(),
                issuer: it.text(),
                ca: it.text(),
                names: it.menu(4, limits::NAMES, Self::text),
                serial: it.text(),
                sha256: it.text(),
                purposes: it.menu(4, limits::NAMES, Self::text),
                expires_unix_secs: it.next().cast_signed(),
                hints: it.list(2, Self::attribute),
            }),
            eap: self.option(|it| PeerEap {
                identity: it.text(),
                method: it.text(),
                claimed_id: it.identity(),
                hints: it.list(2, Self::attribute),
            }),
            suite: self.list(6, Self::transform),
            strength: Strength(self.code(u8::MAX)),
            local: self.socket(),
            remote: self.socket(),
            peer_behind_nat: self.flag(),
            unix_secs: self.next(),
            utc_offset_secs: self.word().cast_signed(),
            other_sas: self.word(),
            others: self.menu(4, limits::OTHER_SAS, |it| OtherSa {
                connection: it.text(),
                remote: it.socket(),
                up_secs: it.word(),
                hints: it.list(2, Self::attribute),
            }),
            initial_contact: self.flag(),
            hints: self.menu(4, limits::HINTS, Self::attribute),
        }
    }

    fn selector_menu(&mut self) -> SelectorMenu {
        SelectorMenu {
            connection: self.text(),
            child: self.text(),
            role: self.role(),
            peer_id: self.identity(),
            labels: self.menu(4, limits::LABELS, Self::attribute),
            unix_secs: self.next(),
            rekeys: self.flag(),
            offered_local: self.menu(8, limits::SELECTORS, Self::selector),
            offered_remote: self.menu(8, limits::SELECTORS, Self::selector),
            local: self.candidates(8, limits::SELECTORS, Self::selector),
            remote: self.menu(8, limits::SELECTORS, Self::selector),
            hints: self.menu(4, limits::HINTS, Self::attribute),
        }
    }

    /// Valid, as the core builds them; one in eight has OPAQUE ports.
    fn selector(&mut self) -> TrafficSelector {
        let (a, b) = (self.address(), self.address());
        let (start, end) = match (a.is_ipv4() == b.is_ipv4(), a <= b) {
            (false, _) => (a, a),
            (true, true) => (a, b),
            (true, false) => (b, a),
        };
        let (low, high) = (self.short(), self.short());
        let (start_port, end_port) =
            if self.below(8) == 0 { (u16::MAX, 0) } else { (low.min(high), low.max(high)) };
        TrafficSelector { protocol: self.byte(), start_port, end_port, start, end }
    }

    fn path_menu(&mut self) -> PathMenu {
        let paths = self.candidates(16, limits::PATHS, |it| PathFacts {
            local: it.address(),
            remote: it.socket(),
            interface: it.text(),
            kind: LinkKind(it.code(8)),
            metered: it.flag(),
            roaming: it.flag(),
            mtu: it.word(),
            rtt_us: it.option(|it| it.word() % 4),
            loss_permille: it.option(|it| it.short() % 1001),
            age_ms: it.option(Self::word),
            standing: PathStanding(it.code(4)),
            up_ms: it.word(),
            flaps: it.short() % 8,
            outages: it.short(),
            outage_ms: it.word(),
            hints: it.list(2, Self::attribute),
        });
        let count = u32::try_from(paths.len()).unwrap_or(u32::MAX);
        PathMenu {
            connection: self.text(),
            cause: PathCause(self.code(8)),
            role: self.role(),
            peer_id: self.identity(),
            labels: self.menu(4, limits::LABELS, Self::attribute),
            unix_secs: self.next(),
            current: self.option(Self::word).filter(|_| count > 0).map(|at| at % count.max(1)),
            paths,
            since_move_ms: self.option(Self::word),
            moves: self.short() % 16,
            power: self.power(),
            hints: self.menu(4, limits::HINTS, Self::attribute),
        }
    }

    fn situation(&mut self) -> Situation {
        let native = MaintenancePlan {
            liveness_idle_ms: self.word(),
            keepalive_ms: self.word(),
            suspect_ms: self.word(),
            max_outage_secs: self.word(),
            retransmit_first_ms: self.word(),
            retransmit_factor_percent: self.short(),
            retransmit_tries: self.short(),
            rekey_ike_secs: self.word(),
            review_after_secs: self.word(),
            // The host takes control characters out of reasons; the operator's has none.
            why: self.option(Self::text).map(|why| why.replace('\u{7f}', "")),
        };
        let bounds = MaintenanceBounds {
            keepalive_ms: Bounds { min: self.word(), max: self.word(), or_zero: self.flag() },
            ..MaintenanceBounds::SAFE
        };
        Situation {
            connection: self.text(),
            cause: SituationCause(self.code(u8::MAX)),
            role: self.role(),
            peer_id: self.identity(),
            unix_secs: self.next(),
            local_behind_nat: self.flag(),
            peer_behind_nat: self.flag(),
            labels: self.menu(4, limits::LABELS, Self::attribute),
            interface: self.text(),
            kind: LinkKind(self.code(u8::MAX)),
            metered: self.flag(),
            rtt_us: self.option(Self::word),
            loss_permille: self.option(Self::short),
            outages: self.short(),
            outage_ms: self.word(),
            power: self.power(),
            idle_proven_ms: self.option(Self::word),
            idle_failed_ms: self.option(Self::word),
            bounds: bounds.including(&native),
            native,
            hints: self.menu(4, limits::HINTS, Self::attribute),
        }
    }

    fn address_menu(&mut self) -> AddressMenu {
        AddressMenu {
            connection: self.text(),
            peer_id: self.identity(),
            labels: self.menu(4, limits::LABELS, Self::attribute),
            remote: self.socket(),
            unix_secs: self.next(),
            wants_ipv4: self.flag(),
            wants_ipv6: self.flag(),
            preferred: self.list(2, Self::address),
            pools: self.candidates(16, limits::POOLS, |it| PoolFacts {
                name: it.text(),
                base: it.address(),
                prefix_len: it.byte(),
                free: it.word(),
                leased: it.word(),
                remembers: it.flag(),
                dns: it.list(3, Self::address),
                hints: it.list(2, Self::attribute),
            }),
            hints: self.menu(4, limits::HINTS, Self::attribute),
        }
    }

    /// The core asks of two at least.
    fn credential_menu(&mut self) -> CredentialMenu {
        let credential = |it: &mut Self| CredentialFacts {
            subject: it.text(),
            issuer: it.text(),
            serial: it.text(),
            sha256: it.text(),
            expires_unix_secs: it.option(|it| it.next().cast_signed()),
            is_requested: it.below(4) == 0,
            key: it.text(),
            hints: it.list(2, Self::attribute),
        };
        let mut credentials = self.candidates(6, limits::CREDENTIALS - 2, credential);
        if self.candidates.is_none() {
            credentials.extend([credential(self), credential(self)]);
        }
        CredentialMenu {
            connection: self.text(),
            local_id: self.identity(),
            remote: self.socket(),
            unix_secs: self.next(),
            requested: self.flag(),
            credentials,
            hints: self.menu(4, limits::HINTS, Self::attribute),
        }
    }

    fn advertisement_menu(&mut self) -> AdvertisementMenu {
        AdvertisementMenu {
            connection: self.text(),
            role: self.role(),
            peer_id: self.identity(),
            labels: self.menu(4, limits::LABELS, Self::attribute),
            unix_secs: self.next(),
            local: self.socket(),
            remote: self.socket(),
            peer_behind_nat: self.flag(),
            addresses: self.candidates(16, limits::ADDRESSES, |it| AddressFacts {
                address: it.address(),
                interface: it.text(),
                kind: LinkKind(it.code(8)),
                metered: it.flag(),
                roaming: it.flag(),
                hints: it.list(2, Self::attribute),
            }),
            return_routability: CheckTime(self.byte() % 3),
            hints: self.menu(4, limits::HINTS, Self::attribute),
        }
    }

    fn lifetime_menu(&mut self) -> LifetimeMenu {
        let native = Lifetimes {
            rekey_secs: self.word(),
            rekey_mib: self.word(),
            rekey_packets: self.word(),
            why: None,
        };
        let safe = LifetimesBounds::SAFE;
        LifetimeMenu {
            connection: self.text(),
            child: self.text(),
            role: self.role(),
            peer_id: self.identity(),
            labels: self.menu(4, limits::LABELS, Self::attribute),
            unix_secs: self.next(),
            rekeys: self.flag(),
            suite: self.list(4, Self::transform),
            strength: Strength(self.code(4)),
            local: self.menu(8, limits::SELECTORS, Self::selector),
            remote: self.menu(8, limits::SELECTORS, Self::selector),
            bounds: LifetimesBounds {
                rekey_secs: safe.rekey_secs.including(native.rekey_secs),
                rekey_mib: safe.rekey_mib.including(native.rekey_mib),
                rekey_packets: safe.rekey_packets.including(native.rekey_packets),
            },
            native,
            hints: self.menu(4, limits::HINTS, Self::attribute),
        }
    }

    fn power(&mut self) -> Power {
        Power { source: PowerSource(self.code(u8::MAX)), battery_percent: self.option(Self::byte) }
    }

    fn identity(&mut self) -> Identity {
        let data: Vec<u8> = self.list(20, Self::byte);
        Identity::from_wire(self.byte() % 14, &data)
    }

    fn attribute(&mut self) -> Attribute {
        Attribute::new(self.text(), self.text())
    }

    fn role(&mut self) -> Role {
        if self.flag() { Role::Initiator } else { Role::Responder }
    }

    fn socket(&mut self) -> SocketAddr {
        SocketAddr::new(self.address(), self.short())
    }

    fn address(&mut self) -> IpAddr {
        if self.is_plain() || self.flag() {
            IpAddr::V4(self.word().into())
        } else {
            IpAddr::V6((u128::from(self.next()) << 64 | u128::from(self.next())).into())
        }
    }

    fn text(&mut self) -> String {
        const LETTERS: [char; 8] = ['a', 'z', '-', ' ', 'ä', '€', '🔑', '\u{7f}'];
        if self.is_plain() {
            return String::new();
        }
        self.list(12, |it| LETTERS[usize::from(it.byte() % 8)]).into_iter().collect()
    }

    /// Makes what there is to choose from.
    fn candidates<T>(&mut self, usual: usize, most: usize, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        match self.candidates {
            Some(count) => (0..count).map(|_| item(self)).collect(),
            None => self.menu(usual, most, item),
        }
    }

    /// Makes a list of which the host says how long it may be.
    fn menu<T>(&mut self, usual: usize, most: usize, item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let most = match (self.candidates, self.shape) {
            (Some(_), _) => 1,
            (None, Shape::Largest) => most,
            (None, Shape::Usual | Shape::Empty | Shape::Unknown | Shape::Plain | Shape::Whole) => usual,
        };
        self.list(u64::try_from(most).unwrap_or(u64::MAX - 1), item)
    }

    fn list<T>(&mut self, most: u64, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = match self.shape {
            Shape::Usual | Shape::Unknown => self.below(most + 1),
            Shape::Empty | Shape::Plain => 0,
            Shape::Whole => 1,
            Shape::Largest => most,
        };
        (0..count).map(|_| item(self)).collect()
    }

    /// Makes a number of which so many values mean something.
    fn code(&mut self, known: u8) -> u8 {
        match self.shape {
            Shape::Unknown => 200 + self.byte() % 56,
            Shape::Usual | Shape::Empty | Shape::Largest | Shape::Plain | Shape::Whole => {
                if known == u8::MAX { self.byte() } else { self.byte() % known }
            }
        }
    }

    fn option<T>(&mut self, item: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.shape == Shape::Whole || self.flag() { Some(item(self)) } else { None }
    }

    fn flag(&mut self) -> bool {
        self.next() & 1 == 1
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 32) as u8
    }

    fn short(&mut self) -> u16 {
        (self.next() >> 32) as u16
    }

    fn word(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn is_plain(&self) -> bool {
        matches!(self.shape, Shape::Plain | Shape::Whole)
    }

    fn next(&mut self) -> u64 {
        if self.is_plain() {
            return 0;
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn menus_have_the_shape_that_is_asked_for() {
        let paths = |shape, seed| {
            let question = Random::shaped(seed, shape).question(QuestionKind::RankPaths);
            let Question::RankPaths(menu) = question else { panic!("{question:?}") };
            menu
        };
        let empty = paths(Shape::Empty, 1);
        assert!(empty.paths.is_empty() && empty.hints.is_empty() && empty.connection.is_empty());
        let largest = paths(Shape::Largest, 1);
        assert_eq!((largest.paths.len(), largest.hints.len()), (limits::PATHS, limits::HINTS));
        let strange = (0..50).flat_map(|seed| paths(Shape::Unknown, seed).paths);
        assert!(strange.into_iter().all(|path| path.kind.0 >= 200 && path.standing.0 >= 200));
        let eight = Random::new(3).with_candidates(8).question(QuestionKind::RankProposals);
        assert!(matches!(eight, Question::RankProposals(menu) if menu.suites.len() == 8));
    }
}
