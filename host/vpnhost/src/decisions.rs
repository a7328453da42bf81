//! A file of what plugins were asked and what they said, one JSON document a line: `[host] decisions`. Each
//! line holds the whole question, so that it can be put to another plugin later, and the digest of the line before.
//!
//! The event loop must not wait for a disk: decisions go to a thread of this file's own over a bounded queue, and
//! those that find it full are counted, and told by the next line. A file that has grown to its bound is moved aside.

pub(crate) mod reading;
pub(crate) mod sentence;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use vpnhost_driver::DecisionLog;
use vpnhost_policy::{Decision, Question};
use vpnhost_policy_standard::Standard;
use vpnhost_record::{Entry, Scribe};

use crate::config::DecisionSettings;
use crate::limits;

/// Writes decisions to a file.
#[derive(Debug)]
pub(crate) struct DecisionFile {
    path: PathBuf,
    bounds: Arc<Bounds>,
    entries: SyncSender<Entry>,
    lost: AtomicU64,
}

/// What the files may take; it may change while they are written.
#[derive(Debug)]
struct Bounds {
    size: AtomicU64,
    files: AtomicUsize,
}

impl DecisionFile {
    /// Opens the file, with its directory, and starts its thread; what is in it stays.
    ///
    /// # Errors
    /// Whatever keeps it from being written.
    pub(crate) fn open(settings: &DecisionSettings) -> io::Result<Self> {
        let path = &settings.file;
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
        }
        let bounds = Arc::new(Bounds::of(settings));
        let pages = Pages::open(path, Arc::clone(&bounds))?;
        let (entries, queue) = sync_channel(limits::DECISIONS_QUEUED);
        thread::Builder::new().name("decisions".to_owned()).spawn(move || pages.fill(&queue))?;
        Ok(Self { path: path.clone(), bounds, entries, lost: AtomicU64::new(0) })
    }

    /// Returns the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Sets what the files may take from now on.
    pub(crate) fn bound(&self, settings: &DecisionSettings) {
        self.bounds.size.store(settings.size, Ordering::Relaxed);
        self.bounds.files.store(settings.files, Ordering::Relaxed);
    }
}

impl Bounds {
    fn of(settings: &DecisionSettings) -> Self {
        Self { size: AtomicU64::new(settings.size), files: AtomicUsize::new(settings.files) }
    }
}

impl DecisionLog for DecisionFile {
    fn decided(&self, unix: Duration, question: &Question, decision: &Decision) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        // The native policy's part is what the core makes of the decision: it is as pure there as it is here.
        let entry = Entry { lost, ..Entry::new(unix, question.clone(), decision.clone(), &Standard) };
        match self.entries.try_send(entry) {
            Ok(()) if lost > 0 => tracing::warn!(lost, "decisions were not written: the disk is too slow"),
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost.fetch_add(lost + 1, Ordering::Relaxed);
            }
        }
    }
}

/// The file and those that it grew out of: `FILE.1` is the youngest.
#[derive(Debug)]
struct Pages {
    path: PathBuf,
    bounds: Arc<Bounds>,
    /// None after a line could not be written whole: what stands at the end is looked at first.
    open: Option<Open>,
    /// Decisions that could not be written.
    lost: u64,
}

/// The file that is written to.
#[derive(Debug)]
struct Open {
    file: File,
    octets: u64,
    scribe: Scribe,
}

impl Pages {
    fn open(path: &Path, bounds: Arc<Bounds>) -> io::Result<Self> {
        let open = Some(resume(path)?);
        Ok(Self { path: path.to_owned(), bounds, open, lost: 0 })
    }

    /// Writes decisions until nobody sends any more.
    fn fill(mut self, entries: &Receiver<Entry>) {
        for entry in entries {
            if let Err(error) = self.write(&entry) {
                self.lost += entry.lost + 1;
                self.open = None;
                tracing::warn!(file = %self.path.display(), %error, "a decision could not be written");
            }
        }
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let mut document = entry.write();
        document.insert("lost".to_owned(), (entry.lost + self.lost).into());
        let mut open = match self.open.take() {
            Some(open) => open,
            None => resume(&self.path)?,
        };
        let line = open.scribe.line(document);
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if open.octets > 0 && open.octets.saturating_add(length) > self.bounds.size.load(Ordering::Relaxed) {
            turn(&self.path, self.bounds.files.load(Ordering::Relaxed))?;
            // The first line of a file follows the last of the one before.
            open = Open { file: append_to(&self.path)?, octets: 0, scribe: open.scribe };
        }
        open.octets = open.octets.saturating_add(length);
        open.file.write_all(line.as_bytes())?;
        self.lost = 0;
        self.open = Some(open);
        Ok(())
    }
}

/// Moves the file aside, and the oldest away.
fn turn(path: &Path, files: usize) -> io::Result<()> {
    // More may be there than are kept now.
    let surplus = (files.max(1)..).map(|number| page(path, number)).take_while(|old| old.exists());
    for old in surplus.collect::<Vec<_>>() {
        fs::remove_file(old)?;
    }
    if files <= 1 {
        return fs::remove_file(path);
    }
    for number in (1..files).rev() {
        let (from, to) = (page(path, number - 1), page(path, number));
        if from.exists() {
            fs::rename(from, to)?;
        }
    }
    Ok(())
}

/// Returns the file of a number: 0 is written to, 1 is the one before.
fn page(path: &Path, number: usize) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{number}"));
    name.into()
}

/// Opens the file, and goes on after its last line, or that of the file before.
fn resume(path: &Path) -> io::Result<Open> {
    let mut file = append_to(path)?;
    let octets = file.metadata()?.len();
    let last = match last_line(path)? {
        Some(line) => Some(line),
        None => last_line(&page(path, 1))?,
    };
    // The host ended while it was written: what comes next is a line of its own.
    if octets > 0 && last.as_ref().is_some_and(|line| !line.is_whole) {
        file.write_all(b"\n")?;
    }
    let scribe = last.map_or_else(Scribe::default, |line| Scribe::after(&line.octets));
    Ok(Open { file, octets, scribe })
}

/// A line at the end of a file.
struct LastLine {
    octets: Vec<u8>,
    /// Whether it ends as lines do.
    is_whole: bool,
}

fn last_line(path: &Path) -> io::Result<Option<LastLine>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let length = file.metadata()?.len();
    let most = u64::try_from(limits::LINE_OCTETS).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut octets = Vec::new();
    file.take(most).read_to_end(&mut octets)?;
    if octets.is_empty() {
        return Ok(None);
    }
    let is_whole = octets.pop_if(|last| *last == b'\n').is_some();
    let begin = octets.iter().rposition(|&octet| octet == b'\n').map_or(0, |at| at + 1);
    Ok(Some(LastLine { octets: octets.split_off(begin), is_whole }))
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use vpnhost_model::{Identity, Role};
    use vpnhost_policy::{
        Answer, Authorization, ImportCall, ImportValue, OnFailure, Outcome, PeerClaim, Sha256, Step, Strength,
    };

    use super::*;

    fn question() -> Question {
        Question::AuthorizePeer(PeerClaim {
            connection: "corp".into(),
            role: Role::Responder,
            local_id: Identity::Fqdn("moon".into()),
            peer_id: Identity::Fqdn("carol".into()),
            auth_method: 2,
            key: String::new(),
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
        let refusal = Answer::AuthorizePeer(Authorization::refuse("at night"));
        Decision {
            answer: Some(refusal.clone()),
            decided_by: Some("office-hours".into()),
            trace: vec![Step {
                policy: "office-hours".into(),
                sha256: Some(Sha256([0xab; 32])),
                configured: Some(Sha256([2; 32])),
                on_failure: OnFailure::Deny,
                asked: None,
                outcome: Outcome::Answered,
                answer: Some(refusal),
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
        let log = DecisionFile::open(&DecisionSettings::new(path.clone())).unwrap();
        log.decided(Duration::from_millis(1500), &question(), &decision());
        let lines = written(&path, 1);
        let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(line["question"], "authorize-peer");
        assert_eq!(line["unix_ms"], 1500);
        assert_eq!(line["asked"]["peer_id"]["text"], "carol");
        assert_eq!(line["answer"]["refuse"], "at night");
        assert_eq!((&line["by"], &line["sha256"]), (&"office-hours".into(), &"ab".repeat(32).into()));
        assert_eq!((&line["before"], &line["native"]), (&serde_json::Value::Null, &serde_json::Value::Null));
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

    fn entry(unix_ms: u64) -> Entry {
        Entry::new(Duration::from_millis(unix_ms), question(), decision(), &Standard)
    }

    fn pages(path: &Path, size: u64, files: usize) -> Pages {
        let settings = DecisionSettings { size, files, ..DecisionSettings::new(path.to_owned()) };
        Pages::open(path, Arc::new(Bounds::of(&settings))).unwrap()
    }

    /// The times of the decisions in a file; every line follows the one before, over files.
    fn times(path: &Path) -> Vec<u64> {
        let logs = reading::Logs::of(path).unwrap();
        let (mut verifier, mut times) = (vpnhost_record::Verifier::default(), Vec::new());
        let read = logs.each_line(|place, line| {
            verifier.take(line).unwrap_or_else(|broken| panic!("{place} {broken}"));
            let document: serde_json::Value = serde_json::from_slice(line).unwrap();
            times.push(Entry::read(&document).unwrap().unix_ms);
            Ok(())
        });
        read.unwrap();
        times
    }

    #[test]
    fn a_full_file_is_moved_aside_the_oldest_goes_and_lines_follow_each_other_from_file_to_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let length = {
            pages(&path, 1 << 20, 3).write(&entry(10)).unwrap();
            fs::metadata(&path).unwrap().len()
        };
        let mut pages = pages(&path, 2 * length + 200, 3);
        for number in 11..19 {
            pages.write(&entry(number)).unwrap();
        }
        let count = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap().lines().count();
        assert_eq!(["d", "d.1", "d.2"].map(count), [1, 2, 2]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        assert_eq!(times(&path), [14, 15, 16, 17, 18]);
    }

    #[test]
    fn where_fewer_files_are_kept_than_before_the_others_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        for number in 0..5 {
            pages(&path, 1, 5).write(&entry(number)).unwrap();
        }
        assert!(page(&path, 3).exists());
        for number in 5..8 {
            pages(&path, 1, 2).write(&entry(number)).unwrap();
        }
        assert_eq!(times(&path), [6, 7]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_is_there_goes_on_and_so_does_one_that_was_just_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        pages(&path, 1 << 20, 3).write(&entry(1)).unwrap();
        pages(&path, 1 << 20, 3).write(&entry(2)).unwrap();
        fs::rename(&path, page(&path, 1)).unwrap();
        pages(&path, 1 << 20, 3).write(&entry(3)).unwrap();
        assert_eq!(times(&path), [1, 2, 3]);
    }

    #[test]
    fn a_line_that_was_cut_off_stays_a_line_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        pages(&path, 1 << 20, 3).write(&entry(1)).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], &whole[..40]].concat()).unwrap();
        pages(&path, 1 << 20, 3).write(&entry(2)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let last: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
        assert_eq!(last["before"], vpnhost_record::digest(lines[1].as_bytes()).to_string());
    }

    #[test]
    fn a_single_file_begins_anew_once_it_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let mut pages = pages(&path, 1, 1);
        for number in 1..4 {
            pages.write(&entry(number)).unwrap();
        }
        assert_eq!(times(&path), [3]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_could_not_be_written_is_counted_in_the_next_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let (sender, queue) = sync_channel(8);
        let mut pages = pages(&path, 1, 2);
        pages.write(&entry(1)).unwrap();
        // A directory stands where the file is to be moved to.
        fs::create_dir_all(page(&path, 1).join("x")).unwrap();
        assert!(pages.write(&entry(2)).is_err());
        fs::remove_dir_all(page(&path, 1)).unwrap();
        pages.lost = 1;
        sender.send(Entry { lost: 4, ..entry(3) }).unwrap();
        drop(sender);
        pages.fill(&queue);
        let line: serde_json::Value =
            serde_json::from_str(fs::read_to_string(&path).unwrap().trim()).unwrap();
        assert_eq!((&line["lost"], &line["unix_ms"]), (&5.into(), &3.into()));
        assert_eq!(times(&path), [1, 3]);
    }
}
