//! Groups of peers by a pattern of their identities, with strongSwan as the one that is let in, or not, and as the
//! gateway of a client that knows only the group.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::certificate::{certified, expect_code};
use crate::peers::{CHILD, CONNECTION, Certificates, End, Pair, Peer, Player, SaCount, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::vpnhost::{Files, found};
use crate::{Lab, Strongswan, Topology, Vpnhost, lab};

const SOON: Duration = Duration::from_secs(15);

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![
        Story::new("group-by-certificate", by_certificate),
        Story::new("group-by-secret", by_secret),
        Story::new("group-of-gateways", of_gateways),
    ]
}

/// A gateway of ours that lets in a group.
fn gateway(lab: &Lab, tunnel: &Tunnel, pattern: &str) -> Result<Vpnhost> {
    let files = Files::write(lab, End::Gateway, tunnel)?;
    let text = std::fs::read_to_string(files.config())?;
    let one = format!("peer = {{ id = {:?}", End::Client.identity());
    ensure!(text.contains(&one), "the configuration has another form: {text}");
    std::fs::write(files.config(), text.replace(&one, &format!("peer = {{ id = {pattern:?}")))?;
    files.start()
}

fn by_certificate(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (tunnel, certificates) = certified(ground, &lab, "ecdsa")?;
    let thief = "carol-mallory";
    let certificates = Certificates { others: vec![thief.to_owned()], ..certificates };
    let tunnel = Tunnel { certificates: Some(certificates), ..tunnel };
    for (name, pattern, code) in [
        ("carol.lab", "*.lab", None),
        ("O=Lab, CN=carol.lab", "O=Lab, CN=*", None),
        ("carol.lab", "*.example.org", Some("unknown-identity")),
        ("O=Lab, CN=carol.lab", "O=Lab, OU=*, CN=*", Some("unknown-identity")),
    ] {
        let told = format!("{name} at {pattern}");
        let gateway = gateway(&lab, &tunnel, pattern)?;
        let names = (name.to_owned(), End::Gateway.identity().to_owned());
        let client = Strongswan::start(&lab, End::Client, &Tunnel { client_names: names, ..tunnel.clone() })?;
        match code {
            None => {
                client.up().context(told.clone())?;
                ping(&lab.carol, lab::ALICE, 2).context(told.clone())?;
                let status = gateway.json(&["status"])?;
                ensure!(status.to_string().contains(&format!("\"peer_id\":{name:?}")), "{told}: {status}");
                let held = gateway.json(&["list", "certs"])?;
                let has = |list: &str, subject: &str| {
                    found(&held, list)
                        .iter()
                        .any(|it| it["subject"] == subject && it["connections"][0] == CONNECTION)
                };
                ensure!(has("own", "O=Lab, CN=moon.lab") && has("cas", "O=Lab, CN=root"), "{held}");
                ensure!(found(&held, "certs").len() == 1, "one peer is up: {held}");
                client.down()?;
                // The pattern lets the name in, and the certificate of another member does not prove it.
                let up = client.control(&["--initiate", "--ike", thief, "--child", CHILD, "--timeout", "10"]);
                ensure!(up.is_err(), "{thief} is let in");
                expect_code(&gateway, &["explain"], "wrong-identity").context(told)?;
            }
            Some(code) => {
                ensure!(client.up().is_err(), "{told}: it is let in");
                expect_code(&gateway, &["explain"], code).context(told)?;
                ensure!(gateway.sas()? == SaCount::NONE, "an SA stays");
            }
        }
        Box::new(client).stop()?;
        gateway.end()?;
    }
    Ok(())
}

fn by_secret(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let tunnel = Tunnel::new(&ground.vpnhost, "aes128gcm16-prfsha256-x25519", "aes128gcm16");
    let names = ("carol@example.org".to_owned(), End::Gateway.identity().to_owned());
    let gateway = gateway(&lab, &tunnel, "*@example.org")?;
    let client = Strongswan::start(&lab, End::Client, &Tunnel { client_names: names, ..tunnel })?;
    client.up()?;
    ping(&lab.carol, lab::ALICE, 2)?;
    Box::new(client).stop()?;
    gateway.end().map(drop)
}

/// A client of ours asks for nobody by name, and takes whichever gateway of the group answers.
fn of_gateways(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (tunnel, certificates) = certified(ground, &lab, "ecdsa")?;
    let names = (End::Client.identity().to_owned(), "*.lab".to_owned());
    let tunnel = Tunnel { certificates: Some(certificates), client_names: names, ..tunnel };
    let pair = Pair::start(&lab, (Player::Ours, Player::Strongswan), &tunnel)?;
    pair.client.up()?;
    pair.expect(SaCount::ONE, SOON)?;
    ping(&lab.carol, lab::ALICE, 2)?;
    pair.client.stop()?;
    let others = ("carol.lab".to_owned(), "*.example.org".to_owned());
    let client = Vpnhost::start(&lab, End::Client, &Tunnel { client_names: others, ..tunnel })?;
    ensure!(client.up().is_err(), "moon.lab is taken for one of *.example.org");
    expect_code(&client, &["explain"], "unexpected-identity")?;
    client.end()?;
    pair.gateway.stop()
}
