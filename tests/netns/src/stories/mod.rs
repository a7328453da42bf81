//! The stories: what a tunnel must do, each in namespaces of its own.

pub mod attacker;
pub mod bad_link;
pub mod black_hole;
pub mod both_ends;
pub mod both_named;
pub mod capability;
pub mod certificate;
pub mod certificate_life;
pub mod child;
pub mod cipher;
pub mod crash;
pub mod eap;
pub mod eap_identity;
pub mod explain;
pub mod failure;
pub mod flood;
pub mod flow;
pub mod group;
pub mod ipv6;
pub mod keepalive;
pub mod leak;
pub mod matrix;
pub mod mobility;
pub mod name;
pub mod narrow_v6;
pub mod network;
pub mod plugin;
pub mod plugin_swap;
pub mod raw_key;
pub mod reauth;
pub mod roam;
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
        mobility::stories(),
        attacker::stories(),
        both_ends::stories(),
        both_named::stories(),
        black_hole::stories(),
        narrow_v6::stories(),
        ipv6::stories(),
        name::stories(),
        crash::stories(),
        keepalive::stories(),
        explain::stories(),
        flood::stories(),
        certificate::stories(),
        group::stories(),
        certificate_life::stories(),
        child::stories(),
        raw_key::stories(),
        reauth::stories(),
        roam::stories(),
        eap::stories(),
        eap_identity::stories(),
        plugin::stories(),
        plugin_swap::stories(),
    ];
    rooms.into_iter().flatten().collect()
}

/// Returns all stories; those of the harness itself, which only show that the lab works, at the end.
#[must_use]
pub fn all() -> Vec<Story> {
    let mut stories = interop();
    stories.extend(leak::stories());
    stories.extend(wire::stories());
    stories.extend(bad_link::stories());
    stories.push(session::harness());
    stories.extend(network::harness());
    stories
}
