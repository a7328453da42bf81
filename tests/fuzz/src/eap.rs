//! EAP: a client and a server and whoever changes what they say; or one of them, fed with whatever packets. No panic;
//! every conversation ends; success comes to both ends with the same key, or to none that was lied to.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use vpnhost_crypto::{DrawnRandom, PrivateKey};
use vpnhost_eap::{ClientMethod, ClientSetup, PasswordHash, ServerMethod, ServerSetup, TlsPeer, Users};
use vpnhost_ike::wire::payload::Eap;
use vpnhost_ike::{EapBegin, EapFailure, EapMethod, EapOutcome, EapSetup, EapStep, OwnCertificate, Trust};
use vpnhost_pki::{Certificate, Credential, Rules, identity};

use super::script::Script;

/// When the certificates are valid: 2027-01-01.
const NOW: Duration = Duration::from_secs(1_798_761_600);

/// Rounds in which a conversation has ended: IKE's own bound.
const ROUNDS: u32 = vpnhost_ike::limits::EAP_ROUNDS;

/// Runs a script.
pub fn eap(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(switches) = script.octet() else { return };
    let (client, server) = ends(switches);
    match switches >> 4 & 3 {
        0 => alone(&mut *client.begin(begin(1, switches)), Eap::REQUEST, &mut script),
        1 => alone(&mut *server.begin(begin(2, switches)), Eap::RESPONSE, &mut script),
        _ => between(&client, &server, switches, &mut script),
    }
}

/// The methods of both ends, as the switches say.
fn ends(switches: u8) -> (ClientSetup, ServerSetup) {
    let is_set = |bit: u8| switches & (1 << bit) != 0;
    let people = people();
    let client = if is_set(0) {
        let server = TlsPeer { trust: Arc::clone(&people.trust), identity: identity::parse("moon.lab") };
        let method = ClientMethod::Tls { credential: Arc::clone(&people.carol), server };
        ClientSetup { identity: "carol@lab".to_owned(), method }
    } else {
        let password = if is_set(1) { "another" } else { "lab password" };
        let method =
            ClientMethod::MsChapV2 { user: "carol".to_owned(), password: PasswordHash::of(password) };
        ClientSetup { identity: "carol".to_owned(), method }
    };
    let mut users = Users::default();
    users.insert("carol".to_owned(), PasswordHash::of("lab password"));
    let tls = ServerMethod::Tls { credential: Arc::clone(&people.moon), clients: Arc::clone(&people.trust) };
    let mut methods = vec![ServerMethod::MsChapV2(Arc::new(users)), tls];
    if is_set(2) {
        methods.reverse();
    }
    (client, ServerSetup { methods, asks_identity: is_set(6) })
}

/// One end hears packets that the script makes up.
fn alone(end: &mut dyn EapMethod, code: u8, script: &mut Script<'_>) {
    let mut identifier = 0;
    if code == Eap::RESPONSE {
        let EapStep::Send(packet) = end.step(None) else { panic!("a server begins with a request") };
        identifier = packet.identifier;
    }
    for _ in 0..ROUNDS {
        let Some(packet) = made_up(script, code, identifier) else { return };
        match end.step(Some(&packet)) {
            EapStep::Send(packet) => identifier = packet.identifier,
            EapStep::Success { .. } => panic!("nothing was proved"),
            EapStep::Failure { failure, .. } => return told(&failure),
        }
    }
}

/// Makes a packet, mostly of a form that is looked into.
fn made_up(script: &mut Script<'_>, code: u8, identifier: u8) -> Option<Eap> {
    let (form, body) = (script.octet()?, script.octets()?);
    let mut data = vec![[1, 2, 3, 13, 26, 26, 13, 254][usize::from(form & 7)]];
    if data[0] == 26 && form & 8 == 0 {
        // As MSCHAPv2 has it: an operation, an identifier, and the right length.
        let length = u16::try_from(4 + body.len()).unwrap_or(u16::MAX).to_be_bytes();
        data.extend([1 + (form >> 4) % 4, 1, length[0], length[1]]);
    }
    data.extend(body);
    let code = if form >= 0xf8 { Eap::SUCCESS + (form & 1) } else { code };
    let data = if code > Eap::RESPONSE { Vec::new() } else { data };
    Some(Eap { code, identifier, data })
}

/// Both ends talk, and the script changes some of what they say.
fn between(client: &ClientSetup, server: &ServerSetup, switches: u8, script: &mut Script<'_>) {
    let (mut client, mut server) = (client.begin(begin(1, switches)), server.begin(begin(2, switches)));
    let mut step = server.step(None);
    for _ in 0..ROUNDS {
        let (packet, at_server) = match step {
            EapStep::Send(packet) => (packet, None),
            EapStep::Success { packet, outcome } => (packet.expect("a server says so"), Some(outcome)),
            EapStep::Failure { failure, .. } => return told(&failure),
        };
        match (client.step(Some(&changed(packet, script))), at_server) {
            (EapStep::Send(packet), None) => step = server.step(Some(&changed(packet, script))),
            (EapStep::Send(_), Some(_)) => return,
            (EapStep::Success { outcome, .. }, at_server) => return agree(&outcome, at_server),
            (EapStep::Failure { failure, .. }, _) => return told(&failure),
        }
    }
    panic!("it does not end");
}

fn agree(client: &EapOutcome, server: Option<EapOutcome>) {
    // A Success that was slipped in may come before the server's own, once both have proved themselves.
    if let Some(server) = server {
        assert_eq!(client.msk, server.msk, "one key");
        assert!(client.msk.is_some());
    }
}

fn changed(mut packet: Eap, script: &mut Script<'_>) -> Eap {
    let what = script.octet().unwrap_or(0);
    match what {
        0..0xc0 => {}
        0xc0..0xf0 => drop(script.mutate(&mut packet.data)),
        0xf0..0xf8 => packet.code = what & 7,
        0xf8.. => packet.identifier ^= what & 7,
    }
    packet
}

fn told(failure: &EapFailure) {
    assert!(!failure.code().is_empty() && !failure.to_string().is_empty());
    assert!(!matches!(failure, EapFailure::Internal(_)), "{failure}");
    assert!(!failure.to_string().chars().any(char::is_control), "{failure:?}");
}

fn begin(seed: u64, switches: u8) -> EapBegin {
    let random = DrawnRandom::draw(&mut vpnhost_kit::random::source(seed), vpnhost_ike::limits::EAP_RANDOM)
        .expect("it is drawn");
    let crypto = vpnhost_rustcrypto::backend();
    let peer = identity::parse("moon.lab").expect("it is one");
    EapBegin { unix: NOW, peer, random, stands_alone: switches & 8 != 0, crypto, crls: Arc::new([]) }
}

/// Certificates, which are read once.
struct People {
    trust: Arc<Trust>,
    carol: Arc<OwnCertificate>,
    moon: Arc<OwnCertificate>,
}

fn people() -> &'static People {
    static PEOPLE: OnceLock<People> = OnceLock::new();
    PEOPLE.get_or_init(|| {
        let read = |text: &str| Certificate::read_all(text.as_bytes()).expect("certificates");
        let own = |certificates: &str, key: &str| {
            let key = PrivateKey::read(key.as_bytes()).expect("a key");
            let backend = vpnhost_rustcrypto::backend();
            let credential = Credential::new(backend, read(certificates), key, false);
            Arc::new(OwnCertificate::new(credential.expect("they belong together")))
        };
        let anchors = read(include_str!("../../../host/eap/tests/conversations/data/ca.pem"));
        People {
            trust: Arc::new(Trust { anchors, known: Vec::new(), keys: Vec::new(), rules: Rules::default() }),
            carol: own(
                include_str!("../../../host/eap/tests/conversations/data/carol.pem"),
                include_str!("../../../host/eap/tests/conversations/data/carol.key"),
            ),
            moon: own(
                include_str!("../../../host/eap/tests/conversations/data/moon.pem"),
                include_str!("../../../host/eap/tests/conversations/data/moon.key"),
            ),
        }
    })
}
