//! `log`, `kv`, `metrics` and `data`: what a plugin has of the host.

use tracing::Level;
use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker};

use super::wit::vpnhost::policy::{data, kv, log, metrics};
use crate::Grant;
use crate::guest::Guest;

/// Links the log, and what is granted.
pub(super) fn link(linker: &mut Linker<Guest>, granted: &[Grant]) -> Result<()> {
    log::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    for grant in granted {
        match grant {
            Grant::Kv => kv::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
            Grant::Metrics => metrics::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
            Grant::Data => data::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
        }
    }
    Ok(())
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, message: String) -> Result<()> {
        let level = match level {
            log::Level::Trace => Level::TRACE,
            log::Level::Debug => Level::DEBUG,
            log::Level::Info => Level::INFO,
            log::Level::Warn => Level::WARN,
            log::Level::Error => Level::ERROR,
        };
        self.log(level, &message);
        Ok(())
    }
}

impl kv::Host for Guest {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>> {
        self.kv_get(key)
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<std::result::Result<(), String>> {
        self.kv_set(key, value)
    }

    fn delete(&mut self, key: String) -> Result<()> {
        self.kv_delete(&key)
    }

    fn keys(&mut self, prefix: String) -> Result<Vec<String>> {
        self.kv_keys(prefix)
    }
}

impl metrics::Host for Guest {
    fn count(&mut self, name: String, by: u32) -> Result<()> {
        self.count(&name, by)
    }

    fn gauge(&mut self, name: String, value: f64) -> Result<()> {
        self.gauge(&name, value)
    }
}

impl data::Host for Guest {
    fn tables(&mut self) -> Result<Vec<String>> {
        self.tables()
    }

    fn get(&mut self, table: String, key: String) -> Result<Option<String>> {
        self.look_up(table, key)
    }
}
