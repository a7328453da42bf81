//! Recorded decisions put to a component again: what stays the same, and what would flip.
//!
//! Each question goes to a fresh instance with the menu that the plugin saw then, and its imports tell what they told
//! then. An answer depends on nothing else but the component and its settings: the same component says the same, bit for
//! bit. What depended on time (a deadline, a full queue, a plugin that was switched off) is not replayed.

use std::collections::BTreeMap;

use vpnhost_plugin_host::{Told, WasmPolicy};
use vpnhost_policy::{
    Answer, Deliberation, Failure, OnFailure, Outcome, Policy, Question, QuestionKind, Reply, Settlement,
    Sha256, Step, settle,
};
use vpnhost_policy_standard::Standard;
use vpnhost_record::Entry;

/// Whose decisions are put to a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Those of whoever bore this name.
    Named(String),
    /// Those of this component, under whatever name.
    Component(Sha256),
    /// Nobody's: all decisions, as if the component had been the first to be asked, with nothing in its store.
    First,
}

impl Part {
    /// Tells whether a step is one of them.
    pub fn is(&self, step: &Step) -> bool {
        match self {
            Self::Named(name) => step.policy == *name,
            Self::Component(sha256) => step.sha256 == Some(*sha256),
            Self::First => false,
        }
    }
}

/// Who was asked in a log, how often: by name, component, and how it was set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cast(BTreeMap<(String, Option<Sha256>, Option<Sha256>), u64>);

impl Cast {
    /// Notes who was asked about a decision.
    pub fn note(&mut self, entry: &Entry) {
        for step in &entry.decision.trace {
            *self.0.entry((step.policy.clone(), step.sha256, step.configured)).or_default() += 1;
        }
    }

    /// Returns the names of all who were asked.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.keys().map(|(name, _, _)| name.as_str()).collect();
        names.dedup();
        names
    }

    /// Returns whose decisions a component takes unless somebody is named: its own, or else those of its name.
    pub fn part_of(&self, component: Option<Sha256>, name: &str) -> Option<Part> {
        let sha256 = component.filter(|_| self.0.keys().any(|(_, sha256, _)| *sha256 == component));
        let named = || self.0.keys().any(|(known, _, _)| known == name).then(|| Part::Named(name.to_owned()));
        sha256.map(Part::Component).or_else(named)
    }

    /// Tells how often a part was asked, and how often of that it was set up otherwise than `configured`.
    pub fn tally(&self, part: &Part, configured: Option<Sha256>) -> (u64, u64) {
        let is = |name: &String, sha256: &Option<Sha256>| match part {
            Part::Named(named) => named == name,
            Part::Component(component) => *sha256 == Some(*component),
            Part::First => false,
        };
        let (mut all, mut otherwise) = (0, 0);
        for ((name, sha256, set_up), count) in &self.0 {
            if is(name, sha256) {
                all += count;
                otherwise += if *set_up == configured { 0 } else { *count };
            }
        }
        (all, otherwise)
    }
}

/// What became of the decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Decisions that were read.
    pub decisions: u64,
    /// Questions that the part was asked in them.
    pub asked: u64,
    /// Replies that are the same, bit for bit.
    pub same: u64,
    /// Of those, replies on the way to which other things were asked of kv and data.
    pub told_otherwise: u64,
    /// Answers whose reason alone is another.
    pub reasons: u64,
    /// Answers that are others.
    pub flips: u64,
    /// Of those, answers that change what stands in the end.
    pub outcomes: u64,
    /// Answers that are not on the menu and were, or were none.
    pub off_menu: u64,
    /// Calls that fail and did not.
    pub failures: u64,
    /// Questions that need what the record does not hold.
    pub strayed: u64,
    /// Questions that it does not answer at all and that were answered.
    pub not_answered: u64,
    /// Replies that depended on time.
    pub skipped: u64,
}

impl Tally {
    /// Tells whether every reply that can be replayed is the same.
    pub fn is_same(&self) -> bool {
        self.same + self.skipped == self.asked
    }
}

/// A reply that is not the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// When it was decided, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The question.
    pub question: QuestionKind,
    /// The connection.
    pub connection: String,
    /// What kind of difference it is.
    pub difference: Difference,
    /// What was said then; nothing for an abstention or a failure.
    pub old: Option<Answer>,
    /// What is said now.
    pub new: Option<Answer>,
    /// What that changes.
    pub effect: Effect,
}

/// How a reply differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Only the reason is another.
    Reason,
    /// The answer is another, or one of both abstains.
    Answer,
    /// It is off the menu.
    OffTheMenu,
    /// The call fails; the text says how.
    Failure(String),
    /// It asks what the record does not hold.
    Strayed(String),
    /// It failed then, and the text says how; it does not now.
    FailedThen(String),
}

/// What stands in the end.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// What stood before.
    Same,
    /// Something else.
    Changed {
        /// What stood.
        from: Option<Answer>,
        /// What would stand.
        to: Option<Answer>,
        /// Whether a plugin that was not asked then might change it again.
        others: bool,
    },
    /// It cannot be told: the plugin of this name would be asked about another menu.
    Unknown(String),
}

/// A component that recorded questions are put to.
#[derive(Debug)]
pub struct Replay<'a> {
    plugin: &'a WasmPolicy,
    part: Part,
    tally: Tally,
}

impl<'a> Replay<'a> {
    /// Puts a part's questions to a plugin.
    pub fn new(plugin: &'a WasmPolicy, part: Part) -> Self {
        Self { plugin, part, tally: Tally::default() }
    }

    /// Returns what became of the decisions so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Replays a decision, and returns what is not the same.
    pub fn take(&mut self, entry: &Entry) -> Vec<Finding> {
        self.tally.decisions += 1;
        if self.part == Part::First {
            return self.first(entry).into_iter().collect();
        }
        let mut findings = Vec::new();
        for at in 0..entry.decision.trace.len() {
            if self.part.is(&entry.decision.trace[at]) {
                self.tally.asked += 1;
                findings.extend(self.step(entry, at));
            }
        }
        findings
    }

    /// Asks the component before all others. What it says is the same as long as the same stands in the end.
    fn first(&mut self, entry: &Entry) -> Option<Finding> {
        if !self.plugin.questions().contains(entry.question.kind()) {
            return None;
        }
        self.tally.asked += 1;
        let mut entry = entry.clone();
        entry.decision.trace.insert(0, silent(self.plugin));
        let before = self.tally;
        let finding = self.step(&entry, 0)?;
        let is_quiet = matches!(finding.difference, Difference::Answer | Difference::Reason);
        if is_quiet && finding.effect == Effect::Same {
            self.tally = Tally { same: before.same + 1, ..before };
            return None;
        }
        Some(Finding { old: entry.settlement.answer, ..finding })
    }

    fn step(&mut self, entry: &Entry, at: usize) -> Option<Finding> {
        let step = &entry.decision.trace[at];
        let failed = match &step.outcome {
            Outcome::Failed(how) if depends_on_time(how) => {
                self.tally.skipped += 1;
                return None;
            }
            Outcome::Failed(how) => Some(how.clone()),
            Outcome::Answered | Outcome::Abstained | Outcome::OffTheMenu => None,
        };
        let question = step.asked.as_deref().unwrap_or(&entry.question);
        let exports = self.plugin.questions().contains(question.kind());
        let (reply, told, strayed) = if exports {
            let told = match self.part {
                Part::First => Told::Nothing,
                Part::Named(_) | Part::Component(_) => Told::Recorded(&step.imports),
            };
            let aside = self.plugin.aside(question, told);
            (aside.recorded.reply, aside.recorded.imports, aside.strayed)
        } else {
            (Ok(None), Vec::new(), None)
        };
        if let Some(strayed) = strayed {
            self.tally.strayed += 1;
            return Some(finding(
                entry,
                at,
                Difference::Strayed(strayed),
                None,
                Effect::Unknown(step.policy.clone()),
            ));
        }
        let is_same = match (&reply, &failed) {
            (Ok(answer), None) => *answer == step.answer,
            (Err(failure), Some(how)) => failure.to_string() == *how,
            (Ok(_), Some(_)) | (Err(_), None) => false,
        };
        if is_same {
            self.tally.same += 1;
            self.tally.told_otherwise += u64::from(told != step.imports && self.part != Part::First);
            return None;
        }
        let difference = match (&reply, failed) {
            (Err(failure), _) => {
                self.tally.failures += 1;
                Difference::Failure(failure.to_string())
            }
            (Ok(Some(answer)), _) if !question.admits(answer) => {
                self.tally.off_menu += 1;
                Difference::OffTheMenu
            }
            (Ok(_), Some(how)) => Difference::FailedThen(how),
            (Ok(answer), None)
                if answer.clone().map(Answer::without_reason)
                    == step.answer.clone().map(Answer::without_reason) =>
            {
                self.tally.reasons += 1;
                Difference::Reason
            }
            (Ok(_), None) => {
                self.tally.flips += 1;
                self.tally.not_answered += u64::from(!exports);
                Difference::Answer
            }
        };
        let effect = effect(entry, at, reply.clone());
        self.tally.outcomes += u64::from(matches!(effect, Effect::Changed { .. }));
        Some(finding(entry, at, difference, reply.ok().flatten(), effect))
    }
}

fn finding(entry: &Entry, at: usize, difference: Difference, new: Option<Answer>, effect: Effect) -> Finding {
    Finding {
        unix_ms: entry.unix_ms,
        question: entry.question.kind(),
        connection: entry.question.connection().to_owned(),
        difference,
        old: entry.decision.trace[at].answer.clone(),
        new,
        effect,
    }
}

/// Whoever has said nothing yet.
fn silent(plugin: &WasmPolicy) -> Step {
    Step {
        policy: plugin.name().to_owned(),
        sha256: plugin.sha256(),
        configured: plugin.configured(),
        on_failure: plugin.on_failure(),
        asked: None,
        outcome: Outcome::Abstained,
        answer: None,
        elapsed: None,
        imports: Vec::new(),
    }
}

/// Tells whether a failure says nothing of the component.
fn depends_on_time(how: &str) -> bool {
    let disabled = Failure::Disabled(String::new()).to_string();
    how == Failure::Deadline.to_string()
        || how == Failure::Overloaded.to_string()
        || how.starts_with(&disabled)
}

/// What would stand in the end, had one of the policies said something else.
fn effect(entry: &Entry, at: usize, reply: Reply) -> Effect {
    let (then, was_settled) = match run(entry, None) {
        Ok(run) => run,
        Err(name) => return Effect::Unknown(name),
    };
    let (now, is_settled) = match run(entry, Some((at, reply))) {
        Ok(run) => run,
        Err(name) => return Effect::Unknown(name),
    };
    let substance = |answer: &Option<Answer>| answer.clone().map(Answer::without_reason);
    let (from, to) = (substance(&then.answer), substance(&now.answer));
    if from == to {
        return Effect::Same;
    }
    Effect::Changed { from: then.answer, to: now.answer, others: was_settled && !is_settled }
}

/// Leads a question through those who were asked about it. Returns what stands in the end, and whether a further policy
/// would not have been asked; or who would have been asked about a menu that nobody knows its answer to.
fn run(entry: &Entry, other: Option<(usize, Reply)>) -> Result<(Settlement, bool), String> {
    let mut deliberation = Deliberation::new(entry.question.clone());
    for (index, step) in entry.decision.trace.iter().enumerate() {
        let Some(question) = deliberation.question() else { break };
        let is_other = other.as_ref().filter(|(at, _)| *at == index);
        let known = step.asked.as_deref().unwrap_or(&entry.question);
        let reply = match is_other {
            Some((_, reply)) => reply.clone(),
            None if question == known => reply_of(step),
            None => return Err(step.policy.clone()),
        };
        deliberation.hear(&Spoken(step), reply, None);
    }
    let is_settled = deliberation.question().is_none();
    let answer = deliberation.conclude().answer;
    Ok((settle(&Standard, &entry.question, answer), is_settled))
}

fn reply_of(step: &Step) -> Reply {
    match &step.outcome {
        Outcome::Answered | Outcome::OffTheMenu => Ok(step.answer.clone()),
        Outcome::Abstained => Ok(None),
        // Its own text begins as this one does; what follows is the same.
        Outcome::Failed(how) => Err(Failure::Trap(how.strip_prefix("crashed: ").unwrap_or(how).to_owned())),
    }
}

/// Whoever said something then.
struct Spoken<'a>(&'a Step);

impl Policy for Spoken<'_> {
    fn name(&self) -> &str {
        &self.0.policy
    }

    fn consult(&self, _: &Question) -> Reply {
        reply_of(self.0)
    }

    fn on_failure(&self) -> OnFailure {
        self.0.on_failure
    }
}
