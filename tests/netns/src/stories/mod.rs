//! The stories: what a tunnel must do, each in namespaces of its own.

pub mod capability;
pub mod certificate;
pub mod certificate_life;
pub mod child;
pub mod cipher;
pub mod eap;
pub mod eap_identity;
pub mod explain;
pub mod failure;
pub mod flood;
pub mod flow;
pub mod group;
pub mod leak;
pub mod matrix;
pub mod network;
pub mod plugin;
pub mod raw_key;
pub mod reauth;
pub mod session;
pub mod transport;
pub mod wire;

use crate::story::Story;

/// Returns the stories about working and failing tunnels, in the order in which they are told.
#[must_use]
pub fn interop() -> Vec<Story> {
    let rooms = [
        session::stories(),
        cipher::stories(),
        matrix::stories(),
        network::stories(),
        capability::stories(),
        flow::stories(),
        transport::stories(),
        failure::stories(),
        explain::stories(),
        flood::stories(),
        certificate::stories(),
        group::stories(),
        certificate_life::stories(),
        child::stories(),
        raw_key::stories(),
        reauth::stories(),
        eap::stories(),
        eap_identity::stories(),
        plugin::stories(),
    ];
    rooms.into_iter().flatten().collect()
}

/// Returns all stories; those of the harness itself, which only show that the lab works, at the end.
#[must_use]
pub fn all() -> Vec<Story> {
    let mut stories = interop();
    stories.extend(leak::stories());
    stories.extend(wire::stories());
    stories.push(session::harness());
    stories.extend(network::harness());
    stories
}
