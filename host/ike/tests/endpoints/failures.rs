//! Failures that operators meet, provoked: each has its code and its sentence, on both ends. The table in
//! `host/vpnhost/FAILURES.md` is what comes out of it.

mod roaming;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use vpnhost_crypto::SecretBytes;
use vpnhost_ike::{
    Command, EncapsulationPolicy, EndpointConfig, Event, PeerConfig, PeerIdentity, PoolConfig,
};
use vpnhost_model::{EspSuite, IkeSuite, Sequence};
use vpnhost_pki::Rules;
use vpnhost_policy::{Answer, Authorization, QuestionKind};

use crate::certificates::{MIDDLE, ed25519, own, own_below, plan, trusting};
use crate::eap;
use crate::maker::{DAY, Key, NOW, Plan, crl};
use crate::pump::{A, B, IKE, Pump, child, config, id, initiator, pair_of, responder, ts};

/// How a failure comes about.
struct Case {
    /// What is wrong, as a heading.
    name: &'static str,
    /// How it comes about.
    how: &'static str,
    /// What is configured.
    wrong: fn(&mut PeerConfig, &mut PeerConfig),
    /// What happens then.
    play: fn(&mut Pump),
    /// The codes: of the initiator, of the responder. Empty where nothing is known of it.
    codes: [&'static str; 2],
}

/// What is told of a cause.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    code: &'static str,
    sentence: String,
}

/// Returns everything that is told of causes, the first of each.
fn causes(pump: &Pump, side: usize) -> Vec<Told> {
    let mut causes: Vec<Told> = Vec::new();
    for event in &pump.sides[side].events {
        let told = match event {
            Event::IkeSaClosed { reason, .. }
            | Event::ChildSaFailed { reason, .. }
            | Event::Refused { reason, .. } => Told { code: reason.code(), sentence: reason.in_full() },
            Event::NotMoved { hindrance, .. } => {
                Told { code: hindrance.code(), sentence: hindrance.to_string() }
            }
            _ => continue,
        };
        if !causes.contains(&told) {
            causes.push(told);
        }
    }
    causes
}

fn up(pump: &mut Pump) {
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(180));
}

fn ike(text: &str) -> Vec<IkeSuite> {
    IkeSuite::parse_all(text).unwrap()
}

fn esp(text: &str) -> Vec<EspSuite> {
    EspSuite::parse_all(text, &[Sequence::SHORT]).unwrap()
}

const REVOKED: &str = "revoked";

fn nothing(_: &mut PeerConfig, _: &mut PeerConfig) {}

const CASES: &[Case] = &[
    Case {
        name: "Wrong pre-shared key",
        how: "the two secrets differ",
        wrong: |_, b| b.secrets.default = Some(SecretBytes::new(b"another".to_vec())),
        play: up,
        codes: ["authentication-refused", "wrong-psk"],
    },
    Case {
        name: "Unknown identity",
        how: "the initiator is somebody whom the responder does not know",
        wrong: |_, b| b.peer_id = PeerIdentity::Is(id("c.lab")),
        play: up,
        codes: ["authentication-refused", "unknown-identity"],
    },
    Case {
        name: "Wrong identity of the responder",
        how: "the initiator asks for somebody else",
        wrong: |a, _| a.peer_id = PeerIdentity::Is(id("moon.lab")),
        play: up,
        codes: ["authentication-refused", "unknown-identity"],
    },
    Case {
        name: "No common IKE encryption",
        how: "`ike`: aes256 against aes128",
        wrong: |a, b| {
            a.ike = ike("aes256-sha256-modp2048");
            b.ike = ike("aes128-sha256-modp2048");
        },
        play: up,
        codes: ["no-common-proposal", "no-common-proposal"],
    },
    Case {
        name: "No common IKE integrity",
        how: "`ike`: sha256 against sha512",
        wrong: |a, b| {
            a.ike = ike("aes128-sha256-prfsha256-modp2048");
            b.ike = ike("aes128-sha512-prfsha256-modp2048");
        },
        play: up,
        codes: ["no-common-proposal", "no-common-proposal"],
    },
    Case {
        name: "No common IKE PRF",
        how: "`ike`: prfsha256 against prfsha384",
        wrong: |a, b| {
            a.ike = ike("aes128-sha256-prfsha256-modp2048");
            b.ike = ike("aes128-sha256-prfsha384-modp2048");
        },
        play: up,
        codes: ["no-common-proposal", "no-common-proposal"],
    },
    Case {
        name: "No common IKE group",
        how: "`ike`: modp2048 against x25519",
        wrong: |a, b| {
            a.ike = ike("aes128-sha256-modp2048");
            b.ike = ike("aes128-sha256-x25519");
        },
        play: up,
        codes: ["no-common-proposal", "no-common-proposal"],
    },
    Case {
        name: "No common ESP proposal",
        how: "`esp`: aes128gcm16 against aes256-sha256",
        wrong: |a, b| {
            a.children[0].esp = esp("aes128gcm16");
            b.children[0].esp = esp("aes256-sha256");
        },
        play: up,
        codes: ["no-common-proposal", "no-common-proposal"],
    },
    Case {
        name: "Perfect forward secrecy at the first rekey",
        how: "`esp`: aes128gcm16 against aes128gcm16-modp2048; IKE_AUTH has no group, so the tunnel comes up",
        wrong: |a, b| {
            a.children[0].esp = esp("aes128gcm16");
            b.children[0].esp = esp("aes128gcm16-modp2048");
        },
        play: |pump| {
            pump.command(A, Command::Initiate("b".into()));
            pump.settle();
            let child = pump.child_sa(A);
            pump.command(A, Command::RekeyChildSa(child));
            pump.settle();
        },
        codes: ["pfs-mismatch", "pfs-mismatch"],
    },
    Case {
        name: "No common traffic selector",
        how: "`remote_ts` 10.2.0.0/24 against `local_ts` 10.3.0.0/24",
        wrong: |_, b| b.children[0].local = vec![ts("10.3.0.0/24")],
        play: up,
        codes: ["no-common-selector", "no-common-selector"],
    },
    Case {
        name: "Own certificate expired",
        how: "the initiator's certificate ended yesterday: it says so itself, and shows it to nobody",
        wrong: |a, b| {
            (*a, *b) = ed25519();
            let old = Plan { valid: (NOW - 9 * DAY, NOW - DAY), ..plan("a.lab", "CN=a") };
            a.local_auth = own(&old, &Key::new(10));
        },
        play: up,
        codes: ["own-certificate-expired", ""],
    },
    Case {
        name: "Expired certificate",
        how: "the CA below the root that issued the initiator's certificate ended yesterday",
        wrong: |a, b| {
            (*a, *b) = ed25519();
            let old = Plan { valid: (NOW - 9 * DAY, NOW - DAY), ..Plan::ca("CN=middle", "CN=root") };
            a.local_auth = own_below(&old, &plan("a.lab", "CN=a"), &Key::new(10));
        },
        play: up,
        codes: ["authentication-refused", "expired"],
    },
    Case {
        name: "Missing CA",
        how: "the responder does not trust the root of the initiator's chain",
        wrong: |a, b| {
            (*a, *b) = ed25519();
            let other = Plan::ca("CN=other", "CN=other").sign(&Key::new(9), &Key::new(9));
            b.peer_auth = trusting(vec![other], Rules::default());
        },
        play: up,
        codes: ["authentication-refused", "wrong-ca"],
    },
    Case {
        name: "Revoked certificate",
        how: "the initiator's certificate is in the responder's revocation list",
        wrong: |a, b| (*a, *b) = ed25519(),
        play: up,
        codes: ["authentication-refused", REVOKED],
    },
    Case {
        name: "Pool empty",
        how: "a virtual IPv4 address is asked for, and no pool has one left",
        wrong: |a, b| {
            a.request_address.v4 = true;
            a.children[0].local = vec![vpnhost_ike::SelectorConfig::Dynamic];
            b.children[0].remote = vec![vpnhost_ike::SelectorConfig::Dynamic];
            b.pools = vec!["road".into()];
        },
        play: up,
        codes: ["pool-empty", "pool-empty"],
    },
    Case {
        name: "No virtual address asked for",
        how: "the responder gives addresses and admits no others; `request_address` is not set",
        wrong: |_, b| {
            b.children[0].remote = vec![vpnhost_ike::SelectorConfig::Dynamic];
            b.pools = vec!["road".into()];
        },
        play: up,
        codes: ["address-required", "address-required"],
    },
    Case {
        name: "Wrong password",
        how: "EAP-MSCHAPv2: the gateway knows the user by another password",
        wrong: |a, b| (*a, *b) = eap::ends(eap::password("carol", "wrong"), eap::leading(vec![eap::users()])),
        play: up,
        codes: ["eap-refused", "eap-wrong-password"],
    },
    Case {
        name: "Unknown user",
        how: "EAP-MSCHAPv2: the gateway's `users_file` does not have the name",
        wrong: |a, b| {
            (*a, *b) = eap::ends(eap::password("mallory", "lab password"), eap::leading(vec![eap::users()]));
        },
        play: up,
        codes: ["eap-refused", "eap-unknown-user"],
    },
    Case {
        name: "Another user than the connection is for",
        how: "EAP: the gateway's `peer.id` is a name, and the method proves another; `%any` is for whoever it proves",
        wrong: |a, b| {
            (*a, *b) = eap::ends(eap::password("carol", "lab password"), eap::leading(vec![eap::users()]));
            b.peer_id = PeerIdentity::Is(id("a.lab"));
        },
        play: up,
        codes: ["authentication-refused", "eap-another-user"],
    },
    Case {
        name: "No common EAP method",
        how: "the client has a certificate, the gateway takes passwords only",
        wrong: |a, b| (*a, *b) = eap::ends(eap::certificate("b.lab"), eap::leading(vec![eap::users()])),
        play: up,
        codes: ["eap-refused", "eap-no-common-method"],
    },
    Case {
        name: "Peer silent",
        how: "nothing of what is sent arrives",
        wrong: nothing,
        play: |pump| {
            pump.filter = Box::new(|_, _| false);
            up(pump);
        },
        codes: ["peer-silent", ""],
    },
    Case {
        name: "NAT traversal blocked",
        how: "UDP 500 passes, UDP 4500 does not",
        wrong: |a, _| a.encapsulation = EncapsulationPolicy::Always,
        play: |pump| {
            pump.filter = Box::new(|_, transmit| transmit.path.remote.port() != 4500);
            up(pump);
        },
        codes: ["nat-t-blocked", "half-open-timeout"],
    },
    Case {
        name: "A plugin refuses",
        how: "the responder's plugin answers `authorize_peer` with a refusal",
        wrong: nothing,
        play: |pump| {
            pump.sides[B].endpoint.delegate([QuestionKind::AuthorizePeer].into_iter().collect());
            pump.command(A, Command::Initiate("b".into()));
            pump.run_for(Duration::from_millis(100));
            let (question, _) = pump.sides[B].questions.remove(0);
            let refusal = Answer::AuthorizePeer(Authorization::refuse("office hours are over"));
            pump.sides[B].endpoint.handle_answer(pump.now, question, Some(refusal));
            pump.settle();
        },
        codes: ["authentication-refused", "plugin-refused"],
    },
    Case {
        name: "Nobody here answers that address",
        how: "the responder's `gateway` is another address",
        wrong: |_, b| b.gateways[0].address = "192.0.2.9:500".parse().unwrap(),
        play: up,
        codes: ["no-common-proposal", "no-connection"],
    },
];

/// Provokes a failure; returns what both sides say of it.
fn provoke(case: &Case) -> [Option<Told>; 2] {
    let net = child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24");
    let mut a = initiator("aes128gcm16-prfsha256-x25519", vec![net]);
    let mut b = responder(&a);
    (case.wrong)(&mut a, &mut b);
    if a.encapsulation == EncapsulationPolicy::Always {
        b.encapsulation = EncapsulationPolicy::Always;
    }
    let base = "fd99::".parse().unwrap();
    let road = PoolConfig { name: "road".into(), base, prefix_len: 64, dns: Vec::new() };
    let mut b = EndpointConfig { pools: vec![road], ..config(b) };
    if case.codes[B] == REVOKED {
        b.crls = vec![crl("CN=middle", &Key::new(MIDDLE), (NOW - DAY, NOW + DAY), &[7])];
    }
    let mut pump = Pump::new(config(a), b);
    (case.play)(&mut pump);
    std::array::from_fn(|side| {
        let causes = causes(&pump, side);
        let code = case.codes[side];
        let found = causes.iter().find(|cause| cause.code == code).cloned();
        assert!(
            found.is_some() || code.is_empty(),
            "{}: side {side}: {code} is not in {causes:#?}",
            case.name
        );
        found
    })
}

fn table() -> String {
    let mut text = String::from(
        "# What is told of a failure\n\n\
         `vpnhost explain`, `status`, `up`, the log (field `reason`) and the documents of `--json` (field `reason`) \
         name each cause with a code that does not change, and a sentence. The protocol tells a peer little: the end \
         that refuses knows why, the other knows what it asked for. Ask the end whose sentence says more.\n\n\
         This file is made by a test that provokes each of them; `RENEW=1 cargo test --release -p vpnhost-ike \
         --test endpoints failures` writes it anew.\n",
    );
    for case in CASES.iter().chain(roaming::CASES) {
        let [initiator, responder] = provoke(case);
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "\n## {}\n\n{}.\n\n| end | code | sentence |\n| --- | --- | --- |\n",
            case.name, case.how
        );
        for (end, told) in [("initiator", initiator), ("responder", responder)] {
            let _ = match told {
                Some(Told { code, sentence }) => writeln!(text, "| {end} | `{code}` | {sentence} |"),
                None => writeln!(text, "| {end} | | it hears nothing of it |"),
            };
        }
    }
    text
}

#[test]
fn the_table_of_failures_in_the_documentation_is_what_happens() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vpnhost/FAILURES.md");
    let table = table();
    if std::env::var_os("RENEW").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == table,
        "FAILURES.md is another: RENEW=1 cargo test --release -p vpnhost-ike --test endpoints failures\n{table}"
    );
}

#[test]
fn a_request_is_repeated_when_and_as_often_as_the_plan_says() {
    // The first pause in milliseconds, its growth in percent, the repetitions; when it goes out, and when the peer is dead.
    let plans: [(u64, u16, u16, &[u64], u64); 3] = [
        (400, 200, 3, &[0, 400, 1_200, 2_800], 6_000),
        (1_000, 100, 2, &[0, 1_000, 2_000], 3_000),
        (600, 150, 1, &[0, 600], 1_500),
    ];
    for (first, factor, tries, times, dead) in plans {
        let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
        a.timing.retransmit_first = Duration::from_millis(first);
        a.timing.retransmit_factor_percent = factor;
        a.timing.retransmit_tries = tries;
        let mut pump = pair_of(a);
        pump.command(A, Command::Initiate("b".into()));
        pump.settle();
        pump.filter = Box::new(|_, _| false);
        let (begun, mut sent) = (pump.now.instant, pump.sides[A].sent.len());
        pump.command(A, Command::CheckLiveness(pump.ike_sa(A).id));
        let mut seen = Vec::new();
        while !pump.established(A).is_empty() && pump.now.instant - begun < Duration::from_secs(60) {
            let at = (pump.now.instant - begun).as_millis() as u64;
            seen.extend(vec![at; pump.sides[A].sent.len() - sent]);
            sent = pump.sides[A].sent.len();
            pump.run_for(Duration::from_millis(50));
        }
        assert_eq!(seen, times, "{tries} repetitions");
        assert_eq!((pump.now.instant - begun).as_millis() as u64, dead);
    }
}
