//! Whether a packet is an SA's (RFC 4301 §4.4.1.1 and §5.2).

use std::net::IpAddr;

use vpnhost_model::TrafficSelector;

use crate::packet::Header;

/// Tells whether a packet to the peer is selected.
pub(crate) fn select_outbound(
    local: &[TrafficSelector],
    remote: &[TrafficSelector],
    header: &Header,
) -> bool {
    any(local, header.source, header, header.ports.map(|p| p.source))
        && any(remote, header.destination, header, header.ports.map(|p| p.destination))
}

/// Tells whether a packet from the peer is selected.
pub(crate) fn select_inbound(local: &[TrafficSelector], remote: &[TrafficSelector], header: &Header) -> bool {
    any(remote, header.source, header, header.ports.map(|p| p.source))
        && any(local, header.destination, header, header.ports.map(|p| p.destination))
}

/// Tells whether one selector admits an address, a protocol and a port.
pub(crate) fn admits(selector: &TrafficSelector, address: IpAddr, protocol: u8, port: Option<u16>) -> bool {
    selector.contains_address(address)
        && (selector.protocol == 0 || selector.protocol == protocol)
        && match (selector.start_port, selector.end_port, port) {
            (0, u16::MAX, _) => true,
            // OPAQUE: only what has no visible port.
            (start, end, port) if start > end => port.is_none(),
            (start, end, Some(port)) => start <= port && port <= end,
            // RFC 4301 §7: a fragment without ports does not belong to an SA of certain ports.
            (_, _, None) => false,
        }
}

/// Tells whether selectors can be those of an SA.
pub(crate) fn are_valid(selectors: &[TrafficSelector]) -> bool {
    (1..=crate::limits::SELECTORS).contains(&selectors.len())
        && selectors.iter().all(TrafficSelector::is_valid)
}

fn any(selectors: &[TrafficSelector], address: IpAddr, header: &Header, port: Option<u16>) -> bool {
    selectors.iter().any(|selector| admits(selector, address, header.protocol, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_cannot_be_seen_match_any_and_opaque_only() {
        let net = TrafficSelector::prefix([10, 0, 0, 0].into(), 8).unwrap();
        let web = TrafficSelector { protocol: 6, start_port: 80, end_port: 80, ..net };
        let opaque = TrafficSelector { start_port: u16::MAX, end_port: 0, ..net };
        let host: IpAddr = [10, 1, 2, 3].into();
        for (selector, port, admitted) in [
            (net, Some(80), true),
            (net, None, true),
            (web, Some(80), true),
            (web, Some(81), false),
            (web, None, false),
            (opaque, Some(80), false),
            (opaque, None, true),
        ] {
            assert_eq!(admits(&selector, host, 6, port), admitted, "{selector:?} {port:?}");
        }
        assert!(!admits(&web, host, 17, Some(80)));
        assert!(!admits(&net, [11, 0, 0, 1].into(), 6, None));
    }
}
