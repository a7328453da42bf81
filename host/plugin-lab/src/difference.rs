//! Where two answers differ, a line each.

use std::collections::BTreeSet;

use serde_json::Value;
use vpnhost_policy::Answer;

use crate::limits;

/// Returns where two documents differ: `order[0]: 1 → 0`.
pub fn between(old: &Value, new: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare(String::new(), Some(old), Some(new), &mut lines);
    if lines.len() > limits::DIFFERENCES {
        let more = lines.len() - limits::DIFFERENCES;
        lines.truncate(limits::DIFFERENCES);
        lines.push(format!("and {more} more"));
    }
    lines
}

/// Writes what was said to a question: an answer as it stands in a log, or nothing.
pub fn said(answer: Option<&Answer>) -> Value {
    answer.map_or(Value::Null, vpnhost_record::answer)
}

fn compare(at: String, old: Option<&Value>, new: Option<&Value>, lines: &mut Vec<String>) {
    match (old, new) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let under = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                compare(under, a.get(key), b.get(key), lines);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len().max(b.len()) <= limits::DIFFERENCES => {
            for index in 0..a.len().max(b.len()) {
                compare(format!("{at}[{index}]"), a.get(index), b.get(index), lines);
            }
        }
        (old, new) if old == new => {}
        (old, new) => {
            let there = |value: Option<&Value>| value.filter(|it| !it.is_null()).map(excerpt);
            let text = |value| there(value).unwrap_or_else(|| "nothing".to_owned());
            let place = if at.is_empty() { String::new() } else { format!("{at}: ") };
            lines.push(format!("{place}{} → {}", text(old), text(new)));
        }
    }
}

fn excerpt(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(limits::VALUE_LETTERS) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_difference_is_a_line_with_its_place() {
        let (old, new) =
            (json!({ "order": [0, 1], "why": "a", "x": 1 }), json!({ "order": [1, 0], "why": "a", "y": 2 }));
        assert_eq!(
            between(&old, &new),
            ["order[0]: 0 → 1", "order[1]: 1 → 0", "x: 1 → nothing", "y: nothing → 2"]
        );
        assert_eq!(between(&Value::Null, &json!({ "refuse": "late" })), ["nothing → {\"refuse\":\"late\"}"]);
        assert!(between(&old, &old).is_empty());
        let long = between(&json!("ä".repeat(1000)), &Value::Null);
        assert!(long[0].ends_with("… → nothing") && long[0].chars().count() < 200, "{}", long[0]);
    }
}
