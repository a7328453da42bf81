//! The inside of a component: what [`crate::export_policy!`] calls.

use std::sync::OnceLock;

pub use crate::advertise_addresses::advertise_addresses;
pub use crate::assign_addresses::assign_addresses;
pub use crate::authorize_peer::authorize_peer;
pub use crate::choose_credential::choose_credential;
pub use crate::narrow_selectors::narrow_selectors;
pub use crate::plan_lifetimes::plan_lifetimes;
pub use crate::plan_maintenance::plan_maintenance;
pub use crate::rank_paths::rank_paths;
pub use crate::rank_proposals::rank_proposals;

use crate::bindings::base::exports::vpnhost::policy::{configure as wit, describe};
use crate::{Configure, SettingProblem, SettingValue, Settings, log};

/// Tells what the plugin is; `crate_facts` are name, version and description.
pub fn describe<P: Configure>(crate_facts: [&str; 3], answers: &[&str]) -> describe::PluginInfo {
    let [name, version, summary] = crate_facts;
    let settings = P::SETTINGS.iter().map(|spec| describe::SettingSpec {
        key: spec.key.to_owned(),
        kind: spec.kind.number(),
        required: spec.required,
        summary: spec.summary.to_owned(),
    });
    describe::PluginInfo {
        name: name.strip_prefix("vpnhost-plugin-").unwrap_or(name).to_owned(),
        version: version.to_owned(),
        summary: summary.to_owned(),
        answers: answers.iter().map(|question| question.replace('_', "-")).collect(),
        settings: settings.collect(),
    }
}

/// Makes the instance's policy out of the operator's settings.
///
/// # Errors
/// Every problem that was found.
pub fn configure<P: Configure>(
    policy: &OnceLock<P>,
    settings: Vec<wit::Setting>,
) -> Result<(), Vec<wit::SettingProblem>> {
    log::log_panics();
    let settings = Settings::new(settings.into_iter().map(|setting| (setting.key, value(setting.value))));
    let configured = settings.check(P::SETTINGS).and_then(|()| P::configure(&settings));
    let again = |_| vec![SettingProblem::general("this instance is configured already")];
    let Err(refused) = configured.and_then(|configured| policy.set(configured).map_err(again)) else {
        return Ok(());
    };
    Err(refused.into_iter().map(|it| wit::SettingProblem { key: it.key, problem: it.problem }).collect())
}

fn value(value: wit::Value) -> SettingValue {
    match value {
        wit::Value::Text(text) => SettingValue::Text(text),
        wit::Value::Integer(integer) => SettingValue::Integer(integer),
        wit::Value::Number(number) => SettingValue::Number(number),
        wit::Value::Flag(flag) => SettingValue::Flag(flag),
        wit::Value::Texts(texts) => SettingValue::Texts(texts),
    }
}
