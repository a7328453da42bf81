//! Which traffic a Child SA carries: offered ∩ configured as the menu, and what was left of it.

use vpnhost_model::{Now, Role, TrafficSelector};
use vpnhost_pki::identity::folded;
use vpnhost_policy::{Answer, Question, SelectorMenu};

use crate::sa::state::Established;

/// This host's side and the peer's.
type Sides<'a> = (&'a [TrafficSelector], &'a [TrafficSelector]);

/// Builds the menu, with what the peer offered.
pub(crate) fn question(
    (connection, child): (&str, &str),
    established: &Established,
    (menu, offered): (Sides<'_>, Sides<'_>),
    (rekeys, now): (bool, Now),
) -> Question {
    Question::NarrowSelectors(SelectorMenu {
        connection: connection.to_owned(),
        child: child.to_owned(),
        role: Role::Responder,
        peer_id: folded(&established.peer_id),
        labels: established.labels.clone(),
        unix_secs: now.unix.as_secs(),
        rekeys,
        offered_local: offered.0.to_vec(),
        offered_remote: offered.1.to_vec(),
        local: menu.0.to_vec(),
        remote: menu.1.to_vec(),
        hints: Vec::new(),
    })
}

/// Returns this host's and the peer's side of what was left, or `None` if nothing is acceptable.
pub(crate) fn narrowed(answer: Option<Answer>) -> Option<(Vec<TrafficSelector>, Vec<TrafficSelector>)> {
    match answer {
        Some(Answer::NarrowSelectors(narrowing)) if !narrowing.is_unacceptable() => {
            Some((narrowing.local, narrowing.remote))
        }
        _ => None,
    }
}
