//! Puts questions to plugins: each plugin on a thread of its own, one after the other for each question,
//! and none beyond the deadline.
//!
//! [`Resolver`] is fed and drained as the machines are: [`Resolver::ask`], [`Resolver::hear`] and
//! [`Resolver::handle_timeout`] in, [`Resolver::poll_verdict`] out. A plugin that is slow delays its own
//! questions only. Who has no room for another question, or does not answer in time, has failed to answer,
//! which for `authorize_peer` counts by its `on_failure`.

mod plugin_thread;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use vpnhost_ike::output::QuestionId;
use vpnhost_model::{Instant, Protocol, Role};
use vpnhost_policy::{
    Chain, Decision, Deliberation, Failure, Outcome, Policy, Question, QuestionKind, QuestionSet,
    RecordedReply, Reply, Sha256,
};

use crate::error::DriverError;
use crate::limits;
use crate::snapshot::{PluginState, QuestionCounters};

use plugin_thread::{Asked, PluginThread};

/// What a plugin's thread found.
#[derive(Debug)]
pub(crate) struct PluginReply {
    id: QuestionId,
    position: usize,
    reply: RecordedReply,
    elapsed: Duration,
}

/// What became of a question.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Its name.
    pub(crate) id: QuestionId,
    /// The question as it was asked.
    pub(crate) question: Question,
    /// What the chain came to, and how.
    pub(crate) decision: Decision,
}

/// The plugins and the questions that are before them.
pub(crate) struct Resolver {
    plugins: Arc<[Arc<PluginThread>]>,
    replies: mpsc::Sender<PluginReply>,
    open: BTreeMap<QuestionId, Open>,
    verdicts: VecDeque<Verdict>,
    counters: QuestionCounters,
    of_plugins: BTreeMap<String, QuestionCounters>,
}

/// Plugins that have been started.
pub(crate) struct Plugins(Arc<[Arc<PluginThread>]>);

/// A question on its way. It stays with the chain that it was begun with, also when another is loaded.
struct Open {
    question: Question,
    deliberation: Deliberation,
    plugins: Arc<[Arc<PluginThread>]>,
    position: usize,
    deadline: Instant,
}

impl Resolver {
    /// Starts a thread for each plugin; their replies come by `replies` and go to [`Self::hear`].
    pub(crate) fn start(
        chain: Option<&Chain>,
        replies: mpsc::Sender<PluginReply>,
    ) -> Result<Self, DriverError> {
        let mut resolver = Self {
            plugins: Vec::new().into(),
            replies,
            open: BTreeMap::new(),
            verdicts: VecDeque::new(),
            counters: QuestionCounters::default(),
            of_plugins: BTreeMap::new(),
        };
        resolver.plugins = resolver.prepare(chain)?.0;
        Ok(resolver)
    }

    /// Starts the threads of other plugins, which are asked nothing yet. One that is there already keeps its thread.
    pub(crate) fn prepare(&self, chain: Option<&Chain>) -> Result<Plugins, DriverError> {
        let policies = chain.map_or(&[][..], Chain::policies);
        let of = |policy: &Arc<dyn Policy>| match self.plugins.iter().find(|it| it.is_of(policy)) {
            Some(thread) => Ok(Arc::clone(thread)),
            None => PluginThread::start(Arc::clone(policy), self.replies.clone()).map(Arc::new),
        };
        policies.iter().map(of).collect::<Result<_, _>>().map(Plugins)
    }

    /// Takes them for the questions that come; those under way are finished by the old ones.
    pub(crate) fn take(&mut self, plugins: Plugins) {
        self.plugins = plugins.0;
        let is_there = |name: &str| self.plugins.iter().any(|plugin| plugin.name() == name);
        self.of_plugins.retain(|name, _| is_there(name));
    }

    /// Returns which component each plugin is.
    pub(crate) fn components(&self) -> BTreeMap<String, Sha256> {
        let component = |it: &Arc<PluginThread>| Some((it.name().to_owned(), it.policy().sha256()?));
        self.plugins.iter().filter_map(component).collect()
    }

    /// Returns the questions that any plugin may answer.
    pub(crate) fn questions(&self) -> QuestionSet {
        self.plugins.iter().fold(QuestionSet::EMPTY, |all, plugin| all.union(plugin.questions()))
    }

    /// Returns the questions that the core is to ask here: what any plugin answers, and where decisions are written down
    /// all others, too. Proposals are left out, with which strangers would fill the log; and addresses to be told, of which
    /// the peer would hear later because somebody might choose.
    pub(crate) fn delegated(&self, are_written: bool) -> QuestionSet {
        let unwritten = [QuestionKind::RankProposals, QuestionKind::AdvertiseAddresses];
        let is_written = |kind: &QuestionKind| are_written && !unwritten.contains(kind);
        self.questions().union(QuestionKind::ALL.into_iter().filter(is_written).collect())
    }

    /// Puts a question; its verdict comes before the deadline has passed.
    pub(crate) fn ask(&mut self, now: Instant, id: QuestionId, question: Question, deadline: Instant) {
        self.counters.asked += 1;
        let open = Open {
            deliberation: Deliberation::new(question.clone()),
            question,
            plugins: Arc::clone(&self.plugins),
            position: 0,
            deadline,
        };
        self.go_on(now, id, open);
    }

    /// Takes a reply from a plugin's thread. One that comes too late is dropped.
    pub(crate) fn hear(&mut self, now: Instant, heard: PluginReply) {
        let PluginReply { id, position, reply, elapsed } = heard;
        let Some(mut open) = self.open.remove(&id) else {
            tracing::debug!(question = id.0, "a plugin's answer came too late");
            return;
        };
        if open.position != position {
            self.open.insert(id, open);
            return;
        }
        open.take(reply, Some(elapsed));
        self.go_on(now, id, open);
    }

    /// Ends the questions whose time is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.open.iter().find(|(_, open)| open.deadline <= now).map(|(&id, _)| id) {
            if let Some(mut open) = self.open.remove(&id) {
                open.fail(Failure::Deadline);
                self.go_on(now, id, open);
            }
        }
    }

    /// Returns when [`Self::handle_timeout`] is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.open.values().map(|open| open.deadline).min()
    }

    /// Returns the next question that is decided.
    pub(crate) fn poll_verdict(&mut self) -> Option<Verdict> {
        self.verdicts.pop_front()
    }

    /// Returns what became of questions in all.
    pub(crate) fn counters(&self) -> QuestionCounters {
        self.counters
    }

    /// Returns the plugins in the order of the chain.
    pub(crate) fn plugins(&self) -> Vec<PluginState> {
        let state = |plugin: &Arc<PluginThread>| PluginState {
            name: plugin.name().to_owned(),
            sha256: plugin.policy().sha256(),
            questions: plugin.questions(),
            on_failure: plugin.on_failure(),
            counters: self.of_plugins.get(plugin.name()).copied().unwrap_or_default(),
            metrics: plugin.policy().metrics(),
        };
        self.plugins.iter().map(state).collect()
    }

    /// Asks the next plugin that may answer, or ends.
    fn go_on(&mut self, now: Instant, id: QuestionId, mut open: Open) {
        let plugins = Arc::clone(&open.plugins);
        while let Some(plugin) = plugins.get(open.position) {
            let Some(menu) = open.deliberation.question() else { break };
            if !plugin.questions().contains(menu.kind()) {
                open.position += 1;
                continue;
            }
            if open.deadline <= now {
                // What silence of the others means is theirs to say only where permission is asked.
                if !menu.kind().fails_closed() {
                    break;
                }
                open.fail(Failure::Deadline);
                continue;
            }
            let authenticated = is_authenticated(menu);
            let asked =
                Asked { id, position: open.position, question: menu.clone(), deadline: open.deadline };
            if plugin.give(asked, authenticated) {
                self.open.insert(id, open);
                return;
            }
            open.fail(Failure::Overloaded);
        }
        self.conclude(id, open);
    }

    fn conclude(&mut self, id: QuestionId, open: Open) {
        let decision = open.deliberation.conclude();
        count_all(&mut self.counters, &decision);
        for step in &decision.trace {
            let counters = self.of_plugins.entry(step.policy.clone()).or_default();
            counters.asked += 1;
            count_step(counters, &step.outcome);
            match step.outcome {
                Outcome::Answered => counters.answered += 1,
                Outcome::Abstained => counters.abstained += 1,
                Outcome::OffTheMenu | Outcome::Failed(_) => {}
            }
        }
        self.verdicts.push_back(Verdict { id, question: open.question, decision });
    }
}

impl Open {
    /// Takes the present plugin's reply; the next one is the present one then.
    fn take(&mut self, reply: RecordedReply, elapsed: Option<Duration>) {
        if let Some(plugin) = self.plugins.get(self.position) {
            self.deliberation.hear(plugin.policy(), reply, elapsed);
        }
        self.position += 1;
    }

    /// Takes that the present plugin does not reply.
    fn fail(&mut self, failure: Failure) {
        self.take(Reply::Err(failure).into(), None);
    }
}

/// Tells whether the peer is known to be who it says it is: only the first message of a peer that begins
/// an IKE SA is not from one.
pub(crate) fn is_authenticated(question: &Question) -> bool {
    match question {
        Question::RankProposals(menu) => menu.protocol != Protocol::IKE || menu.role == Role::Initiator,
        Question::AuthorizePeer(_)
        | Question::NarrowSelectors(_)
        | Question::RankPaths(_)
        | Question::PlanMaintenance(_)
        | Question::AssignAddresses(_)
        | Question::ChooseCredential(_)
        | Question::AdvertiseAddresses(_)
        | Question::PlanLifetimes(_) => true,
    }
}

fn count_all(counters: &mut QuestionCounters, decision: &Decision) {
    match decision.answer {
        Some(_) => counters.answered += 1,
        None => counters.abstained += 1,
    }
    decision.trace.iter().for_each(|step| count_step(counters, &step.outcome));
}

fn count_step(counters: &mut QuestionCounters, outcome: &Outcome) {
    match outcome {
        Outcome::Answered | Outcome::Abstained => {}
        Outcome::OffTheMenu => counters.off_the_menu += 1,
        Outcome::Failed(how) if *how == Failure::Overloaded.to_string() => counters.refused += 1,
        Outcome::Failed(_) => counters.failed += 1,
    }
}

/// Returns a question's name as events spell it.
pub(crate) fn word(kind: QuestionKind) -> &'static str {
    match kind {
        QuestionKind::RankProposals => "rank_proposals",
        QuestionKind::AuthorizePeer => "authorize_peer",
        QuestionKind::NarrowSelectors => "narrow_selectors",
        QuestionKind::RankPaths => "rank_paths",
        QuestionKind::PlanMaintenance => "plan_maintenance",
        QuestionKind::AssignAddresses => "assign_addresses",
        QuestionKind::ChooseCredential => "choose_credential",
        QuestionKind::AdvertiseAddresses => "advertise_addresses",
        QuestionKind::PlanLifetimes => "plan_lifetimes",
    }
}

/// Returns when a question must be decided, so that the answer comes before the core gives up waiting.
pub(crate) fn deadline(now: Instant, answer_deadline: Duration) -> Instant {
    now + answer_deadline.saturating_sub(limits::ANSWER_MARGIN.min(answer_deadline / 4))
}

#[cfg(test)]
mod tests;
