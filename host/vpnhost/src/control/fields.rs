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
| `plugin test` | one a check: `{\"check\", \"passed\", \"tries\", \"faults\"}`; then `{\"file\", \"checks\", \"tries\", \"failed\"}` |
| `plugin bench` | `{\"file\", \"sha256\", \"compiled_start_us\", \"cached_start_us\", \"instance_start_us\", \"memory\", \"questions\": [{\"question\", \"candidates\", \"calls\", \"abstained\", \"failure\", \"p50_ns\", \"p90_ns\", \"p99_ns\", \"per_second\", \"native_p50_ns\"}]}` |
| `plugin replay --verify` | `{\"log\", \"files\", \"lines\", \"whole\", \"breaks\", \"broken\", \"last_sha256\"}` |
| `plugin replay --plugin` | one a reply that is not the same: `{\"unix_ms\", \"question\", \"connection\", \"difference\", \"how\", \"old\", \"new\", \"effect\"}`; then what became of all: `{\"decisions\", \"asked\", \"same\", \"flips\", \"outcomes\", …}` |

Exit codes: 0 done; 1 the operation failed; 2 usage or configuration; 3 no daemon; 4 a replayed plugin would have
answered otherwise.

The codes of `reason` and `last_reason` are in [FAILURES.md](FAILURES.md).

This file is made by a test: `RENEW=1 cargo test --release -p vpnhost fields` writes it anew.
";

/// What the log of decisions has, whose documents are written by another crate.
const DECISIONS: &str = "
## A line of the log of decisions

`[host] decisions`: one document a line, of each question that plugins were asked, and of all others but those about
proposals, which strangers make a host ask; of these `trace` is empty. Each line holds the SHA-256 of the
line before it, without its line feed, over files too: `vpnhost plugin replay LOG --verify` tells where that is not so.
Who can write the file can write all of it anew; who keeps the digest of a line elsewhere knows that nothing before it
was changed. Secrets are not in menus, and settings stand there only as a digest; what a plugin reads out of its store
and its tables stands there as it is.

| name | what | |
| --- | --- | --- |
| `before` | text or null | The SHA-256 of the line before; null in the very first. |
| `lost` | number | Decisions before this one that were not written, as the disk was too slow or full. |
| `unix_ms` | number | When it was decided. |
| `question` | text | Which question, as in WIT: `rank-paths`. |
| `connection` | text | The connection. |
| `asked` | object | The question with its whole menu: names as in WIT, algorithms as IANA numbers; identities with the type and the octets of the ID payload; labels and hints as a list of pairs. |
| `answer` | object or null | What stands in the end. |
| `why` | text or null | Its reason. |
| `by` | text or null | The plugin that decided, or `native`. |
| `sha256` | text or null | The SHA-256 of that plugin's component. |
| `native` | text or null | Why it is the built-in policy: `nobody-answered`, or `refused`, as permission needs its too. |
| `plugins` | object or null | What the plugins had come to where it refused: `answer` and `by`. |
| `trace` | list | Every plugin that was asked, in order: |
| `trace[].plugin` | text | its name, |
| `trace[].sha256` | text or null | its component, |
| `trace[].configured_sha256` | text or null | the digest of its settings and of the memory that it may take, |
| `trace[].on_failure` | text | `deny` or `native`, |
| `trace[].asked` | object or null | the menu that it saw, where others had restricted it before; its answer's indices are of this one, |
| `trace[].outcome` | text | `answered`, `abstained`, `off-the-menu` or `failed`, |
| `trace[].how` | text or null | how it failed, |
| `trace[].answer` | object or null | what it answered, |
| `trace[].elapsed_us` | number or null | how long that took, |
| `trace[].imports` | list | and what `kv` and `data` told it: `import`, `arguments`, `value`, `table_sha256`. |
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
    text + DECISIONS
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

#[test]
fn every_key_of_a_decision_is_listed() {
    let asked =
        vpnhost_plugin_lab::questions::Random::new(1).question(vpnhost_policy::QuestionKind::RankPaths);
    let chain = vpnhost_policy::Chain::new(vec![std::sync::Arc::new(vpnhost_policy_standard::Standard)]);
    let decision = chain.decide(&asked);
    let entry = vpnhost_record::Entry::new(
        std::time::Duration::ZERO,
        asked,
        decision,
        &vpnhost_policy_standard::Standard,
    );
    let written = entry.write();
    for name in written.keys() {
        assert!(DECISIONS.contains(&format!("| `{name}` |")), "{name}");
    }
    for name in written["trace"][0].as_object().unwrap().keys() {
        assert!(DECISIONS.contains(&format!("| `trace[].{name}` |")), "{name}");
    }
}
