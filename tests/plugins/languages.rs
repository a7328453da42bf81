//! Plugins in Python, JavaScript and C under the real host: the templates, the worked examples, and what misbehaves.
//!
//! They are built by tools that not every machine has: `cargo xtask test` builds them in its steps for the languages, and
//! asks for these tests in the step `languages`.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vpnhost_model::{Identity, IkeSuite, Protocol};
use vpnhost_plugin_build::Language;
use vpnhost_plugin_host::{
    Grant, Limits, LoadError, PluginEngine, PluginSpec, SettingValue, TableKeys, TableSpec, WasmPolicy,
    inspect,
};
use vpnhost_plugin_prefer_wired::PreferWired;
use vpnhost_plugin_sdk::{Configure as _, Settings, fixtures};
use vpnhost_policy::{
    Answer, Authorization, Failure, PathCause, Policy as _, Question, QuestionKind, Strength,
};

use crate::component;
use crate::hostile::paths;
use vpnhost_plugin_lab::questions::Random;

/// Each language, and how its components are named.
const LANGUAGES: [(Language, &str); 3] =
    [(Language::Python, "python"), (Language::JavaScript, "js"), (Language::C, "c")];
const QUESTIONS: u64 = 400;
/// No answer is late on however slow a machine.
const UNHURRIED: Duration = Duration::from_secs(60);

/// Describes a component as the block does that `plugin new` prints.
fn spec(language: Language, name: &str) -> PluginSpec {
    let memory: usize = language.memory().strip_suffix("MiB").unwrap().parse().unwrap();
    let limits = Limits { memory: memory << 20, call: UNHURRIED, ..Limits::default() };
    PluginSpec { limits, ..PluginSpec::new(component(name)) }
}

/// Compiles each component once: those in Python take seconds.
fn engine() -> Arc<PluginEngine> {
    static STATE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    PluginEngine::keeping(&STATE.path().join("state")).unwrap()
}

fn load(spec: PluginSpec, settings: &[(&str, SettingValue)]) -> Result<WasmPolicy, LoadError> {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    WasmPolicy::load(&engine(), PluginSpec { settings, ..spec })
}

fn flag(value: bool) -> SettingValue {
    SettingValue::Flag(value)
}

#[test]
#[ignore = "its components need tools of their own: cargo xtask test"]
fn a_template_in_each_language_answers_as_the_native_policy_does() {
    for (language, word) in LANGUAGES {
        for metered in [true, false] {
            let settings =
                Settings::new([("metered".to_owned(), vpnhost_plugin_sdk::SettingValue::Flag(metered))]);
            let native = PreferWired::configure(&settings).unwrap();
            let boxed =
                load(spec(language, &format!("template-{word}")), &[("metered", flag(metered))]).unwrap();
            let mut abstained = 0;
            for seed in 0..QUESTIONS {
                let question = Random::new(seed).question(QuestionKind::RankPaths);
                let Question::RankPaths(menu) = &question else { panic!("{question:?}") };
                let expected = native.rank_paths(menu).filter(|_| menu.paths.len() >= 2);
                abstained += u64::from(expected.is_none());
                let answer = boxed.consult(&question).unwrap();
                assert_eq!(answer, expected.map(Answer::RankPaths), "{language}, seed {seed}: {menu:?}");
            }
            assert!(abstained > 0 && abstained < QUESTIONS, "{abstained} of {QUESTIONS}");
            assert_eq!(boxed.usage().restarts, 0, "{language}");
        }
    }
}

#[test]
#[ignore = "its components need tools of their own: cargo xtask test"]
fn wrong_settings_are_told_alike_in_each_language() {
    let told = |language, name: &str, settings: &[(&str, SettingValue)]| {
        let error = load(spec(language, name), settings).unwrap_err();
        let LoadError::Settings { problems, .. } = error else { panic!("{language}: {error}") };
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    for (language, word) in LANGUAGES {
        let wrong = [("metred", flag(true)), ("metered", SettingValue::Text("no".to_owned()))];
        assert_eq!(
            told(language, &format!("template-{word}"), &wrong),
            "`metred` is unknown: this plugin takes metered; `metered` must be flag"
        );
    }
    let visits = [("visits", SettingValue::Integer(0))];
    let grants = vec![Grant::Kv, Grant::Data, Grant::Metrics];
    let guests = PluginSpec { grants, ..spec(Language::Python, "guest-list") };
    let error = load(guests, &visits).unwrap_err();
    assert!(
        matches!(&error, LoadError::Settings { problems, .. } if problems[0].problem == "must be 1 to 1000")
    );
    let least = [("least", SettingValue::Text("best".to_owned()))];
    assert_eq!(
        told(Language::JavaScript, "thrifty-suites", &least),
        "`least` must be legacy, acceptable or recommended"
    );
}

#[test]
#[ignore = "its components need tools of their own: cargo xtask test"]
fn a_mistake_in_each_language_ends_the_call_and_says_where_it_is() {
    for (language, word, how) in [
        (Language::Python, "python", "rank_paths: KeyError: 'nothing' (plugin.py:"),
        (Language::JavaScript, "js", "rankPaths: TypeError: "),
        (Language::C, "c", "there is nothing"),
    ] {
        let plugin = load(spec(language, &format!("faulty-{word}")), &[]).unwrap();
        let failure = plugin.consult(&paths("mistake")).unwrap_err();
        assert!(matches!(&failure, Failure::Trap(text) if text.contains(how)), "{language}: {failure:?}");
        assert!(matches!(plugin.consult(&paths("well")), Ok(Some(_))), "{language}: the next call");
    }
}

#[test]
#[ignore = "its components need tools of their own: cargo xtask test"]
fn a_loop_a_hoarder_and_deep_recursion_are_ended_in_each_language() {
    for (language, word) in LANGUAGES {
        let spec = spec(language, &format!("faulty-{word}"));
        let hurried = Limits { call: Duration::from_millis(500), ..spec.limits };
        let loops = load(PluginSpec { limits: hurried, ..spec.clone() }, &[]).unwrap();
        let began = Instant::now();
        assert_eq!(loops.consult(&paths("loop")).unwrap_err(), Failure::Deadline, "{language}");
        assert!(began.elapsed() < Duration::from_secs(10), "{language}: {:?}", began.elapsed());
        let plugin = load(spec, &[]).unwrap();
        assert_eq!(plugin.consult(&paths("hoard")).unwrap_err(), Failure::Memory, "{language}");
        let failure = plugin.consult(&paths("recurse")).unwrap_err();
        assert!(matches!(failure, Failure::Trap(_)), "{language}: {failure:?}");
        assert!(matches!(plugin.consult(&paths("well")), Ok(Some(_))), "{language}: the next call");
    }
}

#[test]
#[ignore = "its components need tools of their own: cargo xtask test"]
fn a_component_of_each_language_imports_nothing_but_the_log_and_what_it_is_granted() {
    let examples =
        [("guest-list", vec!["data", "kv", "metrics"]), ("thrifty-suites", vec![]), ("voice-first", vec![])];
    let templates = LANGUAGES.map(|(_, word)| (format!("template-{word}"), vec![]));
    let faulty = LANGUAGES.map(|(_, word)| (format!("faulty-{word}"), vec![]));
    let examples = examples.map(|(name, grants)| (name.to_owned(), grants));
    for (name, grants) in templates.into_iter().chain(examples).chain(faulty) {
        let roomy = Limits { memory: 256 << 20, ..Limits::default() };
        let it = inspect(&engine(), &component(&name), roomy, &[]).unwrap();
        let mut imports: Vec<&str> = it
            .imports
            .iter()
            .map(|import| import.strip_prefix("vpnhost:policy/").unwrap().split('@').next().unwrap())
            .collect();
        imports.retain(|import| *import != "log");
        imports.sort_unstable();
        assert_eq!(imports, grants, "{name}");
    }
}

#[test]
#[ignore = "its components need tools of their own: cargo xtask test"]
fn guests_come_in_as_often_as_their_list_says_and_others_are_left_to_the_next() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("guests.csv");
    std::fs::write(&path, "carol@example.org,sales\ndave@example.org,press:1970-01-20\n").unwrap();
    let mut guests = spec(Language::Python, "guest-list");
    guests.grants = vec![Grant::Kv, Grant::Data, Grant::Metrics];
    guests.tables = vec![TableSpec { name: "guests".to_owned(), path, keys: TableKeys::Texts }];
    let plugin = load(guests, &[("visits", SettingValue::Integer(2))]).unwrap();
    let ask = |peer: &str, day: u64| {
        let mut claim = fixtures::peer_claim(day * 86_400 + 3_600, 0);
        claim.peer_id = Identity::Email(peer.to_owned());
        plugin.consult(&Question::AuthorizePeer(claim)).unwrap()
    };
    let refused = |answer: Option<Answer>| match answer {
        Some(Answer::AuthorizePeer(Authorization::Refuse { reason: why })) => why,
        other => panic!("{other:?}"),
    };
    for day in [10, 11] {
        for _ in 0..2 {
            let Some(Answer::AuthorizePeer(Authorization::Allow { labels })) = ask("carol@example.org", day)
            else {
                panic!("carol is a guest")
            };
            assert_eq!((labels[0].key.as_str(), labels[0].value.as_str()), ("group", "sales"));
        }
        assert_eq!(refused(ask("carol@example.org", day)), "came in 2 times today already");
    }
    assert_eq!(ask("eve@example.org", 10), None);
    assert!(matches!(ask("dave@example.org", 19), Some(Answer::AuthorizePeer(Authorization::Allow { .. }))));
    assert_eq!(refused(ask("dave@example.org", 20)), "the visit ended on 1970-01-20");
}

#[test]
#[ignore = "its components need tools of their own: cargo xtask test"]
fn the_cheapest_suite_that_is_strong_enough_comes_first() {
    let suites = ["aes128-sha256-modp1024", "aes256-sha256-modp2048", "aes256gcm16-prfsha384-x25519"];
    let mut menu = fixtures::proposal_menu(&suites).unwrap();
    assert!(
        IkeSuite::parse_all(suites[0])
            .is_ok_and(|it| Strength::of(&it[0].transforms()) < Strength::ACCEPTABLE)
    );
    let order = |menu: &_, settings: &[_]| {
        let plugin = load(spec(Language::JavaScript, "thrifty-suites"), settings).unwrap();
        let answer = plugin.consult(&Question::RankProposals(Clone::clone(menu))).unwrap();
        let Some(Answer::RankProposals(ranking)) = answer else { panic!("{answer:?}") };
        (ranking.order, ranking.why.unwrap())
    };
    menu.suites[2].key_share_present = true;
    assert_eq!(order(&menu, &[]), (vec![2, 1], "saves a round trip".to_owned()));
    menu.protocol = Protocol::ESP;
    for (suite, (ns, octets)) in menu.suites.iter_mut().zip([(100, 50), (400, 50), (390, 62)]) {
        (suite.packet_ns, suite.overhead_octets) = (Some(ns), Some(octets));
    }
    assert_eq!(order(&menu, &[]).0, [1, 2], "nearly alike: the operator's order");
    menu.suites[2].packet_ns = Some(200);
    assert_eq!(order(&menu, &[]), (vec![2, 1], "200 ns a packet by rustcrypto".to_owned()));
    menu.suites[2].packet_ns = None;
    let least = [("least", SettingValue::Text("legacy".to_owned()))];
    assert_eq!(order(&menu, &least).0.last(), Some(&2), "what was not measured is last");
    menu.suites.truncate(1);
    assert_eq!(order(&menu, &[]), (vec![], "nothing that the peer offers is acceptable".to_owned()));
}

#[test]
#[ignore = "its components need tools of their own: cargo xtask test"]
fn a_call_goes_where_it_sounds_best_and_does_not_move_for_little() {
    use vpnhost_model::LinkKind;
    let ask = |menu: &_, settings: &[_]| {
        let plugin = load(spec(Language::C, "voice-first"), settings).unwrap();
        let answer = plugin.consult(&Question::RankPaths(Clone::clone(menu))).unwrap();
        let Some(Answer::RankPaths(ranking)) = answer else { panic!("{answer:?}") };
        ranking.order
    };
    let mut menu = fixtures::path_menu(&[LinkKind::WIFI, LinkKind::CELLULAR]);
    menu.current = Some(0);
    for (path, (rtt, loss)) in menu.paths.iter_mut().zip([(60_000, 0), (20_000, 0)]) {
        path.standing = vpnhost_policy::PathStanding::WORKS;
        (path.rtt_us, path.loss_permille) = (Some(rtt), Some(loss));
    }
    assert_eq!(ask(&menu, &[]), [0, 1], "40 ms are no reason to move");
    assert_eq!(ask(&menu, &[("lead", SettingValue::Integer(0))]), [1, 0]);
    menu.paths[0].loss_permille = Some(30);
    assert_eq!(ask(&menu, &[]), [1, 0], "three packets in a hundred are heard");
    let avoided = SettingValue::Texts(vec![menu.paths[1].interface.clone()]);
    assert_eq!(ask(&menu, &[("avoid", avoided)]), [0, 1]);
    menu.paths[0].loss_permille = Some(0);
    menu.cause = PathCause::SILENT;
    assert_eq!(ask(&menu, &[]), [1, 0], "a dead path is last");
}

/// Printed, not judged: how busy the machine is would decide.
#[test]
#[ignore = "its components need tools of their own: cargo xtask test"]
fn what_each_language_costs() {
    println!(
        "| language | component KiB | compiled once ms | start from cache ms | memory KiB | a call, warm µs |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    let rust = [(Language::Rust, "prefer-wired")];
    let others = LANGUAGES.map(|(language, word)| (language, ["template-", word].concat()));
    for (language, name) in rust.map(|(it, name)| (it, name.to_owned())).into_iter().chain(others) {
        let room = tempfile::tempdir().unwrap();
        let start = |state: &Path| {
            let engine = PluginEngine::keeping(state).unwrap();
            // As a daemon starts: with what it compiled before, if it did.
            let began = Instant::now();
            let plugin = WasmPolicy::load(&engine, spec(language, &name)).unwrap();
            (plugin, began.elapsed().as_secs_f64() * 1e3)
        };
        let (_, compiled) = start(room.path());
        let mut starts: Vec<f64> = (0..9).map(|_| start(room.path()).1).collect();
        starts.sort_by(f64::total_cmp);
        let (plugin, _) = start(room.path());
        let menu = fixtures::path_menu(&[vpnhost_model::LinkKind::WIFI; 8]);
        let question = Question::RankPaths(menu);
        let mut calls: Vec<f64> = (0..300)
            .map(|_| {
                let began = Instant::now();
                assert!(matches!(plugin.consult(&question), Ok(Some(_))));
                began.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        calls.sort_by(f64::total_cmp);
        let roomy = Limits { memory: 256 << 20, ..Limits::default() };
        let it = inspect(&engine(), &component(&name), roomy, &[]).unwrap();
        println!(
            "| {language} | {} | {compiled:.0} | {:.1} | {} | {:.1} |",
            it.size >> 10,
            starts[4],
            it.memory >> 10,
            calls[150]
        );
    }
}
