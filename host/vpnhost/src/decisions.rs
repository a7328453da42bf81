//! What plugins were asked and what they said, one JSON document a line, written by a thread of its own.
//!
//! The file is renamed to `….1` when it is large; one such predecessor is kept.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use serde_json::json;
use vpnhost_driver::DecisionLog;
use vpnhost_policy::{Decision, Outcome, Question};

/// Lines that wait for the thread; what comes on top is lost, and that it was is logged.
const WAITING: usize = 256;
/// Octets at which the file is renamed.
const LARGEST: u64 = 16 << 20;

/// Sends decisions to the thread that writes them.
#[derive(Debug)]
pub(crate) struct DecisionFile {
    lines: SyncSender<String>,
}

impl DecisionFile {
    /// Opens the file (mode 0640) and starts its thread.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut writer = Writer::open(path)?;
        let (lines, received) = sync_channel(WAITING);
        std::thread::Builder::new().name("decisions".to_owned()).spawn(move || writer.write_all(&received))?;
        Ok(Self { lines })
    }
}

impl DecisionLog for DecisionFile {
    fn decided(&self, unix: Duration, question: &Question, decision: &Decision) {
        match self.lines.try_send(line(unix, question, decision)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => tracing::warn!("a decision is missing in the log: its file is slow"),
            Err(TrySendError::Disconnected(_)) => {}
        }
    }
}

struct Writer {
    path: PathBuf,
    file: File,
    written: u64,
}

impl Writer {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
        let written = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, written })
    }

    fn write_all(&mut self, lines: &Receiver<String>) {
        for line in lines {
            if let Err(error) = self.write(&line) {
                tracing::warn!(%error, file = %self.path.display(), "a decision could not be written");
            }
        }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.written >= LARGEST {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            std::fs::rename(&self.path, old)?;
            *self = Self::open(&self.path)?;
        }
        self.file.write_all(line.as_bytes())?;
        self.written += line.len() as u64;
        Ok(())
    }
}

/// Tells a decision: the whole question and answer as text, and each policy's part in it.
fn line(unix: Duration, question: &Question, decision: &Decision) -> String {
    let steps: Vec<_> = decision
        .trace
        .iter()
        .map(|step| {
            let (outcome, failure) = match &step.outcome {
                Outcome::Answered => ("answered", None),
                Outcome::Abstained => ("abstained", None),
                Outcome::OffTheMenu => ("off the menu", None),
                Outcome::Failed(how) => ("failed", Some(how)),
            };
            json!({
                "policy": step.policy,
                "outcome": outcome,
                "failure": failure,
                "why": step.why,
                "elapsed_us": step.elapsed.map(crate::control::document::micros),
            })
        })
        .collect();
    let document = json!({
        "unix_ms": u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        "question": question.kind().name(),
        "connection": question.connection(),
        "asked": format!("{question:?}"),
        "answer": decision.answer.as_ref().map(|answer| format!("{answer:?}")),
        "decided_by": decision.decided_by,
        "steps": steps,
    });
    format!("{document}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_gives_way_to_a_new_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("decisions.jsonl");
        let mut writer = Writer::open(&path).unwrap();
        writer.write("one\n").unwrap();
        writer.written = LARGEST;
        writer.write("two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(std::fs::read_to_string(directory.path().join("decisions.jsonl.1")).unwrap(), "one\n");
    }
}
