//! What tshark, which knows nothing of us but the keys, says of whole recorded sessions.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::capture::Capture;
use crate::judge::judge;
use crate::peers::{CONNECTION, End, Peer, Player, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::{Topology, Vpnhost, lab, wait};

/// IKE and ESP suites that Wireshark 4.0 can check: CBC, 3DES and GCM.
const SUITES: [(&str, &str, &str); 3] = [
    ("cbc", "aes256-sha512-modp2048", "aes256-sha256"),
    ("3des", "3des-sha256-modp1024", "3des-sha256"),
    ("gcm", "aes256gcm16-prfsha384-x25519", "aes128gcm16"),
];

/// What must be seen inside of the encrypted messages of a session with rekeying of both kinds and a Delete.
const SEEN: [&str; 8] = [
    "Identification - Initiator",
    "Identification - Responder",
    "Authentication",
    "Configuration",
    "Security Association",
    "Traffic Selector - Initiator",
    "Nonce",
    "Delete",
];

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let mut stories = Vec::new();
    for (name, ike, esp) in SUITES {
        for (player, role) in [(Player::Strongswan, "strongswan"), (Player::Ours, "ours")] {
            stories.push(Story::new(format!("tshark-{name}-{role}"), move |g: &Ground| {
                recorded(g, player, ike, esp)
            }));
        }
    }
    stories
}

fn recorded(ground: &Ground, gateway: Player, ike: &str, esp: &str) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    lab.cut_batches()?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, ike, esp);
    // Wireshark marks every packet with extended sequence numbers as bad.
    "esn = \"no\"".clone_into(&mut tunnel.child);
    let capture = Capture::start(&lab.carol, "eth0", &lab.dir().join("session.pcap"))?;
    let gateway = crate::peers::start(gateway, &lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
    client.verb(&["up", CONNECTION])?;
    ping(&lab.carol, lab::ALICE, 20)?;
    for rekey in [Peer::rekey_child, Peer::rekey_ike] as [fn(&Vpnhost) -> Result<()>; 2] {
        let before = client.spis()?;
        rekey(&client)?;
        wait::until_true("the rekeying", Duration::from_secs(15), || Ok(client.spis()? != before))?;
        ping(&lab.carol, lab::ALICE, 20)?;
    }
    client.down()?;
    let keylog = client.files().keylog();
    client.end()?;
    gateway.stop()?;
    let file = capture.finish()?;
    let verdict = judge(&file, &keylog).context("tshark")?;
    ensure!(verdict.esp >= 120, "{} ESP packets verified, 120 expected", verdict.esp);
    ensure!(verdict.inner_icmp >= 120, "{} inner pings seen, 120 expected", verdict.inner_icmp);
    ensure!(verdict.ike >= 8, "{} IKE messages decrypted", verdict.ike);
    for payload in SEEN {
        let seen = verdict.payloads.iter().any(|name| name.starts_with(payload));
        ensure!(seen, "tshark saw no {payload} payload, only {:?}", verdict.payloads);
    }
    Ok(())
}
