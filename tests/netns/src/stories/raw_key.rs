//! Raw public keys (RFC 7670) against strongSwan, in both roles: no certificate is shown.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::certificate::{certified, expect_code};
use crate::command::run;
use crate::peers::{CONNECTION, Certificates, End, Pair, Peer, Player, SaCount, Tunnel};
use crate::story::{Ground, Story};
use crate::strongswan::swanctl_conf;
use crate::traffic::ping;
use crate::vpnhost::Files;
use crate::{Lab, Strongswan, Topology, Vpnhost, lab};

const SOON: Duration = Duration::from_secs(15);

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    ["ecdsa", "ed25519", "rsa"]
        .into_iter()
        .map(|kind| Story::new(format!("raw-key-{kind}"), move |ground: &Ground| both_roles(ground, kind)))
        .collect()
}

fn both_roles(ground: &Ground, kind: &str) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (tunnel, certificates) = certified(ground, &lab, kind)?;
    for end in [End::Client, End::Gateway] {
        let name = certificates.of(end);
        let [key, public] = ["key", "pub"].map(|ending| certificates.dir.join(format!("{name}.{ending}")));
        run(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(key).arg("-out").arg(public))?;
    }
    let tunnel = Tunnel { certificates: Some(certificates.clone()), ..tunnel };
    for (client, gateway) in [(Player::Ours, Player::Strongswan), (Player::Strongswan, Player::Ours)] {
        let told = format!("{client:?} as client");
        let gateway = start(gateway, &lab, End::Gateway, &tunnel, &certificates)?;
        let client = start(client, &lab, End::Client, &tunnel, &certificates)?;
        let pair = Pair { client, gateway };
        pair.client.up().context(told.clone())?;
        pair.expect(SaCount::ONE, SOON)?;
        ping(&lab.carol, lab::ALICE, 2).context(told)?;
        pair.client.stop()?;
        pair.gateway.stop()?;
    }
    // Another key than the one that is known.
    let gateway = start(Player::Strongswan, &lab, End::Gateway, &tunnel, &certificates)?;
    let other = Certificates { gateway: certificates.client.clone(), ..certificates };
    let client = ours(&lab, End::Client, &tunnel, &other)?;
    ensure!(client.up().is_err(), "another key is taken for the gateway's");
    expect_code(&client, &["explain", CONNECTION], "wrong-signature")?;
    client.end()?;
    gateway.stop()
}

fn start(player: Player, lab: &Lab, end: End, tunnel: &Tunnel, keys: &Certificates) -> Result<Box<dyn Peer>> {
    match player {
        Player::Ours => Ok(Box::new(ours(lab, end, tunnel, keys)?)),
        Player::Strongswan => {
            let public =
                |end| format!("pubkeys = {}", keys.dir.join(format!("{}.pub", keys.of(end))).display());
            let conf = swanctl_conf(end, tunnel)
                .replace(&format!("certs = {}.pem", keys.of(end)), &public(end))
                .replace("cacerts = root.pem", &public(end.other()));
            Ok(Box::new(Strongswan::start_with(lab, end, tunnel, &conf)?))
        }
    }
}

fn ours(lab: &Lab, end: End, tunnel: &Tunnel, keys: &Certificates) -> Result<Vpnhost> {
    let files = Files::write(lab, end, tunnel)?;
    let dir = keys.dir.display();
    let text = std::fs::read_to_string(files.config())?;
    let own = format!("cert = [\"{dir}/{}.pem\", \"{dir}/middle.pem\"]", keys.of(end));
    let its = format!("ca = \"{dir}/root.pem\"");
    ensure!(text.contains(&own) && text.contains(&its), "the configuration has another form: {text}");
    let text = text
        .replace(&own, &format!("pubkey = \"{dir}/{}.pub\"", keys.of(end)))
        .replace(&its, &format!("pubkey = \"{dir}/{}.pub\"", keys.of(end.other())));
    std::fs::write(files.config(), text)?;
    files.start()
}
