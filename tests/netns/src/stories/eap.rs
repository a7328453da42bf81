//! EAP: a password or a certificate within IKE_AUTH, strongSwan as client and as server, and who is refused why.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::certificate::{certified, expect_code};
use crate::peers::{CONNECTION, Eap, End, Pair, Peer, Player, SaCount, Tunnel, USER, start};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::vpnhost::{expect_error, found};
use crate::{Lab, Topology, Vpnhost, lab, wait};

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
    for (name, alone) in [("eap-tls-refusals-server", false), ("eap-tls-alone-refusals-server", true)] {
        stories.push(Story::new(name, move |ground: &Ground| tls_refusals_as_server(ground, alone)));
    }
    stories.push(Story::new("eap-tls-refusals-client", tls_refusals_as_client));
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

/// What an end shows within TLS, by the end of its name, and the code by which ours refuses it.
const BAD: [(&str, &str); 3] = [("stranger", "wrong-ca"), ("expired", "expired"), ("early", "not-yet-valid")];

/// strongSwan comes with certificates that a server of ours refuses within TLS, and at last with the right one.
fn tls_refusals_as_server(ground: &Ground, alone: bool) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let right = below_middle(ground, &lab, alone)?;
    let gateway = Vpnhost::start(&lab, End::Gateway, &right)?;
    for (name, code) in BAD {
        let client = start(Player::Strongswan, &lab, End::Client, &showing(&right, End::Client, name)?)?;
        ensure!(client.up().is_err(), "{name} is let in");
        expect_code(&gateway, &["explain", CONNECTION], code)
            .with_context(|| format!("{name}: {}", client.log()))?;
        wait::until_true("no SA at the gateway", SOON, || Ok(gateway.sas()? == SaCount::NONE))?;
        client.stop()?;
    }
    let client = start(Player::Strongswan, &lab, End::Client, &right)?;
    client.up().context("the right one")?;
    ping(&lab.carol, lab::ALICE, 1)?;
    client.stop()?;
    gateway.end().map(drop)
}

/// A client of ours refuses what strongSwan shows: in IKE, or where it shows nothing there (RFC 5998), within TLS.
fn tls_refusals_as_client(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    for alone in [false, true] {
        let right = below_middle(ground, &lab, alone)?;
        for (name, code) in BAD {
            let wrong = showing(&right, End::Gateway, name)?;
            let gateway = start(Player::Strongswan, &lab, End::Gateway, &wrong)?;
            let client = Vpnhost::start(&lab, End::Client, &wrong)?;
            let output = client.files().verb(&["up", CONNECTION])?;
            expect_error(&output, 1, &[&format!("[{code}]")])
                .with_context(|| format!("{name}, alone: {alone}: {}", gateway.log()))?;
            expect_code(&client, &["explain", CONNECTION], code)?;
            wait::until_true("no SA at the gateway", SOON, || Ok(gateway.sas()? == SaCount::NONE))?;
            client.end()?;
            gateway.stop()?;
        }
    }
    Ok(())
}

/// Returns a tunnel by EAP-TLS whose end of ours trusts the intermediate CA itself: strongSwan shows a certificate that
/// it finds no good alone, without those above it.
fn below_middle(ground: &Ground, lab: &Lab, alone: bool) -> Result<Tunnel> {
    let mut tunnel = tunnel(ground, lab, &Eap { method: "tls", alone, client: USER })?;
    if let Some(certificates) = &mut tunnel.certificates {
        "middle".clone_into(&mut certificates.trusted);
    }
    Ok(tunnel)
}

/// Returns the tunnel with an end that shows another certificate of its name.
fn showing(tunnel: &Tunnel, end: End, name: &str) -> Result<Tunnel> {
    let mut certificates = tunnel.certificates.clone().context("certificates")?;
    match end {
        End::Client => certificates.client = format!("carol-{name}"),
        End::Gateway => certificates.gateway = format!("moon-{name}"),
    }
    Ok(Tunnel { certificates: Some(certificates), ..tunnel.clone() })
}
