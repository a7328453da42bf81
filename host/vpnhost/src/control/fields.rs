//! `JSON.md`: the stable names of what `--json` prints, written out of the documents themselves, so that nothing is
//! listed that is not there, and nothing there that is not listed.

use std::fmt::Write as _;
use std::path::Path;

const SOURCE: &str = include_str!("document.rs");

const HEAD: &str = "# What `--json` prints

Every verb that prints takes `--json`: one JSON document, or one a line where things happen one after another. Names are
only ever added; what stands here keeps its name and its meaning. Times are seconds unless the name says otherwise
(`_ms`, `_us`), traffic is octets. What is not known is `null`.

| verb | documents |
| --- | --- |
| `status [NAME]` | one `Status` |
| `list conns`, `sas`, `paths`, `certs`, `plugins`, `backends` | a part of it, under the name of the field |
| `list paths` beside that | the `paths` of every IKE SA |
| `list certs` beside that | the fields of one `Certs` |
| `explain [NAME]`, `explain -` | one `Event` a line, the oldest first |
| `up`, `down`, `rekey`, `reauth`, `terminate`, `roam`, `ping`, `reload` | one `Line` a line, the outcome last |
| any verb that fails | one `Line` with `outcome` `failed` |
| `check` | `{\"file\", \"ok\", \"problems\", \"grades\"}` |
| `crypto list` | `{\"backends\": [{\"name\", …}]}` |

The codes of `reason` and `last_reason` are in [FAILURES.md](FAILURES.md).

This file is made by a test: `RENEW=1 cargo test --release -p vpnhost fields` writes it anew.
";

/// Writes a Rust type as a reader of JSON would.
fn kind(rust: &str) -> String {
    if let Some(inner) = rust.strip_prefix("Option<").and_then(|rest| rest.strip_suffix('>')) {
        return format!("{} or null", kind(inner));
    }
    if let Some(inner) = rust.strip_prefix("Box<").and_then(|rest| rest.strip_suffix('>')) {
        return kind(inner);
    }
    if let Some(inner) = rust.strip_prefix("Vec<").and_then(|rest| rest.strip_suffix('>')) {
        return format!("list of {}", kind(inner));
    }
    if let Some(inner) = rust.strip_prefix("BTreeMap<String, ").and_then(|rest| rest.strip_suffix('>')) {
        return format!("object of {}", kind(inner));
    }
    match rust {
        "String" => "text".to_owned(),
        "bool" => "true or false".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "i64" | "usize" => "number".to_owned(),
        other => format!("`{other}`"),
    }
}

/// Returns the name and the type of a field, if the line is one.
fn field(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
    let (name, rust) = line.strip_suffix(',')?.split_once(": ")?;
    name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_').then_some((name, rust))
}

fn table() -> String {
    let (mut text, mut doc, mut within) = (HEAD.to_owned(), String::new(), false);
    for line in SOURCE.lines().map(str::trim) {
        let begins =
            line.strip_prefix("pub(crate) struct ").or_else(|| line.strip_prefix("pub(crate) enum "));
        let variant =
            line.strip_suffix(" {").filter(|name| within && name.chars().all(char::is_alphanumeric));
        if let Some(sentence) = line.strip_prefix("///") {
            doc = format!("{doc}{sentence}");
        } else if line.starts_with("impl ") {
            within = false;
        } else if let Some(name) = begins.and_then(|rest| rest.strip_suffix(" {")) {
            within = true;
            // Writing to a String does not fail.
            let _ = write!(text, "\n## {name}\n\n{}\n\n| name | what | |\n| --- | --- | --- |\n", doc.trim());
            doc.clear();
        } else if let Some(name) = variant {
            let _ = writeln!(text, "| `outcome` | `\"{}\"` | {} |", name.to_lowercase(), doc.trim());
            doc.clear();
        } else if let Some((name, rust)) = field(line).filter(|_| within) {
            let _ = writeln!(text, "| `{name}` | {} | {} |", kind(rust), doc.trim());
            doc.clear();
        } else if line.is_empty() {
            doc.clear();
        }
    }
    text
}

#[test]
fn the_names_in_the_documentation_are_those_of_the_documents() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("JSON.md");
    let table = table();
    if std::env::var_os("RENEW").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == table, "JSON.md is another: RENEW=1 cargo test --release -p vpnhost fields\n{table}");
}

#[test]
fn every_field_of_a_status_is_listed() {
    let status = serde_json::to_value(super::document::Status::default()).unwrap();
    let table = table();
    for name in status.as_object().unwrap().keys() {
        assert!(table.contains(&format!("| `{name}` |")), "{name}");
    }
}
