//! EAP: a password or a certificate within IKE_AUTH, strongSwan as client and as server, and who is refused why.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::certificate::{certified, expect_code};
use crate::peers::{CONNECTION, Eap, End, Pair, Peer, Player, SaCount, Tunnel, USER, start};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::vpnhost::{expect_error, found};
use crate::{Lab, Topology, Vpnhost, lab};

const SOON: Duration = Duration::from_secs(15);

/// Who plays the client and the server.
const PLAYERS: [(Player, Player, &str); 3] = [
    (Player::Ours, Player::Strongswan, "client"),
    (Player::Strongswan, Player::Ours, "server"),
    (Player::Ours, Player::Ours, "ours"),
];

/// The methods, and whether the gateway shows no certificate in IKE (RFC 5998).
const WAYS: [(&str, &str, bool); 3] =
    [("mschapv2", "mschapv2", false), ("tls", "tls", false), ("tls-alone", "tls", true)];

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let mut stories = Vec::new();
    for (name, method, alone) in WAYS {
        for (client, server, role) in PLAYERS {
            let name = format!("eap-{name}-{role}");
            let eap = Eap { method, alone, client: USER };
            stories.push(Story::new(name, move |ground: &Ground| session(ground, &eap, (client, server))));
        }
    }
    stories.push(Story::new("eap-refused-by-ours", refused_by_ours));
    stories.push(Story::new("eap-refused-by-strongswan", refused_by_strongswan));
    stories
}

fn tunnel(ground: &Ground, lab: &Lab, eap: &Eap) -> Result<Tunnel> {
    let (tunnel, certificates) = certified(ground, lab, "ecdsa")?;
    Ok(Tunnel { certificates: Some(certificates), eap: Some(eap.clone()), ..tunnel })
}

/// A tunnel by EAP carries traffic, is rekeyed and ends; a gateway of ours knows the user.
fn session(ground: &Ground, eap: &Eap, players: (Player, Player)) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let tunnel = tunnel(ground, &lab, eap)?;
    let pair = Pair::start(&lab, players, &tunnel)?;
    pair.client.up().context("set-up")?;
    pair.expect(SaCount::ONE, SOON)?;
    ping(&lab.carol, lab::ALICE, 3).context("ping")?;
    pair.client.rekey_ike().context("rekey")?;
    pair.expect(SaCount::ONE, SOON).context("after the rekey")?;
    ping(&lab.carol, lab::ALICE, 3).context("ping after the rekey")?;
    pair.client.down().context("Delete")?;
    pair.expect(SaCount::NONE, SOON).context("after the Delete")?;
    pair.client.stop()?;
    pair.gateway.stop()?;
    if players.1 == Player::Ours { knows(&lab, &tunnel, eap, players.0) } else { Ok(()) }
}

/// The status of a gateway of ours names the user that EAP has proved, and the method.
fn knows(lab: &Lab, tunnel: &Tunnel, eap: &Eap, client: Player) -> Result<()> {
    let gateway = Vpnhost::start(lab, End::Gateway, tunnel)?;
    let client = start(client, lab, End::Client, tunnel)?;
    client.up()?;
    let user = if eap.method == "mschapv2" { USER.0 } else { End::Client.identity() };
    let status = gateway.json(&["status"])?;
    let sas = found(&status, "ike_sas");
    let named = |sa: &&serde_json::Value| {
        sa["peer_id"] == user && sa["eap"]["identity"] == user && sa["eap"]["method"] == eap.method
    };
    ensure!(sas.iter().any(named), "status does not name {user}: {status}");
    let text = gateway.verb(&["status"])?;
    ensure!(text.contains(&format!("proved by EAP {}: {user}", eap.method)), "{text}");
    client.stop()?;
    gateway.end().map(drop)
}

/// What a client gets wrong, and the code by which a gateway of ours names it.
const MISTAKES: [((&str, &str), &str); 2] =
    [((USER.0, "not it"), "eap-wrong-password"), (("mallory", USER.1), "eap-unknown-user")];

fn refused_by_ours(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let right = Eap { method: "mschapv2", alone: false, client: USER };
    let tunnel = tunnel(ground, &lab, &right)?;
    for player in [Player::Strongswan, Player::Ours] {
        for (who, code) in MISTAKES {
            let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
            let wrong = Tunnel { eap: Some(Eap { client: who, ..right.clone() }), ..tunnel.clone() };
            let client = start(player, &lab, End::Client, &wrong)?;
            ensure!(client.up().is_err(), "{who:?} is let in");
            expect_code(&gateway, &["explain"], code)?;
            ensure!(gateway.sas()? == SaCount::NONE, "an SA stays");
            client.stop()?;
            gateway.end()?;
        }
    }
    Ok(())
}

/// A client of ours says why strongSwan refused it.
fn refused_by_strongswan(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let right = Eap { method: "mschapv2", alone: false, client: USER };
    let tunnel = tunnel(ground, &lab, &right)?;
    let gateway = start(Player::Strongswan, &lab, End::Gateway, &tunnel)?;
    let wrong = Tunnel { eap: Some(Eap { client: (USER.0, "not it"), ..right }), ..tunnel };
    let client = Vpnhost::start(&lab, End::Client, &wrong)?;
    let output = client.files().verb(&["up", CONNECTION])?;
    // RFC 2759, 6: ERROR_AUTHENTICATION_FAILURE, which nobody but the method says.
    expect_error(&output, 1, &["[eap-refused]", "EAP", "E=691"])?;
    expect_code(&client, &["explain", CONNECTION], "eap-refused")?;
    client.end()?;
    gateway.stop()
}
