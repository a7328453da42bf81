//! A value of a TOML document: reads of each type, which tell what is wrong with it.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::document::{Section, Source, push};
use super::problem::{Place, Problem};
use super::value::{self, Wrong};
use crate::roles::nearest;

/// A value, and where it stands.
pub(super) struct Item<'a> {
    source: &'a Source<'a>,
    key: String,
    offset: usize,
    value: &'a DeValue<'a>,
}

impl<'a> Item<'a> {
    pub(super) fn new(source: &'a Source<'a>, key: String, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { source, key, offset: value.span().start, value: value.get_ref() }
    }

    /// Returns the value as it was parsed.
    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value
    }

    /// Returns the table that the value is.
    pub(super) fn section(&self) -> Option<Section<'a>> {
        let DeValue::Table(table) = self.value else { return self.expected("a table") };
        Some(Section::new(self.source, self.key.clone(), self.offset, Some(table)))
    }

    /// Returns the values of a list; a value that is none is a list of one.
    pub(super) fn list(&self) -> Vec<Item<'a>> {
        let DeValue::Array(array) = self.value else {
            return vec![Item {
                source: self.source,
                key: self.key.clone(),
                offset: self.offset,
                value: self.value,
            }];
        };
        array.iter().map(|value| Item::new(self.source, self.key.clone(), value)).collect()
    }

    /// Returns the pairs of a table in the order of the file.
    pub(super) fn pairs(&self) -> Vec<(&'a str, Item<'a>)> {
        let DeValue::Table(table) = self.value else {
            self.expected::<()>("a table");
            return Vec::new();
        };
        let mut pairs: Vec<(&str, Item<'_>)> = table
            .iter()
            .map(|(key, value)| {
                let name = key.get_ref().as_ref();
                (name, Item::new(self.source, format!("{}.{name}", self.key), value))
            })
            .collect();
        pairs.sort_by_key(|(_, item)| item.offset);
        pairs
    }

    /// Reads a text.
    pub(super) fn text(&self) -> Option<&'a str> {
        let DeValue::String(text) = self.value else { return self.expected("a text in quotes") };
        Some(text.as_ref())
    }

    /// Reads a text into something.
    pub(super) fn read<T>(&self, read: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        self.take(read(self.text()?))
    }

    /// Takes what was read, or tells why it could not be.
    pub(super) fn take<T>(&self, result: Result<T, Wrong>) -> Option<T> {
        result.map_err(|wrong| self.error(wrong)).ok()
    }

    /// Reads true or false.
    pub(super) fn flag(&self) -> Option<bool> {
        let DeValue::Boolean(flag) = self.value else { return self.expected("true or false") };
        Some(*flag)
    }

    /// Reads one of several words.
    pub(super) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let wrong = Wrong::new(format!("\"{text}\" is not known here"));
        self.error(match nearest(text, names.iter().copied()) {
            Some(near) => wrong.hint(format!("did you mean \"{near}\"?")),
            None => wrong.hint(format!("there are {}", quoted(&names))),
        });
        None
    }

    /// Reads a whole number within bounds.
    pub(super) fn integer(&self, within: RangeInclusive<i64>) -> Option<i64> {
        let DeValue::Integer(number) = self.value else {
            return self.expected("a whole number");
        };
        let read = i64::from_str_radix(number.as_str(), number.radix()).ok();
        let found = read.filter(|number| within.contains(number));
        if found.is_none() {
            let (least, most) = (within.start(), within.end());
            self.error(Wrong::new(format!("must be {least} to {most}")));
        }
        found
    }

    /// Reads a number within bounds.
    pub(super) fn number(&self, within: RangeInclusive<f64>) -> Option<f64> {
        let text = match self.value {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) => number.as_str(),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                return self.expected("a number");
            }
        };
        let found = text.parse().ok().filter(|number| within.contains(number));
        if found.is_none() {
            self.error(Wrong::new(format!("must be {} to {}", within.start(), within.end())));
        }
        found
    }

    /// Reads a size in octets: a text with a unit, or a number.
    pub(super) fn size(&self, within: RangeInclusive<u64>) -> Option<u64> {
        let octets = match self.value {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            DeValue::String(text) => Some(self.take(value::size(text))?),
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                return self.expected("a size such as \"16MiB\"");
            }
        };
        let found = octets.filter(|octets| within.contains(octets));
        if found.is_none() {
            self.error(Wrong::new(format!("must be {} to {} octets", within.start(), within.end())));
        }
        found
    }

    /// Reads an interval that is at least so long; `never` is zero.
    pub(super) fn interval(&self, least: Duration) -> Option<Duration> {
        match self.time(value::interval)? {
            None => Some(Duration::ZERO),
            Some(interval) if interval < least => {
                let wrong = Wrong::new(format!("must be {} or more", value::written(least)));
                self.error(wrong.hint("to switch it off, write \"never\""));
                None
            }
            Some(interval) => Some(interval),
        }
    }

    /// Reads a text into a time. A number that lacks its unit is told so: most programs take it for seconds.
    pub(super) fn time<T>(&self, read: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        let DeValue::Integer(number) = self.value else { return self.read(read) };
        let (number, key) = (number.as_str(), self.key.rsplit('.').next().unwrap_or(&self.key));
        let wrong = Wrong::new(format!("{number} has no unit"));
        self.error(
            wrong.hint(format!("for seconds write {key} = \"{number}s\"; there are ms, s, m, h and d")),
        );
        None
    }

    /// Tells what is wrong with the value.
    pub(super) fn error(&self, wrong: Wrong) {
        push(self.source, Problem::error(self.place(), wrong.what), wrong.hint);
    }

    /// Tells what is odd about the value.
    pub(super) fn warn(&self, wrong: Wrong) {
        push(self.source, Problem::warning(self.place(), wrong.what), wrong.hint);
    }

    /// Tells a problem of another file that the value names.
    pub(super) fn tell(&self, problem: Problem) {
        self.source.tell(problem);
    }

    /// Returns where the value stands.
    pub(super) fn place(&self) -> Place {
        self.source.place(self.offset, &self.key)
    }

    fn expected<T>(&self, what: &str) -> Option<T> {
        self.error(Wrong::new(format!("must be {what}, not {}", kind(self.value))));
        None
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Writes names in quotes, with commas.
pub(super) fn quoted<T: Display>(names: &[T]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}
