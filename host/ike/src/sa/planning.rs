//! The plan by which an established IKE SA is kept alive: when it is made, and what it changes.

use std::time::Duration;

use vpnhost_model::{Instant, Now};
use vpnhost_policy::{Answer, PathCause, SituationCause};

use crate::host::Host;
use crate::limits;
use crate::question::plan_maintenance;
use crate::sa::IkeSa;
use crate::sa::round_trip::RoundTrip;
use crate::timer::Timer;
use crate::work::{AnsweredBy, Track};

impl IkeSa {
    /// Has the plan made.
    pub(crate) fn plan_maintenance(&mut self, host: &mut Host, now: Now, cause: SituationCause) {
        let round_trip = self.round_trip();
        let Some(established) = self.established() else { return };
        let question = plan_maintenance::question(now, self, host, established, cause);
        if let Some(mobility) = self.mobility_mut() {
            mobility.planned_for = round_trip;
        }
        self.ask(host, now, Track::Plan, question);
    }

    /// Has decided anew, later, what other policies may decide otherwise.
    pub(crate) fn review_later(&mut self, at: Instant) {
        if self.established().is_some() {
            self.timers.set_earlier(Timer::Policies, at);
        }
    }

    /// Other policies decide now.
    pub(crate) fn review(&mut self, host: &mut Host, now: Now) {
        if let Some(established) = self.established_mut() {
            established.estate.mobility.advertising.doubt();
            established.estate.children.values_mut().for_each(|child| child.is_planned = false);
            established.planning = None;
        }
        self.plan_maintenance(host, now, SituationCause::REVIEW);
        self.consider_paths(host, now, PathCause::REVIEW);
        self.want_announcement(host, now);
        self.plan_lifetimes(host, now);
    }

    /// Has the plan made anew where it was made for a path that is much faster or slower than the one in use, or for one
    /// that was not measured yet.
    pub(crate) fn plan_for_round_trip(&mut self, host: &mut Host, now: Now) {
        let Some(measured) = self.round_trip() else { return };
        let planned_for = self.mobility().and_then(|mobility| mobility.planned_for);
        let differs = |planned: Duration| {
            let (less, more) = (planned.min(measured), planned.max(measured));
            more > less * 2 && more - less > limits::ROUND_TRIP_NOISE
        };
        if planned_for.is_none_or(differs) {
            self.plan_maintenance(host, now, SituationCause::MEASURED);
        }
    }

    /// Returns the round-trip time of the path in use, as measured since it is or when it was tried.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let mobility = self.mobility()?;
        let tried = || mobility.paths.find(self.current_pair()?)?.round_trip;
        mobility.round_trip.or_else(tried).map(RoundTrip::time).or(mobility.set_up_took)
    }

    /// Puts a plan into effect.
    pub(crate) fn apply_plan(&mut self, host: &mut Host, now: Now, answer: Option<Answer>, by: AnsweredBy) {
        let why = answer.as_ref().and_then(Answer::why).map(str::to_owned);
        let Some(established) = self.established_mut() else { return };
        let Some(plan) = plan_maintenance::plan(answer, &established.connection) else { return };
        let changes = established.plan.changes(&plan);
        established.plan = plan;
        if let Some(after) = plan.review_after {
            self.timers.set(Timer::Review, now.instant + after);
        }
        self.set_idle_probe(host, now);
        if !changes.is_empty() {
            self.set_timers(host, now);
            let why = why.map_or_else(String::new, |why| format!(" ({why})"));
            self.decided(host, "plan_maintenance", by, changes + &why);
        }
    }

    /// Tells people who decided what.
    pub(crate) fn decided(
        &mut self,
        host: &mut Host,
        question: &'static str,
        by: AnsweredBy,
        outcome: String,
    ) {
        let connection = self.connection.as_ref().map_or_else(String::new, |config| config.name.clone());
        tracing::debug!(ike_sa = %self.id, question, by = by.word(), outcome, "decided");
        host.event(crate::output::Event::Decided {
            ike_sa: self.id,
            connection,
            question,
            by: by.word(),
            outcome,
        });
    }
}
