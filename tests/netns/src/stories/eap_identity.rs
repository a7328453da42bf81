//! EAP's question for a name (RFC 7296 §2.16), which strongSwan answers where a gateway of ours asks, and does not miss.

use anyhow::{Context as _, Result, ensure};

use super::certificate::certified;
use crate::peers::{Eap, End, Peer, Tunnel, USER};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::{Strongswan, Topology, Vpnhost, lab};

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![Story::new("eap-identity", asked_where_ike_names_no_user)]
}

fn asked_where_ike_names_no_user(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (tunnel, certificates) = certified(ground, &lab, "ecdsa")?;
    let eap = Eap { method: "mschapv2", alone: false, client: USER };
    let tunnel = Tunnel { certificates: Some(certificates), eap: Some(eap), ..tunnel };
    for (name, is_asked) in [(USER.0, false), (End::Client.identity(), true)] {
        let names = (name.to_owned(), End::Gateway.identity().to_owned());
        let tunnel = Tunnel { client_names: names, ..tunnel.clone() };
        let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
        let client = Strongswan::start(&lab, End::Client, &tunnel)?;
        client.up().with_context(|| name.to_owned())?;
        ping(&lab.carol, lab::ALICE, 1)?;
        let asked = client.log().contains("EAP/REQ/ID");
        ensure!(asked == is_asked, "{name}: asked is {asked}");
        Box::new(client).stop()?;
        gateway.end()?;
    }
    Ok(())
}
