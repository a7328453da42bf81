//! What a plugin has of the host: its store, its numbers, the operator's tables; and the record of it.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use vpnhost_plugin_host::{
    Grant, LoadError, PluginEngine, PluginSpec, StoreKind, TableKeys, TableSpec, WasmPolicy, limits,
};
use vpnhost_policy::{Chain, Failure, ImportCall, ImportValue, Policy as _};

use crate::hostile::paths;
use crate::{engine, spec};

fn plugin(engine: &Arc<PluginEngine>, behaviour: &str, more: impl FnOnce(&mut PluginSpec)) -> WasmPolicy {
    let mut spec = spec("hostile", &[("behaviour", behaviour)], Duration::from_secs(60));
    spec.name = Some("counter".to_owned());
    more(&mut spec);
    WasmPolicy::load(engine, spec).unwrap()
}

fn why(plugin: &WasmPolicy, connection: &str) -> String {
    let answer = plugin.consult(&paths(connection)).unwrap().unwrap();
    answer.why().unwrap().to_owned()
}

#[test]
fn what_is_not_granted_is_not_loaded_and_the_line_to_add_is_told() {
    let ungranted = |grants: &[Grant]| {
        let mut spec = spec("hostile", &[("behaviour", "lie")], Duration::from_secs(60));
        spec.grants = grants.to_vec();
        WasmPolicy::load(&engine(), spec).unwrap_err()
    };
    let error = ungranted(&[Grant::Metrics]);
    assert!(error.to_string().ends_with("uses what it was not granted: kv, data"), "{error}");
    let hint = error.hint().unwrap();
    assert_eq!(hint, "write grant = [\"kv\", \"metrics\", \"data\"] in its [[plugin]]");
    assert!(matches!(ungranted(&[]), LoadError::NotGranted { missing, .. } if missing.len() == 3));
}

#[test]
fn a_store_outlives_calls_instances_and_components_but_not_what_a_failed_call_wrote() {
    let engine = engine();
    let first = plugin(&engine, "remember", |_| ());
    assert_eq!([why(&first, "a"), why(&first, "a"), why(&first, "b")], ["call 1", "call 2", "call 1"]);
    let failing = plugin(&engine, "forget", |_| ());
    for _ in 0..2 {
        let failure = failing.consult(&paths("a")).unwrap_err();
        assert!(matches!(&failure, Failure::Trap(how) if how.contains("after call 3")), "{failure:?}");
    }
    assert_eq!(why(&first, "a"), "call 3");
    assert_eq!(why(&plugin(&engine, "remember", |_| ()), "a"), "call 4", "another component of that name");
    let other = plugin(&engine, "remember", |spec| spec.name = Some("other".to_owned()));
    assert_eq!(why(&other, "a"), "call 1", "another plugin");
    let unnamed = plugin(&engine, "remember", |spec| spec.name = None);
    assert_eq!(why(&unnamed, "a"), "call 1", "a name of its own choice opens nobody's store");
}

#[test]
fn a_store_outlives_a_restart_where_the_operator_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut seen = Vec::new();
    for kind in [StoreKind::Keep, StoreKind::Keep, StoreKind::Memory, StoreKind::Keep] {
        let engine = PluginEngine::keeping(&state).unwrap();
        let plugin = plugin(&engine, "remember", |spec| spec.store = kind);
        seen.push(why(&plugin, "a"));
        engine.flush();
    }
    assert_eq!(seen, ["call 1", "call 2", "call 1", "call 3"]);
    assert!(state.join("plugins/counter").is_file());
}

#[test]
fn a_table_is_looked_into_as_it_was_when_the_plugin_was_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.csv");
    fs::write(&path, "carol,sales\n").unwrap();
    let engine = engine();
    let table = |keys| TableSpec { name: "users".to_owned(), path: path.clone(), keys };
    let old = plugin(&engine, "look-up", |spec| spec.tables = vec![table(TableKeys::Texts)]);
    assert_eq!([why(&old, "carol"), why(&old, "dave")], ["sales", "unknown"]);
    fs::write(&path, "carol,west\n10.0.0.0/8,inside\n").unwrap();
    let new = plugin(&engine, "look-up", |spec| spec.tables = vec![table(TableKeys::Texts)]);
    assert_eq!([why(&old, "carol"), why(&new, "carol")], ["sales", "west"]);
    assert_eq!(why(&new, "10.1.2.3"), "unknown");
    fs::write(&path, "10.0.0.0/8,inside\n").unwrap();
    let networks = plugin(&engine, "look-up", |spec| spec.tables = vec![table(TableKeys::Networks)]);
    assert_eq!([why(&networks, "10.1.2.3"), why(&networks, "192.0.2.1")], ["inside", "unknown"]);
}

#[test]
fn a_table_that_the_operator_does_not_name_is_no_empty_one() {
    let plugin = plugin(&engine(), "look-up", |_| ());
    let failure = plugin.consult(&paths("carol")).unwrap_err();
    assert!(matches!(&failure, Failure::Trap(how) if how.contains("the table `users`")), "{failure:?}");
}

#[test]
fn a_table_that_is_none_keeps_the_plugin_from_being_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.csv");
    fs::write(&path, "carol,sales\ndave\n").unwrap();
    let mut spec = spec("hostile", &[("behaviour", "look-up")], Duration::from_secs(60));
    spec.tables = vec![TableSpec { name: "users".to_owned(), path, keys: TableKeys::Texts }];
    let error = WasmPolicy::load(&engine(), spec).unwrap_err().to_string();
    assert!(error.contains("users.csv: line 2 has no comma"), "{error}");
}

#[test]
fn all_that_a_call_was_told_stands_beside_the_decision() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.csv");
    fs::write(&path, "carol,sales\n").unwrap();
    let engine = engine();
    let counter = Arc::new(plugin(&engine, "remember", |_| ()));
    let reader = Arc::new(plugin(&engine, "look-up", |spec| {
        spec.tables = vec![TableSpec { name: "users".to_owned(), path, keys: TableKeys::Texts }];
    }));
    let record = |plugin: &Arc<WasmPolicy>| {
        let step = Chain::new(vec![plugin.clone()]).decide(&paths("carol")).trace.remove(0);
        assert_eq!(step.sha256, plugin.sha256());
        step.imports
    };
    let call = |import, arguments: &[&str], value| ImportCall {
        import,
        arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
        value,
        table: None,
    };
    let set = call("kv.set", &["carol"], ImportValue::Done);
    assert_eq!(record(&counter), [call("kv.get", &["carol"], ImportValue::Nothing), set.clone()]);
    let one = ImportValue::Octets(b"1".to_vec());
    assert_eq!(record(&counter), [call("kv.get", &["carol"], one), set]);
    let [looked_up] = &record(&reader)[..] else { panic!("one value") };
    let sales = call("data.get", &["users", "carol"], ImportValue::Text("sales".to_owned()));
    assert_eq!(ImportCall { table: None, ..looked_up.clone() }, sales);
    assert!(looked_up.table.is_some());
    assert!(record(&counter).len() < limits::IMPORTED_VALUES);
}

#[test]
fn what_a_failed_call_was_told_is_recorded_too() {
    let plugin = plugin(&engine(), "forget", |_| ());
    let recorded = plugin.consult_on_record(&paths("carol"));
    assert!(recorded.reply.is_err());
    assert_eq!(recorded.imports.len(), 2);
    assert!(plugin.metrics().is_empty());
}
