//! Values that several questions share.

use std::net::{IpAddr, SocketAddr};

use vpnhost_model::{Identity, Role, TrafficSelector, Transform};
use vpnhost_policy::{Attribute, Bounds, Power, limits};

use super::wit::vpnhost::policy::types as wit;
use crate::guest::printable;

pub(super) fn address(address: IpAddr) -> wit::IpAddress {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            wit::IpAddress::Ipv4((a, b, c, d))
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.segments();
            wit::IpAddress::Ipv6((a, b, c, d, e, f, g, h))
        }
    }
}

pub(super) fn endpoint(endpoint: SocketAddr) -> wit::Endpoint {
    wit::Endpoint { address: address(endpoint.ip()), port: endpoint.port() }
}

pub(super) fn role(role: Role) -> wit::Role {
    match role {
        Role::Initiator => wit::Role::Initiator,
        Role::Responder => wit::Role::Responder,
    }
}

pub(super) fn addresses(addresses: &[IpAddr]) -> Vec<wit::IpAddress> {
    addresses.iter().copied().map(address).collect()
}

pub(super) fn transforms(transforms: &[Transform]) -> Vec<wit::Transform> {
    let transform = |it: &Transform| wit::Transform { kind: it.kind.0, id: it.id, key_bits: it.key_bits };
    transforms.iter().map(transform).collect()
}

pub(super) fn power(power: Power) -> wit::Power {
    wit::Power { source: power.source.0, battery_percent: power.battery_percent }
}

pub(super) fn bounds(bounds: Bounds) -> wit::Bounds {
    wit::Bounds { min: bounds.min, max: bounds.max, or_zero: bounds.or_zero }
}

pub(super) fn attributes(attributes: &[Attribute]) -> Vec<wit::Attribute> {
    attributes.iter().map(|it| wit::Attribute { key: it.key.clone(), value: it.value.clone() }).collect()
}

/// Labels that reach `status` and the log: one more than allowed is kept, so that it shows.
pub(super) fn labels(attributes: Vec<wit::Attribute>) -> Vec<Attribute> {
    let label = |it: wit::Attribute| Attribute { key: text(&it.key), value: text(&it.value) };
    attributes.into_iter().take(limits::LABELS + 1).map(label).collect()
}

pub(super) fn identity(identity: &Identity) -> wit::Identity {
    let (kind, data) = identity.to_wire();
    wit::Identity { kind, data, text: identity.to_string() }
}

pub(super) fn selectors(selectors: &[TrafficSelector]) -> Vec<wit::TrafficSelector> {
    let selector = |ts: &TrafficSelector| wit::TrafficSelector {
        protocol: ts.protocol,
        start_port: ts.start_port,
        end_port: ts.end_port,
        start: address(ts.start),
        end: address(ts.end),
    };
    selectors.iter().map(selector).collect()
}

pub(super) fn selectors_in(selectors: Vec<wit::TrafficSelector>) -> Vec<TrafficSelector> {
    let selector = |ts: wit::TrafficSelector| TrafficSelector {
        protocol: ts.protocol,
        start_port: ts.start_port,
        end_port: ts.end_port,
        start: address_in(ts.start),
        end: address_in(ts.end),
    };
    selectors.into_iter().map(selector).collect()
}

pub(super) fn why(why: Option<String>) -> Option<String> {
    why.as_deref().map(text)
}

pub(super) fn text(text: &str) -> String {
    printable(text, limits::TEXT_OCTETS)
}

pub(super) fn address_in(address: wit::IpAddress) -> IpAddr {
    match address {
        wit::IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        wit::IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}
