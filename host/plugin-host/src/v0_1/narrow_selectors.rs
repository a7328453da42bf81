//! `narrow-selectors`.

use vpnhost_policy::{Narrowing, SelectorMenu};
use wasmtime::{Result, Store};

use super::exports::narrow_selectors as wit;
use super::{Bindings, types};
use crate::guest::Guest;

impl Bindings {
    pub(crate) fn narrow_selectors(
        &self,
        store: &mut Store<Guest>,
        menu: &SelectorMenu,
    ) -> Result<Option<Narrowing>> {
        let Some(question) = &self.narrow_selectors else { return Ok(None) };
        let menu = wit::SelectorMenu {
            connection: menu.connection.clone(),
            child: menu.child.clone(),
            role: types::role(menu.role),
            peer_id: types::identity(&menu.peer_id),
            labels: types::attributes(&menu.labels),
            unix_secs: menu.unix_secs,
            rekeys: menu.rekeys,
            offered_local: types::selectors(&menu.offered_local),
            offered_remote: types::selectors(&menu.offered_remote),
            local: types::selectors(&menu.local),
            remote: types::selectors(&menu.remote),
            hints: types::attributes(&menu.hints),
        };
        Ok(question.call_narrow_selectors(store, &menu)?.map(|answer| Narrowing {
            local: types::selectors_in(answer.local),
            remote: types::selectors_in(answer.remote),
            why: types::why(answer.why),
        }))
    }
}
