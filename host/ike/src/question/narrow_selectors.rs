//! Which traffic a Child SA carries: offered ∩ configured as the menu, and what was left of it.

use vpnhost_model::{Identity, Role, TrafficSelector};
use vpnhost_policy::{Answer, Question, SelectorMenu};

/// Builds the menu.
pub(crate) fn question(
    (connection, child): (&str, &str),
    peer_id: &Identity,
    local: &[TrafficSelector],
    remote: &[TrafficSelector],
) -> Question {
    Question::NarrowSelectors(SelectorMenu {
        connection: connection.to_owned(),
        child: child.to_owned(),
        role: Role::Responder,
        peer_id: peer_id.clone(),
        local: local.to_vec(),
        remote: remote.to_vec(),
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
