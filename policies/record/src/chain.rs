//! Lines that hold each other: each has the digest of the line before.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256 as Hasher};
use vpnhost_policy::Sha256;

use crate::form::Form as _;

/// The key that a line holds the digest of the one before under; `null` in the very first.
const BEFORE: &str = "before";

/// Returns the digest of a line, without its line feed.
pub fn digest(line: &[u8]) -> Sha256 {
    Sha256(Hasher::digest(line).into())
}

/// Makes lines of documents.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scribe {
    last: Option<Sha256>,
}

impl Scribe {
    /// Goes on after a line that is there already.
    pub fn after(line: &[u8]) -> Self {
        Self { last: Some(digest(line)) }
    }

    /// Returns the line of a document, with its line feed.
    pub fn line(&mut self, mut document: Map<String, Value>) -> String {
        document.insert(BEFORE.to_owned(), self.last.write());
        let mut line = Value::from(document).to_string();
        self.last = Some(digest(line.as_bytes()));
        line.push('\n');
        line
    }
}

/// Checks that each line holds the digest of the one before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verifier {
    last: Option<Sha256>,
    lines: u64,
}

/// Why a line does not follow the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// It is no JSON object.
    #[error("is no document: it was cut off, or is not of a log of decisions")]
    NoDocument,
    /// It holds no digest.
    #[error(
        "does not hold the digest of the line before it: another program wrote it, or an earlier version"
    )]
    Unchained,
    /// It holds the digest of another line.
    #[error(
        "does not follow the line before it: one of them was changed, or what stood between them is gone"
    )]
    Other,
}

impl Verifier {
    /// Takes the next line, without its line feed. The very first may follow anything.
    ///
    /// # Errors
    /// Why it does not follow. The next line is expected to follow this one all the same.
    pub fn take(&mut self, line: &[u8]) -> Result<(), Break> {
        let expected = self.last.replace(digest(line));
        let is_first = self.lines == 0;
        self.lines += 1;
        let document: Value = serde_json::from_slice(line).map_err(|_| Break::NoDocument)?;
        let document = document.as_object().ok_or(Break::NoDocument)?;
        let held = Option::<Sha256>::read(document.get(BEFORE).ok_or(Break::Unchained)?);
        let held = held.map_err(|_| Break::Unchained)?;
        if is_first || held == expected { Ok(()) } else { Err(Break::Other) }
    }

    /// Returns how many lines there were.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Returns the digest of the last line: who keeps it elsewhere knows later that nothing before it was changed.
    pub fn last(&self) -> Option<Sha256> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: u64) -> Vec<String> {
        let mut scribe = Scribe::default();
        let document = |number: u64| Map::from_iter([("number".to_owned(), number.into())]);
        (0..count).map(|number| scribe.line(document(number)).trim_end().to_owned()).collect()
    }

    fn breaks(lines: &[String]) -> Vec<(u64, Break)> {
        let mut verifier = Verifier::default();
        let taken = lines.iter().filter_map(|line| {
            let broken = verifier.take(line.as_bytes()).err()?;
            Some((verifier.lines(), broken))
        });
        taken.collect()
    }

    #[test]
    fn what_was_changed_removed_added_or_turned_breaks_the_chain_where_it_was_done() {
        let whole = lines(6);
        assert_eq!(breaks(&whole), []);
        assert_eq!(breaks(&whole[2..]), [], "what came before was rotated away");
        let mut changed = whole.clone();
        changed[2] = changed[2].replace("\"number\":2", "\"number\":7");
        assert_eq!(breaks(&changed), [(4, Break::Other)]);
        let mut removed = whole.clone();
        removed.remove(3);
        assert_eq!(breaks(&removed), [(4, Break::Other)]);
        let mut turned = whole.clone();
        turned.swap(1, 2);
        assert_eq!(breaks(&turned).len(), 3);
        let mut added = whole.clone();
        added.insert(4, "{\"number\":9}".to_owned());
        assert_eq!(breaks(&added), [(5, Break::Unchained), (6, Break::Other)]);
        let mut cut = whole;
        cut[5].truncate(5);
        assert_eq!(breaks(&cut), [(6, Break::NoDocument)]);
    }

    #[test]
    fn who_goes_on_after_a_line_holds_its_digest() {
        let mut all = lines(2);
        let mut later = Scribe::after(all[1].as_bytes());
        all.push(later.line(Map::new()).trim_end().to_owned());
        assert_eq!(breaks(&all), []);
    }
}
