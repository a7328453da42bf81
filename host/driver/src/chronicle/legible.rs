//! What peers say of themselves, fit for a line of a log or of a terminal: identities and certificates may hold anything.

use std::ops::RangeInclusive;

use crate::limits;

/// Format characters, and line and paragraph separators: Unicode's Cf, Zl and Zp.
const FORMAT: [RangeInclusive<char>; 21] = [
    '\u{ad}'..='\u{ad}',
    '\u{600}'..='\u{605}',
    '\u{61c}'..='\u{61c}',
    '\u{6dd}'..='\u{6dd}',
    '\u{70f}'..='\u{70f}',
    '\u{890}'..='\u{891}',
    '\u{8e2}'..='\u{8e2}',
    '\u{180e}'..='\u{180e}',
    // Zero widths, and marks of direction.
    '\u{200b}'..='\u{200f}',
    // Separators, then embedding and override of direction.
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{2064}',
    // Isolates of direction.
    '\u{2066}'..='\u{206f}',
    '\u{feff}'..='\u{feff}',
    '\u{fff9}'..='\u{fffb}',
    '\u{110bd}'..='\u{110bd}',
    '\u{110cd}'..='\u{110cd}',
    '\u{13430}'..='\u{1343f}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0001}'..='\u{e0001}',
    '\u{e0020}'..='\u{e007f}',
];

/// Writes a text with its control and format characters by their numbers, and cuts it where it grows too long.
pub fn legible(text: &str) -> String {
    let mut written = text.chars().flat_map(written);
    let mut legible: String = written.by_ref().take(limits::JOURNAL_TEXT).collect();
    if written.next().is_some() {
        legible.pop();
        legible.push('…');
    }
    legible
}

/// Returns what stands for a character.
fn written(character: char) -> impl Iterator<Item = char> {
    let is_hidden = character.is_control() || FORMAT.iter().any(|range| range.contains(&character));
    let shown = (!is_hidden).then_some(character);
    shown.into_iter().chain(is_hidden.then(|| character.escape_default()).into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_the_cursor_end_the_line_or_turn_the_text_round_is_written_by_its_number() {
        let said = "dave\r\n\u{1b}[2J\u{9b}1m\u{202e}gro\u{2028}\u{2066}\u{feff}\u{e0041}";
        let expected = r"dave\r\n\u{1b}[2J\u{9b}1m\u{202e}gro\u{2028}\u{2066}\u{feff}\u{e0041}";
        assert_eq!(legible(said), expected);
        let said = r#"CN=Zoë "Ж" 東京, O=a\b … 🦀"#;
        assert_eq!(legible(said), said);
    }

    #[test]
    fn a_text_without_end_is_cut_and_says_so() {
        let fits = "é".repeat(limits::JOURNAL_TEXT);
        assert_eq!(legible(&fits), fits);
        for long in ["é".repeat(limits::JOURNAL_TEXT + 1), "\n".repeat(1 << 16)] {
            let cut = legible(&long);
            assert_eq!(cut.chars().count(), limits::JOURNAL_TEXT);
            assert!(cut.ends_with('…'));
        }
    }
}
