//! Traffic selectors: what is configured as what goes out, and narrowing (RFC 7296 §2.9).

use std::net::IpAddr;

use vpnhost_model::TrafficSelector;

use crate::config::SelectorConfig;
use crate::limits;

/// Resolves configured selectors: a dynamic one is the virtual addresses, or else the address on the path.
pub(crate) fn resolve(
    configured: &[SelectorConfig],
    virtual_addresses: &[IpAddr],
    path_address: IpAddr,
) -> Vec<TrafficSelector> {
    let mut selectors = Vec::new();
    for selector in configured {
        match selector {
            SelectorConfig::Fixed(selector) => selectors.push(*selector),
            SelectorConfig::Dynamic if virtual_addresses.is_empty() => {
                selectors.push(TrafficSelector::host(path_address));
            }
            SelectorConfig::Dynamic => {
                selectors.extend(virtual_addresses.iter().copied().map(TrafficSelector::host));
            }
        }
    }
    selectors.truncate(limits::SELECTORS);
    selectors
}

/// Returns what an initiator offers while it does not know its virtual addresses yet: a dynamic
/// selector is every address of the families asked for.
pub(crate) fn resolve_before_assignment(
    configured: &[SelectorConfig],
    (v4, v6): (bool, bool),
    path_address: IpAddr,
) -> Vec<TrafficSelector> {
    let mut selectors = Vec::new();
    for selector in configured {
        match selector {
            SelectorConfig::Fixed(selector) => selectors.push(*selector),
            SelectorConfig::Dynamic if !v4 && !v6 => selectors.push(TrafficSelector::host(path_address)),
            SelectorConfig::Dynamic => {
                selectors.extend(v4.then(TrafficSelector::any_v4));
                selectors.extend(v6.then(TrafficSelector::any_v6));
            }
        }
    }
    selectors.truncate(limits::SELECTORS);
    selectors
}

/// Returns what is both offered and configured, in the order of the offer; nothing twice.
pub(crate) fn intersect(offered: &[TrafficSelector], configured: &[TrafficSelector]) -> Vec<TrafficSelector> {
    let mut common: Vec<TrafficSelector> = Vec::new();
    for offer in offered.iter().take(limits::SELECTORS) {
        for own in configured {
            let Some(both) = offer.intersection(own) else { continue };
            if common.iter().any(|other| other.contains(&both)) {
                continue;
            }
            common.retain(|other| !both.contains(other));
            common.push(both);
        }
    }
    common.truncate(limits::SELECTORS);
    common
}

/// Tells whether an answer lies within what was offered, and is not empty.
pub(crate) fn is_within(answer: &[TrafficSelector], offered: &[TrafficSelector]) -> bool {
    let inside = |selector: &TrafficSelector| offered.iter().any(|offer| offer.contains(selector));
    !answer.is_empty() && answer.len() <= limits::SELECTORS && answer.iter().all(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ts(text: &str) -> TrafficSelector {
        let (base, length) = text.split_once('/').unwrap();
        TrafficSelector::prefix(base.parse().unwrap(), length.parse().unwrap()).unwrap()
    }

    #[test]
    fn narrowing_keeps_what_both_sides_have() {
        let offered = [ts("10.0.0.1/32"), ts("0.0.0.0/0"), ts("::/0")];
        let configured = [ts("10.0.0.0/24"), ts("10.1.0.0/24")];
        assert_eq!(intersect(&offered, &configured), [ts("10.0.0.0/24"), ts("10.1.0.0/24")]);
        assert!(intersect(&[ts("::/0")], &configured).is_empty());
    }

    #[test]
    fn an_answer_outside_of_the_offer_is_seen() {
        let offered = [ts("10.0.0.0/24")];
        assert!(is_within(&[ts("10.0.0.7/32")], &offered));
        assert!(!is_within(&[ts("10.0.0.0/23")], &offered));
        assert!(!is_within(&[], &offered));
    }

    #[test]
    fn a_dynamic_selector_is_the_virtual_address_or_else_the_paths() {
        let path = "192.0.2.1".parse().unwrap();
        let one = ["10.99.0.1".parse().unwrap()];
        assert_eq!(resolve(&[SelectorConfig::Dynamic], &one, path), [ts("10.99.0.1/32")]);
        assert_eq!(resolve(&[SelectorConfig::Dynamic], &[], path), [ts("192.0.2.1/32")]);
        let asked = resolve_before_assignment(&[SelectorConfig::Dynamic], (true, false), path);
        assert_eq!(asked, [ts("0.0.0.0/0")]);
    }
}
