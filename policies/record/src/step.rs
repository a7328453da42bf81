//! One policy's part in a decision, and what its imports told it.

use std::time::Duration;

use serde_json::{Value, json};
use vpnhost_policy::{ImportCall, ImportValue, Outcome, QuestionKind, Sha256, Step};

use crate::form::{Fields, Form, Wrong};
use crate::question::{answer, question, read_answer, read_question};
use crate::values::{Hex, hex};

/// Every import that tells a plugin something.
const IMPORTS: [&str; 5] = ["kv.get", "kv.keys", "kv.set", "data.tables", "data.get"];

/// Writes a policy's part.
pub(crate) fn write(step: &Step) -> Value {
    let (outcome, how) = match &step.outcome {
        Outcome::Answered => ("answered", None),
        Outcome::Abstained => ("abstained", None),
        Outcome::OffTheMenu => ("off-the-menu", None),
        Outcome::Failed(how) => ("failed", Some(how)),
    };
    let elapsed = step.elapsed.map(|elapsed| u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
    json!({
        "plugin": step.policy,
        "sha256": step.sha256.write(),
        "configured_sha256": step.configured.write(),
        "on_failure": step.on_failure.write(),
        "asked": step.asked.as_deref().map(question),
        "outcome": outcome,
        "how": how,
        "answer": step.answer.as_ref().map(answer),
        "elapsed_us": elapsed,
        "imports": step.imports.write(),
    })
}

/// Reads a policy's part.
pub(crate) fn read(kind: QuestionKind, value: &Value) -> Result<Step, Wrong> {
    let mut fields = Fields::of(value)?;
    let policy = fields.take("plugin")?;
    let sha256 = fields.take("sha256")?;
    let configured = fields.take("configured_sha256")?;
    let on_failure = fields.take("on_failure")?;
    let there = |value: Option<&'_ Value>| value.filter(|it| !it.is_null()).cloned();
    let asked = there(fields.find("asked")).map(|asked| read_question(kind, &asked).map(Box::new));
    let asked = asked.transpose().map_err(|wrong| wrong.under("asked"))?;
    let answered = there(fields.find("answer")).map(|it| read_answer(kind, &it));
    let answer = answered.transpose().map_err(|wrong| wrong.under("answer"))?;
    let outcome: String = fields.take("outcome")?;
    let how: Option<String> = fields.take("how")?;
    let outcome = match (outcome.as_str(), how, answer.is_some()) {
        ("answered", None, true) => Outcome::Answered,
        ("abstained", None, false) => Outcome::Abstained,
        ("off-the-menu", None, true) => Outcome::OffTheMenu,
        ("failed", Some(how), false) => Outcome::Failed(how),
        _ => {
            let words = "answered or off-the-menu with an answer, abstained, or failed with how";
            return Err(Wrong::expected(words, &outcome.into()).under("outcome"));
        }
    };
    let elapsed: Option<u64> = fields.take("elapsed_us")?;
    let imports = fields.take("imports")?;
    fields.finish()?;
    let elapsed = elapsed.map(Duration::from_micros);
    Ok(Step { policy, sha256, configured, on_failure, asked, outcome, answer, elapsed, imports })
}

/// A value that a policy was told: with the question, what a replay needs. Octets that are text stand there as text.
impl Form for ImportCall {
    fn write(&self) -> Value {
        let value = match &self.value {
            ImportValue::Nothing => Value::Null,
            ImportValue::Octets(octets) => match std::str::from_utf8(octets) {
                Ok(text) => json!({ "utf8": text }),
                Err(_) => json!({ "hex": hex(octets) }),
            },
            ImportValue::Text(text) => json!({ "text": text }),
            ImportValue::Texts(texts) => json!({ "texts": texts }),
            ImportValue::Done => json!("done"),
            ImportValue::Refused(why) => json!({ "refused": why }),
        };
        json!({
            "import": self.import,
            "arguments": self.arguments,
            "value": value,
            "table_sha256": self.table.write(),
        })
    }

    fn read(value: &Value) -> Result<Self, Wrong> {
        let mut fields = Fields::of(value)?;
        let named: String = fields.take("import")?;
        let import = IMPORTS.into_iter().find(|it| *it == named);
        let import = import.ok_or_else(|| {
            Wrong::expected(format_args!("one of {}", IMPORTS.join(", ")), &named.into()).under("import")
        })?;
        let arguments = fields.take("arguments")?;
        let told = fields.find("value").unwrap_or(&Value::Null);
        let told = told_value(told).map_err(|wrong| wrong.under("value"))?;
        let table: Option<Sha256> = fields.take("table_sha256")?;
        fields.finish()?;
        Ok(Self { import, arguments, value: told, table })
    }
}

fn told_value(value: &Value) -> Result<ImportValue, Wrong> {
    if value.is_null() {
        return Ok(ImportValue::Nothing);
    }
    if value.as_str() == Some("done") {
        return Ok(ImportValue::Done);
    }
    let forms = "null, \"done\", or an object with one of utf8, hex, text, texts, refused";
    let pair = value.as_object().filter(|map| map.len() == 1).and_then(|map| map.iter().next());
    let (form, held) = pair.ok_or_else(|| Wrong::expected(forms, value))?;
    match form.as_str() {
        "utf8" => String::read(held).map(|text| ImportValue::Octets(text.into_bytes())),
        "hex" => Hex::read(held).map(|Hex(octets)| ImportValue::Octets(octets)),
        "text" => String::read(held).map(ImportValue::Text),
        "texts" => Vec::read(held).map(ImportValue::Texts),
        "refused" => String::read(held).map(ImportValue::Refused),
        _ => Err(Wrong::expected(forms, value)),
    }
}
