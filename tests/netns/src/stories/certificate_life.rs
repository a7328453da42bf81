//! Certificates of peers that are up: one that is revoked or ends takes its IKE SA with it, with a Delete to strongSwan and
//! a reason on our side.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::certificate::{certified, expect_code, pki};
use crate::peers::{CONNECTION, Certificates, End, Peer, SaCount, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::{Lab, Strongswan, Topology, Vpnhost, lab, wait};

const SOON: Duration = Duration::from_secs(15);
/// How long a brief certificate is good: enough to set up and to see that it works, on a busy machine.
const BRIEF: Duration = Duration::from_secs(40);

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let mut stories = Vec::new();
    for (ours, role) in [(End::Gateway, "responder"), (End::Client, "initiator")] {
        stories.push(Story::new(format!("certificate-revoked-while-up-{role}"), move |ground: &Ground| {
            revoked(ground, ours)
        }));
        stories.push(Story::new(format!("certificate-ends-while-up-{role}"), move |ground: &Ground| {
            ends(ground, ours)
        }));
    }
    stories
}

/// The list that ours reads is replaced by one that names the peer's certificate: `reload` has it judged again.
fn revoked(ground: &Ground, ours: End) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (mut tunnel, certificates) = certified(ground, &lab, "ecdsa")?;
    let list = certificates.dir.join("middle.crl");
    let demands = format!(", crl = {list:?}");
    tunnel.certificates = Some(Certificates { demands, ..certificates.clone() });
    let (host, peer) = connected(&lab, ours, &tunnel)?;
    // A list that does not name it changes nothing.
    pki(&certificates.dir, &["revoke", "carol-noeku"])?;
    host.verb(&["reload"])?;
    ping(&lab.carol, lab::ALICE, 5)?;
    ensure!(host.sas()? == SaCount::ONE, "a list that names another ended it");
    pki(&certificates.dir, &["revoke", certificates.of(ours.other())])?;
    host.verb(&["reload"])?;
    is_ended(host, peer, "revoked")
}

/// The peer's certificate reaches its last second while the tunnel is up.
fn ends(ground: &Ground, ours: End) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (mut tunnel, mut certificates) = certified(ground, &lab, "ecdsa")?;
    let peer = ours.other();
    let until = format!("+{} seconds", BRIEF.as_secs());
    pki(&certificates.dir, &["leaf", "brief", peer.name(), &until])?;
    match peer {
        End::Client => certificates.client = "brief".to_owned(),
        End::Gateway => certificates.gateway = "brief".to_owned(),
    }
    tunnel.certificates = Some(certificates);
    let (host, peer) = connected(&lab, ours, &tunnel)?;
    let ended = || Ok(host.sas()? == SaCount::NONE);
    wait::until_true("the end of the certificate", BRIEF + SOON, ended)?;
    is_ended(host, peer, "expired")
}

/// Starts both ends, and the tunnel.
fn connected(lab: &Lab, ours: End, tunnel: &Tunnel) -> Result<(Vpnhost, Strongswan)> {
    let (host, peer) = match ours {
        End::Gateway => {
            let gateway = Vpnhost::start(lab, ours, tunnel)?;
            (gateway, Strongswan::start(lab, End::Client, tunnel)?)
        }
        End::Client => {
            let gateway = Strongswan::start(lab, End::Gateway, tunnel)?;
            (Vpnhost::start(lab, ours, tunnel)?, gateway)
        }
    };
    match ours {
        End::Gateway => peer.up()?,
        End::Client => host.up()?,
    }
    ping(&lab.carol, lab::ALICE, 2)?;
    Ok((host, peer))
}

/// Ours has a reason, strongSwan a Delete, and neither an SA.
fn is_ended(host: Vpnhost, peer: Strongswan, code: &str) -> Result<()> {
    let ended = || Ok(host.sas()? == SaCount::NONE && peer.sas()? == SaCount::NONE);
    wait::until_true("the end at both ends", SOON, ended)?;
    expect_code(&host, &["explain", CONNECTION], code)?;
    let log = peer.log();
    ensure!(log.contains("received DELETE for IKE_SA"), "strongSwan was not told");
    Box::new(peer).stop().context("strongSwan")?;
    host.end().map(drop)
}
