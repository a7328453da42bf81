//! What an author wrote down: questions, and what must come of them.
//!
//! ```toml
//! settings = { from = "08:00", to = "18:00" }
//! kv       = { carol = "3" }
//! data     = { users = "users.csv", geo = { networks = "geo.csv" } }
//!
//! [[step]]
//! name     = "nobody comes in at night"
//! question = "authorize-peer"
//! asked    = { peer_id = "carol@example.org", unix_secs = 1795572000 }
//! expect   = { answer = { refuse = "outside office hours" } }
//! ```
//!
//! A question has the keys that it has in a log of decisions. What is left out is zero, false, empty or not there, and so
//! it is in the items of lists. Steps are put one after the other, over one store.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use vpnhost_plugin_host::{
    LoadError, PluginSpec, SettingValue, Settings, TableKeys, TableSpec, Told, WasmPolicy,
};
use vpnhost_policy::{Answer, Policy as _, Question, QuestionKind};
use vpnhost_record::{Fields, Form as _, Wrong, read_question};

use crate::conformance::{Check, dependence, wrong_reply};
use crate::difference::{between, said};
use crate::questions::{Random, Shape};
use crate::{Subject, limits};

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    name: String,
    settings: Option<Settings>,
    kv: Vec<(String, String)>,
    tables: Vec<TableSpec>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    name: String,
    question: Question,
    expect: Expectation,
}

/// What must come of a question. What is not said is free, but for the menu.
#[derive(Clone, Debug, Default)]
struct Expectation {
    /// Parts of the answer.
    answer: Option<Value>,
    abstains: Option<bool>,
    fails: Option<bool>,
    /// A part of the reason.
    why: Option<String>,
    at_least: Map<String, Value>,
    at_most: Map<String, Value>,
    /// Indices that are not in the order.
    leaves_out: Vec<u32>,
    /// What is in the store afterwards.
    kv: Vec<(String, String)>,
}

/// Why a scenario is not read.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read scenario {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no TOML, or no JSON where its name says so.
    #[error("scenario {} is not understood: {problem}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It says what no scenario says.
    #[error("scenario {}: {wrong}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        wrong: Wrong,
    },
}

impl Scenario {
    /// Reads a file: TOML, or JSON where its name ends so.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let failed = |source| ScenarioError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(limits::SCENARIO_OCTETS).read_to_string(&mut text).map_err(failed)?;
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        let value: Result<Value, String> = if is_json {
            serde_json::from_str(&text).map_err(|error| error.to_string())
        } else {
            toml::from_str(&text).map_err(|error| error.to_string())
        };
        let value = value.map_err(|problem| ScenarioError::Syntax { path: path.to_owned(), problem })?;
        let base = path.parent().unwrap_or(Path::new(""));
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        scenario(name, base, &value).map_err(|wrong| ScenarioError::Content { path: path.to_owned(), wrong })
    }

    /// Puts its questions to a component, and gives what came of each to `done`.
    ///
    /// # Errors
    /// A component that is not loaded with these settings.
    pub fn run(&self, subject: &Subject, mut done: impl FnMut(Check)) -> Result<(), LoadError> {
        let mut spec = PluginSpec { tables: self.tables.clone(), ..subject.spec().clone() };
        if let Some(settings) = &self.settings {
            spec.settings.clone_from(settings);
        }
        let plugin = subject.start_with(spec)?;
        for (key, value) in &self.kv {
            if let Err(refused) = plugin.lay_in(key, value.as_bytes()) {
                let mut check = Check::new(format!("{}: kv", self.name));
                check.tried(Some(format!("`{key}` cannot be laid in: {refused}")));
                done(check);
            }
        }
        for step in &self.steps {
            let mut check = Check::new(format!("{}: {}", self.name, step.name));
            check.tried(step.fault(&plugin));
            done(check);
        }
        Ok(())
    }
}

impl Step {
    /// Puts the question, and tells what is wrong with what comes of it.
    fn fault(&self, plugin: &WasmPolicy) -> Option<String> {
        let heard = plugin.consult_on_record(&self.question);
        let Expectation { abstains, fails, .. } = &self.expect;
        match (&heard.reply, fails.unwrap_or(false)) {
            (Err(_), true) => return None,
            (Ok(answer), true) => {
                return Some(format!("it should fail, and answers: {}", said(answer.as_ref())));
            }
            (Ok(_) | Err(_), false) => {}
        }
        if let Some(fault) = wrong_reply(&self.question, &heard) {
            return Some(fault);
        }
        let fresh = plugin.aside(&self.question, Told::Recorded(&heard.imports)).recorded;
        if let Some(fault) = dependence(&heard, &fresh) {
            return Some(fault);
        }
        let Ok(answer) = heard.reply else { return None };
        match (&answer, abstains) {
            (Some(answer), Some(true)) => {
                return Some(format!("it should abstain, and answers: {}", said(Some(answer))));
            }
            (None, Some(false)) => return Some("it should answer, and abstains".to_owned()),
            (Some(_) | None, _) => {}
        }
        let faults = self.expect.differences(answer.as_ref(), plugin);
        let title = "the answer is another than expected (expected → found)";
        (!faults.is_empty())
            .then(|| faults.iter().fold(title.to_owned(), |text, line| format!("{text}\n  {line}")))
    }
}

impl Expectation {
    fn differences(&self, answer: Option<&Answer>, plugin: &WasmPolicy) -> Vec<String> {
        let found = said(answer);
        let mut lines = Vec::new();
        if let Some(expected) = &self.answer {
            lines.extend(between(expected, &only(expected, &found)));
        }
        if let Some(part) = &self.why {
            let why = answer.and_then(Answer::why).unwrap_or_default();
            if !why.contains(part.as_str()) {
                lines.push(format!("why: … {part:?} … → {why:?}"));
            }
        }
        let number = |key: &str| found.get(key).and_then(Value::as_i64);
        for (bounds, sign) in [(&self.at_least, "≥"), (&self.at_most, "≤")] {
            for (key, bound) in bounds {
                let kept = number(key).zip(bound.as_i64()).is_some_and(|(number, bound)| {
                    if sign == "≥" { number >= bound } else { number <= bound }
                });
                if !kept {
                    lines.push(format!("{key}: {sign} {bound} → {}", found.get(key).unwrap_or(&Value::Null)));
                }
            }
        }
        let order = found.get("order").and_then(Value::as_array);
        for index in &self.leaves_out {
            if order.is_none_or(|order| order.contains(&(*index).into())) {
                lines
                    .push(format!("order: without {index} → {}", found.get("order").unwrap_or(&Value::Null)));
            }
        }
        for (key, expected) in &self.kv {
            let stored = plugin.laid_in(key).map(|octets| String::from_utf8_lossy(&octets).into_owned());
            if stored.as_ref() != Some(expected) {
                lines.push(format!("kv.{key}: {expected:?} → {stored:?}"));
            }
        }
        lines
    }
}

/// Returns of a document what another one speaks of. A refusal's reason is compared by its beginning.
fn only(expected: &Value, found: &Value) -> Value {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let there = expected.iter().filter_map(|(key, it)| {
                let value = found.get(key)?;
                let value = match (key.as_str(), it.as_str(), value.as_str()) {
                    ("refuse", Some(begins), Some(reason)) if reason.starts_with(begins) => it.clone(),
                    _ => only(it, value),
                };
                Some((key.clone(), value))
            });
            Value::Object(there.collect())
        }
        (_, found) => found.clone(),
    }
}

fn scenario(name: String, base: &Path, value: &Value) -> Result<Scenario, Wrong> {
    let mut fields = Fields::of(value)?;
    let settings =
        fields.find("settings").map(settings).transpose().map_err(|wrong| wrong.under("settings"))?;
    let kv = texts(&mut fields, "kv")?;
    let tables = match fields.find("data") {
        Some(data) => tables(base, data).map_err(|wrong| wrong.under("data"))?,
        None => Vec::new(),
    };
    let written =
        fields.find("step").and_then(Value::as_array).ok_or_else(|| Wrong::new("lacks a [[step]]"))?;
    let read = |(index, it)| step(index, it).map_err(|wrong: Wrong| wrong.under(&format!("step[{index}]")));
    let steps = written.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    fields.finish()?;
    Ok(Scenario { name, settings, kv, tables, steps })
}

fn step(index: usize, value: &Value) -> Result<Step, Wrong> {
    let mut fields = Fields::of(value)?;
    let kind: QuestionKind = fields.take("question")?;
    let name: Option<String> = fields.take("name")?;
    let asked = laid_over_a_plain_one(kind, fields.find("asked").unwrap_or(&Value::Null));
    let question = read_question(kind, &asked).map_err(|wrong| wrong.under("asked"))?;
    let expect = match fields.find("expect") {
        Some(expect) => expectation(expect).map_err(|wrong| wrong.under("expect"))?,
        None => Expectation::default(),
    };
    fields.finish()?;
    Ok(Step { name: name.unwrap_or_else(|| format!("step {}", index + 1)), question, expect })
}

fn expectation(value: &Value) -> Result<Expectation, Wrong> {
    let mut fields = Fields::of(value)?;
    let expect = Expectation {
        answer: fields.find("answer").cloned(),
        abstains: fields.take("abstains")?,
        fails: fields.take("fails")?,
        why: fields.take("why")?,
        at_least: object(&mut fields, "at_least")?,
        at_most: object(&mut fields, "at_most")?,
        leaves_out: fields.take("leaves_out")?,
        kv: texts(&mut fields, "kv")?,
    };
    fields.finish()?;
    Ok(expect)
}

fn object(fields: &mut Fields<'_>, key: &'static str) -> Result<Map<String, Value>, Wrong> {
    match fields.find(key) {
        None => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map.clone()),
        Some(other) => Err(Wrong::expected("an object", other).under(key)),
    }
}

fn texts(fields: &mut Fields<'_>, key: &'static str) -> Result<Vec<(String, String)>, Wrong> {
    let map = object(fields, key)?;
    let text = |(name, value): (&String, &Value)| {
        String::read(value).map(|text| (name.clone(), text)).map_err(|wrong| wrong.under(name).under(key))
    };
    map.iter().map(text).collect()
}

fn settings(value: &Value) -> Result<Settings, Wrong> {
    let map = value.as_object().ok_or_else(|| Wrong::expected("an object", value))?;
    let one = |(key, value): (&String, &Value)| {
        setting(value).map(|it| (key.clone(), it)).map_err(|wrong| wrong.under(key))
    };
    map.iter().map(one).collect()
}

/// Takes a setting as it is written.
///
/// # Errors
/// A value that no setting has.
pub fn setting(value: &Value) -> Result<SettingValue, Wrong> {
    let wrong = || Wrong::expected("a text, a number, true or false, or a list of texts", value);
    match value {
        Value::String(text) => Ok(SettingValue::Text(text.clone())),
        Value::Bool(flag) => Ok(SettingValue::Flag(*flag)),
        Value::Number(number) => {
            let whole = number.as_i64().map(SettingValue::Integer);
            whole.or_else(|| number.as_f64().map(SettingValue::Number)).ok_or_else(wrong)
        }
        Value::Array(_) => Vec::read(value).map(SettingValue::Texts).map_err(|_: Wrong| wrong()),
        Value::Null | Value::Object(_) => Err(wrong()),
    }
}

fn tables(base: &Path, value: &Value) -> Result<Vec<TableSpec>, Wrong> {
    let map = value.as_object().ok_or_else(|| Wrong::expected("an object", value))?;
    let one = |(name, value): (&String, &Value)| {
        let networks = value.as_object().filter(|it| it.len() == 1).and_then(|it| it.get("networks"));
        let keys = if networks.is_some() { TableKeys::Networks } else { TableKeys::Texts };
        let file = networks.unwrap_or(value).as_str();
        let file = file.ok_or_else(|| {
            Wrong::expected("\"FILE.csv\" or { networks = \"FILE.csv\" }", value).under(name)
        })?;
        Ok(TableSpec { name: name.clone(), path: base.join(file), keys })
    };
    map.iter().map(one).collect()
}

/// Lays what is written over a menu in which everything is zero, false, empty or not there.
fn laid_over_a_plain_one(kind: QuestionKind, written: &Value) -> Value {
    let menu = |shape| {
        let question = Random::shaped(0, shape).with_candidates(1).question(kind);
        vpnhost_record::question(&question)
    };
    lay(&menu(Shape::Plain), &menu(Shape::Whole), Some(written).filter(|it| !it.is_null()))
}

fn lay(plain: &Value, whole: &Value, written: Option<&Value>) -> Value {
    match (written, whole) {
        (None, _) if plain.is_array() => Value::Array(Vec::new()),
        (None, Value::Object(fields)) if plain.is_object() => {
            let laid = fields.iter().map(|(key, whole)| (key.clone(), lay(&plain[key], whole, None)));
            Value::Object(laid.collect())
        }
        (None, _) => plain.clone(),
        (Some(Value::Object(written)), Value::Object(fields)) => {
            // What is only sometimes there, and is there now, is as plain as the rest.
            let under = |key: &str, whole: &Value| {
                if plain.is_object() { plain[key].clone() } else { emptied(whole) }
            };
            let laid = fields
                .iter()
                .map(|(key, whole)| (key.clone(), lay(&under(key, whole), whole, written.get(key))));
            let mut laid: Map<String, Value> = laid.collect();
            // Whoever reads it tells what is not known.
            for (key, value) in written {
                laid.entry(key.clone()).or_insert_with(|| value.clone());
            }
            Value::Object(laid)
        }
        (Some(Value::Array(items)), Value::Array(wholes)) => {
            let whole = wholes.first().unwrap_or(&Value::Null);
            let plain = plain.get(0).cloned().unwrap_or_else(|| emptied(whole));
            items.iter().map(|item| lay(&plain, whole, Some(item))).collect()
        }
        (Some(written), _) => written.clone(),
    }
}

fn emptied(whole: &Value) -> Value {
    match whole {
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Object(fields) => fields.iter().map(|(key, it)| (key.clone(), emptied(it))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => whole.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_of_a_question_is_plain_in_lists_too() {
        let asked = json!({ "connection": "corp", "paths": [{ "rtt_us": 7 }, { "interface": "wlan0", "local": "192.0.2.1" }] });
        let asked = laid_over_a_plain_one(QuestionKind::RankPaths, &asked);
        let Ok(Question::RankPaths(menu)) = read_question(QuestionKind::RankPaths, &asked) else {
            panic!("{asked}")
        };
        assert_eq!((menu.connection.as_str(), menu.current, menu.paths.len()), ("corp", None, 2));
        assert_eq!((menu.paths[0].rtt_us, menu.paths[1].rtt_us), (Some(7), None));
        assert_eq!((menu.paths[1].interface.as_str(), menu.paths[1].mtu), ("wlan0", 0));
    }

    #[test]
    fn every_question_may_be_left_out_whole_and_what_is_not_known_is_told_with_its_place() {
        for kind in QuestionKind::ALL {
            read_question(kind, &laid_over_a_plain_one(kind, &Value::Null)).unwrap();
        }
        let read = |value| scenario("s".to_owned(), Path::new(""), &value).unwrap_err().to_string();
        let step = |asked| json!({ "step": [{ "question": "authorize-peer", "asked": asked }] });
        let certificate = json!({ "certificate": { "subject": "CN=carol" }, "peer_id": "carol@example.org" });
        assert!(scenario("s".to_owned(), Path::new(""), &step(certificate)).is_ok());
        let wrong = read(step(json!({ "certificate": { "subjekt": "CN=carol" } })));
        assert!(wrong.starts_with("`step[0].asked.certificate` has `subjekt`"), "{wrong}");
        let wrong = read(step(json!({ "unix_secs": -1 })));
        assert!(wrong.starts_with("`step[0].asked.unix_secs` must be a whole number from 0"), "{wrong}");
        let wrong = read(json!({ "step": [{ "question": "authorise-peer" }] }));
        assert!(wrong.contains("must be one of rank-proposals"), "{wrong}");
    }

    #[test]
    fn only_what_is_expected_is_compared() {
        let found = json!({ "order": [1, 0], "settle_ms": 5, "why": "x" });
        let expected = json!({ "order": [1, 0] });
        assert!(between(&expected, &only(&expected, &found)).is_empty());
        let expected = json!({ "settle_ms": 6 });
        assert_eq!(between(&expected, &only(&expected, &found)), ["settle_ms: 6 → 5"]);
        let (expected, found) = (json!({ "refuse": "at night" }), json!({ "refuse": "at night: 02:00" }));
        assert!(between(&expected, &only(&expected, &found)).is_empty());
    }
}
