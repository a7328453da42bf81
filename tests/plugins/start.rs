//! A start does not wait for a compiler twice.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vpnhost_plugin_host::{PluginEngine, WasmPolicy};
use vpnhost_policy::Policy as _;

use crate::hostile::paths;
use crate::{component, spec};

struct Ground {
    _dir: TempDir,
    state: PathBuf,
}

fn ground() -> Ground {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    Ground { _dir: dir, state }
}

impl Ground {
    /// Starts as a daemon does that was started again, and asks one question.
    fn start(&self, name: &str) -> Duration {
        let engine = PluginEngine::keeping(&self.state).unwrap();
        let spec = spec(name, &[], Duration::from_secs(60));
        let started = Instant::now();
        let plugin = WasmPolicy::load(&engine, spec).unwrap();
        let took = started.elapsed();
        assert!(matches!(plugin.consult(&paths("any")), Ok(Some(_))));
        took
    }

    fn entries(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state.join("compiled")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

/// Printed, not judged: how busy the machine is would decide.
#[test]
fn a_second_start_finds_what_the_first_compiled() {
    let ground = ground();
    let first = ground.start("standard");
    let [entry] = &ground.entries()[..] else { panic!("{:?}", ground.entries()) };
    let compiled = fs::read(entry).unwrap();
    let mut again: Vec<Duration> = (0..20).map(|_| ground.start("standard")).collect();
    again.sort();
    let octets = fs::metadata(component("standard")).unwrap().len();
    println!(
        "a component of {octets} octets starts in {first:?} with a compiler, from the cache in {:?} (median), {:?} to {:?}",
        again[10], again[0], again[19]
    );
    assert_eq!(ground.entries(), std::slice::from_ref(entry));
    assert!(fs::read(entry).unwrap() == compiled, "it was compiled again");
}

#[test]
fn a_broken_entry_is_compiled_anew_and_replaced() {
    let ground = ground();
    ground.start("template");
    let [entry] = &ground.entries()[..] else { panic!("{:?}", ground.entries()) };
    let good = fs::read(entry).unwrap();
    let mut broken = good.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    for octets in [broken, good[..middle].to_vec(), b"#!/bin/sh\n".to_vec()] {
        fs::write(entry, octets).unwrap();
        ground.start("template");
        assert!(fs::read(entry).unwrap() == good);
    }
}

#[test]
fn another_component_finds_nothing_of_the_firsts() {
    let ground = ground();
    ground.start("template");
    ground.start("lowest-rtt");
    assert_eq!(ground.entries().len(), 2);
}

#[test]
fn a_host_that_may_keep_nothing_compiles_each_time() {
    let ground = ground();
    fs::write(&ground.state, "no directory").unwrap();
    ground.start("template");
    ground.start("template");
    assert_eq!(fs::read(&ground.state).unwrap(), b"no directory");
}
