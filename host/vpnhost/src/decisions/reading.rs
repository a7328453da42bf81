//! A log of decisions, read again: the file, and those that it grew out of.

use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use vpnhost_record::{Entry, Wrong};

use super::page;
use crate::exit::{self, Failure};
use crate::limits;

/// The files of a log, the oldest first.
#[derive(Debug)]
pub(crate) struct Logs(Vec<PathBuf>);

/// A line of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinePlace<'a> {
    file: &'a Path,
    line: u64,
}

impl fmt::Display for LinePlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: line {}", self.file.display(), self.line)
    }
}

impl Logs {
    /// Finds a log's files.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn of(path: &Path) -> Result<Self, Failure> {
        let most = usize::try_from(*limits::DECISIONS_COUNT.end()).unwrap_or(usize::MAX);
        let older = (1..most).map(|number| page(path, number)).take_while(|older| older.is_file());
        let mut files: Vec<PathBuf> = older.collect();
        files.reverse();
        if path.is_file() {
            files.push(path.to_owned());
        }
        if files.is_empty() {
            let what = format!("there is no log of decisions {}", path.display());
            return Err(
                Failure::failed(what).hint("decisions in [host] names the file that they are written to")
            );
        }
        Ok(Self(files))
    }

    /// Returns how many files there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Gives every line to `take`, without its line feed.
    ///
    /// # Errors
    /// A file that cannot be read, and what `take` returns.
    pub(crate) fn each_line(
        &self,
        mut take: impl FnMut(LinePlace<'_>, &[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for file in &self.0 {
            let failed = |error: std::io::Error| {
                Failure::failed(format!("cannot read {}", file.display())).because(exit::plain(&error))
            };
            let mut reader = BufReader::new(File::open(file).map_err(failed)?);
            let (mut octets, mut line) = (Vec::new(), 0);
            loop {
                octets.clear();
                let most = u64::try_from(limits::LINE_OCTETS).unwrap_or(u64::MAX);
                if reader.by_ref().take(most).read_until(b'\n', &mut octets).map_err(failed)? == 0 {
                    break;
                }
                line += 1;
                octets.pop_if(|last| *last == b'\n');
                take(LinePlace { file, line }, &octets)?;
            }
        }
        Ok(())
    }

    /// Gives every decision to `take`; a line that is none is told to `odd`.
    ///
    /// # Errors
    /// As [`Self::each_line`].
    pub(crate) fn each_entry(
        &self,
        mut take: impl FnMut(Entry) -> Result<(), Failure>,
        mut odd: impl FnMut(LinePlace<'_>, &Wrong),
    ) -> Result<(), Failure> {
        self.each_line(|place, line| match entry(line) {
            Ok(entry) => take(entry),
            Err(wrong) => {
                odd(place, &wrong);
                Ok(())
            }
        })
    }
}

fn entry(line: &[u8]) -> Result<Entry, Wrong> {
    let document: Value = serde_json::from_slice(line).map_err(|_| Wrong::new("is no JSON document"))?;
    Entry::read(&document)
}
