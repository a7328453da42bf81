//! What happened, told: each event as a sentence in the journal, in the log and to subscribers, and what of
//! it `status` shows later.
//!
//! The log has the sentences of the journal, whole: who was refused why is of no use without the name. What strangers
//! cause has quotas of lines, so that a flood of them does not fill the log.

mod legible;
mod quota;
mod sentence;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use vpnhost_ike::output::{CloseReason, Event};
use vpnhost_model::{IkeSaId, Now, Role};
use vpnhost_policy::{OnFailure, Outcome, Question, Sha256};

use crate::host::HostEvent;
use crate::journal::{Entry, Journal, Move, Ring, STRANGERS};
use crate::limits;
use crate::resolver::{self, Verdict};
use crate::snapshot::Decision;

pub use legible::legible;
use quota::Quota;
use sentence::Sentence;

/// The journal, its readers, and what is remembered of each IKE SA and connection.
pub(crate) struct Chronicle {
    journal: Journal,
    readers: broadcast::Sender<HostEvent>,
    ike_sas: BTreeMap<IkeSaId, Remembered>,
    /// Those that were remembered before they had begun, the last of them, oldest first.
    early: VecDeque<IkeSaId>,
    failures: BTreeMap<String, Failure>,
    /// Which component each plugin is.
    plugins: BTreeMap<String, Sha256>,
    quota: Quota,
    /// Of those whose addresses may be anybody's.
    forgeable: Quota,
}

/// What is remembered of an IKE SA.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembered {
    /// How many IKE SAs it replaced by rekeying.
    pub(crate) rekeyed: u32,
    /// The round-trip time of the last liveness check.
    pub(crate) round_trip: Option<Duration>,
    /// What will fail later: its code, and a sentence.
    pub(crate) foretold: Vec<(&'static str, String)>,
    /// The last decision of each question.
    pub(crate) decisions: Vec<Decision>,
    /// Who serves its encryption.
    pub(crate) backend: Option<String>,
    connection: Option<String>,
    has_begun: bool,
    /// Where a peer was when it began it, until it has proved who it is.
    stranger: Option<SocketAddr>,
}

/// How a connection's last try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The child that failed on an IKE SA that stands; none, if no IKE SA came up.
    pub child: Option<String>,
    /// The stable code of the cause.
    pub reason: &'static str,
    /// The cause in a sentence, with identities and addresses.
    pub text: String,
}

/// Something that the driver itself has to say.
#[derive(Debug, Default)]
pub(crate) struct Note {
    /// What kind of thing; stable.
    pub(crate) kind: &'static str,
    /// The connection, if it is about one.
    pub(crate) connection: Option<String>,
    /// The IKE SA, if it is about one.
    pub(crate) ike_sa: Option<IkeSaId>,
    /// The sentence.
    pub(crate) text: String,
    /// What follows it: identities and addresses.
    pub(crate) detail: String,
}

impl Chronicle {
    /// Begins; subscribers read what goes into `readers`.
    pub(crate) fn new(readers: broadcast::Sender<HostEvent>) -> Self {
        Self {
            journal: Journal::default(),
            readers,
            ike_sas: BTreeMap::new(),
            early: VecDeque::new(),
            failures: BTreeMap::new(),
            plugins: BTreeMap::new(),
            quota: Quota::default(),
            forgeable: Quota::default(),
        }
    }

    /// Takes which component each plugin is from now on.
    pub(crate) fn know_components(&mut self, plugins: BTreeMap<String, Sha256>) {
        self.plugins = plugins;
    }

    /// Returns the last refusal of a stranger who named a connection, or whom it is the nearest for.
    pub(crate) fn last_refusal(&self, connection: &str) -> Option<&Entry> {
        self.journal.last_refusal(connection)
    }

    /// Returns how many refusals of strangers the log does not have.
    pub(crate) fn unlogged(&self) -> u64 {
        self.quota.withheld_ever() + self.forgeable.withheld_ever()
    }

    /// Returns the journal's entries, of one connection or of all.
    pub(crate) fn entries(&self, connection: Option<&str>) -> Vec<Entry> {
        self.journal.entries(connection)
    }

    /// Returns what is remembered of an IKE SA.
    pub(crate) fn of(&self, ike_sa: IkeSaId) -> Option<&Remembered> {
        self.ike_sas.get(&ike_sa)
    }

    /// Remembers who serves an IKE SA's encryption: the backend of now, whatever new SAs get later.
    pub(crate) fn served_by(&mut self, ike_sa: IkeSaId, backend: &str) {
        let remembered = self.ike_sas.entry(ike_sa).or_default();
        remembered.backend.get_or_insert_with(|| backend.to_owned());
    }

    /// Returns how a connection's last try ended, if nothing came of it.
    pub(crate) fn last_failure(&self, connection: &str) -> Option<&Failure> {
        self.failures.get(connection)
    }

    /// Tells what the endpoint said; `plugin` is whose answer a decision is, if a plugin's.
    pub(crate) fn tell(&mut self, now: Now, event: Event, plugin: Option<String>) {
        self.remember(now, &event, plugin.as_deref());
        let plugin = plugin.or_else(|| self.refuser(&event).map(str::to_owned));
        let Sentence { kind, reason, text, detail } = sentence::of(&event, plugin.as_deref());
        let ike_sa = event.ike_sa();
        let connection =
            event.connection().map(str::to_owned).or_else(|| ike_sa.and_then(|id| self.connection_of(id)));
        let stranger = ike_sa.and_then(|id| self.stranger(id));
        // Nobody but strangers begins what belongs to no connection.
        let is_of_stranger = stranger.is_some()
            || matches!(event, Event::Refused { .. })
            || ike_sa.is_some() && connection.is_none();
        // Before what it says of itself, which may be long.
        let detail = match stranger.filter(|_| reason.is_some()) {
            Some(remote) if detail.is_empty() => format!("from {remote}"),
            Some(remote) => format!("from {remote}, {detail}"),
            None => detail,
        };
        self.forget(&event);
        let decision =
            if let Event::Decided { question, by, .. } = &event { Some((*question, *by)) } else { None };
        let (question, by) = decision.unzip();
        let told = plugin.filter(|_| by == Some("plugins") || reason.is_some());
        let entry = Entry {
            number: 0,
            unix: now.unix,
            nearest: nearest(&event).filter(|_| connection.is_none()).map(str::to_owned),
            connection,
            is_of_stranger,
            ike_sa,
            kind,
            question,
            by,
            plugin_sha256: told.as_ref().and_then(|plugin| self.plugins.get(plugin).copied()),
            plugin: told,
            reason,
            moved: Move::of(&event),
            text,
        };
        self.publish(now, entry, &detail, Some(event));
    }

    /// Tells what the driver itself has to say.
    pub(crate) fn note(&mut self, now: Now, note: Note) {
        let Note { kind, connection, ike_sa, text, detail } = note;
        let connection = connection.or_else(|| ike_sa.and_then(|id| self.connection_of(id)));
        let entry = Entry {
            number: 0,
            unix: now.unix,
            connection,
            nearest: None,
            // Nothing is done for a stranger.
            is_of_stranger: false,
            ike_sa,
            kind,
            question: None,
            by: None,
            plugin: None,
            plugin_sha256: None,
            reason: None,
            moved: None,
            text,
        };
        self.publish(now, entry, &detail, None);
    }

    /// Tells which plugins failed to answer a question, and what that counts for.
    pub(crate) fn tell_faults(
        &mut self,
        now: Now,
        verdict: &Verdict,
        on_failure: &dyn Fn(&str) -> OnFailure,
    ) {
        let word = resolver::word(verdict.question.kind());
        // Until it is known who asks, no connection is either, whatever the question names.
        let connection = Some(verdict.question.connection().to_owned());
        let connection =
            connection.filter(|name| !name.is_empty() && resolver::is_authenticated(&verdict.question));
        for step in &verdict.decision.trace {
            let how = match &step.outcome {
                Outcome::Answered | Outcome::Abstained => continue,
                Outcome::OffTheMenu => "gave an answer that is not on the menu",
                Outcome::Failed(how) => how,
            };
            let refuses = matches!(verdict.question, Question::AuthorizePeer(_))
                && on_failure(&step.policy) == OnFailure::Deny;
            let counts = if refuses { "that refuses the peer" } else { "the others decide" };
            let entry = Entry {
                number: 0,
                unix: now.unix,
                connection: connection.clone(),
                nearest: None,
                is_of_stranger: connection.is_none(),
                ike_sa: None,
                kind: "plugin_failed",
                question: Some(word),
                by: None,
                plugin: Some(step.policy.clone()),
                plugin_sha256: step.sha256,
                reason: None,
                moved: None,
                text: format!("{word}: plugin {} {how}; {counts}", step.policy),
            };
            self.publish(now, entry, "", None);
        }
    }

    fn publish(&mut self, now: Now, mut entry: Entry, detail: &str, event: Option<Event>) {
        if !detail.is_empty() {
            entry.text = format!("{}: {detail}", entry.text);
        }
        entry.text = legible(&entry.text);
        self.log(now, &entry);
        let entry = Arc::new(self.journal.push(entry));
        // Without a reader there is nobody to tell.
        let _ = self.readers.send(HostEvent { unix: entry.unix, entry, event });
    }

    fn log(&mut self, now: Now, entry: &Entry) {
        let (connection, ike_sa) =
            (entry.connection.as_deref().unwrap_or(STRANGERS), entry.ike_sa.map(|id| id.0));
        let Entry { kind, reason, text, nearest, .. } = entry;
        for withheld in
            [&mut self.quota, &mut self.forgeable].into_iter().filter_map(|it| it.settle(now.instant))
        {
            tracing::info!(
                connection = STRANGERS,
                kind = "unlogged",
                withheld,
                "{}",
                quota::sentence(withheld)
            );
        }
        // What any stranger can cause without end, and what happens every few seconds, is not worth a line.
        let is_loud = match entry.ring() {
            Ring::Known => *kind != "alive",
            Ring::Refusals => self.quota.take(now.instant),
            Ring::Forgeable => self.forgeable.take(now.instant),
            Ring::Strangers => false,
        };
        match *kind {
            _ if !is_loud => tracing::debug!(connection, nearest, ike_sa, kind, reason, "{text}"),
            "plugin_failed" | "host_failed" | "foretold" => {
                tracing::warn!(connection, ike_sa, kind, reason, "{text}")
            }
            _ => tracing::info!(connection, nearest, ike_sa, kind, reason, "{text}"),
        }
    }

    fn connection_of(&self, ike_sa: IkeSaId) -> Option<String> {
        self.ike_sas.get(&ike_sa).and_then(|remembered| remembered.connection.clone())
    }

    fn stranger(&self, ike_sa: IkeSaId) -> Option<SocketAddr> {
        self.ike_sas.get(&ike_sa)?.stranger
    }

    fn remember(&mut self, now: Now, event: &Event, plugin: Option<&str>) {
        match event {
            Event::IkeSaStarted { ike_sa, connection, role, path } => {
                let begun = self.begun(*ike_sa);
                begun.connection.clone_from(connection);
                begun.stranger = (*role == Role::Responder).then_some(path.remote);
            }
            Event::IkeSaEstablished(facts) => {
                let begun = self.begun(facts.id);
                begun.connection = Some(facts.connection.clone());
                begun.stranger = None;
                self.failures.remove(&facts.connection);
            }
            Event::IkeSaRekeyed { old, new } => {
                let mut heir = self.ike_sas.remove(old).unwrap_or_default();
                heir.rekeyed = heir.rekeyed.saturating_add(1);
                heir.connection = Some(new.connection.clone());
                (heir.has_begun, heir.stranger) = (true, None);
                heir.backend = None;
                self.ike_sas.insert(new.id, heir);
            }
            Event::ChildSaFailed { connection, child, reason, .. } => {
                let text = format!("child {child}: {}", reason.in_full());
                self.fail(connection, Some(child.clone()), (reason.code(), &text));
            }
            Event::ChildSaEstablished { connection, child, .. } => {
                let failed = |failure: &Failure| failure.child.as_ref() == Some(child);
                if self.failures.get(connection).is_some_and(failed) {
                    self.failures.remove(connection);
                }
            }
            // Who names a connection only has not failed to bring it up.
            Event::IkeSaClosed { ike_sa, connection: Some(connection), reason }
                if self.stranger(*ike_sa).is_none() =>
            {
                if matches!(reason, CloseReason::Local | CloseReason::Replaced) {
                    self.failures.remove(connection);
                } else {
                    let (reason, text) = sentence::cause(reason, self.refuser(event));
                    self.fail(connection, None, (reason, &text));
                }
            }
            Event::Foretold { ike_sa, foresight, .. } => {
                self.begun(*ike_sa).foretold.push((foresight.code(), legible(&foresight.to_string())));
            }
            Event::Alive { ike_sa, round_trip: Some(round_trip) } => {
                if let Some(remembered) = self.ike_sas.get_mut(ike_sa) {
                    remembered.round_trip = Some(*round_trip);
                }
            }
            Event::Decided { ike_sa, question, by, outcome, .. } => {
                let plugin = plugin.filter(|_| *by == "plugins").map(str::to_owned);
                let outcome = legible(outcome);
                self.remember_decision(*ike_sa, Decision { question, by, plugin, outcome, unix: now.unix });
            }
            Event::ChildSaClosed { .. }
            | Event::IkeRekeyFailed { .. }
            | Event::IkeSaClosed { .. }
            | Event::Refused { .. }
            | Event::RetryScheduled { .. }
            | Event::Alive { round_trip: None, .. }
            | Event::Moved { .. }
            | Event::Stays { .. }
            | Event::PathMtu { .. }
            | Event::NotMoved { .. }
            | Event::KeepaliveLearned { .. } => {}
        }
    }

    fn remember_decision(&mut self, ike_sa: IkeSaId, decision: Decision) {
        self.make_room(ike_sa);
        let remembered = self.ike_sas.entry(ike_sa).or_default();
        // Nobody is asked about a peer that has not proved who it is.
        remembered.stranger = remembered.stranger.filter(|_| decision.question != "authorize_peer");
        remembered.decisions.retain(|other| other.question != decision.question);
        remembered.decisions.push(decision);
    }

    fn fail(&mut self, connection: &str, child: Option<String>, (reason, text): (&'static str, &str)) {
        let failure = Failure { child, reason, text: legible(text) };
        self.failures.insert(connection.to_owned(), failure);
    }

    /// Returns the plugin by whose answer a peer was refused, if an end is for that.
    fn refuser(&self, event: &Event) -> Option<&str> {
        let Event::IkeSaClosed { ike_sa, reason: CloseReason::RefusedByPlugin(_), .. } = event else {
            return None;
        };
        let decisions = &self.ike_sas.get(ike_sa)?.decisions;
        decisions.iter().find(|decision| decision.question == "authorize_peer")?.plugin.as_deref()
    }

    fn begun(&mut self, ike_sa: IkeSaId) -> &mut Remembered {
        let remembered = self.ike_sas.entry(ike_sa).or_default();
        remembered.has_begun = true;
        remembered
    }

    /// Makes room for a decision about an IKE SA that is not known. A peer's first message is decided about before the
    /// IKE SA has begun, and of one that is refused nobody tells the end: strangers must not fill the memory with them.
    fn make_room(&mut self, ike_sa: IkeSaId) {
        if self.ike_sas.contains_key(&ike_sa) {
            return;
        }
        if self.early.len() >= limits::EARLY_IKE_SAS
            && let Some(oldest) = self.early.pop_front()
            && self.ike_sas.get(&oldest).is_some_and(|remembered| !remembered.has_begun)
        {
            self.ike_sas.remove(&oldest);
        }
        self.early.push_back(ike_sa);
    }

    /// Forgets an IKE SA that ended, once it was told of.
    fn forget(&mut self, event: &Event) {
        if let Event::IkeSaClosed { ike_sa, .. } = event {
            self.ike_sas.remove(ike_sa);
        }
    }
}

/// Returns the connection that comes nearest to what a peer wanted that belongs to none.
fn nearest(event: &Event) -> Option<&str> {
    let (Event::IkeSaClosed { reason, .. } | Event::Refused { reason, .. }) = event else { return None };
    reason.nearest()
}

#[cfg(test)]
mod tests;
