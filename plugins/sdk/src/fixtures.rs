//! Menus for tests: a road warrior, carol, and her gateway, moon; and [`journey`]s of hers.

pub mod journey;

use std::net::SocketAddr;

use vpnhost_model::{
    EspSuite, Identity, IkeSuite, LinkKind, ProposalError, Protocol, Role, Sequence, TrafficSelector,
};
use vpnhost_policy::{
    AddressFacts, AddressMenu, AdvertisementMenu, CheckTime, CredentialFacts, CredentialMenu, LifetimeMenu,
    Lifetimes, LifetimesBounds, MaintenanceBounds, MaintenancePlan, OfferedSuite, PathCause, PathFacts,
    PathMenu, PathStanding, PeerCertificate, PeerClaim, PeerHint, PoolFacts, Power, ProposalMenu,
    SelectorMenu, Situation, SituationCause, Strength,
};

/// Returns a menu of IKE suites, each written as operators do: `aes256-sha256-modp2048`.
///
/// # Errors
/// A text that is no suite.
pub fn proposal_menu(suites: &[&str]) -> Result<ProposalMenu, ProposalError> {
    let mut offered = Vec::new();
    for text in suites {
        offered.extend(IkeSuite::parse_all(text)?.into_iter().map(|suite| OfferedSuite {
            strength: Strength::of(&suite.transforms()),
            transforms: suite.transforms(),
            backend: "rustcrypto".into(),
            overhead_octets: None,
            packet_ns: None,
            key_share_present: false,
            hints: Vec::new(),
        }));
    }
    Ok(ProposalMenu {
        connection: "corp".into(),
        role: Role::Responder,
        protocol: Protocol::IKE,
        peer: PeerHint {
            remote: carol(),
            local: moon(),
            behind_nat: None,
            peer_behind_nat: None,
            hints: Vec::new(),
        },
        peer_id: None,
        labels: Vec::new(),
        suites: offered,
        not_offered: Vec::new(),
        hints: Vec::new(),
    })
}

/// Returns carol's claim at a moment: seconds since 1970, in a time zone so many seconds east of UTC.
pub fn peer_claim(unix_secs: u64, utc_offset_secs: i32) -> PeerClaim {
    PeerClaim {
        connection: "corp".into(),
        role: Role::Responder,
        local_id: Identity::Fqdn("moon.example.org".into()),
        peer_id: Identity::Email("carol@example.org".into()),
        auth_method: 2,
        key: String::new(),
        certificate: None,
        eap: None,
        suite: Vec::new(),
        strength: Strength::RECOMMENDED,
        local: moon(),
        peer_behind_nat: false,
        others: Vec::new(),
        initial_contact: false,
        remote: carol(),
        unix_secs,
        utc_offset_secs,
        other_sas: 0,
        hints: Vec::new(),
    }
}

/// Returns a menu of these selectors on moon's side, and carol's virtual address on hers.
pub fn selector_menu(local: Vec<TrafficSelector>) -> SelectorMenu {
    SelectorMenu {
        connection: "corp".into(),
        child: "net".into(),
        role: Role::Responder,
        peer_id: Identity::Email("carol@example.org".into()),
        labels: Vec::new(),
        unix_secs: 1_795_564_800,
        rekeys: false,
        offered_local: local.clone(),
        offered_remote: vec![TrafficSelector::host([10, 99, 0, 7].into())],
        local,
        remote: vec![TrafficSelector::host([10, 99, 0, 7].into())],
        hints: Vec::new(),
    }
}

/// Returns a menu of paths, the first in use, on links of these kinds.
pub fn path_menu(kinds: &[LinkKind]) -> PathMenu {
    let path = |(number, &kind): (u8, &LinkKind)| PathFacts {
        local: [198, 51, 100, number].into(),
        remote: moon(),
        interface: format!("{}{number}", kind.name()),
        kind,
        metered: kind == LinkKind::CELLULAR,
        roaming: false,
        mtu: 1500,
        rtt_us: Some(20_000),
        loss_permille: Some(0),
        age_ms: Some(1_000),
        standing: PathStanding::WORKS,
        up_ms: 60_000,
        flaps: 0,
        outages: 0,
        outage_ms: 0,
        hints: Vec::new(),
    };
    PathMenu {
        connection: "corp".into(),
        cause: PathCause::ADDED,
        role: Role::Initiator,
        peer_id: Identity::Fqdn("moon.example.org".into()),
        labels: Vec::new(),
        unix_secs: 1_795_564_800,
        current: (!kinds.is_empty()).then_some(0),
        paths: (1u8..).zip(kinds).map(path).collect(),
        since_move_ms: None,
        moves: 0,
        power: Power::UNKNOWN,
        hints: Vec::new(),
    }
}

/// Returns carol's situation just after her SA was established.
pub fn situation(local_behind_nat: bool) -> Situation {
    Situation {
        connection: "corp".into(),
        cause: SituationCause::ESTABLISHED,
        role: Role::Initiator,
        peer_id: Identity::Fqdn("moon.example.org".into()),
        unix_secs: 1_795_564_800,
        local_behind_nat,
        peer_behind_nat: false,
        labels: Vec::new(),
        interface: "wlan0".into(),
        kind: LinkKind::WIFI,
        metered: false,
        rtt_us: Some(20_000),
        loss_permille: Some(0),
        outages: 0,
        outage_ms: 0,
        power: Power::UNKNOWN,
        idle_proven_ms: None,
        idle_failed_ms: None,
        native: MaintenancePlan {
            liveness_idle_ms: 30_000,
            keepalive_ms: 20_000,
            suspect_ms: 1_000,
            max_outage_secs: 28_800,
            retransmit_first_ms: 1_000,
            retransmit_factor_percent: 180,
            retransmit_tries: 6,
            rekey_ike_secs: 14_400,
            review_after_secs: 0,
            why: None,
        },
        bounds: MaintenanceBounds::SAFE,
        hints: Vec::new(),
    }
}

/// Returns a certificate of carol's with these alternative names, for a claim.
pub fn peer_certificate(names: &[&str]) -> PeerCertificate {
    PeerCertificate {
        subject: "C=CH, O=Example, CN=carol".into(),
        issuer: "C=CH, O=Example, CN=Devices".into(),
        ca: "C=CH, O=Example, CN=Root".into(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
        serial: "0a2f".into(),
        sha256: "5a".repeat(32),
        purposes: vec!["1.3.6.1.5.5.7.3.17".into()],
        expires_unix_secs: 1_893_456_000,
        hints: Vec::new(),
    }
}

/// Returns carol's wish for an IPv4 address, and pools of these names, each a /24 with its own DNS server.
pub fn address_menu(pools: &[&str]) -> AddressMenu {
    let pool = |(number, &name): (u8, &&str)| PoolFacts {
        name: name.to_owned(),
        base: [10, 99, number, 0].into(),
        prefix_len: 24,
        free: 254,
        leased: 0,
        remembers: false,
        dns: vec![[10, 99, number, 53].into()],
        hints: Vec::new(),
    };
    AddressMenu {
        connection: "corp".into(),
        peer_id: Identity::Email("carol@example.org".into()),
        labels: Vec::new(),
        remote: carol(),
        unix_secs: 1_795_564_800,
        wants_ipv4: true,
        wants_ipv6: false,
        preferred: Vec::new(),
        pools: (0..).zip(pools).map(pool).collect(),
        hints: Vec::new(),
    }
}

/// Returns a choice between certificates of these issuers; moon asks for those that `requested` says so of.
pub fn credential_menu(issuers: &[(&str, bool)]) -> CredentialMenu {
    let credential = |&(issuer, is_requested): &(&str, bool)| CredentialFacts {
        subject: "CN=carol".into(),
        issuer: issuer.into(),
        serial: "01".into(),
        sha256: "5a".repeat(32),
        expires_unix_secs: Some(1_893_456_000),
        is_requested,
        key: "rsa-2048".into(),
        hints: Vec::new(),
    };
    CredentialMenu {
        connection: "corp".into(),
        local_id: Identity::Email("carol@example.org".into()),
        remote: moon(),
        unix_secs: 1_795_564_800,
        requested: issuers.iter().any(|(_, is_requested)| *is_requested),
        credentials: issuers.iter().map(credential).collect(),
        hints: Vec::new(),
    }
}

/// Returns moon's addresses beside the one in use, on links of these kinds; the operator checks before.
pub fn advertisement_menu(kinds: &[LinkKind]) -> AdvertisementMenu {
    let facts = |(number, &kind): (u8, &LinkKind)| AddressFacts {
        address: [203, 0, 113, number].into(),
        interface: format!("{}{number}", kind.name()),
        kind,
        metered: kind == LinkKind::CELLULAR,
        roaming: false,
        hints: Vec::new(),
    };
    AdvertisementMenu {
        connection: "corp".into(),
        role: Role::Responder,
        peer_id: Identity::Email("carol@example.org".into()),
        labels: Vec::new(),
        unix_secs: 1_795_564_800,
        local: moon(),
        remote: carol(),
        peer_behind_nat: false,
        addresses: (1u8..).zip(kinds).map(facts).collect(),
        return_routability: CheckTime::BEFORE,
        hints: Vec::new(),
    }
}

/// Returns a Child SA of carol's that is protected by these algorithms; the operator rekeys once an hour.
///
/// # Errors
/// A text that is no suite.
pub fn lifetime_menu(esp: &str) -> Result<LifetimeMenu, ProposalError> {
    let suites = EspSuite::parse_all(esp, &[Sequence::EXTENDED])?;
    let suite = suites.first().map(EspSuite::transforms).unwrap_or_default();
    Ok(LifetimeMenu {
        connection: "corp".into(),
        child: "net".into(),
        role: Role::Responder,
        peer_id: Identity::Email("carol@example.org".into()),
        labels: Vec::new(),
        unix_secs: 1_795_564_800,
        rekeys: false,
        strength: Strength::of(&suite),
        suite,
        local: vec![TrafficSelector::any_v4()],
        remote: vec![TrafficSelector::host([10, 99, 0, 7].into())],
        native: Lifetimes { rekey_secs: 3_600, rekey_mib: 0, rekey_packets: 0, why: None },
        bounds: LifetimesBounds::SAFE,
        hints: Vec::new(),
    })
}

fn carol() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 4500))
}

fn moon() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4500))
}
