//! What the two hosts are configured with: the first begins, the second answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::{CryptoError, SecretBytes, SecureRandom};
use vpnhost_driver::{DnsMode, HostConfig, TunSettings};
use vpnhost_ike::config::{
    ChildConfig, EncapsulationPolicy, EndpointConfig, Gateway, LocalAuth, PeerAuth, PeerConfig, PeerIdentity,
    RequestAddress, Secrets, SelectorConfig, Start, Timing,
};
use vpnhost_model::{EspSuite, Identity, IkeSuite, Lifetime, Mode, Sequence, TrafficSelector};

struct Urandom(std::fs::File);

impl SecureRandom for Urandom {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        self.0.read_exact(out).map_err(|_| CryptoError::Backend)
    }
}

/// Returns the configuration of a side: 0 begins when told, 1 answers.
pub(crate) fn of(side: usize, secret: &[u8]) -> HostConfig {
    let mut connection = connection(side, secret);
    connection.start = Start::Manual;
    HostConfig {
        endpoint: EndpointConfig { connections: vec![Arc::new(connection)], ..EndpointConfig::default() },
        crypto: vpnhost_rustcrypto::backend(),
        random: Arc::new(|| Box::new(Urandom(std::fs::File::open("/dev/urandom").unwrap()))),
        policy: Arc::new(vpnhost_policy_standard::Standard),
        plugins: None,
        listen: vec![IpAddr::from([0, 0, 0, 0])],
        tun: TunSettings { name: "drv0".to_owned(), mtu: 1400 },
        dns: DnsMode::Off,
        connections: BTreeMap::new(),
        pools: Vec::new(),
        metered: BTreeSet::new(),
        keylog: None,
        decisions: None,
        state: None,
    }
}

/// Returns the connection of a side.
pub(crate) fn connection(side: usize, secret: &[u8]) -> PeerConfig {
    let identity = |side: usize| Identity::Fqdn(["carol.example.org", "moon.example.org"][side].into());
    let net = |side: usize| {
        let base = IpAddr::from([10, 77, [1, 2][side], 0]);
        vec![SelectorConfig::Fixed(TrafficSelector::prefix(base, 24).unwrap())]
    };
    let secrets = Secrets {
        by_peer: BTreeMap::from([(identity(1 - side), SecretBytes::copy_of(secret))]),
        default: None,
    };
    PeerConfig {
        name: "site".to_owned(),
        initiate: side == 0,
        respond: side == 1,
        gateways: if side == 0 {
            vec![Gateway { address: SocketAddr::from(([192, 0, 2, 2], 500)) }]
        } else {
            Vec::new()
        },
        local_id: identity(side),
        peer_id: PeerIdentity::Is(identity(1 - side)),
        local_auth: LocalAuth::SharedKey,
        peer_auth: PeerAuth::SharedKey,
        secrets,
        ike: IkeSuite::parse_all("aes128gcm16-prfsha256-x25519").unwrap(),
        children: vec![child(net(side), net(1 - side))],
        start: Start::Manual,
        request_address: RequestAddress::default(),
        pools: Vec::new(),
        encapsulation: EncapsulationPolicy::Always,
        mobike: true,
        return_routability: vpnhost_ike::ReturnRoutability::default(),
        timing: Timing { retransmit_first: Duration::from_millis(200), ..Timing::default() },
        unique: vpnhost_ike::Uniqueness::default(),
        on_child_failed: vpnhost_ike::ChildFailure::default(),
        childless: vpnhost_ike::Childless::default(),
        sha1_auth: false,
    }
}

fn child(local: Vec<SelectorConfig>, remote: Vec<SelectorConfig>) -> ChildConfig {
    ChildConfig {
        name: "net".to_owned(),
        local,
        remote,
        esp: EspSuite::parse_all("aes128gcm16", &[Sequence::EXTENDED]).unwrap(),
        mode: Mode::Tunnel,
        lifetime: Lifetime {
            rekey_after: Some(Duration::from_secs(3600)),
            rekey_bytes: None,
            rekey_packets: None,
            jitter_percent: 10,
        },
        replay_window: 1024,
    }
}
