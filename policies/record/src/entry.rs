//! One decision whole.

use std::time::Duration;

use serde_json::{Map, Value, json};
use vpnhost_policy::{Answer, Decision, NativePart, Policy, Question, QuestionKind, Settlement, settle};

use crate::form::{Fields, Form, Wrong};
use crate::{question, step};

/// What a native answer is signed with.
const NATIVE: &str = "native";

/// A question, what the plugins made of it, and what stands in the end.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it was decided: milliseconds since 1970.
    pub unix_ms: u64,
    /// How many decisions before this one were not written.
    pub lost: u64,
    /// The question, with its full menu.
    pub question: Question,
    /// What the plugins came to, and how.
    pub decision: Decision,
    /// What stands in the end.
    pub settlement: Settlement,
}

impl Entry {
    /// Returns the entry of a decision at a time since 1970.
    pub fn new(unix: Duration, question: Question, decision: Decision, native: &dyn Policy) -> Self {
        let unix_ms = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
        let settlement = settle(native, &question, decision.answer.clone());
        Self { unix_ms, lost: 0, question, decision, settlement }
    }

    /// Writes the document, without its place in a chain.
    pub fn write(&self) -> Map<String, Value> {
        let Self { unix_ms, lost, question, decision, settlement } = self;
        let by = if settlement.native.is_some() { Some(NATIVE) } else { decision.decided_by.as_deref() };
        let stands = settlement.answer.as_ref();
        let written = |it: &Answer| question::answer(it);
        // What plugins had said is another answer only where the native policy refused.
        let said = decision.answer.as_ref().filter(|_| settlement.native.is_some());
        let said = said.map(|it| json!({ "answer": written(it), "by": decision.decided_by }));
        let decider = |step: &&vpnhost_policy::Step| settlement.native.is_none() && by == Some(&*step.policy);
        let sha256 = decision.trace.iter().rev().find(decider).and_then(|step| step.sha256);
        let mut map = Map::new();
        for (key, value) in [
            ("unix_ms", json!(unix_ms)),
            ("lost", json!(lost)),
            ("question", question.kind().write()),
            ("connection", json!(question.connection())),
            ("asked", question::question(question)),
            ("answer", stands.map_or(Value::Null, written)),
            ("why", json!(stands.and_then(Answer::why))),
            ("by", json!(by)),
            ("sha256", sha256.write()),
            ("native", json!(settlement.native.map(NativePart::name))),
            ("plugins", json!(said)),
            ("trace", decision.trace.iter().map(step::write).collect()),
        ] {
            map.insert(key.to_owned(), value);
        }
        map
    }

    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(value: &Value) -> Result<Self, Wrong> {
        let mut fields = Fields::of(value)?;
        let kind: QuestionKind = fields.take("question")?;
        let asked = fields.find("asked").ok_or_else(|| Wrong::new("lacks `asked`"))?;
        let asked = question::read_question(kind, asked).map_err(|wrong| wrong.under("asked"))?;
        let native = match fields.take::<Option<String>>("native")? {
            Some(word) => Some(NativePart::from_name(&word).ok_or_else(|| {
                Wrong::expected("null, nobody-answered or refused", &word.into()).under("native")
            })?),
            None => None,
        };
        let answered = |value: Option<&Value>| {
            let there = value.filter(|it| !it.is_null());
            there.map(|it| question::read_answer(kind, it)).transpose()
        };
        let stands = answered(fields.find("answer")).map_err(|wrong| wrong.under("answer"))?;
        let by: Option<String> = fields.take("by")?;
        let (answer, decided_by) = match (fields.find("plugins").filter(|it| !it.is_null()), native) {
            (Some(said), _) => {
                let mut said = Fields::of(said).map_err(|wrong| wrong.under("plugins"))?;
                let answer = answered(said.find("answer"));
                let by = said.take("by");
                said.finish().map_err(|wrong| wrong.under("plugins"))?;
                let under = |wrong: Wrong| wrong.under("plugins");
                (answer.map_err(under)?, by.map_err(under)?)
            }
            (None, Some(_)) => (None, None),
            (None, None) => (stands.clone(), by),
        };
        let steps = fields.find("trace").and_then(Value::as_array);
        let steps = steps.ok_or_else(|| Wrong::new("lacks `trace`, a list"))?;
        let read = |(index, it)| {
            step::read(kind, it).map_err(|wrong: Wrong| wrong.under(&format!("trace[{index}]")))
        };
        let trace = steps.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let (unix_ms, lost) = (fields.take("unix_ms")?, fields.take::<Option<u64>>("lost")?.unwrap_or(0));
        for repeated in ["connection", "why", "sha256", "before"] {
            fields.find(repeated);
        }
        fields.finish()?;
        let decision = Decision { answer, decided_by, trace };
        Ok(Self {
            unix_ms,
            lost,
            question: asked,
            decision,
            settlement: Settlement { answer: stands, native },
        })
    }
}
