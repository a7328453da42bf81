//! Child SAs that cannot be had: the IKE SA is authenticated all the same, and stands on both ends, whoever they are.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::peers::{CONNECTION, End, Pair, Peer, Player, SaCount, Tunnel, start};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::vpnhost::expect_error;
use crate::{Topology, Vpnhost, lab, suite, wait};

const SOON: Duration = Duration::from_secs(15);
/// An IKE SA without a Child SA.
const BARE: SaCount = SaCount { ike: 1, child: 0 };

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![
        Story::new("child-failed-initiator", refused_by_strongswan),
        Story::new("child-failed-responder", refused_by_ours),
        Story::new("childless-initiator", |g: &Ground| childless(g, (Player::Ours, Player::Strongswan))),
        Story::new("childless-responder", |g: &Ground| childless(g, (Player::Strongswan, Player::Ours))),
        Story::new("childless-ours", |g: &Ground| childless(g, (Player::Ours, Player::Ours))),
    ]
}

/// The IKE SA comes up without a Child SA (RFC 6023), which follows with a key exchange of its own; it is rekeyed, goes,
/// and comes again.
fn childless(ground: &Ground, players: (Player, Player)) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let usual = Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes256gcm16-x25519");
    let mut begins = usual.clone();
    "childless = \"force\"".clone_into(&mut begins.connection);
    "    childless = force\n".clone_into(&mut begins.swanctl.0);
    let gateway = start(players.1, &lab, End::Gateway, &usual)?;
    let client = start(players.0, &lab, End::Client, &begins)?;
    let pair = Pair { client, gateway };
    pair.client.up()?;
    pair.expect(SaCount::ONE, SOON)?;
    ping(&lab.carol, lab::ALICE, 5)?;
    for (player, end) in [(players.0, &pair.client), (players.1, &pair.gateway)] {
        if player == Player::Strongswan {
            let log = end.log();
            ensure!(log.contains("N(CHDLESS_SUP)"), "the gateway does not say that it may");
            let auth = log.lines().filter(|line| line.contains("IKE_AUTH re"));
            ensure!(!auth.clone().any(|line| line.contains(" TSi ")), "a Child SA in IKE_AUTH");
            ensure!(
                log.lines().any(|line| line.contains("CREATE_CHILD_SA") && line.contains(" KE ")),
                "{log}"
            );
        }
    }
    for end in [&pair.client, &pair.gateway] {
        let before = pair.client.spis()?.0;
        end.rekey_child()?;
        wait::until_true("another Child SA", SOON, || Ok(pair.client.spis()?.0 != before))?;
        pair.expect(SaCount::ONE, SOON)?;
        ping(&lab.carol, lab::ALICE, 5).context("after a rekeying")?;
    }
    pair.client.down()?;
    pair.expect(SaCount::NONE, SOON)?;
    pair.client.stop()?;
    pair.gateway.stop()
}

/// What a gateway has behind it that the client does not ask for.
fn elsewhere(tunnel: &Tunnel) -> Tunnel {
    let wants = tunnel.wants().to_vec();
    Tunnel { inner: vec!["10.99.0.0/24".to_owned()], client_wants: wants, ..tunnel.clone() }
}

/// strongSwan has no such network: our client's IKE SA stands, and the child comes up once the network is there.
fn refused_by_strongswan(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let usual = Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes256gcm16");
    let gateway = start(Player::Strongswan, &lab, End::Gateway, &elsewhere(&usual))?;
    let client = Vpnhost::start(&lab, End::Client, &usual)?;
    let output = client.files().verb(&["up", CONNECTION])?;
    expect_error(&output, 1, &["TS_UNACCEPTABLE", "its IKE SA is"])?;
    ensure!((client.sas()?, gateway.sas()?) == (BARE, BARE), "{:?} {:?}", client.sas()?, gateway.sas()?);
    let explained = client.verb(&["explain", CONNECTION])?;
    for words in ["the IKE SA stands, tried again in", "home is up now; last failure: child net"] {
        ensure!(explained.contains(words), "{words:?} is missing in: {explained}");
    }
    ensure!(client.verb(&["status"])?.contains("[no-common-selector]"), "status does not tell");
    let ike = client.spis()?.1;
    gateway.configure(&usual)?;
    let pair = Pair { client: Box::new(client), gateway };
    pair.expect(SaCount::ONE, SOON * 5).context("once the network is there")?;
    ensure!(pair.client.spis()?.1 == ike, "the child came up on another IKE SA");
    ping(&lab.carol, lab::ALICE, 5)?;
    pair.client.stop()?;
    pair.gateway.stop()
}

/// Our gateway has no such network: strongSwan's IKE SA stands here too, and its next child comes up on it.
fn refused_by_ours(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let usual = Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes256gcm16");
    let wrong = Tunnel { client_wants: vec!["10.99.0.0/24".to_owned()], ..usual.clone() };
    let gateway = Vpnhost::start(&lab, End::Gateway, &usual)?;
    let client = start(Player::Strongswan, &lab, End::Client, &wrong)?;
    ensure!(client.up().is_err(), "a network that is not there was given");
    ensure!((client.sas()?, gateway.sas()?) == (BARE, BARE), "{:?} {:?}", client.sas()?, gateway.sas()?);
    let explained = gateway.verb(&["explain", CONNECTION])?;
    ensure!(explained.contains("the IKE SA stands, the peer may try again"), "{explained}");
    ensure!(!explained.contains("authentication failed"), "taken for a failed login: {explained}");
    client.configure(&usual)?;
    client.up()?;
    let pair = Pair { client, gateway: Box::new(gateway) };
    pair.expect(SaCount::ONE, SOON)?;
    ping(&lab.carol, lab::ALICE, 5)?;
    pair.client.stop()?;
    pair.gateway.stop()
}
