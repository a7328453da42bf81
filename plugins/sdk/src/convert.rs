//! Values that several questions share: WIT to policy and back.

use std::net::{IpAddr, SocketAddr};

use vpnhost_model::{Identity, Role, TrafficSelector, Transform, TransformType};
use vpnhost_policy::{Attribute, Bounds, Power, PowerSource};

use crate::bindings::base::vpnhost::policy::types as wit;

pub(crate) fn address(address: wit::IpAddress) -> IpAddr {
    match address {
        wit::IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        wit::IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}

pub(crate) fn endpoint(endpoint: wit::Endpoint) -> SocketAddr {
    SocketAddr::new(address(endpoint.address), endpoint.port)
}

pub(crate) fn role(role: wit::Role) -> Role {
    match role {
        wit::Role::Initiator => Role::Initiator,
        wit::Role::Responder => Role::Responder,
    }
}

pub(crate) fn addresses(addresses: Vec<wit::IpAddress>) -> Vec<IpAddr> {
    addresses.into_iter().map(address).collect()
}

pub(crate) fn transforms(transforms: Vec<wit::Transform>) -> Vec<Transform> {
    let transform =
        |it: wit::Transform| Transform { kind: TransformType(it.kind), id: it.id, key_bits: it.key_bits };
    transforms.into_iter().map(transform).collect()
}

pub(crate) fn power(power: wit::Power) -> Power {
    Power { source: PowerSource(power.source), battery_percent: power.battery_percent }
}

pub(crate) fn bounds(bounds: wit::Bounds) -> Bounds {
    Bounds { min: bounds.min, max: bounds.max, or_zero: bounds.or_zero }
}

pub(crate) fn attributes(attributes: Vec<wit::Attribute>) -> Vec<Attribute> {
    attributes.into_iter().map(|it| Attribute { key: it.key, value: it.value }).collect()
}

pub(crate) fn attributes_out(attributes: Vec<Attribute>) -> Vec<wit::Attribute> {
    attributes.into_iter().map(|it| wit::Attribute { key: it.key, value: it.value }).collect()
}

pub(crate) fn identity(identity: wit::Identity) -> Identity {
    Identity::from_wire(identity.kind, &identity.data)
}

pub(crate) fn selectors(selectors: Vec<wit::TrafficSelector>) -> Vec<TrafficSelector> {
    let selector = |ts: wit::TrafficSelector| TrafficSelector {
        protocol: ts.protocol,
        start_port: ts.start_port,
        end_port: ts.end_port,
        start: address(ts.start),
        end: address(ts.end),
    };
    selectors.into_iter().map(selector).collect()
}

pub(crate) fn selectors_out(selectors: Vec<TrafficSelector>) -> Vec<wit::TrafficSelector> {
    let selector = |ts: TrafficSelector| wit::TrafficSelector {
        protocol: ts.protocol,
        start_port: ts.start_port,
        end_port: ts.end_port,
        start: address_out(ts.start),
        end: address_out(ts.end),
    };
    selectors.into_iter().map(selector).collect()
}

pub(crate) fn address_out(address: IpAddr) -> wit::IpAddress {
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
