//! Packets that wait for the connection that they wake: which do, and when they wait in vain.

use vpnhost_ike::PeerConfig;
use vpnhost_ike::config::{SelectorConfig, Start};
use vpnhost_ike::output::{CloseReason, Event};
use vpnhost_model::TrafficSelector;

use super::ControlPlane;

impl ControlPlane {
    /// Tells the packet path which packets wait for an SA: those that a connection is begun by.
    pub(super) fn expect(&self) {
        let connections = self.config.endpoint.connections.iter();
        let woken = connections.filter(|it| it.initiate && it.start == Start::OnTraffic);
        self.data_plane.expect(woken.flat_map(|it| behind(it, None)).collect());
    }

    /// Has packets dropped whose SA did not come up, or is wanted no longer.
    pub(super) fn give_up(&self, event: &Event) {
        let (name, child) = if let Event::ChildSaFailed { connection, child, .. } = event {
            (connection, Some(child.as_str()))
        } else if let Event::IkeSaClosed { connection: Some(connection), reason, .. } = event
            // What was replaced goes on under another name.
            && *reason != CloseReason::Replaced
        {
            (connection, None)
        } else {
            return;
        };
        let connections = &self.config.endpoint.connections;
        if let Some(connection) = connections.iter().find(|it| it.name == *name)
            && connection.start == Start::OnTraffic
        {
            self.data_plane.give_up(behind(connection, child));
        }
    }
}

/// Returns what is behind a connection's peer, or behind one child of it.
fn behind(connection: &PeerConfig, child: Option<&str>) -> Vec<TrafficSelector> {
    let children = connection.children.iter().filter(|it| child.is_none_or(|name| name == it.name));
    let gateway = connection.gateways.first().map(|gateway| gateway.address.ip());
    let of = |selector: &SelectorConfig| match selector {
        SelectorConfig::Fixed(selector) => Some(*selector),
        SelectorConfig::Dynamic => gateway.map(TrafficSelector::host),
    };
    children.flat_map(|it| &it.remote).filter_map(of).collect()
}
