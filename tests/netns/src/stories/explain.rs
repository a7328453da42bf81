//! `vpnhost explain` after the failures that operators meet: each is provoked between real hosts, and both ends of ours
//! name its cause, with the code that the table of the documentation has and with the values that do not fit.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::certificate::certified;
use super::plugin::closed_today;
use crate::command::said;
use crate::peers::{CHILD, CONNECTION, Certificates, End, Peer, Player, SaCount, Tunnel, start};
use crate::story::{Ground, Story};
use crate::vpnhost::{Files, expect_error, found};
use crate::{Lab, Topology, Vpnhost, wait};

/// What FAILURES.md says, which the tests of `ike` make.
const TABLE: &str = include_str!("../../../../host/vpnhost/FAILURES.md");

const SOON: Duration = Duration::from_secs(15);

/// Longer than a responder waits for IKE_AUTH.
const HALF_OPEN: Duration = Duration::from_secs(45);

/// What both ends are right with: each case changes one thing of it.
const IKE: &str = "aes256-sha256-prfsha384-modp2048";
const ESP: &str = "aes256-sha256-modp2048";

/// A failure, by its heading in the table.
struct Case {
    heading: &'static str,
    /// What the client gets wrong.
    change: fn(&mut Tunnel),
    /// What the sentences hold: the client's, and the gateway's.
    words: [&'static str; 2],
}

const CASES: &[Case] = &[
    Case {
        heading: "Wrong pre-shared key",
        change: |t| "not the secret".clone_into(&mut t.client_psk),
        words: ["we said we are carol.lab", "the pre-shared key does not match"],
    },
    Case {
        heading: "Unknown identity",
        change: |t| "dave.lab".clone_into(&mut t.client_names.0),
        words: ["we said we are dave.lab", "they say they are dave.lab"],
    },
    Case {
        heading: "Wrong identity of the responder",
        change: |t| "sun.lab".clone_into(&mut t.client_names.1),
        words: ["asked for sun.lab", "ask for sun.lab"],
    },
    Case {
        heading: "No common IKE encryption",
        change: |t| "aes128-sha256-prfsha384-modp2048".clone_into(&mut t.ike),
        words: ["we offered for IKE aes128-", "they offer encryption aes128, we allow only aes256"],
    },
    Case {
        heading: "No common IKE integrity",
        change: |t| "aes256-sha512-prfsha384-modp2048".clone_into(&mut t.ike),
        words: ["we offered for IKE aes256-sha512-", "they offer integrity sha512, we allow only sha256"],
    },
    Case {
        heading: "No common IKE PRF",
        change: |t| "aes256-sha256-prfsha256-modp2048".clone_into(&mut t.ike),
        words: ["compare encryption, integrity, prf", "they offer prf sha256, we allow only sha384"],
    },
    Case {
        heading: "No common IKE group",
        change: |t| "aes256-sha256-prfsha384-ecp256".clone_into(&mut t.ike),
        words: ["-ecp256", "they offer group ecp256, we allow only modp2048"],
    },
    Case {
        heading: "No common ESP proposal",
        change: |t| "aes128gcm16-modp2048".clone_into(&mut t.esp),
        words: ["we offered for ESP aes128gcm16", "they offer encryption aes128gcm16, we allow only aes256"],
    },
    Case {
        heading: "No common traffic selector",
        change: |t| t.client_wants = vec!["10.99.0.0/24".to_owned()],
        words: ["10.99.0.0/24", "child net has 10.20.0.0/24"],
    },
    Case {
        heading: PFS,
        change: |t| "aes256-sha256".clone_into(&mut t.esp),
        words: ["it is the group (PFS)", "they offer no group, we allow only modp2048"],
    },
];

/// The tunnel comes up, and its first rekey fails.
const PFS: &str = "Perfect forward secrecy at the first rekey";

/// Who plays the client and the gateway.
const PLAYERS: [(&str, Player, Player); 3] = [
    ("ours", Player::Ours, Player::Ours),
    ("responder", Player::Strongswan, Player::Ours),
    ("initiator", Player::Ours, Player::Strongswan),
];

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let mut stories = Vec::new();
    for (name, client, gateway) in PLAYERS {
        stories.push(Story::new(format!("explain-mismatches-{name}"), move |ground: &Ground| {
            mismatches(ground, client, gateway)
        }));
    }
    stories.push(Story::new("explain-certificates", certificates));
    stories.push(Story::new("explain-pool-empty", pool_empty));
    stories.push(Story::new("explain-plugin-refused", plugin_refused));
    stories.push(Story::new("explain-silence", silence));
    stories
}

/// An end of which `explain` is asked: what it had said before does not count.
struct Witness<'a> {
    host: &'a Vpnhost,
    end: End,
    asked: [&'static str; 2],
    told: usize,
}

impl<'a> Witness<'a> {
    fn new(host: &'a Vpnhost, end: End) -> Result<Self> {
        Self::asking(host, end, ASKED)
    }

    fn asking(host: &'a Vpnhost, end: End, asked: [&'static str; 2]) -> Result<Self> {
        let told = events(host, asked)?.len();
        Ok(Self { host, end, asked, told })
    }

    /// Waits until both forms of `explain` name the cause, with the table's code and these words.
    fn names(&self, heading: &str, words: &str, limit: Duration) -> Result<()> {
        let code = code(heading, self.end)?;
        let mut told = Vec::new();
        wait::until_true("explain", limit, || {
            told = events(self.host, self.asked)?.split_off(self.told);
            let is_it = |event: &Value| {
                event["reason"] == code && event["text"].as_str().is_some_and(|text| text.contains(words))
            };
            Ok(told.iter().any(is_it))
        })
        .with_context(|| format!("{heading}: {:?}: {code}, {words:?} expected: {told:#?}", self.end))?;
        let text = self.host.verb(&self.asked)?;
        let sentence = text.lines().rev().find(|line| line.contains(&format!("[{code}]")));
        ensure!(
            sentence.is_some_and(|sentence| sentence.contains(words)),
            "{heading}: {:?}: {words:?} [{code}] expected in: {text}",
            self.end
        );
        Ok(())
    }
}

/// Returns the verb. Who is nobody's peer is told of at the connection that comes nearest.
const ASKED: [&str; 2] = ["explain", CONNECTION];

fn events(host: &Vpnhost, asked: [&str; 2]) -> Result<Vec<Value>> {
    let text = host.verb(&[&["--json"], &asked[..]].concat())?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// Returns the code that the table has for an end.
fn code(heading: &str, end: End) -> Result<&'static str> {
    let (_, section) =
        TABLE.split_once(&format!("## {heading}\n")).with_context(|| format!("FAILURES.md: {heading}"))?;
    let row = match end {
        End::Client => "| initiator | `",
        End::Gateway => "| responder | `",
    };
    let (_, code) = section.split_once(row).context("FAILURES.md: a row")?;
    code.split('`').next().context("FAILURES.md: a code")
}

/// One gateway, and a client that gets one thing wrong after another.
fn mismatches(ground: &Ground, client: Player, gateway: Player) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let usual = Tunnel::new(&ground.vpnhost, IKE, ESP);
    match gateway {
        Player::Ours => {
            let gateway = Vpnhost::start(&lab, End::Gateway, &usual)?;
            CASES.iter().try_for_each(|case| {
                let witness = Witness::new(&gateway, End::Gateway)?;
                mismatch(&lab, client, &usual, case)?;
                witness.names(case.heading, case.words[1], SOON)?;
                in_the_log(&gateway, case)?;
                wait::until_true("no SA at the gateway", SOON, || Ok(gateway.sas()? == SaCount::NONE))
            })?;
            gateway.end().map(drop)
        }
        Player::Strongswan => {
            let gateway = start(gateway, &lab, End::Gateway, &usual)?;
            // A refusal in clear is believed after ten seconds only: what `bad-ike-proposal-strongswan` shows once.
            let cases = CASES.iter().filter(|case| !case.heading.starts_with("No common IKE"));
            cases.into_iter().try_for_each(|case| mismatch(&lab, client, &usual, case))?;
            gateway.stop()
        }
    }
}

/// "Its log does" say why, as an operator has it who asked for nothing more; and `status`, of a stranger.
fn in_the_log(gateway: &Vpnhost, case: &Case) -> Result<()> {
    let code = code(case.heading, End::Gateway)?;
    let log = gateway.log();
    let is_it = |line: &str| line.contains("INFO") && line.contains(code) && line.contains(case.words[1]);
    ensure!(log.lines().any(is_it), "{}: {code} is not in the log: {log}", case.heading);
    if code == "unknown-identity" {
        let status = gateway.verb(&["status", CONNECTION])?;
        ensure!(status.contains(code) && status.contains(case.words[1]), "{}: {status}", case.heading);
        let status = gateway.json(&["status", CONNECTION])?;
        ensure!(found(&status, "connections")[0]["last_refusal"]["nearest"] == CONNECTION, "{status}");
    }
    Ok(())
}

/// A client gets one thing wrong; one of ours says so.
fn mismatch(lab: &Lab, client: Player, usual: &Tunnel, case: &Case) -> Result<()> {
    let mut wrong = usual.clone();
    (case.change)(&mut wrong);
    let comes_up = case.heading == PFS;
    if client == Player::Strongswan {
        let client = start(client, lab, End::Client, &wrong)?;
        ensure!(client.up().is_ok() == comes_up, "{}: {}", case.heading, client.log());
        if comes_up {
            client.rekey_child()?;
            wait::until_true("the refusal", SOON, || Ok(client.log().contains("NO_PROPOSAL_CHOSEN")))?;
        }
        return client.stop();
    }
    let client = Vpnhost::start(lab, End::Client, &wrong)?;
    let witness = Witness::new(&client, End::Client)?;
    let code = code(case.heading, End::Client)?;
    let mut verb = vec!["up", CONNECTION];
    if comes_up {
        client.up()?;
        verb = vec!["rekey", CONNECTION, "--child", CHILD];
    }
    let output = client.files().verb(&verb)?;
    expect_error(&output, 1, &[&format!("[{code}]"), case.words[0]]).context(case.heading)?;
    witness.names(case.heading, case.words[0], SOON)?;
    client.end().map(drop)
}

/// What a gateway of ours has against certificates; a client of ours knows itself that its own has ended.
fn certificates(ground: &Ground) -> Result<()> {
    const OWN: &str = "Own certificate expired";
    const CASES: [(&str, &str, &str); 2] = [
        ("Expired certificate", "carol-expired", "the certificate of O=Lab, CN=carol.lab expired 24 h ago"),
        ("Revoked certificate", "carol-revoked", "is revoked"),
    ];
    let lab = ground.lab(Topology::Direct)?;
    let (mut tunnel, certificates) = certified(ground, &lab, "ecdsa")?;
    let demands = format!(", crl = {:?}", certificates.dir.join("middle.crl"));
    tunnel.certificates = Some(Certificates { demands, ..certificates.clone() });
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    for player in [Player::Ours, Player::Strongswan] {
        for (heading, name, words) in CASES {
            let witness = Witness::new(&gateway, End::Gateway)?;
            let certificates = Certificates { client: name.to_owned(), ..certificates.clone() };
            let tunnel = Tunnel { certificates: Some(certificates), ..tunnel.clone() };
            // A client of ours knows itself that its certificate has ended, and shows it to nobody.
            let knows_itself = player == Player::Ours && name == "carol-expired";
            let (heading, said) =
                if knows_itself { (OWN, words) } else { (heading, "we said we are carol.lab") };
            let case = Case { heading, change: |_| (), words: [said, words] };
            mismatch(&lab, player, &tunnel, &case)?;
            if !knows_itself {
                witness.names(heading, words, SOON)?;
            }
        }
    }
    gateway.end().map(drop)
}

/// A pool of one address, and a client that wants two.
fn pool_empty(ground: &Ground) -> Result<()> {
    const SECOND: &str = "second";
    let lab = ground.lab(Topology::Direct)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, IKE, ESP);
    let heading = "Pool empty";
    let files = Files::write(&lab, End::Gateway, &tunnel)?;
    let text = std::fs::read_to_string(files.config())?;
    std::fs::write(files.config(), text.replace("10.30.0.0/24", "10.30.0.7/32"))?;
    let gateway = files.start()?;
    // The client's connection once more, under another name, to one host of what the first is for.
    let files = Files::write(&lab, End::Client, &tunnel)?;
    let text = std::fs::read_to_string(files.config())?;
    let (_, connection) = text.split_once("[[connection]]").context("a connection")?;
    let connection =
        connection.replace(&format!("{CONNECTION:?}"), &format!("{SECOND:?}")).replace(".0/24", ".10/32");
    tunnel.tables.0 = format!("[[connection]]{connection}");
    let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
    client.verb(&["up", SECOND])?;
    let witness = Witness::new(&client, End::Client)?;
    let responder = Witness::new(&gateway, End::Gateway)?;
    let words = "it has no virtual address left for us";
    let output = client.files().verb(&["up", CONNECTION])?;
    expect_error(&output, 1, &["[pool-empty]", words])?;
    witness.names(heading, words, SOON)?;
    responder.names(heading, "no virtual address is free in pool road4", SOON)?;
    let status = client.verb(&["status", SECOND])?;
    ensure!(status.contains("10.30.0.7"), "the first has lost its address: {status}");
    client.end()?;
    gateway.end().map(drop)
}

/// The gateway's plugin is open on another day.
fn plugin_refused(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, IKE, ESP);
    tunnel.tables.1 = closed_today(ground)?;
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    let words = "refused by a plugin: outside office hours";
    for player in [Player::Ours, Player::Strongswan] {
        let witness = Witness::new(&gateway, End::Gateway)?;
        let heading = "A plugin refuses";
        let case = Case { heading, change: |_| (), words: ["AUTHENTICATION_FAILED", words] };
        mismatch(&lab, player, &tunnel, &case)?;
        witness.names(heading, words, SOON)?;
    }
    gateway.end().map(drop)
}

/// The way to the gateway lets UDP 500 through but not UDP 4500, and then nothing.
fn silence(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, IKE, ESP);
    "retransmit = { first = \"200ms\", factor = 1, tries = 3 }".clone_into(&mut tunnel.connection);
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
    // Nobody knows whose connection one is for who stops before it says who it is.
    let responder = Witness::asking(&gateway, End::Gateway, ["explain", "-"])?;
    let blocked = "NAT traversal blocked";
    let cases = [
        (blocked, "4500", "something on the way blocks NAT traversal"),
        ("Peer silent", "{ 500, 4500 }", "no response to IKE_SA_INIT on UDP port 500, sent 4 times"),
    ];
    for (heading, ports, words) in cases {
        let witness = Witness::new(&client, End::Client)?;
        let rules = format!(
            "table inet block {{ chain in {{ type filter hook input priority 0; udp dport {ports} drop\n}}\n}}\n"
        );
        lab.moon.nft(&rules)?;
        let output = client.files().verb(&["up", CONNECTION])?;
        expect_error(&output, 1, &[&format!("[{}]", code(heading, End::Client)?), words])
            .with_context(|| said(&output))?;
        witness.names(heading, words, SOON)?;
        lab.moon.run("nft delete table inet block")?;
    }
    responder.names(blocked, "is UDP 4500 let through?", HALF_OPEN)?;
    client.up().context("once the way is free")?;
    client.end()?;
    gateway.end().map(drop)
}
