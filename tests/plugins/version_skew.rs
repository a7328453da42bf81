//! Components that answer less than the host asks, or were built against another version.

use std::path::PathBuf;
use std::time::Duration;

use vpnhost_plugin_host::{LoadError, PluginSpec, WasmPolicy};
use vpnhost_plugin_lab::questions::Random;
use vpnhost_policy::{Policy, QuestionKind};

use crate::{component, engine, load, spec};

#[test]
fn a_component_with_one_question_abstains_on_the_rest() {
    let plugin = load("template", &[]).unwrap();
    for kind in QuestionKind::ALL {
        let reply = plugin.consult(&Random::new(1).question(kind));
        assert_eq!(matches!(reply, Ok(Some(_))), kind == QuestionKind::RankPaths, "{kind}: {reply:?}");
        assert!(reply.is_ok(), "{kind}: {reply:?}");
    }
    assert_eq!(plugin.usage().calls, 1, "the rest never reach the guest");
}

/// Writes another version into every place where the component names one; the lengths stay.
fn rebuilt_against(version: &str) -> Result<WasmPolicy, LoadError> {
    assert_eq!(version.len(), "0.1.0".len());
    let mut octets = std::fs::read(component("template")).unwrap();
    let (old, new) = (b"@0.1.0", format!("@{version}").into_bytes());
    let places: Vec<usize> =
        octets.windows(old.len()).enumerate().filter(|(_, it)| it == old).map(|(at, _)| at).collect();
    assert!(places.len() > 4, "the component names its version");
    for at in places {
        octets[at..at + new.len()].copy_from_slice(&new);
    }
    let path = std::env::temp_dir().join(format!("vpnhost-{}-{version}.wasm", std::process::id()));
    std::fs::write(&path, octets).unwrap();
    let loaded = WasmPolicy::load(
        &engine(),
        PluginSpec { path: path.clone(), ..spec("template", &[], Duration::from_secs(60)) },
    );
    std::fs::remove_file(&path).unwrap();
    loaded
}

#[test]
fn a_component_of_a_later_patch_of_the_interface_loads_and_answers() {
    let plugin = rebuilt_against("0.1.7").unwrap();
    let reply = plugin.consult(&Random::new(1).question(QuestionKind::RankPaths));
    assert!(matches!(reply, Ok(Some(_))), "{reply:?}");
}

#[test]
fn a_component_of_another_version_of_the_interface_is_refused_in_clear_words() {
    let error = rebuilt_against("0.2.0").unwrap_err();
    let text = error.to_string();
    assert!(text.contains("vpnhost:policy/"), "{text}");
    assert!(text.contains("@0.2.0"), "{text}");
}

/// Built when the interface was new, and never again: frozen/README.md says of what.
#[test]
fn a_component_of_the_interfaces_first_days_loads_and_answers_every_question() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("plugins/frozen/standard-0.1.0.wasm");
    let spec = PluginSpec { path, ..spec("standard", &[], Duration::from_secs(60)) };
    let plugin = WasmPolicy::load(&engine(), spec).unwrap();
    for kind in QuestionKind::ALL {
        for seed in 0..50 {
            let question = Random::new(seed).question(kind);
            let answer = plugin.consult(&question).unwrap().expect("it answers everything");
            assert!(question.admits(&answer), "{kind}, seed {seed}: {answer:?}");
        }
    }
    assert_eq!(plugin.usage().restarts, 0);
}
