//! A file of what plugins were asked and what they said, one JSON document a line: `[host] decisions`. Each
//! line holds the whole question, so that it can be put to another plugin later.
//!
//! The event loop must not wait for a disk: lines go to a thread of this file's own over a bounded queue, and
//! those that find it full are counted and told. A file that has grown to its bound is moved aside.

mod document;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use vpnhost_driver::DecisionLog;
use vpnhost_policy::{Decision, Question};

use crate::limits;

/// Writes decisions to a file.
#[derive(Debug)]
pub(crate) struct DecisionFile {
    path: PathBuf,
    lines: SyncSender<String>,
    lost: AtomicU64,
}

impl DecisionFile {
    /// Opens the file, with its directory, and starts its thread; what is in it stays.
    ///
    /// # Errors
    /// Whatever keeps it from being written.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::with_limit(path, limits::DECISIONS_OCTETS)
    }

    fn with_limit(path: &Path, limit: u64) -> io::Result<Self> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
        }
        let pages = Pages::open(path, limit)?;
        let (lines, queue) = sync_channel(limits::DECISIONS_QUEUED);
        thread::Builder::new().name("decisions".to_owned()).spawn(move || pages.fill(&queue))?;
        Ok(Self { path: path.to_owned(), lines, lost: AtomicU64::new(0) })
    }

    /// Returns the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl DecisionLog for DecisionFile {
    fn decided(&self, unix: Duration, question: &Question, decision: &Decision) {
        let line = format!("{}\n", document::of(unix, question, decision));
        match self.lines.try_send(line) {
            Ok(()) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::warn!(lost, "decisions were not written: the disk is too slow");
                }
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The file and those that it grew out of: `FILE.1` is the youngest.
#[derive(Debug)]
struct Pages {
    path: PathBuf,
    file: File,
    octets: u64,
    limit: u64,
}

impl Pages {
    fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let file = append_to(path)?;
        let octets = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, octets, limit })
    }

    /// Writes lines until nobody sends any more.
    fn fill(mut self, lines: &Receiver<String>) {
        for line in lines {
            if let Err(error) = self.write(&line) {
                tracing::warn!(file = %self.path.display(), %error, "a decision could not be written");
            }
        }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.octets > 0 && self.octets.saturating_add(length) > self.limit {
            self.turn()?;
        }
        self.octets = self.octets.saturating_add(length);
        self.file.write_all(line.as_bytes())
    }

    fn turn(&mut self) -> io::Result<()> {
        for number in (1..limits::DECISIONS_FILES).rev() {
            let (from, to) = (self.page(number - 1), self.page(number));
            if from.exists() {
                fs::rename(from, to)?;
            }
        }
        self.file = append_to(&self.path)?;
        self.octets = 0;
        Ok(())
    }

    fn page(&self, number: usize) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use vpnhost_model::{Identity, Role};
    use vpnhost_policy::{
        Answer, Authorization, ImportCall, ImportValue, Outcome, PeerClaim, Sha256, Step, Strength,
    };

    use super::*;

    fn question() -> Question {
        Question::AuthorizePeer(PeerClaim {
            connection: "corp".into(),
            role: Role::Responder,
            local_id: Identity::Fqdn("moon".into()),
            peer_id: Identity::Fqdn("carol".into()),
            auth_method: 2,
            certificate: None,
            eap: None,
            suite: Vec::new(),
            strength: Strength::RECOMMENDED,
            local: "198.51.100.1:4500".parse().unwrap(),
            peer_behind_nat: false,
            others: Vec::new(),
            initial_contact: false,
            remote: "192.0.2.1:4500".parse().unwrap(),
            unix_secs: 7,
            utc_offset_secs: 3600,
            other_sas: 0,
            hints: Vec::new(),
        })
    }

    fn decision() -> Decision {
        Decision {
            answer: Some(Answer::AuthorizePeer(Authorization::refuse("at night"))),
            decided_by: Some("office-hours".into()),
            trace: vec![Step {
                policy: "office-hours".into(),
                sha256: Some(Sha256([0xab; 32])),
                outcome: Outcome::Answered,
                why: Some("at night".into()),
                elapsed: Some(Duration::from_micros(12)),
                imports: vec![
                    ImportCall {
                        import: "kv.get",
                        arguments: vec!["carol".into()],
                        value: ImportValue::Octets(vec![0xff]),
                        table: None,
                    },
                    ImportCall {
                        import: "data.get",
                        arguments: vec!["users".into(), "carol".into()],
                        value: ImportValue::Text("sales".into()),
                        table: Some(Sha256([1; 32])),
                    },
                ],
            }],
        }
    }

    #[test]
    fn a_decision_is_a_line_with_the_whole_question() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log/decisions.jsonl");
        let log = DecisionFile::open(&path).unwrap();
        log.decided(Duration::from_millis(1500), &question(), &decision());
        let lines = written(&path, 1);
        let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(line["question"], "authorize-peer");
        assert_eq!(line["unix_ms"], 1500);
        assert_eq!(line["asked"]["peer_id"]["text"], "carol");
        assert_eq!(line["answer"]["refuse"], "at night");
        assert_eq!(line["by"], "office-hours");
        let step = &line["trace"][0];
        assert_eq!((&step["elapsed_us"], &step["sha256"]), (&12.into(), &"ab".repeat(32).into()));
        assert_eq!(step["imports"][0]["value"]["hex"], "ff");
        assert_eq!(step["imports"][1]["arguments"][1], "carol");
        assert_eq!(step["imports"][1]["value"]["text"], "sales");
        assert_eq!(step["imports"][1]["table_sha256"], "01".repeat(32));
    }

    /// Waits for the thread to have written so many lines.
    fn written(path: &Path, count: usize) -> String {
        for _ in 0..1000 {
            let text = fs::read_to_string(path).unwrap_or_default();
            if text.lines().count() >= count {
                return text;
            }
            thread::yield_now();
            thread::sleep(Duration::from_millis(5));
        }
        panic!("{} has no {count} lines", path.display());
    }

    #[test]
    fn a_full_file_is_moved_aside_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let mut pages = Pages::open(&path, 10).unwrap();
        for number in 0..9 {
            pages.write(&format!("line {number}\n")).unwrap();
        }
        let names = ["d", "d.1", "d.2"].map(|name| fs::read_to_string(dir.path().join(name)).unwrap());
        assert_eq!(names, ["line 8\n", "line 7\n", "line 6\n"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), limits::DECISIONS_FILES);
    }

    #[test]
    fn a_file_that_is_there_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        fs::write(&path, "older\n").unwrap();
        Pages::open(&path, 100).unwrap().write("newer\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "older\nnewer\n");
    }
}
