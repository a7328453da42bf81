//! Distinguished names: compared as RFC 5280 §7.1 says, shown as people write them.

use std::fmt;

use vpnhost_model::distinguished_name::tag::{IA5_STRING, PRINTABLE_STRING, UTF8_STRING};
use vpnhost_model::distinguished_name::{EMAIL, LETTERS, dotted, string, write_attribute};

use crate::der::{OID, Reader, SEQUENCE, SET, whole};
use crate::{Malformed, limits};

/// A distinguished name.
#[derive(Clone)]
pub struct Name {
    der: Vec<u8>,
    /// Each relative name in a form that compares: the DER of its attributes, sorted, with folded text.
    relative: Vec<Vec<u8>>,
    /// Type and text of each attribute, in order.
    attributes: Vec<(Vec<u8>, String)>,
}

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// [`Malformed`] if it is not one.
    pub fn from_der(octets: &[u8]) -> Result<Self, Malformed> {
        let mut name = Self { der: octets.to_vec(), relative: Vec::new(), attributes: Vec::new() };
        let mut reader = whole(octets, SEQUENCE)?.reader();
        while !reader.is_empty() {
            let set = reader.expect(SET)?;
            name.add_relative(set.content)?;
        }
        Ok(name)
    }

    /// Reads a name as operators write it: `C=CH, O=Example, CN=moon`. A backslash takes a comma's meaning.
    pub fn parse(text: &str) -> Option<Self> {
        let mut content = Vec::new();
        for part in split(text) {
            let (letters, value) = part.split_once('=')?;
            let (letters, value) = (letters.trim(), value.trim());
            let (_, oid) = LETTERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(letters))?;
            let printable = |c: char| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c);
            let tag = match letters.to_ascii_uppercase().as_str() {
                "E" | "EMAILADDRESS" | "DC" => IA5_STRING,
                _ if value.chars().all(printable) => PRINTABLE_STRING,
                _ => UTF8_STRING,
            };
            if value.is_empty() {
                return None;
            }
            let attribute = [write(OID, oid)?, write(tag, value.as_bytes())?].concat();
            content.extend(write(SET, &write(SEQUENCE, &attribute)?)?);
        }
        if content.is_empty() {
            return None;
        }
        Self::from_der(&write(SEQUENCE, &content)?).ok()
    }

    /// Appends a relative name, given the content of its SET.
    pub(crate) fn add_relative(&mut self, set: &[u8]) -> Result<(), Malformed> {
        let mut folded = Vec::new();
        let mut reader = Reader::new(set);
        while !reader.is_empty() {
            let mut attribute = reader.expect(SEQUENCE)?.reader();
            let kind = attribute.expect(OID)?;
            let value = attribute.next()?;
            attribute.end()?;
            let text = string(value.tag(), value.content);
            let compared = match &text {
                Some(text) => write(UTF8_STRING, fold(text).as_bytes()).ok_or(Malformed)?,
                None => value.whole.to_vec(),
            };
            folded.push(write(SEQUENCE, &[kind.whole, &compared].concat()).ok_or(Malformed)?);
            self.attributes.push((kind.content.to_vec(), text.unwrap_or_else(|| hex(value.content))));
        }
        if folded.is_empty() || self.attributes.len() > limits::ATTRIBUTES {
            return Err(Malformed);
        }
        folded.sort();
        self.relative.push(folded.concat());
        Ok(())
    }

    /// Returns the name as it came; what was made of several parts has only the first.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Tells whether there is no attribute.
    pub fn is_empty(&self) -> bool {
        self.relative.is_empty()
    }

    /// Returns the one name among all that compare alike by which it is found among many.
    pub(crate) fn folded(&self) -> Option<Vec<u8>> {
        let sets = self.relative.iter().map(|relative| write(SET, relative));
        write(SEQUENCE, &sets.collect::<Option<Vec<_>>>()?.concat())
    }

    /// Tells whether `*` stands in it for a value, and nowhere as a part of one.
    pub(crate) fn is_pattern(&self) -> bool {
        let mut with = self.attributes.iter().filter(|(_, text)| text.contains('*')).peekable();
        with.peek().is_some() && with.all(|(_, text)| text == "*")
    }

    /// Returns how many attributes have a value that is not `*`.
    pub(crate) fn fixed(&self) -> usize {
        self.attributes.iter().filter(|(_, text)| text != "*").count()
    }

    /// Tells whether this name has the attributes of another, in which `*` stands for any one value; it has none itself.
    pub(crate) fn fits(&self, pattern: &Self) -> bool {
        let fits = |(own, wanted): (&Vec<u8>, &Vec<u8>)| match single(wanted) {
            Some((kind, b"*")) => single(own).is_some_and(|(own, value)| own == kind && value != b"*"),
            Some(_) | None => own == wanted,
        };
        self.relative.len() == pattern.relative.len() && self.relative.iter().zip(&pattern.relative).all(fits)
    }

    /// Tells whether this name lies below another, or is it.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.relative.starts_with(&other.relative)
    }

    /// Makes a name with one relative name of several attributes.
    #[cfg(test)]
    pub(crate) fn several(attributes: &[(&str, &str)]) -> Self {
        let of = |(letters, value): &(&str, &str)| {
            let (_, oid) = LETTERS.iter().find(|(known, _)| known == letters).expect("it is known");
            let attribute = [write(OID, oid)?, write(UTF8_STRING, value.as_bytes())?].concat();
            write(SEQUENCE, &attribute)
        };
        let set: Option<Vec<_>> = attributes.iter().map(of).collect();
        let set = set.and_then(|set| write(SET, &set.concat())).expect("it is short");
        write(SEQUENCE, &set).and_then(|name| Self::from_der(&name).ok()).expect("it is a name")
    }

    /// Returns the e-mail addresses among the attributes.
    pub(crate) fn emails(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().filter(|(kind, _)| kind == EMAIL).map(|(_, text)| text.as_str())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.relative == other.relative
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = String::new();
        self.attributes.iter().for_each(|(kind, text)| write_attribute(&mut shown, kind, text));
        f.write_str(&shown)
    }
}

/// Shows an object identifier's content with dots.
pub(crate) fn oid(content: &[u8]) -> String {
    dotted(content).unwrap_or_else(|| hex(content))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Splits at commas that no backslash stands before, and takes the backslashes away.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let part = parts.last_mut().expect("there is always one");
        match c {
            '\\' => part.extend(characters.next()),
            ',' => parts.push(String::new()),
            _ => part.push(c),
        }
    }
    parts
}

/// Returns the type and the value of a relative name of one attribute.
fn single(relative: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(relative);
    let mut attribute = reader.expect(SEQUENCE).ok()?.reader();
    let (kind, value) = (attribute.expect(OID).ok()?, attribute.next().ok()?);
    reader.is_empty().then_some((kind.content, value.content))
}

fn write(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(content.len()).ok()?;
    let head: &[u8] = match length {
        0..0x80 => &[tag, length.to_be_bytes()[1]],
        0x80.. => &[tag, 0x82, length.to_be_bytes()[0], length.to_be_bytes()[1]],
    };
    let head = if (0x80..0x100).contains(&length) { &[tag, 0x81, length.to_be_bytes()[1]] } else { head };
    Some([head, content].concat())
}

/// RFC 5280, 7.1: case and the amount of white space do not matter.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        folded.push_str(if folded.is_empty() { "" } else { " " });
        folded.extend(word.chars().flat_map(char::to_lowercase));
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_operators_write_them_and_shown_so() {
        let name = Name::parse("C=CH, O=Example\\, Ltd, CN=moon.example.org, E=a@b").unwrap();
        assert_eq!(name.to_string(), "C=CH, O=Example\\, Ltd, CN=moon.example.org, E=a@b");
        assert_eq!(name.emails().collect::<Vec<_>>(), ["a@b"]);
        assert_eq!(Name::from_der(name.der()), Ok(name));
        assert_eq!(Name::parse("moon"), None);
        assert_eq!(Name::parse("XYZ=moon"), None);
        assert_eq!(Name::parse(""), None);
    }

    #[test]
    fn case_white_space_and_string_type_do_not_matter() {
        let name = Name::parse("CN=Moon  Base").unwrap();
        assert_eq!(Name::parse("cn= moon base "), Some(name.clone()));
        assert_ne!(Name::parse("CN=moonbase"), Some(name.clone()));
        let mut utf8 = name.der().to_vec();
        let at = utf8.iter().rposition(|&octet| octet == PRINTABLE_STRING).unwrap();
        utf8[at] = UTF8_STRING;
        let other = Name::from_der(&utf8).unwrap();
        assert_eq!((&other, other.folded()), (&name, name.folded()));
        assert_eq!(Name::from_der(&name.folded().unwrap()), Ok(name));
    }

    #[test]
    fn a_long_value_is_written_with_a_long_length() {
        for length in [1, 127, 128, 200, 255, 256, 1000] {
            let text = format!("CN={}", "x".repeat(length));
            assert_eq!(Name::parse(&text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn control_characters_are_not_shown() {
        let name = Name::parse("CN=a\u{1b}[2Jb").unwrap();
        assert_eq!(name.to_string(), "CN=a?[2Jb");
    }
}
