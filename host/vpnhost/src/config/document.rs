//! A TOML document with the places of its keys: typed reads, each of which tells what is wrong.
//!
//! A key that nobody asked for is unknown; so the reading code is the only list of keys there is.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::item::Item;
use super::problem::{Place, Problem};
use super::value::{self, Wrong};
use crate::roles::nearest;

/// A file, and what was found wrong in it so far.
pub(super) struct Source<'a> {
    file: &'a Path,
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Source<'a> {
    /// Takes a file's text.
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, problems: RefCell::default() }
    }

    /// Reads the text as TOML; `None` if it is none, which is then told.
    pub(super) fn parse(&self) -> Option<Spanned<DeTable<'a>>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            let what = format!("is no TOML: {}", error.message().replace('\n', ", "));
            self.tell(Problem::error(self.place(offset, ""), what));
        }
        errors.is_empty().then_some(table)
    }

    /// Returns the problems in the order of the file, those of files that it names behind.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.place.file != self.file, problem.place.line));
        problems.dedup();
        problems
    }

    /// Adds a problem.
    pub(super) fn tell(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Returns the place of an offset.
    pub(super) fn place(&self, offset: usize, key: &str) -> Place {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|&&octet| octet == b'\n').count();
        Place { file: self.file.to_owned(), line, key: key.to_owned() }
    }
}

/// A table, and which of its keys were asked for.
pub(super) struct Section<'a> {
    source: &'a Source<'a>,
    key: String,
    offset: usize,
    table: Option<&'a DeTable<'a>>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// Returns the document itself.
    pub(super) fn whole(source: &'a Source<'a>, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self::new(source, String::new(), table.span().start, Some(table.get_ref()))
    }

    pub(super) fn new(
        source: &'a Source<'a>,
        key: String,
        offset: usize,
        table: Option<&'a DeTable<'a>>,
    ) -> Self {
        Self { source, key, offset, table, asked: RefCell::default() }
    }

    /// Returns the value of a key.
    pub(super) fn item(&self, key: &'static str) -> Option<Item<'a>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        drop(asked);
        let (_, value) = self.table?.iter().find(|(found, _)| found.get_ref().as_ref() == key)?;
        Some(Item::new(self.source, self.path(key), value))
    }

    /// Returns the value of a key that must be there.
    pub(super) fn required(&self, key: &'static str, example: &str) -> Option<Item<'a>> {
        let item = self.item(key);
        if item.is_none() {
            self.report(key, Wrong::new("is missing").hint(format!("write {key} = {example}")));
        }
        item
    }

    /// Returns a table of a key; where there is none, one without keys.
    pub(super) fn section(&self, key: &'static str) -> Section<'a> {
        let nothing = || Section::new(self.source, self.path(key), self.offset, None);
        self.item(key).map_or_else(nothing, |item| item.section().unwrap_or_else(nothing))
    }

    /// Returns the tables of an array of tables.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(item) = self.item(key) else { return Vec::new() };
        if let DeValue::Array(_) = item.value() {
            return item.list().iter().filter_map(Item::section).collect();
        }
        item.error(Wrong::new("must be a list of tables").hint(format!("write [[{}]]", self.path(key))));
        Vec::new()
    }

    /// Tells whether the table is written at all.
    pub(super) fn is_written(&self) -> bool {
        self.table.is_some()
    }

    /// Tells every key that nobody asked for.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            if asked.contains(&name) {
                continue;
            }
            let hint = match nearest(name, asked.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("known here: {}", asked.join(", ")),
            };
            let place = self.source.place(key.span().start, &self.path(name));
            self.source.tell(Problem::error(place, "is an unknown key").hint(hint));
        }
    }

    /// Tells what is wrong with the table, or with a key that it lacks.
    pub(super) fn report(&self, key: &str, wrong: Wrong) {
        let key = if key.is_empty() { self.key.clone() } else { self.path(key) };
        let place = self.source.place(self.offset, &key);
        push(self.source, Problem::error(place, wrong.what), wrong.hint);
    }

    /// Tells what is odd about the table, or about a key that it lacks.
    pub(super) fn warn(&self, key: &str, wrong: Wrong) {
        let key = if key.is_empty() { self.key.clone() } else { self.path(key) };
        let place = self.source.place(self.offset, &key);
        push(self.source, Problem::warning(place, wrong.what), wrong.hint);
    }

    /// Returns where the table stands.
    pub(super) fn place(&self) -> Place {
        self.source.place(self.offset, &self.key)
    }

    fn path(&self, key: &str) -> String {
        if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) }
    }
}

/// Reads of a key with a default.
impl<'a> Section<'a> {
    /// Reads a text.
    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        self.item(key)?.text()
    }

    /// Reads a text into something.
    pub(super) fn read<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        self.item(key)?.read(read)
    }

    /// Reads true or false.
    pub(super) fn flag(&self, key: &'static str, default: bool) -> bool {
        self.item(key).and_then(|item| item.flag()).unwrap_or(default)
    }

    /// Reads one of several words.
    pub(super) fn word<T: Copy>(&self, key: &'static str, words: &[(&'static str, T)], default: T) -> T {
        self.item(key).and_then(|item| item.word(words)).unwrap_or(default)
    }

    /// Reads a whole number within bounds.
    pub(super) fn integer(&self, key: &'static str, within: RangeInclusive<i64>, default: i64) -> i64 {
        self.item(key).and_then(|item| item.integer(within)).unwrap_or(default)
    }

    /// Reads an interval; `never` is zero.
    pub(super) fn interval(&self, key: &'static str, least: Duration, default: Duration) -> Duration {
        self.item(key).and_then(|item| item.interval(least)).unwrap_or(default)
    }

    /// Reads a duration within bounds.
    pub(super) fn duration(
        &self,
        key: &'static str,
        within: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let Some(item) = self.item(key) else { return default };
        let Some(duration) = item.time(value::duration) else { return default };
        if within.contains(&duration) {
            return duration;
        }
        let (least, most) = (value::written(*within.start()), value::written(*within.end()));
        item.error(Wrong::new(format!("must be {least} to {most}")));
        default
    }

    /// Reads a list of texts, each into something; one text is a list of one.
    pub(super) fn each<T>(
        &self,
        key: &'static str,
        mut read: impl FnMut(&Item<'a>, &str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.item(key)?.list();
        Some(items.iter().filter_map(|item| item.text().and_then(|text| read(item, text))).collect())
    }
}

/// Adds a problem with its hint.
pub(super) fn push(source: &Source<'_>, problem: Problem, hint: Option<String>) {
    source.tell(Problem { hint, ..problem });
}
