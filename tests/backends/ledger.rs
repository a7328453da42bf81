//! What came of published cases, counted and held against `tests/vectors/cases.txt`: a case that is skipped has its
//! reason there, and one more that is skipped, or one less that is tried, fails the test.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::shelf::vectors;

/// What came of one file, by backend, in the order in which it came.
pub(crate) struct Ledger {
    file: String,
    lines: Vec<(&'static str, String, usize)>,
    wrong: String,
}

impl Ledger {
    pub(crate) fn new(file: String) -> Self {
        Self { file, lines: Vec::new(), wrong: String::new() }
    }

    pub(crate) fn passed(&mut self, backend: &'static str) {
        self.note(backend, "passed".to_owned());
    }

    pub(crate) fn note(&mut self, backend: &'static str, what: String) {
        match self.lines.iter_mut().find(|line| line.0 == backend && line.1 == what) {
            Some((.., count)) => *count += 1,
            None => self.lines.push((backend, what, 1)),
        }
    }

    pub(crate) fn wrong(&mut self, backend: &'static str, case: &str, what: &str) {
        writeln!(self.wrong, "{}: {backend}: case {case}: {what}", self.file).expect("a string");
    }

    /// Returns the section as it stands in `cases.txt`.
    fn section(&self) -> String {
        let mut section = format!("{}\n", self.file);
        let backends: BTreeSet<_> = self.lines.iter().map(|(backend, ..)| *backend).collect();
        for (backend, what, count) in &self.lines {
            let alike = self.lines.iter().filter(|line| (&line.1, line.2) == (what, *count));
            let alike: Vec<_> = alike.map(|(backend, ..)| *backend).collect();
            if alike.len() < backends.len() {
                writeln!(section, "  {backend}: {count} {what}").expect("a string");
            } else if alike.first() == Some(backend) {
                writeln!(section, "  every backend: {count} {what}").expect("a string");
            }
        }
        section
    }
}

/// Files that are settled; what does not agree is told of all of them at once.
#[derive(Default)]
pub(crate) struct Settlement {
    wrong: String,
    unexpected: String,
}

impl Settlement {
    pub(crate) fn settle(&mut self, ledger: Ledger) {
        let section = ledger.section();
        print!("{section}");
        self.wrong += &ledger.wrong;
        if !sections().any(|known| known == section.trim_end()) {
            self.unexpected += &section;
            self.unexpected.push('\n');
        }
    }

    pub(crate) fn close(self) {
        assert!(self.wrong.is_empty(), "\n{}", self.wrong);
        assert!(self.unexpected.is_empty(), "tests/vectors/cases.txt says otherwise:\n\n{}", self.unexpected);
    }
}

/// The sections of the file; comments stand above the first.
fn sections() -> impl Iterator<Item = &'static str> {
    include_str!("../vectors/cases.txt")
        .split("\n\n")
        .map(str::trim_end)
        .filter(|section| !section.starts_with('#'))
}

#[test]
fn every_file_that_has_cases_is_there_and_has_one_section() {
    let names: Vec<_> = sections().filter_map(|section| section.lines().next()).collect();
    assert!(names.len() >= 71, "{}", names.len());
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    for name in names {
        assert!(vectors().join(name).is_file(), "{name}");
    }
}
