//! Which traffic a Child SA carries (RFC 7296 §2.9).

use vpnhost_model::{Identity, Role, TrafficSelector};

use crate::{Attribute, limits};

/// The traffic that both sides would let through: offered ∩ configured.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectorMenu {
    /// The connection's name.
    pub connection: String,
    /// The child's name.
    pub child: String,
    /// This host's role in the exchange.
    pub role: Role,
    /// Who the peer has proved to be.
    pub peer_id: Identity,
    /// The labels of its authorization.
    pub labels: Vec<Attribute>,
    /// The wall clock: seconds since 1970.
    pub unix_secs: u64,
    /// Whether it takes the place of a Child SA that is up.
    pub rekeys: bool,
    /// What the peer asked for on this host's side, whatever is configured.
    pub offered_local: Vec<TrafficSelector>,
    /// What it asked for on its own.
    pub offered_remote: Vec<TrafficSelector>,
    /// This host's side.
    pub local: Vec<TrafficSelector>,
    /// The peer's side.
    pub remote: Vec<TrafficSelector>,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// The answer: each selector lies within one of the menu's; none on a side is TS_UNACCEPTABLE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Narrowing {
    /// This host's side.
    pub local: Vec<TrafficSelector>,
    /// The peer's side.
    pub remote: Vec<TrafficSelector>,
    /// The reason, for the operator.
    pub why: Option<String>,
}

impl Narrowing {
    /// Tells whether nothing is left to carry.
    pub fn is_unacceptable(&self) -> bool {
        self.local.is_empty() || self.remote.is_empty()
    }
}

/// Tells whether an answer stays on the menu.
pub(crate) fn admits(menu: &SelectorMenu, answer: &Narrowing) -> bool {
    within(&menu.local, &answer.local) && within(&menu.remote, &answer.remote)
}

/// Returns the menu that an answer leaves for the next policy.
pub(crate) fn restrict(menu: &SelectorMenu, answer: &Narrowing) -> SelectorMenu {
    SelectorMenu { local: answer.local.clone(), remote: answer.remote.clone(), ..menu.clone() }
}

fn within(menu: &[TrafficSelector], chosen: &[TrafficSelector]) -> bool {
    chosen.len() <= limits::SELECTORS
        && chosen.iter().all(|ts| ts.is_valid() && menu.iter().any(|item| item.contains(ts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ts(text: &str) -> TrafficSelector {
        let (base, length) = text.split_once('/').unwrap();
        TrafficSelector::prefix(base.parse().unwrap(), length.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_selector_wider_than_the_menu_is_off_it() {
        let menu = SelectorMenu {
            connection: "corp".into(),
            child: "net".into(),
            role: Role::Responder,
            peer_id: Identity::Fqdn("carol".into()),
            labels: Vec::new(),
            unix_secs: 0,
            rekeys: false,
            offered_local: vec![ts("0.0.0.0/0")],
            offered_remote: vec![ts("10.99.0.7/32")],
            local: vec![ts("10.20.0.0/16")],
            remote: vec![ts("10.99.0.7/32")],
            hints: Vec::new(),
        };
        let answer =
            |local: &str| Narrowing { local: vec![ts(local)], remote: menu.remote.clone(), why: None };
        assert!(admits(&menu, &answer("10.20.3.0/24")));
        assert!(!admits(&menu, &answer("10.0.0.0/8")));
        assert!(admits(&menu, &Narrowing { local: Vec::new(), remote: Vec::new(), why: None }));
    }
}
