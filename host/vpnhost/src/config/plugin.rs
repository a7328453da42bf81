//! `[[plugin]]`.

use toml::de::DeValue;
use vpnhost_plugin_host::{Grant, SettingValue, Settings, StoreKind, TableKeys, TableSpec};
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
    let name = section.read("name", value::name);
    let grants = grants(section);
    let memory = section.item("memory").and_then(|item| item.size(limits::PLUGIN_MEMORY));
    let settings = PluginSettings {
        store: store(section, &grants, name.is_some()),
        tables: tables(section, &grants, directories),
        name,
        grants,
        path: directories.resolve(path.unwrap_or_default()),
        questions: questions(section),
        deadline,
        memory: memory.and_then(|octets| usize::try_from(octets).ok()).unwrap_or(native.memory),
        on_failure: section.word(
            "on_failure",
            &[("deny", OnFailure::Deny), ("native", OnFailure::Native)],
            native.on_failure,
        ),
        watch: section.flag("watch", false),
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

/// Reads what the plugin may have of the host.
fn grants(section: &Section<'_>) -> Vec<Grant> {
    let mut grants = Vec::new();
    let words = Grant::ALL.map(|grant| (grant.name(), Some(grant)));
    for item in section.item("grant").iter().flat_map(Item::list) {
        // Every plugin has the log; to say so is no mistake.
        let known = [words[0], words[1], words[2], ("log", None)];
        match item.word(&known) {
            Some(Some(grant)) if grants.contains(&grant) => {
                item.error(Wrong::new(format!("{grant} stands here twice")));
            }
            Some(grant) => grants.extend(grant),
            None => {}
        }
    }
    grants
}

fn store(section: &Section<'_>, grants: &[Grant], is_named: bool) -> StoreKind {
    let kind =
        section.word("store", &[("memory", StoreKind::Memory), ("keep", StoreKind::Keep)], StoreKind::Memory);
    if let Some(item) = section.item("store") {
        if !grants.contains(&Grant::Kv) {
            item.error(Wrong::new("has no effect: the plugin gets no store").hint("write grant = [\"kv\"]"));
        } else if kind == StoreKind::Keep && !is_named {
            item.error(
                Wrong::new("needs a name, by which the store is found again").hint("write name = \"…\""),
            );
        }
    }
    kind
}

/// Reads the tables that the plugin may look into; the plugin host reads what is in them.
fn tables(section: &Section<'_>, grants: &[Grant], directories: &Directories) -> Vec<TableSpec> {
    let Some(item) = section.item("data") else { return Vec::new() };
    if !grants.contains(&Grant::Data) {
        item.error(Wrong::new("has no effect: the plugin gets no tables").hint("write grant = [\"data\"]"));
    }
    let pairs = item.pairs();
    if pairs.len() > vpnhost_plugin_host::limits::TABLES {
        let most = vpnhost_plugin_host::limits::TABLES;
        item.error(Wrong::new(format!("names more than {most} tables")));
    }
    pairs.into_iter().filter_map(|(name, item)| table(name, &item, directories)).collect()
}

fn table(name: &str, item: &Item<'_>, directories: &Directories) -> Option<TableSpec> {
    let name = item.take(value::name(name))?;
    if let DeValue::String(path) = item.value() {
        return Some(TableSpec { name, path: directories.resolve(path), keys: TableKeys::Texts });
    }
    let DeValue::Table(_) = item.value() else {
        item.error(
            Wrong::new("must be a file's name")
                .hint("write \"FILE.csv\" for texts, { networks = \"FILE.csv\" } for addresses"),
        );
        return None;
    };
    let section = item.section()?;
    let path = section.required("networks", "\"FILE.csv\"").and_then(|item| item.text());
    section.finish();
    Some(TableSpec { name, path: directories.resolve(path?), keys: TableKeys::Networks })
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
