//! IKE_AUTH with EAP: the rounds, who is who at their end, and what is refused by which code.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::SecretBytes;
use vpnhost_eap::{ClientMethod, ClientSetup, PasswordHash, ServerMethod, ServerSetup, TlsPeer, Users};
use vpnhost_ike::wire::payload::Eap;
use vpnhost_ike::{
    CloseReason, Command, EapBegin, EapConfig, EapFailure, EapMethod, EapOutcome, EapSetup, EapStep, Event,
    LocalAuth, OwnCertificate, PeerAuth, PeerConfig, PeerIdentity, Trust,
};
use vpnhost_model::Identity;
use vpnhost_pki::{Certificate, Credential, Purpose, Rules, identity};

use crate::maker::{DAY, Key, NOW, Plan, crl, names, purposes};
use crate::pump::*;

const CA: u8 = 31;

fn ca() -> Certificate {
    Plan::ca("CN=ca", "CN=ca").sign(&Key::new(CA), &Key::new(CA))
}

fn credential(subject: &'static str, name: (u8, &str), key: u8) -> Credential {
    credential_of(Plan::end(subject, "CN=ca").with(names(&[(name.0, name.1.as_bytes())])), key)
}

fn credential_of(plan: Plan, key: u8) -> Credential {
    let (own, by) = (Key::new(key), Key::new(CA));
    let chain = vec![plan.sign(&own, &by)];
    Credential::new(vpnhost_rustcrypto::backend(), chain, own.0.clone(), false).expect("they belong together")
}

fn moon() -> Credential {
    credential("CN=b", (2, "b.lab"), 32)
}

fn trust() -> Arc<Trust> {
    Arc::new(Trust { anchors: vec![ca()], known: Vec::new(), keys: Vec::new(), rules: Rules::default() })
}

pub(crate) fn password(user: &str, password: &str) -> LocalAuth {
    let method = ClientMethod::MsChapV2 { user: user.into(), password: PasswordHash::of(password) };
    LocalAuth::Eap(EapConfig(Arc::new(ClientSetup { identity: user.into(), method })))
}

pub(crate) fn certificate(server: &str) -> LocalAuth {
    tls_by(server, credential("CN=carol", (1, "carol@lab"), 33))
}

fn tls_by(server: &str, credential: Credential) -> LocalAuth {
    let credential = Arc::new(OwnCertificate::new(credential));
    let server = TlsPeer { identity: identity::parse(server), trust: trust() };
    let method = ClientMethod::Tls { credential, server };
    LocalAuth::Eap(EapConfig(Arc::new(ClientSetup { identity: "carol@lab".into(), method })))
}

pub(crate) fn users() -> ServerMethod {
    let mut users = Users::default();
    users.insert("carol".into(), PasswordHash::of("lab password"));
    ServerMethod::MsChapV2(Arc::new(users))
}

fn tls() -> ServerMethod {
    ServerMethod::Tls { credential: Arc::new(OwnCertificate::new(moon())), clients: trust() }
}

pub(crate) fn leading(methods: Vec<ServerMethod>) -> PeerAuth {
    PeerAuth::Eap(EapConfig(Arc::new(ServerSetup { methods, asks_identity: false })))
}

/// A client with some proof, and a gateway with a certificate that leads some conversation.
pub(crate) fn ends(client: LocalAuth, server: PeerAuth) -> (PeerConfig, PeerConfig) {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.secrets.default = None;
    let gateway = LocalAuth::Certificate(vec![Arc::new(OwnCertificate::new(moon()))]);
    let mut b = PeerConfig { local_auth: gateway, peer_auth: server, respond: true, ..responder(&a) };
    b.peer_id = PeerIdentity::Any;
    b.initiate = false;
    a.local_auth = client;
    a.peer_auth = PeerAuth::Certificate(trust());
    a.respond = false;
    (a, b)
}

/// The same without a certificate of the gateway in IKE.
fn alone(client: LocalAuth, server: PeerAuth) -> (PeerConfig, PeerConfig) {
    let (a, b) = ends(client, server);
    (PeerConfig { peer_auth: PeerAuth::EapAlone, ..a }, PeerConfig { local_auth: LocalAuth::EapAlone, ..b })
}

fn up((a, b): (PeerConfig, PeerConfig)) -> Pump {
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.settle();
    pump
}

/// Returns the code by which a side ended, or the words of why.
fn code(pump: &Pump, side: usize) -> String {
    let closed = pump.sides[side].events.iter().find_map(|event| match event {
        Event::IkeSaClosed { reason: CloseReason::AuthenticationFailed(failure), .. } => {
            Some(failure.code().to_owned())
        }
        Event::IkeSaClosed { reason, .. } => Some(reason.to_string()),
        _ => None,
    });
    closed.unwrap_or_default()
}

/// Returns the code by which an IKE SA of a side was closed last.
fn ended(pump: &Pump, side: usize) -> &'static str {
    let closed = pump.sides[side].events.iter().rev().find_map(|event| match event {
        Event::IkeSaClosed { reason, .. } => Some(reason.code()),
        _ => None,
    });
    closed.unwrap_or_default()
}

#[test]
fn a_password_connects_and_the_gateway_knows_whose() {
    let pump = up(ends(password("carol", "lab password"), leading(vec![users()])));
    pump.assert_connected(1);
    let sa = pump.ike_sa(B);
    assert_eq!(sa.peer_id, Some(Identity::Eap("carol".into())));
    let eap = sa.eap.expect("EAP proved it");
    assert_eq!((eap.identity.as_str(), eap.method, eap.ike_id), ("carol", "mschapv2", id("a.lab")));
    let sa = pump.ike_sa(A);
    assert_eq!((sa.peer_id, sa.eap), (Some(id("b.lab")), None));
    assert!(sa.certificate.is_some(), "the gateway is known by its certificate");
}

/// RFC 7296, 2.16: a round less than with EAP's own question; but not where that would tell who is a user.
#[test]
fn whom_ike_names_is_not_asked_by_eap_where_certificates_alone_are_taken() {
    let rounds = |(a, b): (PeerConfig, PeerConfig), local: &str| {
        let pump = up((PeerConfig { local_id: id(local), ..a }, b));
        pump.assert_connected(1);
        pump.sides[A].sent.len()
    };
    let within_tls = |local| rounds(ends(certificate("b.lab"), leading(vec![tls()])), local);
    assert_eq!(within_tls("carol.lab") + 1, within_tls("10.0.0.5"));
    let by_password = |local| rounds(ends(password("carol", "lab password"), leading(vec![users()])), local);
    assert_eq!(["carol", "carol.lab", "10.0.0.5"].map(by_password), [6; 3]);
}

#[test]
fn certificates_connect_within_eap_too() {
    let pump = up(ends(certificate("b.lab"), leading(vec![users(), tls()])));
    pump.assert_connected(1);
    assert_eq!(pump.ike_sa(B).peer_id, Some(Identity::Eap("carol@lab".into())));
}

#[test]
fn a_method_that_proves_both_stands_alone() {
    let pump = up(alone(certificate("b.lab"), leading(vec![users(), tls()])));
    pump.assert_connected(1);
    let subject = |side| pump.ike_sa(side).certificate.expect("TLS showed one").subject;
    assert_eq!((subject(A), subject(B)), ("CN=b".into(), "CN=carol".into()));
    assert_eq!(pump.ike_sa(B).eap.expect("EAP proved it").method, "tls");
}

/// Only certificates that were shown in IKE were judged again: whoever came by EAP-TLS stayed for ever.
#[test]
fn a_client_whose_certificate_is_revoked_while_it_is_up_goes_with_a_delete() {
    for rekey in [false, true] {
        let mut pump = up(ends(certificate("b.lab"), leading(vec![tls()])));
        if rekey {
            let id = pump.ike_sa(A).id;
            pump.command(A, Command::RekeyIkeSa(id));
            pump.settle();
        }
        let serial = pump.ike_sa(B).certificate.expect("TLS showed one").serial;
        let serial = u8::from_str_radix(&serial, 16).expect("a short one");
        let list = |serials: &[u8]| crl("CN=ca", &Key::new(CA), (NOW - DAY, NOW + DAY), serials);
        pump.command(B, Command::UseCrls(vec![list(&[serial + 1])]));
        pump.settle();
        pump.assert_connected(1);
        pump.command(B, Command::UseCrls(vec![list(&[serial])]));
        pump.settle();
        assert_eq!((ended(&pump, B), ended(&pump, A)), ("revoked", "deleted-by-peer"));
        pump.assert_empty(B);
    }
}

#[test]
fn certificates_within_eap_that_end_take_the_ike_sa_with_them_at_either_end() {
    let short = |plan: Plan| Plan { valid: (NOW - DAY, NOW + 600), ..plan };
    for (client_is_short, by) in [(true, B), (false, A)] {
        let plan_of = |is_short: bool, plan: Plan| if is_short { short(plan) } else { plan };
        let client =
            plan_of(client_is_short, Plan::end("CN=carol", "CN=ca").with(names(&[(1, b"carol@lab")])));
        let server = plan_of(!client_is_short, Plan::end("CN=b", "CN=ca").with(names(&[(2, b"b.lab")])));
        let client = tls_by("b.lab", credential_of(client, 33));
        let clients = trust();
        let credential = Arc::new(OwnCertificate::new(credential_of(server, 32)));
        let (a, b) = alone(client, leading(vec![ServerMethod::Tls { credential, clients }]));
        let mut pump = up((a, b));
        pump.assert_connected(1);
        pump.run_for(Duration::from_secs(590));
        pump.assert_connected(1);
        pump.run_for(Duration::from_secs(30));
        assert_eq!((ended(&pump, by), ended(&pump, 1 - by)), ("expired", "deleted-by-peer"));
    }
}

#[test]
fn a_password_never_stands_alone() {
    let pump = up(alone(password("carol", "lab password"), leading(vec![users()])));
    assert_eq!(code(&pump, A), "eap-cannot-stand-alone");
    assert!(pump.established(B).is_empty());
    // A gateway that does not care about RFC 5998 gets nowhere with a client that does.
    let (a, mut b) = alone(password("carol", "lab password"), leading(vec![users()]));
    b.peer_auth = PeerAuth::Eap(EapConfig(Arc::new(Careless(users_setup()))));
    let pump = up((a, b));
    assert_eq!(code(&pump, A), "eap-cannot-stand-alone");
}

#[test]
fn who_wants_a_certificate_does_not_do_without() {
    let (a, b) = ends(certificate("b.lab"), leading(vec![tls()]));
    let pump = up((a, PeerConfig { local_auth: LocalAuth::EapAlone, ..b }));
    assert_eq!(code(&pump, B), "eap-wants-certificate");
    assert!(pump.established(A).is_empty());
}

#[test]
fn a_gateway_with_another_certificate_hears_no_password() {
    let (mut a, b) = ends(password("carol", "lab password"), leading(vec![users()]));
    let other = Plan::ca("CN=other", "CN=other").sign(&Key::new(40), &Key::new(40));
    a.peer_auth = PeerAuth::Certificate(Arc::new(Trust {
        anchors: vec![other],
        known: Vec::new(),
        keys: Vec::new(),
        rules: Rules::default(),
    }));
    let pump = up((a, b));
    assert_eq!(code(&pump, A), "wrong-ca");
    assert_eq!(code(&pump, B), "the peer refused: AUTHENTICATION_FAILED");
    assert_eq!(pump.sides[A].sent.len(), 3, "IKE_SA_INIT, IKE_AUTH, and the goodbye: no EAP");
}

#[test]
fn a_wrong_password_and_an_unknown_user_have_codes_of_their_own() {
    let pump = up(ends(password("carol", "wrong"), leading(vec![users()])));
    assert_eq!((code(&pump, A), code(&pump, B)), ("eap-refused".into(), "eap-wrong-password".into()));
    let pump = up(ends(password("mallory", "lab password"), leading(vec![users()])));
    assert_eq!((code(&pump, A), code(&pump, B)), ("eap-refused".into(), "eap-unknown-user".into()));
    let pump = up(ends(certificate("b.lab"), leading(vec![users()])));
    assert_eq!((code(&pump, A), code(&pump, B)), ("eap-refused".into(), "eap-no-common-method".into()));
}

#[test]
fn eap_is_for_connections_that_want_it_only() {
    let (a, mut b) = ends(password("carol", "lab password"), leading(vec![users()]));
    b.peer_auth = a.peer_auth.clone();
    let pump = up((a, b));
    assert_eq!(code(&pump, B), "auth-method");
}

#[test]
fn whatever_is_lost_is_repeated() {
    for lost in 0..16 {
        let (a, b) = ends(password("carol", "lab password"), leading(vec![users()]));
        let mut pump = Pump::new(config(a), config(b));
        let mut count = 0;
        pump.filter = Box::new(move |_, _| {
            count += 1;
            count - 1 != lost
        });
        pump.command(A, Command::Initiate("b".into()));
        pump.run_for(Duration::from_secs(20));
        pump.assert_connected(1);
    }
}

#[test]
fn each_client_has_a_place_of_its_own_under_one_ike_identity() {
    // Phones say an address as IDi, and two behind one NAT may say the same.
    let (a, b) = ends(password("carol", "lab password"), leading(vec![users()]));
    let pump = up((PeerConfig { local_id: id("10.0.0.5"), ..a }, b));
    assert_eq!(pump.ike_sa(B).peer_id, Some(Identity::Eap("carol".into())));
    assert_eq!(pump.ike_sa(B).eap.expect("EAP proved it").ike_id, id("10.0.0.5"));
}

fn users_setup() -> ServerSetup {
    ServerSetup { methods: vec![users()], asks_identity: false }
}

/// Offers what may not stand alone.
#[derive(Debug)]
struct Careless(ServerSetup);

impl EapSetup for Careless {
    fn begin(&self, begin: EapBegin) -> Box<dyn EapMethod> {
        Box::new(Claiming(self.0.begin(EapBegin { stands_alone: false, ..begin })))
    }

    fn can_stand_alone(&self) -> bool {
        true
    }

    fn is_same(&self, _other: &dyn EapSetup) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Says of any outcome that it may.
struct Claiming(Box<dyn EapMethod>);

impl EapMethod for Claiming {
    fn step(&mut self, incoming: Option<&Eap>) -> EapStep {
        match self.0.step(incoming) {
            EapStep::Success { packet, outcome } => {
                EapStep::Success { packet, outcome: EapOutcome { stands_alone: true, ..outcome } }
            }
            other => other,
        }
    }

    fn failure(&self) -> Option<EapFailure> {
        self.0.failure()
    }
}

/// A client that gives up as soon as it is told of a failure, as strongSwan does.
#[derive(Debug)]
struct Hasty(ClientSetup);

impl EapSetup for Hasty {
    fn begin(&self, begin: EapBegin) -> Box<dyn EapMethod> {
        Box::new(GivingUp(self.0.begin(begin)))
    }

    fn can_stand_alone(&self) -> bool {
        false
    }

    fn is_same(&self, _other: &dyn EapSetup) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct GivingUp(Box<dyn EapMethod>);

impl EapMethod for GivingUp {
    fn step(&mut self, incoming: Option<&Eap>) -> EapStep {
        let step = self.0.step(incoming);
        match self.0.failure() {
            Some(_) => EapStep::Failure { packet: None, failure: EapFailure::Malformed("the test gives up") },
            None => step,
        }
    }

    fn failure(&self) -> Option<EapFailure> {
        self.0.failure()
    }
}

/// The reason was lost where the client did not acknowledge it.
#[test]
fn a_client_that_gives_up_when_it_is_refused_leaves_the_reason() {
    let method = ClientMethod::MsChapV2 { user: "carol".into(), password: PasswordHash::of("wrong") };
    let hasty = Hasty(ClientSetup { identity: "carol".into(), method });
    let pump = up(ends(LocalAuth::Eap(EapConfig(Arc::new(hasty))), leading(vec![users()])));
    assert_eq!(code(&pump, B), "eap-wrong-password");
    assert!(pump.established(A).is_empty());
}

/// A client with a wrong password that falls silent once it is refused: its fourth IKE_AUTH would acknowledge that.
fn guesser() -> Pump {
    let (a, b) = ends(password("carol", "a guess"), leading(vec![users()]));
    let mut pump = Pump::new(config(a), config(b));
    pump.latency = Duration::from_millis(1);
    pump.filter =
        Box::new(|from, transmit| from == B || transmit.octets[18] == 34 || transmit.octets[23] < 4);
    pump
}

/// It was told as half open for too long.
#[test]
fn a_guess_without_an_end_is_a_wrong_password_all_the_same() {
    let mut pump = guesser();
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(40));
    assert_eq!(code(&pump, B), "eap-wrong-password");
}

/// Whoever left conversations open could guess a thousand times before anything was held against him.
#[test]
fn a_guess_counts_before_the_conversation_ends() {
    let mut pump = guesser();
    for seed in 0..30 {
        pump.restart(A, seed);
        pump.command(A, Command::Initiate("b".into()));
        pump.run_for(Duration::from_millis(100));
    }
    let begun = pump.sides[B].endpoint.holdings().half_open;
    let most = vpnhost_ike::limits::FAILURES_BEFORE_PAUSE as usize + 3 / 2 + 1;
    assert!((5..=most).contains(&begun), "{begun} guesses in 3 s");
}

/// IDi, which nobody proves, chose the connection, and whoever had a password had that connection.
#[test]
fn a_connection_for_one_user_lets_in_no_other() {
    let (a, b) = ends(password("carol", "lab password"), leading(vec![users()]));
    let claim = |user: &str| PeerConfig { local_id: id(user), ..a.clone() };
    let only = |user: &str| PeerConfig { peer_id: PeerIdentity::Is(id(user)), ..b.clone() };
    let pump = up((claim("admin"), only("admin")));
    assert_eq!(code(&pump, B), "eap-another-user");
    assert!(pump.established(A).is_empty());
    up((claim("carol"), only("carol"))).assert_connected(1);
}

/// Its certificate is of the same CA as the gateway's, and it may call itself whatever that says.
#[test]
fn a_user_is_no_gateway_where_a_servers_certificate_is_demanded() {
    let rules = Rules { purpose: Purpose::Server, require_eku: true, ..Rules::default() };
    let gateway = |usage: u8| {
        let (mut a, mut b) = ends(password("carol", "lab password"), leading(vec![users()]));
        a.peer_id = PeerIdentity::Any;
        a.peer_auth = PeerAuth::Certificate(Arc::new(Trust { rules, ..(*trust()).clone() }));
        let plan = Plan::end("CN=b", "CN=ca").with(names(&[(2, b"b.lab")])).with(purposes(&[usage]));
        let own = credential_of(plan, 32);
        b.local_auth = LocalAuth::Certificate(vec![Arc::new(OwnCertificate::new(own))]);
        up((a, b))
    };
    gateway(1).assert_connected(1);
    assert_eq!(code(&gateway(2), A), "missing-eku");
}

/// A method that is what a test needs: a number of rounds, and a key.
#[derive(Clone, Debug)]
struct Scripted {
    rounds: u32,
    msk: Option<u8>,
    leads: bool,
}

impl EapSetup for Scripted {
    fn begin(&self, _begin: EapBegin) -> Box<dyn EapMethod> {
        Box::new(self.clone())
    }

    fn can_stand_alone(&self) -> bool {
        false
    }

    fn is_same(&self, _other: &dyn EapSetup) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl EapMethod for Scripted {
    fn step(&mut self, incoming: Option<&Eap>) -> EapStep {
        let packet = |code, data: &[u8]| Eap { code, identifier: 1, data: data.to_vec() };
        let outcome = EapOutcome {
            identity: "carol".into(),
            method: "scripted",
            msk: self.msk.map(|octet| SecretBytes::new(vec![octet; 64])),
            certificate: None,
            stands_alone: false,
        };
        if self.leads && self.rounds == 0 {
            return EapStep::Success { packet: Some(packet(Eap::SUCCESS, &[])), outcome };
        }
        if incoming.is_some_and(|incoming| incoming.code == Eap::SUCCESS) {
            return EapStep::Success { packet: None, outcome };
        }
        self.rounds = self.rounds.saturating_sub(1);
        EapStep::Send(packet(if self.leads { Eap::REQUEST } else { Eap::RESPONSE }, &[99]))
    }

    fn failure(&self) -> Option<EapFailure> {
        None
    }
}

fn scripted(rounds: u32, client: Option<u8>, server: Option<u8>) -> Pump {
    let client = Scripted { rounds: 0, msk: client, leads: false };
    let server = Scripted { rounds, msk: server, leads: true };
    let (client, server) = (EapConfig(Arc::new(client)), EapConfig(Arc::new(server)));
    let mut pump = {
        let (a, b) = ends(LocalAuth::Eap(client), PeerAuth::Eap(server));
        Pump::new(config(a), config(b))
    };
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(20));
    pump
}

#[test]
fn a_method_without_a_key_leaves_auth_to_ike() {
    scripted(3, None, None).assert_connected(1);
    scripted(3, Some(1), Some(1)).assert_connected(1);
}

#[test]
fn who_has_another_key_stands_between() {
    let pump = scripted(3, Some(1), Some(2));
    assert_eq!(code(&pump, B), "eap-wrong-key");
    assert!(pump.established(A).is_empty());
    let pump = scripted(3, None, Some(2));
    assert_eq!(code(&pump, B), "eap-wrong-key");
}

/// A server that has nothing to ask.
#[derive(Clone, Debug)]
struct Indifferent;

impl EapSetup for Indifferent {
    fn begin(&self, _begin: EapBegin) -> Box<dyn EapMethod> {
        Box::new(self.clone())
    }

    fn can_stand_alone(&self) -> bool {
        false
    }

    fn is_same(&self, _other: &dyn EapSetup) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl EapMethod for Indifferent {
    fn step(&mut self, _incoming: Option<&Eap>) -> EapStep {
        let outcome = EapOutcome {
            identity: "carol".into(),
            method: "none",
            msk: None,
            certificate: None,
            stands_alone: false,
        };
        EapStep::Success { packet: None, outcome }
    }

    fn failure(&self) -> Option<EapFailure> {
        None
    }
}

/// It was taken for set up, though this host had proved nothing.
#[test]
fn a_gateway_that_asks_for_no_proof_is_refused() {
    let server = PeerAuth::Eap(EapConfig(Arc::new(Indifferent)));
    let pump = up(ends(password("carol", "lab password"), server));
    assert_eq!(code(&pump, A), "eap-not-asked");
    assert!(pump.established(A).is_empty());
}

/// Each answer within the time of a retransmission held a client for hours.
#[test]
fn a_gateway_that_drags_a_conversation_out_does_not_hold_its_client() {
    let client = EapConfig(Arc::new(Scripted { rounds: 0, msk: Some(1), leads: false }));
    let server = EapConfig(Arc::new(Scripted { rounds: 200, msk: Some(1), leads: true }));
    let (a, mut b) = ends(LocalAuth::Eap(client), PeerAuth::Eap(server));
    b.timing.half_open = Duration::from_secs(3600);
    let mut pump = Pump::new(config(a), config(b));
    pump.latency = Duration::from_secs(4);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(100));
    assert_eq!(code(&pump, A), "");
    pump.run_for(Duration::from_secs(60));
    assert_eq!(code(&pump, A), "eap-too-much");
    pump.assert_empty(A);
}

#[test]
fn a_conversation_without_end_ends() {
    let pump = scripted(100_000, Some(1), Some(1));
    let codes = [code(&pump, A), code(&pump, B)];
    assert!(codes.iter().any(|code| code == "eap-too-much"), "{codes:?}");
    pump.assert_empty(A);
}
