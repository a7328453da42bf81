//! What a component costs, beside the built-in policy.

use std::hint::black_box;
use std::time::{Duration, Instant};

use vpnhost_plugin_host::{LoadError, PluginEngine, Told, WasmPolicy};
use vpnhost_policy::{Failure, Policy, Question, QuestionKind};
use vpnhost_policy_standard::Standard;

use crate::questions::Random;
use crate::{Subject, limits};

/// Different menus that are asked in turn.
const MENUS: u64 = 8;
/// Calls of the built-in policy that are timed at once: one is as short as a look at the clock.
const BATCH: usize = 64;

/// What a component costs.
#[derive(Clone, Debug)]
pub struct Report {
    /// From a file to a plugin that is configured, with the compiler.
    pub compiled_start: Duration,
    /// The same, out of the cache.
    pub cached_start: Duration,
    /// One more instance, described and configured.
    pub instance_start: Duration,
    /// Octets of linear memory of an instance that has answered.
    pub memory: usize,
    /// Each question that it answers.
    pub questions: Vec<Measured>,
}

/// What one question costs.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Which.
    pub kind: QuestionKind,
    /// Calls.
    pub calls: usize,
    /// Calls that were abstained from.
    pub abstained: usize,
    /// Why it was not measured to the end.
    pub failure: Option<Failure>,
    /// The time of a call: half of them, nine of ten, 99 of a hundred take no longer.
    pub times: [Duration; 3],
    /// Calls in a second.
    pub per_second: u64,
    /// The built-in policy's median.
    pub native: Duration,
}

/// Measures a component, and tells `progress` what is measured.
///
/// # Errors
/// A component that is not loaded.
pub fn run(subject: &Subject, mut progress: impl FnMut(&str)) -> Result<Report, LoadError> {
    progress("start with the compiler");
    let begun = Instant::now();
    let mut compiled = Vec::new();
    while compiled.len() < limits::STARTS[0] && begun.elapsed() < limits::MEASURED {
        let engine = PluginEngine::new()?;
        let started = Instant::now();
        WasmPolicy::load(&engine, subject.spec().clone())?;
        compiled.push(started.elapsed());
    }
    progress("start from the cache");
    let plugin = subject.start()?;
    let mut cached = Vec::new();
    for _ in 0..limits::STARTS[1] {
        let engine = subject.engine()?;
        let started = Instant::now();
        black_box(WasmPolicy::load(&engine, subject.spec().clone())?);
        cached.push(started.elapsed());
    }
    let mut questions = Vec::new();
    for kind in plugin.questions().iter() {
        progress(kind.name());
        questions.push(measure(&subject.start()?, kind));
    }
    let (mut memory, mut instances) = (0, Vec::new());
    for seed in 0..u64::try_from(limits::STARTS[1]).unwrap_or(1) {
        for kind in plugin.questions().iter() {
            let aside = plugin.aside(&menu(seed, kind), Told::Nothing);
            memory = memory.max(aside.memory);
            instances.push(aside.started_in);
        }
    }
    Ok(Report {
        compiled_start: percentile(&mut compiled, 50),
        cached_start: percentile(&mut cached, 50),
        instance_start: percentile(&mut instances, 50),
        memory,
        questions,
    })
}

fn menu(seed: u64, kind: QuestionKind) -> Question {
    Random::new(seed).with_candidates(limits::CANDIDATES).question(kind)
}

fn measure(plugin: &WasmPolicy, kind: QuestionKind) -> Measured {
    let menus: Vec<Question> = (0..MENUS).map(|seed| menu(seed, kind)).collect();
    let (mut failure, mut abstained) = (None, 0);
    let mut times = Vec::with_capacity(limits::CALLS);
    let mut begun = Instant::now();
    for (call, menu) in menus.iter().cycle().enumerate() {
        let (started, reply) = (Instant::now(), plugin.consult(black_box(menu)));
        let took = started.elapsed();
        match reply {
            Ok(answer) if call >= limits::WARM_UP => abstained += usize::from(answer.is_none()),
            Ok(_) => {
                begun = Instant::now();
                continue;
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
        times.push(took);
        if times.len() >= limits::CALLS || begun.elapsed() >= limits::MEASURED {
            break;
        }
    }
    let calls = times.len();
    let spent: Duration = times.iter().sum();
    let per_second = if spent.is_zero() { 0 } else { (calls as f64 / spent.as_secs_f64()) as u64 };
    let times = [50, 90, 99].map(|percent| percentile(&mut times, percent));
    Measured { kind, calls, abstained, failure, times, per_second, native: native(&menus) }
}

fn native(menus: &[Question]) -> Duration {
    let mut times = Vec::new();
    for menu in menus.iter().cycle().take(menus.len() * 25) {
        let started = Instant::now();
        for _ in 0..BATCH {
            black_box(black_box(menu).put_to(&Standard));
        }
        times.push(started.elapsed() / u32::try_from(BATCH).unwrap_or(1));
    }
    percentile(&mut times, 50)
}

/// Returns the time that so many of a hundred do not exceed.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(rank).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let mut times: Vec<Duration> = (1..=100).rev().map(Duration::from_micros).collect();
        let found = [50, 90, 99, 100].map(|percent| percentile(&mut times, percent).as_micros());
        assert_eq!(found, [50, 90, 99, 100]);
        assert_eq!(percentile(&mut [], 50), Duration::ZERO);
        assert_eq!(percentile(&mut [Duration::from_secs(1)], 99), Duration::from_secs(1));
    }
}
