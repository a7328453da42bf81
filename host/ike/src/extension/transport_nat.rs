//! Traffic selectors of transport mode where a NAT stands between the hosts (RFC 7296 §2.23.1): each host knows the
//! other by another address than that one knows itself by.
//!
//! The responder puts the addresses of the path in the place of those that were offered, decides with them, and answers
//! with what was offered: those are the addresses that the initiator's checksums cover. The initiator is not told which
//! ones the responder's do.

use std::net::IpAddr;

use vpnhost_model::{TrafficSelector, Translation};

use crate::extension::nat_detection::NatFindings;

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

/// Returns what the checksums of an initiator cover that offers these (RFC 3948 §3.1.2, the first way).
pub(crate) fn from_offered(ts_i: &[TrafficSelector], ts_r: &[TrafficSelector]) -> Translation {
    match (host(ts_i), host(ts_r)) {
        (Some(remote), Some(local)) => Translation::From { local, remote },
        (Some(_) | None, _) => Translation::Unknown,
    }
}

/// Returns what the checksums of a responder cover: its selectors' addresses, or others if there is a NAT.
pub(crate) fn of_responder(nat: NatFindings) -> Translation {
    if nat.local || nat.peer { Translation::Unknown } else { Translation::None }
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
    fn what_checksums_cover_is_told_by_the_offer_and_not_by_the_answer() {
        let (inside, server) = ([10, 0, 0, 9].into(), [192, 0, 2, 2].into());
        let offered = [inside, server].map(|address| [TrafficSelector::host(address)]);
        let from = Translation::From { local: server, remote: inside };
        assert_eq!(from_offered(&offered[0], &offered[1]), from);
        assert_eq!(from_offered(&[TrafficSelector::any_v4()], &offered[1]), Translation::Unknown);
        let behind = NatFindings { peer: true, ..NatFindings::default() };
        assert_eq!(of_responder(behind), Translation::Unknown);
        assert_eq!(of_responder(NatFindings::default()), Translation::None);
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
