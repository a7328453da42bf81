//! EAP's question for a name (RFC 7296 §2.16), which strongSwan answers, or does not miss where a gateway of ours leaves it out.

use anyhow::{Context as _, Result, ensure};

use super::certificate::certified;
use crate::peers::{Eap, End, Peer, Tunnel, USER};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::{Strongswan, Topology, Vpnhost, lab};

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![Story::new("eap-identity", asked_where_passwords_are_taken)]
}

fn asked_where_passwords_are_taken(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (tunnel, certificates) = certified(ground, &lab, "ecdsa")?;
    let tunnel = Tunnel { certificates: Some(certificates), ..tunnel };
    let name = End::Client.identity();
    for (method, name, is_asked) in
        [("mschapv2", USER.0, true), ("mschapv2", name, true), ("tls", name, false)]
    {
        let names = (name.to_owned(), End::Gateway.identity().to_owned());
        let eap = Some(Eap { method, alone: false, client: USER });
        let tunnel = Tunnel { client_names: names, eap, ..tunnel.clone() };
        let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
        let client = Strongswan::start(&lab, End::Client, &tunnel)?;
        client.up().with_context(|| name.to_owned())?;
        ping(&lab.carol, lab::ALICE, 1)?;
        let asked = client.log().contains("EAP/REQ/ID");
        ensure!(asked == is_asked, "{method}, {name}: asked is {asked}");
        Box::new(client).stop()?;
        gateway.end()?;
    }
    Ok(())
}
