//! `plan-lifetimes`.

use vpnhost_policy::{LifetimeMenu, Lifetimes};
use wasmtime::{Result, Store};

use super::exports::plan_lifetimes as wit;
use super::{Bindings, types};
use crate::guest::Guest;

impl Bindings {
    pub(crate) fn plan_lifetimes(
        &self,
        store: &mut Store<Guest>,
        menu: &LifetimeMenu,
    ) -> Result<Option<Lifetimes>> {
        let Some(question) = &self.plan_lifetimes else { return Ok(None) };
        let menu = wit::LifetimeMenu {
            connection: menu.connection.clone(),
            child: menu.child.clone(),
            role: types::role(menu.role),
            peer_id: types::identity(&menu.peer_id),
            labels: types::attributes(&menu.labels),
            unix_secs: menu.unix_secs,
            rekeys: menu.rekeys,
            suite: types::transforms(&menu.suite),
            strength: menu.strength.0,
            local: types::selectors(&menu.local),
            remote: types::selectors(&menu.remote),
            native: wit::Lifetimes {
                rekey_secs: menu.native.rekey_secs,
                rekey_mib: menu.native.rekey_mib,
                rekey_packets: menu.native.rekey_packets,
                why: menu.native.why.clone(),
            },
            bounds: wit::LifetimesBounds {
                rekey_secs: types::bounds(menu.bounds.rekey_secs),
                rekey_mib: types::bounds(menu.bounds.rekey_mib),
                rekey_packets: types::bounds(menu.bounds.rekey_packets),
            },
            hints: types::attributes(&menu.hints),
        };
        Ok(question.call_plan_lifetimes(store, &menu)?.map(|answer| Lifetimes {
            rekey_secs: answer.rekey_secs,
            rekey_mib: answer.rekey_mib,
            rekey_packets: answer.rekey_packets,
            why: types::why(answer.why),
        }))
    }
}
