//! Traffic selectors of transport mode where a NAT stands between the hosts (RFC 7296 §2.23.1): each host knows the
//! other by another address than that one knows itself by.
//!
//! The responder puts the addresses of the path in the place of those that were offered, decides with them, and answers
//! with what was offered. The packet path makes checksums right without knowing the addresses before the NAT.

use std::net::IpAddr;

use vpnhost_model::TrafficSelector;

/// Returns selectors of one host as those of the address that it has here; others remain as they are.
pub(crate) fn seen_at(selectors: &[TrafficSelector], here: IpAddr) -> Vec<TrafficSelector> {
    let Some(there) = host(selectors) else { return selectors.to_vec() };
    if there.is_ipv4() != here.is_ipv4() {
        return selectors.to_vec();
    }
    selectors.iter().map(|selector| TrafficSelector { start: here, end: here, ..*selector }).collect()
}

/// Returns what was decided in the words of the offer.
pub(crate) fn as_offered(decided: &[TrafficSelector], offered: &[TrafficSelector]) -> Vec<TrafficSelector> {
    match host(offered) {
        Some(there) => seen_at(decided, there),
        None => decided.to_vec(),
    }
}

fn host(selectors: &[TrafficSelector]) -> Option<IpAddr> {
    let first = selectors.first()?.start;
    selectors.iter().all(|selector| (selector.start, selector.end) == (first, first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_before_the_nat_is_answered_and_the_one_behind_it_is_used() {
        let (inside, outside): (IpAddr, IpAddr) = ([10, 0, 0, 9].into(), [192, 0, 2, 1].into());
        let web =
            TrafficSelector { protocol: 6, start_port: 80, end_port: 80, ..TrafficSelector::host(inside) };
        let offered = [web, TrafficSelector::host(inside)];
        let seen = seen_at(&offered, outside);
        assert_eq!(
            seen,
            [TrafficSelector { start: outside, end: outside, ..web }, TrafficSelector::host(outside)]
        );
        assert_eq!(as_offered(&seen[..1], &offered), [web]);
    }

    #[test]
    fn what_is_not_one_host_remains() {
        let here = [192, 0, 2, 1].into();
        let net = [TrafficSelector::prefix([10, 0, 0, 0].into(), 8).unwrap()];
        assert_eq!(seen_at(&net, here), net);
        assert_eq!(as_offered(&net, &net), net);
        let v6 = [TrafficSelector::host("fd00::1".parse().unwrap())];
        assert_eq!(seen_at(&v6, here), v6);
    }
}
