//! Jobs under way, and whom their results are for.

use std::collections::BTreeMap;

use vpnhost_model::IkeSaId;
use vpnhost_policy::Answer;

use crate::input::JobResult;
use crate::limits;
use crate::output::{JobId, QuestionId};

/// Which of an IKE SA's threads of action waits: it may wait for one thing on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Track {
    /// The exchange that this host began.
    Local,
    /// The exchange that the peer began.
    Remote,
    /// The maintenance plan, for which no exchange waits.
    Plan,
    /// The ranking of the paths, for which no exchange waits.
    Paths,
    /// Which addresses the peer is told, for which no exchange waits.
    Advertisement,
    /// When a Child SA is replaced, for which no exchange waits.
    Lifetimes,
    /// The new judgement of the peer's certificate, for which no exchange waits.
    Certificate,
}

/// What a track waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// An answer.
    Question(QuestionId),
    /// A job's result.
    Job(JobId),
}

/// What a track waited for is here.
pub(crate) enum Resumed {
    /// An answer that the question admits; `None` when not even the native policy gave one.
    Answer(Option<Answer>, AnsweredBy),
    /// A job's result.
    Work(JobResult),
}

/// Whose answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnsweredBy {
    /// The policies that the question was delegated to.
    Plugins,
    /// The native policy.
    Native,
}

impl AnsweredBy {
    /// Returns the word that events use.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Plugins => "plugins",
            Self::Native => "native",
        }
    }
}

/// The jobs under way.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    open: BTreeMap<JobId, (IkeSaId, Track)>,
    last: u64,
}

impl Jobs {
    /// Returns how many jobs are open.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Tells whether a peer that is not authenticated should not cause another job.
    pub(crate) fn is_full(&self) -> bool {
        self.open.len() >= limits::JOBS
    }

    /// Notes a new job.
    pub(crate) fn begin(&mut self, ike_sa: IkeSaId, track: Track) -> JobId {
        self.last += 1;
        let id = JobId(self.last);
        self.open.insert(id, (ike_sa, track));
        id
    }

    /// Takes a job whose result came.
    pub(crate) fn finish(&mut self, id: JobId) -> Option<(IkeSaId, Track)> {
        self.open.remove(&id)
    }

    /// Forgets the jobs of an IKE SA that ended.
    pub(crate) fn forget(&mut self, ike_sa: IkeSaId) {
        self.open.retain(|_, (owner, _)| *owner != ike_sa);
    }
}
