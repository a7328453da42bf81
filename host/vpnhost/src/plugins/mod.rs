//! Plugins: loaded as the configuration and the command line say, or only looked at, tested, measured and replayed.

pub(crate) mod bench;
pub(crate) mod order;
pub(crate) mod replay;
mod setup;
pub(crate) mod test;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use vpnhost_plugin_host::{
    Inspection, Limits, LoadError, PluginEngine, PluginKey, PluginSlot, PluginSpec, Signer, WasmPolicy,
    inspect,
};
use vpnhost_policy::{Policy as _, QuestionKind, QuestionSet};

use crate::cli::{Global, PluginOption};
use crate::config::{Place, PluginSettings, written};
use crate::exit::{self, Code, Failure, Outcome};
use crate::roles;

/// Lays the plugins of the command line before those of the configuration.
pub(crate) fn chosen(options: &[PluginOption], configured: &[PluginSettings]) -> Vec<PluginSettings> {
    let named = options
        .iter()
        .map(|option| PluginSettings { questions: option.questions, ..PluginSettings::new(&option.path) });
    named.chain(configured.iter().cloned()).collect()
}

/// A plugin that is not loaded.
#[derive(Debug)]
pub(crate) struct PluginProblem {
    /// Where the configuration names it; `None` for one of the command line.
    pub(crate) place: Option<Place>,
    /// Why.
    pub(crate) error: LoadError,
}

/// Every plugin that is not loaded.
#[derive(Debug)]
pub(crate) struct PluginProblems(pub(crate) Vec<PluginProblem>);

impl PluginProblem {
    /// Says what is wrong, with its cause.
    pub(crate) fn what(&self) -> String {
        match exit::causes(&self.error) {
            Some(why) => format!("{} ({why})", self.error),
            None => self.error.to_string(),
        }
    }

    /// Says what may be done about it.
    pub(crate) fn hint(&self) -> Option<String> {
        self.error.hint().map(Cow::into_owned)
    }
}

impl From<PluginProblems> for Failure {
    fn from(PluginProblems(problems): PluginProblems) -> Self {
        let lines = problems.iter().map(|problem| {
            let what = match &problem.place {
                Some(place) => format!("{place}: {}", problem.what()),
                None => problem.what(),
            };
            (what, problem.hint())
        });
        Self::several(Code::Usage, lines).unwrap_or_else(|| Self::usage("no plugin is loaded"))
    }
}

/// A plugin of a configuration that would run.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// It is asked already, as it is.
    Same(Arc<PluginSlot>),
    /// It is asked already, and another component, or the same with other settings, is to answer there.
    Other(Arc<PluginSlot>, Box<WasmPolicy>),
    /// It is new.
    New(Arc<PluginSlot>),
}

impl Loaded {
    /// Returns its place in the chain.
    pub(crate) fn slot(&self) -> &Arc<PluginSlot> {
        let (Self::Same(slot) | Self::Other(slot, _) | Self::New(slot)) = self;
        slot
    }
}

/// Loads every plugin, in order; where keys are given, one of them must have signed it. Those of a host that runs keep their
/// places: what is to answer there has a copy of the store, and has been asked the last questions.
///
/// # Errors
/// Every plugin that cannot be loaded, not only the first.
pub(crate) fn load(
    settings: &[PluginSettings],
    keys: &[PluginKey],
    running: &[Arc<PluginSlot>],
    engine: impl FnOnce() -> Result<Arc<PluginEngine>, LoadError>,
) -> Result<Vec<Loaded>, PluginProblems> {
    if settings.is_empty() {
        return Ok(Vec::new());
    }
    let engine = engine().map_err(|error| PluginProblems(vec![PluginProblem { place: None, error }]))?;
    let mut loaded = Vec::new();
    let mut problems = Vec::new();
    for settings in settings {
        // Two may be of one file, and have no name: each has its own place.
        let is_free =
            |slot: &&Arc<PluginSlot>| !loaded.iter().any(|it: &Loaded| Arc::ptr_eq(it.slot(), slot));
        match one(&engine, settings, spec(settings, keys), running.iter().filter(is_free)) {
            Ok(plugin) => loaded.push(plugin),
            Err(error) => problems.push(PluginProblem { place: settings.place.clone(), error }),
        }
    }
    if problems.is_empty() { Ok(loaded) } else { Err(PluginProblems(problems)) }
}

fn one<'a>(
    engine: &Arc<PluginEngine>,
    settings: &PluginSettings,
    spec: PluginSpec,
    mut running: impl Iterator<Item = &'a Arc<PluginSlot>>,
) -> Result<Loaded, LoadError> {
    let is_there = |slot: &&Arc<PluginSlot>| {
        let active = slot.active();
        let is_it = match &settings.name {
            Some(name) => slot.name() == name && active.spec().name.is_some(),
            None => active.spec().name.is_none() && slot.file() == settings.path,
        };
        is_it && active.stores_as(&spec)
    };
    let Some(slot) = running.find(is_there) else {
        return WasmPolicy::load(engine, spec).map(|policy| Loaded::New(PluginSlot::new(policy)));
    };
    let active = slot.active();
    let candidate = active.candidate(spec)?;
    if candidate.is_same(&active) {
        return Ok(Loaded::Same(Arc::clone(slot)));
    }
    slot.rehearse(&candidate)?;
    Ok(Loaded::Other(Arc::clone(slot), Box::new(candidate)))
}

pub(crate) fn spec(settings: &PluginSettings, keys: &[PluginKey]) -> PluginSpec {
    PluginSpec {
        path: settings.path.clone(),
        name: settings.name.clone(),
        questions: settings.questions,
        on_failure: settings.on_failure,
        limits: Limits { memory: settings.memory, call: settings.deadline, ..Limits::default() },
        settings: settings.settings.clone(),
        keys: keys.to_vec(),
        grants: settings.grants.clone(),
        store: settings.store,
        tables: settings.tables.clone(),
    }
}

/// `vpnhost plugin inspect FILE`.
pub(crate) fn show(file: &Path, keys: &[PluginKey], global: &Global) -> Outcome {
    let refused = |error| Failure::from(PluginProblems(vec![PluginProblem { place: None, error }]));
    let engine = PluginEngine::new().map_err(refused)?;
    let limits = Limits::default();
    // How much it needs is what is to be found out.
    let roomy = Limits { memory: crate::limits::INSPECTED_MEMORY, ..limits };
    // What cannot be loaded is not a mistyped command: the operation failed.
    let inspection =
        inspect(&engine, file, roomy, keys).map_err(|error| refused(error).with_code(Code::Failed))?;
    if global.json {
        return exit::print(format_args!("{}\n", document(file, &inspection, limits)));
    }
    exit::print(lines(file, &inspection, limits))
}

fn names(questions: QuestionSet) -> Vec<&'static str> {
    questions.iter().map(QuestionKind::name).collect()
}

fn roles_of(questions: QuestionSet) -> Vec<&'static str> {
    let mut roles: Vec<&str> = questions.iter().map(roles::role_of).collect();
    roles.dedup();
    roles
}

fn document(file: &Path, it: &Inspection, limits: Limits) -> Value {
    let signer =
        |it: &Signer| json!({ "key": it.key.to_string(), "comment": it.comment, "verified": it.verified });
    let settings: Vec<Value> = it
        .settings
        .iter()
        .map(|setting| {
            json!({
                "key": setting.key,
                "kind": setting.kind.to_string(),
                "required": setting.required,
                "summary": setting.summary,
            })
        })
        .collect();
    json!({
        "file": file,
        "name": it.name,
        "version": it.version,
        "summary": it.summary,
        "questions": names(it.answers),
        "roles": roles_of(it.answers),
        "settings": settings,
        "exports": it.interfaces,
        "imports": it.imports,
        "size": it.size,
        "memory": it.memory,
        "sha256": it.sha256.to_string(),
        "signer": it.signer.as_ref().map(signer),
        "grants": it.grants.iter().map(|grant| grant.name()).collect::<Vec<_>>(),
        "limits": { "call_ms": limits.call.as_millis(), "memory": limits.memory, "log_lines": limits.log_lines },
    })
}

fn lines(file: &Path, it: &Inspection, limits: Limits) -> String {
    let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let mut text = format!("{} {}: {}\n", it.name, it.version, it.summary);
    let mut line = |label: &str, value: String| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {label:<9} {value}");
    };
    line("file", format!("{}, {} octets", file.display(), it.size));
    line("sha256", it.sha256.to_string());
    line("signed", it.signer.as_ref().map_or_else(|| "by nobody".to_owned(), signed));
    line("answers", format!("{} (roles: {})", names(it.answers).join(", "), roles_of(it.answers).join(", ")));
    for (index, setting) in it.settings.iter().enumerate() {
        let need = if setting.required { "required" } else { "optional" };
        let label = if index == 0 { "settings" } else { "" };
        line(label, format!("{} ({}, {need}): {}", setting.key, setting.kind, setting.summary));
    }
    if it.settings.is_empty() {
        line("settings", "none".to_owned());
    }
    line("imports", list(&it.imports));
    let grants: Vec<String> = it.grants.iter().map(|grant| format!("\"{grant}\"")).collect();
    if !grants.is_empty() {
        line("needs", format!("grant = [{}] in [[plugin]]", grants.join(", ")));
    }
    line("exports", list(&it.interfaces));
    let memory = limits.memory >> 20;
    let more = if it.memory > limits.memory { "; [[plugin]] has to give it more than that" } else { "" };
    line("memory", format!("{} KiB at the start{more}", it.memory >> 10));
    line(
        "limits",
        format!("{} a call, {memory} MiB, unless [[plugin]] says otherwise", written(limits.call)),
    );
    text
}

fn signed(signer: &Signer) -> String {
    let Signer { key, comment, verified } = signer;
    let how = if *verified { "" } else { "; not checked: name the key with --key" };
    format!("by the key {key} ({comment}){how}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The preambles of a core module and of a component, both empty.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_is_no_plugin_ends_in_one_clear_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, octets: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, octets).unwrap();
            path
        };
        for (path, words) in [
            (dir.path().join("none.wasm"), "cannot read plugin"),
            (file("text.wasm", b"this is a text"), "is not a WebAssembly component"),
            (file("module.wasm", MODULE), "is a WebAssembly module, not a component"),
            (file("empty.wasm", COMPONENT), "is no plugin of this host: it exports nothing"),
        ] {
            let failure =
                Failure::from(load(&[PluginSettings::new(&path)], &[], &[], PluginEngine::new).unwrap_err());
            let text = failure.to_string();
            assert_eq!(failure.code(), Code::Usage);
            assert!(text.starts_with("error: ") && text.contains(words), "{text}");
            assert!(text.contains(&path.display().to_string()), "{text}");
            assert_eq!(text.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{text}");
        }
    }

    #[test]
    fn every_plugin_that_fails_is_told() {
        let settings =
            [PluginSettings::new("/nonexistent/a.wasm"), PluginSettings::new("/nonexistent/b.wasm")];
        let text = Failure::from(load(&settings, &[], &[], PluginEngine::new).unwrap_err()).to_string();
        assert!(text.contains("a.wasm") && text.contains("b.wasm"), "{text}");
        assert!(load(&[], &[], &[], PluginEngine::new).unwrap().is_empty());
    }

    #[test]
    fn plugins_of_the_command_line_come_first() {
        let option: PluginOption = "liveness=a.wasm".parse().unwrap();
        let chosen = chosen(&[option], &[PluginSettings::new("b.wasm")]);
        assert_eq!(chosen[0].path, Path::new("a.wasm"));
        assert_eq!(names(chosen[0].questions.unwrap()), ["plan-maintenance"]);
        assert_eq!(chosen[1].path, Path::new("b.wasm"));
    }
}
