//! The files of known answers: `name = hex`, an empty line behind each answer, `#` before a comment.
//!
//! A value may go on in the following lines, which are then indented.

use std::fmt;

/// One known answer: named octets.
#[derive(Debug, Default)]
pub(crate) struct Answer<'a> {
    fields: Vec<(&'a str, Vec<u8>)>,
}

impl Answer<'_> {
    /// Returns a field, or `None` where the answer has none of that name.
    pub(crate) fn find(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(found, _)| *found == name).map(|(_, octets)| &octets[..])
    }

    /// Returns a field, empty where the answer has none of that name.
    pub(crate) fn octets(&self, name: &str) -> &[u8] {
        self.find(name).unwrap_or_default()
    }
}

/// A line of a file of known answers cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its number, counted from one.
    pub line: usize,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "known answers, line {}: neither `name = hex` nor indented hex", self.line)
    }
}

impl std::error::Error for Unreadable {}

/// Reads a file.
pub(crate) fn parse(file: &str) -> Result<Vec<Answer<'_>>, Unreadable> {
    let mut answers = Vec::new();
    let mut open = Answer::default();
    for (line, number) in file.lines().zip(1..) {
        let unreadable = Unreadable { line: number };
        if line.starts_with('#') {
            continue;
        }
        if line.is_empty() {
            answers.push(std::mem::take(&mut open));
        } else if let Some(more) = line.strip_prefix("    ") {
            let (_, octets) = open.fields.last_mut().ok_or(unreadable)?;
            octets.extend(hex(more).ok_or(unreadable)?);
        } else {
            let (name, value) = line.split_once(" =").ok_or(unreadable)?;
            open.fields.push((name, hex(value.trim_start()).ok_or(unreadable)?));
        }
    }
    answers.push(open);
    answers.retain(|answer| !answer.fields.is_empty());
    Ok(answers)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |octet: u8| char::from(octet).to_digit(16).map(|value| value as u8);
    let (pairs, tail) = text.as_bytes().as_chunks::<2>();
    let octets = pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?));
    if tail.is_empty() { octets.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_goes_on_in_indented_lines() {
        let answers =
            parse("# origin\n\n# more\nkey = 0102\ndata =\n    0a\n    0bff\n\n\nkey = 03").unwrap();
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[0].octets("data"), [10, 11, 255]);
        assert_eq!(answers[1].octets("key"), [3]);
        assert_eq!(answers[1].find("data"), None);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line() {
        assert_eq!(parse("key = 01\nkey: 02").err(), Some(Unreadable { line: 2 }));
        assert_eq!(parse("key = 012").err(), Some(Unreadable { line: 1 }));
        assert_eq!(parse("key = 0g").err(), Some(Unreadable { line: 1 }));
        assert_eq!(parse("\n    01").err(), Some(Unreadable { line: 2 }));
    }
}
