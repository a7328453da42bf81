//! Which of its addresses this host tells the peer, and how carefully it believes the peer's (RFC 4555 §3.3, §3.6, §3.7).

use std::net::{IpAddr, SocketAddr};

use vpnhost_model::{Identity, LinkKind, Role};

use crate::{Attribute, ranking};

/// An IKE SA with MOBIKE is up, or the machine's addresses changed.
#[derive(Clone, Debug, PartialEq)]
pub struct AdvertisementMenu {
    /// The connection's name.
    pub connection: String,
    /// This host's role in the IKE SA.
    pub role: Role,
    /// Who the peer has proved to be.
    pub peer_id: Identity,
    /// The labels of its authorization.
    pub labels: Vec<Attribute>,
    /// The wall clock: seconds since 1970.
    pub unix_secs: u64,
    /// This host's end of the path in use.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Whether the peer is behind a NAT.
    pub peer_behind_nat: bool,
    /// The machine's addresses, the one in use too, without those that the tunnel itself brought; at most
    /// [`crate::limits::ADDRESSES`].
    pub addresses: Vec<AddressFacts>,
    /// What the configuration says: an answer may be as careful or more.
    pub return_routability: CheckTime,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// An address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressFacts {
    /// The address.
    pub address: IpAddr,
    /// The name of its interface.
    pub interface: String,
    /// What it is made of.
    pub kind: LinkKind,
    /// Whether traffic on it costs money.
    pub metered: bool,
    /// Whether it is dearer than at home, as the operator says.
    pub roaming: bool,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// When a new address of the peer's is checked: the greater, the more careful. A number where it crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckTime(pub u8);

impl CheckTime {
    /// Never.
    pub const NEVER: Self = Self(0);
    /// After the SA has moved there.
    pub const AFTER: Self = Self(1);
    /// Before it moves there.
    pub const BEFORE: Self = Self(2);
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Indices into [`AdvertisementMenu::addresses`], best first; none twice. What is left out the peer is not told.
    pub order: Vec<u32>,
    /// When the peer's new addresses are checked.
    pub return_routability: CheckTime,
    /// The reason, for the operator.
    pub why: Option<String>,
}

impl Advertisement {
    /// Returns the advertisement of these addresses.
    pub fn of(order: impl IntoIterator<Item = usize>, return_routability: CheckTime) -> Self {
        Self { order: ranking::order(order), return_routability, why: None }
    }

    /// Adds a reason.
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Returns the addresses in the advertisement's order; an index out of range is passed over.
    pub fn pick<'a, T>(&self, addresses: &'a [T]) -> Vec<&'a T> {
        ranking::pick(&self.order, addresses)
    }
}

/// Tells whether an answer stays on the menu.
pub(crate) fn admits(menu: &AdvertisementMenu, answer: &Advertisement) -> bool {
    let careful = menu.return_routability..=CheckTime::BEFORE;
    ranking::is_of(&answer.order, menu.addresses.len()) && careful.contains(&answer.return_routability)
}

/// Returns the menu that an answer leaves for the next policy.
pub(crate) fn restrict(menu: &AdvertisementMenu, answer: &Advertisement) -> AdvertisementMenu {
    AdvertisementMenu {
        addresses: answer.pick(&menu.addresses).into_iter().cloned().collect(),
        return_routability: answer.return_routability,
        ..menu.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_careful_as_the_operator_or_more() {
        let menu = AdvertisementMenu {
            connection: "corp".into(),
            role: Role::Initiator,
            peer_id: Identity::Fqdn("moon".into()),
            labels: Vec::new(),
            unix_secs: 0,
            local: ([192, 0, 2, 1], 4500).into(),
            remote: ([198, 51, 100, 1], 4500).into(),
            peer_behind_nat: false,
            addresses: Vec::new(),
            return_routability: CheckTime::AFTER,
            hints: Vec::new(),
        };
        let admitted = |time| admits(&menu, &Advertisement::of([], time));
        assert!(admitted(CheckTime::AFTER) && admitted(CheckTime::BEFORE));
        assert!(!admitted(CheckTime::NEVER) && !admitted(CheckTime(3)));
        assert!(!admits(&menu, &Advertisement::of([0], CheckTime::AFTER)));
        let left = restrict(&menu, &Advertisement::of([], CheckTime::BEFORE));
        assert!(!admits(&left, &Advertisement::of([], CheckTime::AFTER)), "undone by the next policy");
    }
}
