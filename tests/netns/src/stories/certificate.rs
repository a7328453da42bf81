//! Certificates against strongSwan, in both roles: each kind of key below an intermediate CA, by RFC 7427 and by the
//! older methods; and what is refused, each with its own code.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::session::PLAYERS;
use crate::command::run;
use crate::peers::{CHILD, CONNECTION, Certificates, End, Pair, Player, SaCount, Tunnel, start};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::{Lab, Running, Strongswan, Topology, Vpnhost, lab, vpnhost, wait};

const PKI: &str = include_str!("../../pki.sh");
const SOON: Duration = Duration::from_secs(15);

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let mut stories = Vec::new();
    for kind in ["rsa", "ecdsa", "ecdsa384", "ecdsa521", "ed25519"] {
        stories.push(Story::new(format!("certificate-{kind}"), move |ground: &Ground| {
            both_roles(ground, kind, true)
        }));
        // RFC 8420: Ed25519 has no older method.
        if kind != "ed25519" {
            stories.push(Story::new(format!("certificate-{kind}-older"), move |ground: &Ground| {
                both_roles(ground, kind, false)
            }));
        }
    }
    stories.push(Story::new("certificate-pss-alone", pss_alone));
    stories.push(Story::new("certificate-beside-secret", beside_a_secret));
    stories.push(Story::new("certificate-strict", strict));
    stories.push(Story::new("certificate-refusals-responder", refusals_as_responder));
    stories.push(Story::new("certificate-list-by-http", list_by_http));
    stories.push(Story::new("certificate-refusals-initiator", refusals_as_initiator));
    stories
}

/// Makes certificates, and returns a tunnel with them.
pub(super) fn certified(ground: &Ground, lab: &Lab, kind: &str) -> Result<(Tunnel, Certificates)> {
    let dir = lab.dir().join("pki");
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join("pki.sh"), PKI)?;
    pki(&dir, &[])?;
    let certificates = Certificates {
        dir,
        client: format!("carol-{kind}"),
        gateway: format!("moon-{kind}"),
        trusted: "root".to_owned(),
        demands: String::new(),
        others: Vec::new(),
        digital_signatures: true,
        scheme: "pubkey",
        client_has_secret: false,
    };
    Ok((Tunnel::new(&ground.vpnhost, "aes128gcm16-prfsha256-x25519", "aes128gcm16"), certificates))
}

/// Runs `pki.sh` in its directory.
pub(super) fn pki(dir: &Path, arguments: &[&str]) -> Result<()> {
    let script = dir.join("pki.sh");
    run(std::process::Command::new("sh").arg(&script).arg(dir).args(arguments)).map(drop)
}

fn both_roles(ground: &Ground, kind: &str, digital_signatures: bool) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (mut tunnel, certificates) = certified(ground, &lab, kind)?;
    tunnel.certificates = Some(Certificates { digital_signatures, ..certificates });
    // RFC 7296, 3.8: method 1 of strongSwan is SHA-1.
    tunnel.legacy = !digital_signatures;
    connects(&lab, &tunnel)
}

/// RSASSA-PSS in both directions, and nothing else is taken by strongSwan.
fn pss_alone(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (mut tunnel, certificates) = certified(ground, &lab, "rsa")?;
    tunnel.certificates = Some(Certificates { scheme: "ike:rsa/pss-sha256-sha384-sha512", ..certificates });
    connects(&lab, &tunnel)
}

/// The client proves itself with a secret, the gateway with a certificate.
fn beside_a_secret(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (mut tunnel, certificates) = certified(ground, &lab, "ecdsa")?;
    tunnel.certificates = Some(Certificates { client_has_secret: true, ..certificates });
    connects(&lab, &tunnel)
}

/// Fresh lists of both CAs, by file: whoever demands them finds them, in both roles.
fn strict(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (mut tunnel, certificates) = certified(ground, &lab, "ecdsa")?;
    let lists = ["middle.crl", "root.crl"].map(|name| certificates.dir.join(name));
    let demands = format!(", revocation = \"strict\", crl = [{:?}, {:?}]", lists[0], lists[1]);
    tunnel.certificates = Some(Certificates { demands, ..certificates });
    connects(&lab, &tunnel)
}

/// With strongSwan in both roles, it connects and carries traffic.
fn connects(lab: &Lab, tunnel: &Tunnel) -> Result<()> {
    for (client, gateway, role) in PLAYERS {
        let pair = Pair::start(lab, (client, gateway), tunnel)?;
        pair.client.up().with_context(|| format!("set-up as {role}"))?;
        pair.expect(SaCount::ONE, SOON)?;
        ping(&lab.carol, lab::ALICE, 2).with_context(|| format!("ping as {role}"))?;
        pair.client.stop()?;
        pair.gateway.stop()?;
    }
    Ok(())
}

/// What strongSwan shows, and the code by which ours refuses it.
const REFUSALS: [(&str, &str); 6] = [
    ("carol-stranger", "wrong-ca"),
    ("carol-expired", "expired"),
    ("carol-early", "not-yet-valid"),
    ("carol-revoked", "revoked"),
    ("carol-mallory", "wrong-identity"),
    ("carol-noeku", "missing-eku"),
];

/// A gateway of ours, and one strongSwan that comes with one certificate after another.
fn refusals_as_responder(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (mut tunnel, certificates) = certified(ground, &lab, "ecdsa")?;
    let crl = certificates.dir.join("middle.crl");
    tunnel.certificates = Some(Certificates {
        demands: format!(", crl = {crl:?}, require_eku = true"),
        others: REFUSALS.iter().map(|(name, _)| (*name).to_owned()).collect(),
        ..certificates
    });
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    let client = Strongswan::start(&lab, End::Client, &tunnel)?;
    for (name, code) in REFUSALS {
        let up = client.control(&["--initiate", "--ike", name, "--child", CHILD, "--timeout", "10"]);
        ensure!(up.is_err(), "{name} is let in");
        expect_code(&gateway, &["explain"], code).with_context(|| name.to_owned())?;
    }
    // The right one is let in all the same.
    client.control(&["--initiate", "--ike", CONNECTION, "--child", CHILD, "--timeout", "20"])?;
    ping(&lab.carol, lab::ALICE, 1)?;
    crate::peers::Peer::stop(Box::new(client))?;
    gateway.end().map(drop)
}

/// The gateway fetches the lists from a server in the inner network, and refuses whom they name and nobody else, though
/// it demands them of each CA.
fn list_by_http(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (mut tunnel, certificates) = certified(ground, &lab, "ecdsa")?;
    let mut command = lab.alice.command("python3");
    command.args(["-m", "http.server", "8080", "--directory"]).arg(&certificates.dir);
    let server = Running::start(&mut command, &lab.dir().join("http.log"))?;
    let [url, of_root] = ["middle", "root"].map(|name| format!("http://{}:8080/{name}.crl", lab::ALICE));
    let mut fetch = lab.moon.command("python3");
    fetch.args(["-c", "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])", &url]);
    wait::until_true("the server", SOON, || Ok(run(&mut fetch).is_ok()))?;
    let revoked = "carol-revoked";
    tunnel.certificates = Some(Certificates {
        demands: format!(", revocation = \"strict\", crl = [{url:?}, {of_root:?}]"),
        others: vec![revoked.to_owned()],
        ..certificates
    });
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    let client = Strongswan::start(&lab, End::Client, &tunnel)?;
    let up = client.control(&["--initiate", "--ike", revoked, "--child", CHILD, "--timeout", "10"]);
    ensure!(up.is_err(), "{revoked} is let in");
    expect_code(&gateway, &["explain"], "revoked")?;
    client.control(&["--initiate", "--ike", CONNECTION, "--child", CHILD, "--timeout", "20"])?;
    crate::peers::Peer::stop(Box::new(client))?;
    gateway.end()?;
    server.stop("TERM").map(drop)
}

/// One strongSwan, and a client of ours that trusts others, or asks for more than there is.
fn refusals_as_initiator(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (mut tunnel, certificates) = certified(ground, &lab, "ecdsa")?;
    tunnel.certificates = Some(certificates.clone());
    let gateway = start(Player::Strongswan, &lab, End::Gateway, &tunnel)?;
    let strict = ", revocation = \"strict\"".to_owned();
    for (trusted, demands, code) in
        [("stranger", String::new(), "wrong-ca"), ("root", strict, "revocation-unknown")]
    {
        let certificates = Certificates { trusted: trusted.to_owned(), demands, ..certificates.clone() };
        let tunnel = Tunnel { certificates: Some(certificates), ..tunnel.clone() };
        let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
        let output = client.files().verb(&["up", CONNECTION])?;
        vpnhost::expect_error(&output, 1, &[])?;
        expect_code(&client, &["explain", CONNECTION], code)?;
        wait::until_true("no SA at the gateway", SOON, || Ok(gateway.sas()? == SaCount::NONE))?;
        client.end()?;
    }
    gateway.stop()?;
    let crl = certificates.dir.join("middle.crl");
    let demands = format!(", crl = {crl:?}, require_eku = true");
    for (name, code) in REFUSALS {
        let name = name.replace("carol", "moon");
        let certificates =
            Certificates { gateway: name.clone(), demands: demands.clone(), ..certificates.clone() };
        let tunnel = Tunnel { certificates: Some(certificates), ..tunnel.clone() };
        let gateway = start(Player::Strongswan, &lab, End::Gateway, &tunnel)?;
        let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
        let output = client.files().verb(&["up", CONNECTION])?;
        vpnhost::expect_error(&output, 1, &[]).with_context(|| name.clone())?;
        expect_code(&client, &["explain", CONNECTION], code).with_context(|| name.clone())?;
        wait::until_true("no SA at the gateway", SOON, || Ok(gateway.sas()? == SaCount::NONE))?;
        client.end()?;
        gateway.stop()?;
    }
    Ok(())
}

/// Waits until `explain` tells a refusal with its code.
pub(super) fn expect_code(host: &Vpnhost, verb: &[&str], code: &str) -> Result<()> {
    let mut told = String::new();
    wait::until_true("the refusal", SOON, || {
        // One document a line.
        told = host.verb(&[&["--json"], verb].concat())?;
        let events = told.lines().map(serde_json::from_str::<serde_json::Value>);
        let events = events.collect::<Result<Vec<_>, _>>()?;
        Ok(events.iter().any(|event| event["reason"] == code))
    })
    .with_context(|| format!("{code}: {told}"))
}
