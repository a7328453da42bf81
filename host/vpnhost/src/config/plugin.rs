//! `[[plugin]]`.

use toml::de::DeValue;
use vpnhost_plugin_host::{SettingValue, Settings};
use vpnhost_policy::{OnFailure, QuestionSet};

use super::document::Section;
use super::item::Item;
use super::secret::Directories;
use super::value::{self, Wrong};
use super::{HostSettings, PluginSettings};
use crate::{limits, roles};

/// Reads every `[[plugin]]`.
pub(super) fn read(
    whole: &Section<'_>,
    host: &HostSettings,
    directories: &Directories,
) -> Vec<PluginSettings> {
    let mut plugins: Vec<PluginSettings> = Vec::new();
    for section in whole.sections("plugin") {
        let plugin = one(&section, host, directories);
        section.finish();
        let Some(plugin) = plugin else { continue };
        let is_second = plugin.name.is_some() && plugins.iter().any(|other| other.name == plugin.name);
        if is_second {
            section.report("name", Wrong::new("another plugin has this name"));
        }
        plugins.push(plugin);
    }
    plugins
}

fn one(section: &Section<'_>, host: &HostSettings, directories: &Directories) -> Option<PluginSettings> {
    let path = section.required("path", "\"plugins/FILE.wasm\"").and_then(|item| item.text());
    let native = PluginSettings::new("");
    let deadline = section.duration("deadline", limits::ANSWER_DEADLINE, native.deadline);
    if deadline > host.answer_deadline
        && let Some(item) = section.item("deadline")
    {
        let (own, whole) = (value::written(deadline), value::written(host.answer_deadline));
        item.warn(
            Wrong::new(format!("{own} is longer than the whole chain may take ({whole})"))
                .hint("raise [host] answer_deadline, or lower this"),
        );
    }
    let memory = section.item("memory").and_then(|item| item.size(limits::PLUGIN_MEMORY));
    let settings = PluginSettings {
        name: section.read("name", value::name),
        path: directories.resolve(path.unwrap_or_default()),
        questions: questions(section),
        deadline,
        memory: memory.and_then(|octets| usize::try_from(octets).ok()).unwrap_or(native.memory),
        on_failure: section.word(
            "on_failure",
            &[("deny", OnFailure::Deny), ("native", OnFailure::Native)],
            native.on_failure,
        ),
        settings: section.item("settings").map(|item| settings(&item)).unwrap_or_default(),
        place: Some(section.place()),
    };
    path.map(|_| settings)
}

fn questions(section: &Section<'_>) -> Option<QuestionSet> {
    let item = section.item("roles")?;
    let roles =
        section.each("roles", |item, role| item.take(roles::questions_of(role).map_err(Wrong::new)))?;
    if item.list().is_empty() {
        item.error(
            Wrong::new("is empty: the plugin would never be asked").hint("leave it out for every role"),
        );
    }
    Some(roles.into_iter().fold(QuestionSet::EMPTY, QuestionSet::union))
}

/// Takes the settings as they are written; the plugin itself says what is wrong with them.
fn settings(item: &Item<'_>) -> Settings {
    let pairs = item.pairs();
    pairs.into_iter().filter_map(|(key, item)| Some((key.to_owned(), setting(&item)?))).collect()
}

fn setting(item: &Item<'_>) -> Option<SettingValue> {
    Some(match item.value() {
        DeValue::String(text) => SettingValue::Text(text.clone().into_owned()),
        DeValue::Integer(_) => SettingValue::Integer(item.integer(i64::MIN..=i64::MAX)?),
        DeValue::Float(_) => SettingValue::Number(item.number(f64::MIN..=f64::MAX)?),
        DeValue::Boolean(flag) => SettingValue::Flag(*flag),
        DeValue::Array(_) => {
            let texts = item.list().iter().filter_map(|item| item.text().map(str::to_owned)).collect();
            SettingValue::Texts(texts)
        }
        DeValue::Datetime(_) | DeValue::Table(_) => {
            item.error(Wrong::new("must be a text, a number, true or false, or a list of texts"));
            return None;
        }
    })
}
