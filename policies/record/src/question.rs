//! Questions with their menus, and answers.

use serde_json::{Value, json};
use vpnhost_policy::{
    AddressFacts, AddressMenu, Advertisement, AdvertisementMenu, Answer, Assignment, Authorization,
    CredentialChoice, CredentialFacts, CredentialMenu, LifetimeMenu, Lifetimes, LifetimesBounds,
    MaintenanceBounds, MaintenancePlan, Narrowing, OfferedSuite, OtherSa, PathFacts, PathMenu, PathRanking,
    PeerCertificate, PeerClaim, PeerEap, PeerHint, PoolFacts, ProposalMenu, Question, QuestionKind, Ranking,
    SelectorMenu, Situation,
};

use crate::form::{Fields, Form, Wrong, record};

/// Names each question's menu and answer: a further question is one more line.
macro_rules! questions {
    ($($kind:ident: $menu:ty => $answer:ty;)*) => {
        /// Writes a question's menu.
        pub fn question(question: &Question) -> Value {
            match question { $(Question::$kind(menu) => menu.write(),)* }
        }

        /// Reads a question's menu.
        ///
        /// # Errors
        /// What is wrong, and where.
        pub fn read_question(kind: QuestionKind, value: &Value) -> Result<Question, Wrong> {
            match kind { $(QuestionKind::$kind => <$menu>::read(value).map(Question::$kind),)* }
        }

        /// Writes an answer.
        pub fn answer(answer: &Answer) -> Value {
            match answer { $(Answer::$kind(it) => it.write(),)* }
        }

        /// Reads an answer to a question.
        ///
        /// # Errors
        /// What is wrong, and where.
        pub fn read_answer(kind: QuestionKind, value: &Value) -> Result<Answer, Wrong> {
            match kind { $(QuestionKind::$kind => <$answer>::read(value).map(Answer::$kind),)* }
        }
    };
}

questions! {
    RankProposals: ProposalMenu => Ranking;
    AuthorizePeer: PeerClaim => Authorization;
    NarrowSelectors: SelectorMenu => Narrowing;
    RankPaths: PathMenu => PathRanking;
    PlanMaintenance: Situation => MaintenancePlan;
    AssignAddresses: AddressMenu => Assignment;
    ChooseCredential: CredentialMenu => CredentialChoice;
    AdvertiseAddresses: AdvertisementMenu => Advertisement;
    PlanLifetimes: LifetimeMenu => Lifetimes;
}

record!(ProposalMenu { connection, role, protocol, peer, peer_id, labels, suites, not_offered, hints });
record!(PeerHint { remote, local, behind_nat, peer_behind_nat, hints });
record!(OfferedSuite { transforms, strength, backend, overhead_octets, packet_ns, key_share_present, hints });
record!(Ranking { order, why });

record!(PeerClaim {
    connection,
    role,
    local_id,
    peer_id,
    auth_method,
    key,
    certificate,
    eap,
    suite,
    strength,
    local,
    remote,
    peer_behind_nat,
    unix_secs,
    utc_offset_secs,
    other_sas,
    others,
    initial_contact,
    hints,
});
record!(PeerCertificate { subject, issuer, ca, names, serial, sha256, purposes, expires_unix_secs, hints });
record!(PeerEap { identity, method, claimed_id, hints });
record!(OtherSa { connection, remote, up_secs, hints });

impl Form for Authorization {
    fn write(&self) -> Value {
        match self {
            Self::Allow { labels } => json!({ "allow": labels.write() }),
            Self::Refuse { reason } => json!({ "refuse": reason }),
        }
    }

    fn read(value: &Value) -> Result<Self, Wrong> {
        let mut fields = Fields::of(value)?;
        let read = match (fields.find("allow").is_some(), fields.find("refuse").is_some()) {
            (true, false) => Self::Allow { labels: fields.take("allow")? },
            (false, true) => Self::Refuse { reason: fields.take("refuse")? },
            (true, true) | (false, false) => {
                return Err(Wrong::expected("an object with either `allow` or `refuse`", value));
            }
        };
        fields.finish()?;
        Ok(read)
    }
}

record!(SelectorMenu {
    connection,
    child,
    role,
    peer_id,
    labels,
    unix_secs,
    rekeys,
    offered_local,
    offered_remote,
    local,
    remote,
    hints,
});
record!(Narrowing { local, remote, why });

record!(PathMenu {
    connection,
    cause,
    role,
    peer_id,
    labels,
    unix_secs,
    current,
    paths,
    since_move_ms,
    moves,
    power,
    hints,
});
record!(PathFacts {
    local,
    remote,
    interface,
    kind,
    metered,
    roaming,
    mtu,
    standing,
    rtt_us,
    loss_permille,
    age_ms,
    up_ms,
    flaps,
    outages,
    outage_ms,
    hints,
});
record!(PathRanking { order, settle_ms, review_after_secs, why });

record!(Situation {
    connection,
    cause,
    role,
    peer_id,
    unix_secs,
    local_behind_nat,
    peer_behind_nat,
    labels,
    interface,
    kind,
    metered,
    rtt_us,
    loss_permille,
    outages,
    outage_ms,
    power,
    idle_proven_ms,
    idle_failed_ms,
    native,
    bounds,
    hints,
});
record!(MaintenancePlan {
    liveness_idle_ms,
    keepalive_ms,
    suspect_ms,
    max_outage_secs,
    retransmit_first_ms,
    retransmit_factor_percent,
    retransmit_tries,
    rekey_ike_secs,
    review_after_secs,
    why,
});
record!(MaintenanceBounds {
    liveness_idle_ms,
    keepalive_ms,
    suspect_ms,
    max_outage_secs,
    retransmit_first_ms,
    retransmit_factor_percent,
    retransmit_tries,
    rekey_ike_secs,
    review_after_secs,
});

record!(AddressMenu {
    connection,
    peer_id,
    labels,
    remote,
    unix_secs,
    wants_ipv4,
    wants_ipv6,
    preferred,
    pools,
    hints,
});
record!(PoolFacts { name, base, prefix_len, free, leased, remembers, dns, hints });
record!(Assignment { order, dns, why });

record!(CredentialMenu { connection, local_id, remote, unix_secs, requested, credentials, hints });
record!(CredentialFacts { subject, issuer, serial, sha256, expires_unix_secs, is_requested, key, hints });
record!(CredentialChoice { index, why });

record!(AdvertisementMenu {
    connection,
    role,
    peer_id,
    labels,
    unix_secs,
    local,
    remote,
    peer_behind_nat,
    addresses,
    return_routability,
    hints,
});
record!(AddressFacts { address, interface, kind, metered, roaming, hints });
record!(Advertisement { order, return_routability, why });

record!(LifetimeMenu {
    connection,
    child,
    role,
    peer_id,
    labels,
    unix_secs,
    rekeys,
    suite,
    strength,
    local,
    remote,
    native,
    bounds,
    hints,
});
record!(Lifetimes { rekey_secs, rekey_mib, rekey_packets, why });
record!(LifetimesBounds { rekey_secs, rekey_mib, rekey_packets });
