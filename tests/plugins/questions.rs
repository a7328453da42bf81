//! Random questions, the same for the same seed.

use std::net::{IpAddr, SocketAddr};

use vpnhost_model::{Identity, LinkKind, Protocol, Role, TrafficSelector, Transform, TransformType};
use vpnhost_policy::{
    Attribute, Bounds, MaintenanceBounds, MaintenancePlan, OfferedSuite, PathCause, PathFacts, PathMenu,
    PathStanding, PeerClaim, PeerHint, ProposalMenu, Question, QuestionKind, SelectorMenu, Situation,
    SituationCause, Strength,
};

/// SplitMix64: short, and good enough to fill menus.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn question(&mut self, kind: QuestionKind) -> Question {
        match kind {
            QuestionKind::RankProposals => Question::RankProposals(self.proposal_menu()),
            QuestionKind::AuthorizePeer => Question::AuthorizePeer(self.peer_claim()),
            QuestionKind::NarrowSelectors => Question::NarrowSelectors(self.selector_menu()),
            QuestionKind::RankPaths => Question::RankPaths(self.path_menu()),
            QuestionKind::PlanMaintenance => Question::PlanMaintenance(self.situation()),
        }
    }

    fn proposal_menu(&mut self) -> ProposalMenu {
        ProposalMenu {
            connection: self.text(),
            role: self.role(),
            protocol: Protocol(self.byte()),
            peer: PeerHint {
                remote: self.socket(),
                local: self.socket(),
                behind_nat: self.option(Self::flag),
                peer_behind_nat: self.option(Self::flag),
            },
            suites: self.list(64, Self::suite),
            hints: self.list(4, Self::attribute),
        }
    }

    fn suite(&mut self) -> OfferedSuite {
        OfferedSuite {
            transforms: self.list(6, |it| Transform {
                kind: TransformType(it.byte()),
                id: it.short(),
                key_bits: it.option(Self::short),
            }),
            strength: Strength(self.byte()),
            backend: self.text(),
            key_share_present: self.flag(),
        }
    }

    fn peer_claim(&mut self) -> PeerClaim {
        PeerClaim {
            connection: self.text(),
            role: self.role(),
            local_id: self.identity(),
            peer_id: self.identity(),
            auth_method: self.byte(),
            remote: self.socket(),
            unix_secs: self.next(),
            utc_offset_secs: self.word().cast_signed(),
            other_sas: self.word(),
            hints: self.list(4, Self::attribute),
        }
    }

    fn selector_menu(&mut self) -> SelectorMenu {
        SelectorMenu {
            connection: self.text(),
            child: self.text(),
            role: self.role(),
            peer_id: self.identity(),
            local: self.list(8, Self::selector),
            remote: self.list(8, Self::selector),
            hints: self.list(4, Self::attribute),
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
        let paths = self.list(16, |it| PathFacts {
            local: it.address(),
            remote: it.socket(),
            interface: it.text(),
            kind: LinkKind(it.byte() % 8),
            metered: it.flag(),
            mtu: it.word(),
            rtt_us: it.option(|it| it.word() % 4),
            loss_permille: it.option(|it| it.short() % 1001),
            age_ms: it.option(Self::word),
            standing: PathStanding(it.byte() % 4),
            up_ms: it.word(),
            flaps: it.short() % 8,
        });
        let count = u32::try_from(paths.len()).unwrap();
        PathMenu {
            connection: self.text(),
            cause: PathCause(self.byte() % 8),
            current: self.option(Self::word).filter(|_| count > 0).map(|at| at % count.max(1)),
            paths,
            since_move_ms: self.option(Self::word),
            moves: self.short() % 16,
            hints: self.list(4, Self::attribute),
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
            rekey_child_secs: self.word(),
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
            cause: SituationCause(self.byte()),
            role: self.role(),
            local_behind_nat: self.flag(),
            peer_behind_nat: self.flag(),
            kind: LinkKind(self.byte()),
            metered: self.flag(),
            rtt_us: self.option(Self::word),
            idle_proven_ms: self.option(Self::word),
            idle_failed_ms: self.option(Self::word),
            bounds: bounds.including(&native),
            native,
            hints: self.list(4, Self::attribute),
        }
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
        if self.flag() {
            IpAddr::V4(self.word().into())
        } else {
            IpAddr::V6((u128::from(self.next()) << 64 | u128::from(self.next())).into())
        }
    }

    fn text(&mut self) -> String {
        const LETTERS: [char; 8] = ['a', 'z', '-', ' ', 'ä', '€', '🔑', '\u{7f}'];
        self.list(12, |it| LETTERS[usize::from(it.byte() % 8)]).into_iter().collect()
    }

    fn list<T>(&mut self, most: u64, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| item(self)).collect()
    }

    fn option<T>(&mut self, item: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.flag() { Some(item(self)) } else { None }
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

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
