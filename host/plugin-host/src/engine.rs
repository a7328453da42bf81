//! One compiler and run time for all plugins, the thread that looks at who runs too long, and what outlives a plugin.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use wasmtime::{Config, Engine};

use crate::compiled::CompiledCache;
use crate::holdings::Holdings;
use crate::{LoadError, limits};

/// The engine that plugins are compiled for. Dropped with the last plugin that uses it.
pub struct PluginEngine {
    engine: Engine,
    compiled: Option<CompiledCache>,
    holdings: Holdings,
    ticker: Arc<Ticker>,
    thread: Option<JoinHandle<()>>,
}

impl PluginEngine {
    /// Returns an engine that keeps nothing, and starts its thread.
    ///
    /// # Errors
    /// A machine that cannot run WebAssembly or has no thread left.
    pub fn new() -> Result<Arc<Self>, LoadError> {
        Self::with(None, Holdings::in_memory())
    }

    /// Returns an engine that keeps compiled plugins in `compiled`, and stores in `plugins`, of a directory that is
    /// this host's own. What cannot be kept there is told: plugins run without it.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn keeping(state: &Path) -> Result<Arc<Self>, LoadError> {
        let (compiled, stores) = (state.join("compiled"), state.join("plugins"));
        let told = |what: &'static str| move |error: std::io::Error| tracing::warn!(directory = %state.display(), %error, "{what}");
        let cache = CompiledCache::open(&compiled).map_err(told("compiled plugins are not kept")).ok();
        let holdings = Holdings::at(&stores).map_err(told("plugins' stores are not kept"));
        Self::with(cache, holdings.unwrap_or_else(|()| Holdings::in_memory()))
    }

    fn with(compiled: Option<CompiledCache>, holdings: Holdings) -> Result<Arc<Self>, LoadError> {
        let mut config = Config::new();
        // Answers are the same on every machine: they can be replayed.
        config.cranelift_nan_canonicalization(true);
        config.epoch_interruption(true);
        config.max_wasm_stack(limits::STACK_OCTETS);
        let engine = Engine::new(&config).map_err(|source| LoadError::Engine { source })?;
        let ticker = Arc::new(Ticker::default());
        let (ticks, clock) = (ticker.clone(), engine.clone());
        let thread = thread::Builder::new()
            .name("plugin-ticker".to_owned())
            .spawn(move || ticks.run(&clock))
            .map_err(|source| LoadError::Engine { source: source.into() })?;
        Ok(Arc::new(Self { engine, compiled, holdings, ticker, thread: Some(thread) }))
    }

    pub(crate) fn wasmtime(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn compiled(&self) -> Option<&CompiledCache> {
        self.compiled.as_ref()
    }

    pub(crate) fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// Waits until every store that changed is on the disk.
    pub fn flush(&self) {
        self.holdings.flush();
    }

    /// Keeps the thread ticking until the guard is dropped.
    pub(crate) fn watch(&self) -> Watch<'_> {
        if self.ticker.running.fetch_add(1, Ordering::SeqCst) == 0
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Watch(&self.ticker)
    }
}

impl fmt::Debug for PluginEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginEngine").finish_non_exhaustive()
    }
}

impl Drop for PluginEngine {
    fn drop(&mut self) {
        self.ticker.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It ends within a tick; a panic of its own would have been reported already.
            let _ = thread.join();
        }
    }
}

/// A call that is under way.
pub(crate) struct Watch<'a>(&'a Ticker);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Sleeps while no guest runs: an idle host wakes for nobody.
#[derive(Default)]
struct Ticker {
    running: AtomicUsize,
    stop: AtomicBool,
}

impl Ticker {
    fn run(&self, engine: &Engine) {
        while !self.stop.load(Ordering::SeqCst) {
            if self.running.load(Ordering::SeqCst) == 0 {
                thread::park();
            } else {
                thread::sleep(limits::TICK);
                engine.increment_epoch();
            }
        }
    }
}
