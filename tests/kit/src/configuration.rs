//! Two hosts and what they agreed to agree on.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::SecretBytes;
use vpnhost_ike::{
    ChildConfig, EncapsulationPolicy, EndpointConfig, Gateway, LocalAuth, PeerAuth, PeerConfig, PeerIdentity,
    RequestAddress, Secrets, SelectorConfig, Start, Timing,
};
use vpnhost_model::{EspSuite, Identity, IkeSuite, Lifetime, Mode, Sequence, TrafficSelector};

/// What the first host is called, and where it is.
pub const A_ADDRESS: &str = "192.0.2.1";
/// Where the second host is.
pub const B_ADDRESS: &str = "192.0.2.2";
/// The IKE suite of most stories.
pub const IKE: &str = "aes128gcm16-prfsha256-x25519";

/// Reads an address.
pub fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Reads a prefix as a fixed selector.
pub fn selector(text: &str) -> SelectorConfig {
    let (base, length) = text.split_once('/').expect("a prefix");
    let length = length.parse().expect("a length");
    SelectorConfig::Fixed(TrafficSelector::prefix(address(base), length).expect("a prefix"))
}

/// Reads an identity.
pub fn identity(text: &str) -> Identity {
    Identity::parse(text).expect("an identity")
}

/// Makes a child with fixed selectors, as the first host sees it: extended sequence numbers if the peer
/// has them, a window of 64.
pub fn child(name: &str, esp: &str, local: &str, remote: &str) -> ChildConfig {
    ChildConfig {
        name: name.into(),
        local: local.split(',').map(selector).collect(),
        remote: remote.split(',').map(selector).collect(),
        esp: EspSuite::parse_all(esp, &[Sequence::EXTENDED, Sequence::SHORT]).expect("ESP suites"),
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

/// Makes the first host's connection to the second, kept up from the start.
pub fn initiator(children: Vec<ChildConfig>) -> PeerConfig {
    let secret = SecretBytes::new(b"a secret that both know".to_vec());
    PeerConfig {
        name: "b".into(),
        initiate: true,
        respond: true,
        gateways: vec![gateway(B_ADDRESS)],
        local_id: identity("a.lab"),
        peer_id: PeerIdentity::Is(identity("b.lab")),
        local_auth: LocalAuth::SharedKey,
        peer_auth: PeerAuth::SharedKey,
        secrets: Secrets { by_peer: BTreeMap::new(), default: Some(secret) },
        ike: IkeSuite::parse_all(IKE).expect("an IKE suite"),
        children,
        start: Start::Up,
        request_address: RequestAddress::default(),
        pools: Vec::new(),
        encapsulation: EncapsulationPolicy::Always,
        mobike: true,
        return_routability: vpnhost_ike::ReturnRoutability::default(),
        timing: Timing { liveness_idle: Duration::from_secs(20), ..Timing::default() },
        unique: vpnhost_ike::Uniqueness::default(),
        on_child_failed: vpnhost_ike::ChildFailure::default(),
        childless: vpnhost_ike::Childless::default(),
        sha1_auth: false,
    }
}

/// Makes the second host's connection to the first, which waits.
pub fn responder(a: &PeerConfig) -> PeerConfig {
    let mirrored = |child: &ChildConfig| ChildConfig {
        local: child.remote.clone(),
        remote: child.local.clone(),
        ..child.clone()
    };
    PeerConfig {
        name: "a".into(),
        gateways: vec![gateway(A_ADDRESS)],
        local_id: identity("b.lab"),
        peer_id: PeerIdentity::Is(identity("a.lab")),
        children: a.children.iter().map(mirrored).collect(),
        start: Start::Manual,
        request_address: RequestAddress::default(),
        ..a.clone()
    }
}

/// Makes an endpoint of one connection.
pub fn endpoint(connection: PeerConfig) -> EndpointConfig {
    EndpointConfig {
        connections: vec![Arc::new(connection)],
        allow_legacy: true,
        ..EndpointConfig::default()
    }
}

fn gateway(text: &str) -> Gateway {
    Gateway { address: (address(text), 500).into() }
}
