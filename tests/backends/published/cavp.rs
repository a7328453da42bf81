//! The files of NIST's CAVP: blocks of `NAME = VALUE`, some of which stand for all that follow.

use std::collections::BTreeMap;

use super::octets;

/// What a section without a value, `[P-256]`, is named by.
const SECTION: &str = "[]";

/// What a line tells the number of a case with.
const NUMBERS: [&str; 4] = ["COUNT", "Count", "Len", "count"];

/// A case with what stands above it.
#[derive(Clone, Default)]
pub(super) struct Record<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Record<'a> {
    pub(super) fn text(&self, name: &str) -> &'a str {
        self.0.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.0))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn section(&self) -> &'a str {
        self.text(SECTION)
    }

    pub(super) fn octets(&self, name: &str) -> Vec<u8> {
        octets(self.text(name))
    }

    pub(super) fn number(&self, name: &str) -> usize {
        self.text(name).parse().unwrap_or_else(|_| panic!("{name} = {}", self.text(name)))
    }

    /// Returns octets whose length stands beside them: nothing is written as `00`.
    pub(super) fn octets_of(&self, name: &str, len: &str) -> Vec<u8> {
        let octets = self.octets(name);
        octets[..self.number(len)].to_vec()
    }

    /// Returns the name of a case.
    pub(super) fn name(&self) -> String {
        let number = NUMBERS.iter().find_map(|name| self.0.get(name)).unwrap_or(&"?");
        match self.0.get(SECTION) {
            Some(section) => format!("{section} {number}"),
            None => (*number).to_owned(),
        }
    }
}

/// Reads a file.
pub(super) fn records(text: &str) -> Vec<Record<'_>> {
    let (mut above, mut open, mut records) = (Record::default(), Record::default(), Vec::new());
    for line in text.lines().map(str::trim).chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.is_empty() {
            close(&mut above, std::mem::take(&mut open), &mut records);
        } else if let Some(inner) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            for part in inner.split(", ") {
                let (name, value) = pair(part).unwrap_or((SECTION, part));
                above.0.insert(name, value);
            }
        } else {
            let (name, value) = pair(line).unwrap_or((line, ""));
            // The files of SHA and of 3DES have cases with no empty line between.
            if NUMBERS.contains(&name) && open.0.keys().any(|name| NUMBERS.contains(name)) {
                close(&mut above, std::mem::take(&mut open), &mut records);
            }
            open.0.insert(name, value);
        }
    }
    records
}

/// A block with a number is a case; any other stands for all that follow.
fn close<'a>(above: &mut Record<'a>, open: Record<'a>, records: &mut Vec<Record<'a>>) {
    if open.0.keys().any(|name| NUMBERS.contains(name)) {
        let mut record = above.clone();
        record.0.extend(open.0);
        records.push(record);
    } else {
        above.0.extend(open.0);
    }
}

fn pair(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').map(|(name, value)| (name.trim(), value.trim()))
}

#[test]
fn a_block_without_a_number_stands_for_what_follows() {
    let records = records(
        "# one\n[A = 1, B = 2]\n[X]\n\nKey = 05\n\nCount = 0\nMsg = 00\nLen of = 0\n\nCount = 1\nMsg = 07\nFAIL\n",
    );
    assert_eq!(records.len(), 2);
    assert_eq!((records[0].number("A"), records[1].octets("Key"), records[1].section()), (1, vec![5], "X"));
    assert_eq!(
        (records[0].octets("Msg"), records[0].has("FAIL"), records[1].has("FAIL")),
        (vec![0], false, true)
    );
    assert_eq!(records[1].name(), "X 1");
}
