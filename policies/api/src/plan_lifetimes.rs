//! When a Child SA is replaced (RFC 4301 §4.4.2.1).

use vpnhost_model::{Identity, Role, TrafficSelector, Transform};

use crate::{Attribute, Bounds, Strength};

/// A Child SA is set up, for the first time or by a rekey.
#[derive(Clone, Debug, PartialEq)]
pub struct LifetimeMenu {
    /// The connection's name.
    pub connection: String,
    /// The child's name.
    pub child: String,
    /// This host's role in the IKE SA.
    pub role: Role,
    /// Who the peer has proved to be.
    pub peer_id: Identity,
    /// The labels of its authorization.
    pub labels: Vec<Attribute>,
    /// The wall clock: seconds since 1970.
    pub unix_secs: u64,
    /// Whether it takes the place of a Child SA that was up.
    pub rekeys: bool,
    /// What protects it.
    pub suite: Vec<Transform>,
    /// Of the weakest transform.
    pub strength: Strength,
    /// What it carries on this host's side.
    pub local: Vec<TrafficSelector>,
    /// What it carries on the peer's side.
    pub remote: Vec<TrafficSelector>,
    /// What the configuration says.
    pub native: Lifetimes,
    /// What an answer must keep within.
    pub bounds: LifetimesBounds,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// When a Child SA is rekeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Its age in seconds; 0 never.
    pub rekey_secs: u32,
    /// MiB of inner packets in one direction; 0 never.
    pub rekey_mib: u32,
    /// Packets in one direction; 0 never.
    pub rekey_packets: u32,
    /// The reason, for the operator.
    pub why: Option<String>,
}

/// What each of the lifetimes must keep within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifetimesBounds {
    /// Of [`Lifetimes::rekey_secs`].
    pub rekey_secs: Bounds,
    /// Of [`Lifetimes::rekey_mib`].
    pub rekey_mib: Bounds,
    /// Of [`Lifetimes::rekey_packets`].
    pub rekey_packets: Bounds,
}

impl LifetimesBounds {
    /// Bounds that harm neither the peer nor the SA; the host narrows them where an algorithm asks for it, and widens them
    /// with [`Bounds::including`] where the operator configured more.
    pub const SAFE: Self = Self {
        rekey_secs: Bounds::new(120, 86_400),
        rekey_mib: Bounds::new(1, u32::MAX).or_zero(),
        rekey_packets: Bounds::new(1_000, u32::MAX).or_zero(),
    };
}

/// Tells whether an answer keeps within its bounds.
pub(crate) fn admits(bounds: &LifetimesBounds, answer: &Lifetimes) -> bool {
    bounds.rekey_secs.admit(answer.rekey_secs)
        && bounds.rekey_mib.admit(answer.rekey_mib)
        && bounds.rekey_packets.admit(answer.rekey_packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_sa_may_not_live_for_ever_unless_the_operator_said_so() {
        let answer = |rekey_secs| Lifetimes { rekey_secs, rekey_mib: 0, rekey_packets: 0, why: None };
        assert!(admits(&LifetimesBounds::SAFE, &answer(3_600)));
        assert!(!admits(&LifetimesBounds::SAFE, &answer(0)));
        let widened = LifetimesBounds {
            rekey_secs: LifetimesBounds::SAFE.rekey_secs.including(0),
            ..LifetimesBounds::SAFE
        };
        assert!(admits(&widened, &answer(0)));
    }
}
