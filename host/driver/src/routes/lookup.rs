//! Route look-ups: what the kernel itself would do with a packet. Its tables are never copied.

use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteType};
use vpnhost_model::AddressPair;

use super::Family;
use super::kernel::{Kernel, address_family, ip};

impl Kernel {
    /// Returns which address and interface a packet to `remote` with a mark would leave from.
    pub(crate) async fn source_for(&self, remote: IpAddr, mark: u32) -> Option<(IpAddr, u32)> {
        let answer = self.look_up(query(remote, mark)).await?;
        let mut source = None;
        let mut interface = None;
        for attribute in &answer.attributes {
            if let RouteAttribute::PrefSource(address) = attribute {
                source = ip(address);
            } else if let RouteAttribute::Oif(index) = attribute {
                interface = Some(*index);
            }
        }
        Some((source?, interface?))
    }

    /// Tells whether a packet with a mark from a pair's address by its interface would be on its way to the other.
    pub(crate) async fn reaches(&self, pair: AddressPair, mark: u32) -> bool {
        let mut query = query(pair.remote, mark);
        // The route of the table is asked for. Else the kernel takes any destination for a neighbour on an interface that
        // is named, even where no route leads.
        query.header.flags |= RouteFlags::FibMatch;
        query.header.source_prefix_length = Family::of(pair.local).bits();
        query.attributes.push(RouteAttribute::Source(pair.local.into()));
        query.attributes.push(RouteAttribute::Oif(pair.interface));
        self.look_up(query).await.is_some()
    }

    async fn look_up(&self, query: RouteMessage) -> Option<RouteMessage> {
        // Without a route the answer is an error.
        let answer = self.handle.route().get(query).execute().try_next().await.ok()??;
        matches!(answer.header.kind, RouteType::Unicast | RouteType::Local).then_some(answer)
    }
}

fn query(remote: IpAddr, mark: u32) -> RouteMessage {
    let mut query = RouteMessage::default();
    query.header.address_family = address_family(Family::of(remote));
    query.header.destination_prefix_length = Family::of(remote).bits();
    query.attributes = vec![RouteAttribute::Destination(remote.into()), RouteAttribute::Mark(mark)];
    query
}
