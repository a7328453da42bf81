//! What every plugin must stand: all that a host may ask, and a host that is hostile.
//!
//! Every answer must be on the menu, and depend on the component, its settings, what its imports told and the menu alone:
//! each question is put to an instance that has answered others before, and to a fresh one that is told the same.

use vpnhost_plugin_host::{Grant, LoadError, PluginSpec, SettingValue, Told, WasmPolicy};
use vpnhost_policy::{Policy as _, Question, QuestionKind, RecordedReply};

use crate::difference::{between, said};
use crate::questions::{Random, Shape};
use crate::{Subject, limits};

/// Something that was tried, and what was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was tried.
    pub name: String,
    /// How often.
    pub tries: u64,
    /// What was wrong, at most [`limits::FAULTS`] times, each in lines of its own.
    pub faults: Vec<String>,
}

impl Check {
    /// Begins.
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), tries: 0, faults: Vec::new() }
    }

    /// Tells whether nothing was wrong.
    pub fn passed(&self) -> bool {
        self.faults.is_empty()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.faults.len() >= limits::FAULTS
    }

    pub(crate) fn tried(&mut self, fault: Option<String>) {
        self.tries += 1;
        self.faults.extend(fault);
    }
}

/// Tries everything, and gives each check to `done` as soon as it ends.
///
/// # Errors
/// A component that is not loaded with the settings that it was given.
pub fn run(subject: &Subject, mut done: impl FnMut(Check)) -> Result<(), LoadError> {
    let plugin = subject.start()?;
    for kind in plugin.questions().iter() {
        for shape in Shape::ALL {
            done(menus(subject, kind, shape)?);
        }
    }
    let settings = plugin.manifest().settings.clone();
    for (name, odd) in setting_variants(subject.spec(), &settings) {
        done(configured(subject, name, &odd));
    }
    if !plugin.grants().is_empty() {
        for (name, told) in [
            ("a host that keeps nothing and has nothing", Told::Nothing),
            ("a store full of nonsense", Told::Nonsense),
        ] {
            done(poor_host(&plugin, name, told));
        }
    }
    Ok(())
}

/// Asks questions of one kind and shape.
fn menus(subject: &Subject, kind: QuestionKind, shape: Shape) -> Result<Check, LoadError> {
    let mut check = Check::new(format!("{kind}: {}", shape.name()));
    // A plugin of its own: one that failed too often before is asked nothing.
    let plugin = subject.start()?;
    let count = if shape == Shape::Usual { limits::USUAL } else { limits::ODD };
    for seed in 0..count {
        let question = Random::shaped(seed, shape).question(kind);
        check.tried(fault(&plugin, &question).map(|fault| format!("question {seed}: {fault}")));
        if check.is_over() {
            break;
        }
    }
    Ok(check)
}

/// Asks a question of an instance that has answered others, and of a fresh one; tells what is wrong.
pub(crate) fn fault(plugin: &WasmPolicy, question: &Question) -> Option<String> {
    let warm = plugin.consult_on_record(question);
    let fresh = plugin.aside(question, Told::Recorded(&warm.imports)).recorded;
    wrong_reply(question, &warm).or_else(|| dependence(&warm, &fresh))
}

/// Tells what is wrong with a reply itself.
pub(crate) fn wrong_reply(question: &Question, heard: &RecordedReply) -> Option<String> {
    match &heard.reply {
        Ok(None) => None,
        Ok(Some(answer)) if question.admits(answer) => None,
        Ok(Some(answer)) => Some(format!("the answer is not on the menu: {}", said(Some(answer)))),
        Err(failure) => Some(format!("it {failure}")),
    }
}

/// Tells where a warm and a fresh instance differ.
pub(crate) fn dependence(warm: &RecordedReply, fresh: &RecordedReply) -> Option<String> {
    if warm == fresh {
        return None;
    }
    let mut fault =
        "an instance that answered before says another thing than a fresh one that is told the same"
            .to_owned();
    let lines = match (&warm.reply, &fresh.reply) {
        (Ok(warm), Ok(fresh)) if warm != fresh => between(&said(warm.as_ref()), &said(fresh.as_ref())),
        (Err(failure), Ok(_)) => vec![format!("the first {failure}")],
        (Ok(_), Err(failure)) => vec![format!("the fresh one {failure}")],
        (Ok(_), Ok(_)) | (Err(_), Err(_)) => {
            let told = |heard: &RecordedReply| {
                let calls =
                    heard.imports.iter().map(|it| format!("{}({})", it.import, it.arguments.join(", ")));
                calls.collect::<Vec<_>>().join(", ")
            };
            vec![format!("asks of kv and data: {} → {}", told(warm), told(fresh))]
        }
    };
    for line in lines {
        fault = format!("{fault}\n  {line}");
    }
    Some(fault)
}

/// What a configuration must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The plugin says what is wrong.
    Refused,
    /// It takes it or says what is wrong; it does not fail.
    EitherWay,
}

/// A configuration that is wrong, or odd.
struct Variant {
    spec: PluginSpec,
    expected: Expected,
}

fn setting_variants(
    spec: &PluginSpec,
    settings: &[vpnhost_plugin_host::SettingSpec],
) -> Vec<(String, Variant)> {
    let with = |key: &str, value: Option<SettingValue>, expected| {
        let mut spec = spec.clone();
        spec.settings.retain(|(known, _)| known != key);
        spec.settings.extend(value.map(|value| (key.to_owned(), value)));
        Variant { spec, expected }
    };
    let text = |text: &str| SettingValue::Text(text.to_owned());
    let mut variants = Vec::new();
    // Who takes settings must not pass over one that is misspelled.
    if !settings.is_empty() {
        let unknown = with("no-such-setting", Some(text("x")), Expected::Refused);
        variants.push(("settings: a key that it does not know is refused".to_owned(), unknown));
    }
    for setting in settings {
        let key = setting.key.as_str();
        if setting.required {
            let name = format!("settings: without `{key}`, which is required, it is refused");
            variants.push((name, with(key, None, Expected::Refused)));
        }
        let kind = setting.kind.to_string();
        let wrong = if kind == "flag" { text("yes") } else { SettingValue::Flag(true) };
        let name = format!("settings: `{key}` of another kind is refused");
        variants.push((name, with(key, Some(wrong), Expected::Refused)));
        let odd: Vec<SettingValue> = match kind.as_str() {
            "text" => vec![text(""), text("\u{0}\u{fffd}"), text(&"x".repeat(4096))],
            "integer" => [i64::MIN, -1, 0, i64::MAX].map(SettingValue::Integer).to_vec(),
            "number" => [f64::MIN, -0.0, f64::MAX].map(SettingValue::Number).to_vec(),
            "texts" => vec![SettingValue::Texts(Vec::new()), SettingValue::Texts(vec![String::new(); 256])],
            _ => Vec::new(),
        };
        for (number, value) in odd.into_iter().enumerate() {
            let name = format!("settings: an odd `{key}` is taken or refused ({})", number + 1);
            variants.push((name, with(key, Some(value), Expected::EitherWay)));
        }
    }
    variants
}

fn configured(subject: &Subject, name: String, variant: &Variant) -> Check {
    let mut check = Check::new(name);
    check.tried(match (subject.start_with(variant.spec.clone()), variant.expected) {
        (Ok(_), Expected::Refused) => Some("it is taken".to_owned()),
        (Ok(_), Expected::EitherWay) | (Err(LoadError::Settings { .. }), _) => None,
        (Err(error), _) => Some(match std::error::Error::source(&error) {
            Some(source) => format!("{error} ({source})"),
            None => error.to_string(),
        }),
    });
    check
}

/// Asks questions where the host has nothing for it, or nothing that makes sense.
fn poor_host(plugin: &WasmPolicy, name: &str, told: Told<'_>) -> Check {
    let mut check = Check::new(format!("imports: {name}"));
    for kind in plugin.questions().iter() {
        for seed in 0..limits::ODD {
            let question = Random::new(seed).question(kind);
            let heard = plugin.aside(&question, told).recorded;
            check.tried(
                wrong_reply(&question, &heard).map(|fault| format!("{kind}, question {seed}: {fault}")),
            );
            if check.is_over() {
                return check;
            }
        }
    }
    check
}

/// What a plugin under test may have: all that there is.
pub fn everything(spec: PluginSpec) -> PluginSpec {
    PluginSpec { grants: Grant::ALL.to_vec(), ..spec }
}
