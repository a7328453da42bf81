//! A program in the background, ended by its process id and by nothing broader.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::command::{run, shown};
use crate::wait;

/// How long a program may take to end in order.
const END: Duration = Duration::from_secs(10);

/// A background program with its log; dropping it ends it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    shown: String,
    log: PathBuf,
}

impl Running {
    /// Starts a program with both outputs in the log (`ip netns exec` becomes the program: one process id).
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", shown(command)))?;
        Ok(Self { child, shown: shown(command), log: log.to_path_buf() })
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Returns how it ended, `None` while it runs.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends it a signal by name.
    pub fn signal(&self, signal: &str) -> Result<()> {
        run(Command::new("kill").args([&format!("-{signal}"), &self.pid().to_string()])).map(drop)
    }

    /// Closes its standard input, which ends programs that read it.
    pub fn close_input(&mut self) {
        self.child.stdin.take();
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.shown);
        let child = &mut self.child;
        wait::until(&what, limit, || Ok(child.try_wait()?))
    }

    /// Waits until its log holds a text.
    pub fn wait_log(&mut self, text: &str, limit: Duration) -> Result<()> {
        wait::until(&format!("{text:?} from {}", self.shown), limit, || {
            if self.log().contains(text) {
                return Ok(Some(()));
            }
            match self.child.try_wait()? {
                Some(status) => bail!("{} ended ({status}): {}", self.shown, self.log().trim()),
                None => Ok(None),
            }
        })
    }

    /// Ends it in order and returns how it ended.
    pub fn stop(mut self, signal: &str) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        self.signal(signal)?;
        self.wait(END)
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // In order first, so that it can take away what it made.
            if self.signal("TERM").is_err() || self.wait(Duration::from_secs(3)).is_err() {
                drop(self.child.kill());
                drop(self.child.wait());
            }
        }
    }
}
