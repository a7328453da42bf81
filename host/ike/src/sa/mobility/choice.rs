//! How the initiator chooses among the paths that there are, and takes one (RFC 4555 §3.5): the policy ranks, and the best
//! is taken that works.

use std::net::IpAddr;
use std::time::Duration;

use vpnhost_model::{AddressPair, Encapsulation, Instant, Now, Path};
use vpnhost_policy::{Answer, PathCause, PathRanking, PathStanding};

use super::Moving;
use crate::config::ReturnRoutability;
use crate::host::{Host, Letter};
use crate::output::{Hindrance, Output};
use crate::question::rank_paths;
use crate::sa::IkeSa;
use crate::sa::queue::{PathTask, Task};
use crate::timer::Timer;
use crate::work::{AnsweredBy, Track};

impl IkeSa {
    /// Has the paths ranked.
    pub(crate) fn consider_paths(&mut self, host: &mut Host, now: Now, cause: PathCause) {
        if !self.chooses_path() {
            return;
        }
        let is_asked = self.waits.contains_key(&Track::Paths);
        let Some(mobility) = self.mobility_mut() else { return };
        if is_asked {
            mobility.ask_again = Some(cause);
            return;
        }
        if mobility.paths.all().is_empty() {
            self.hinder(host, self.path, (Hindrance::NoPath, ""));
            return self.end_order(host, "no path to the peer is left");
        }
        let menu: Vec<AddressPair> = mobility.paths.all().iter().map(|candidate| candidate.pair).collect();
        mobility.asked = Some((cause, menu));
        let Some(question) = rank_paths::question(self, host, now, cause) else { return };
        self.ask(host, now, Track::Paths, question);
    }

    /// Has the paths ranked anew by the heir of an IKE SA that was asking, or waited for a time that a ranking named.
    pub(crate) fn resume_choice(&mut self, host: &mut Host, now: Now) {
        let Some(mobility) = self.mobility_mut() else { return };
        let asked = mobility.asked.take().map(|(cause, _)| cause);
        let cause = mobility.ask_again.take().or(asked).unwrap_or(PathCause::REVIEW);
        if !mobility.paths.all().is_empty() {
            self.consider_paths(host, now, cause);
        }
    }

    /// Takes the ranking: the best is taken that works.
    pub(crate) fn apply_ranking(
        &mut self,
        host: &mut Host,
        now: Now,
        answer: Option<Answer>,
        by: AnsweredBy,
    ) {
        let Some(mobility) = self.mobility_mut() else { return };
        let Some((cause, menu)) = mobility.asked.take() else { return };
        if let Some(cause) = mobility.ask_again.take() {
            return self.consider_paths(host, now, cause);
        }
        let Some(Answer::RankPaths(ranking)) = answer else {
            return self.end_order(host, "nobody ranked the paths");
        };
        if !self.chooses_path() {
            return;
        }
        self.set_path_review(now, &ranking);
        let why = ranking.why.clone().unwrap_or_default();
        let ordered = self.mobility().is_some_and(|mobility| mobility.ordered.is_some());
        let settle_ms = if ordered { 0 } else { ranking.settle_ms };
        match self.choice(now, &PathRanking { settle_ms, ..ranking }, &menu) {
            Choice::Stay if ordered => self.end_order(host, &why),
            Choice::Stay => tracing::debug!(ike_sa = %self.id, cause = cause.name(), why, "the path stays"),
            Choice::Wait(pair, until) => {
                let left = until.saturating_since(now.instant);
                self.hinder(host, self.path_of(pair), (Hindrance::Settling(left), &why));
                self.timers.set(Timer::PathSettled, until);
            }
            Choice::Test(pair) => {
                let path = self.path_of(pair);
                self.hinder(host, path, (Hindrance::Untested, &why));
                self.want(Task::Path(PathTask::Test(path)));
                self.start_next(host, now);
            }
            Choice::Take(pair) => {
                let outcome = format!("{} ({why})", self.path_of(pair));
                self.decided(host, "rank_paths", by, outcome);
                self.take_path(host, now, pair, (cause, why));
            }
        }
    }

    fn set_path_review(&mut self, now: Now, ranking: &PathRanking) {
        match ranking.review_after_secs {
            0 => self.timers.stop(Timer::PathReview),
            after => self.timers.set(Timer::PathReview, now.instant + Duration::from_secs(after.into())),
        }
    }

    /// Decides what follows from a ranking of a menu.
    fn choice(&self, now: Now, ranking: &PathRanking, menu: &[AddressPair]) -> Choice {
        let Some(paths) = self.mobility().map(|mobility| &mobility.paths) else { return Choice::Stay };
        let current = self.current_pair();
        let standing = |pair| paths.find(pair).map_or(PathStanding::FAILED, |it| it.standing(now.instant));
        let works = current.is_some_and(|pair| standing(pair) != PathStanding::FAILED);
        let ranked = ranking.order.iter().filter_map(|at| menu.get(usize::try_from(*at).ok()?).copied());
        let there: Vec<AddressPair> = ranked.filter(|pair| paths.find(*pair).is_some()).collect();
        let usable = there.iter().copied().find(|pair| standing(*pair) != PathStanding::FAILED);
        // Where nothing is known to work the best may have recovered; there is nothing to lose.
        let Some(best) = usable.or(there.first().copied()) else { return Choice::Stay };
        if Some(best) == current {
            return Choice::Stay;
        }
        if !works {
            return if usable.is_some() || current.is_none() { Choice::Take(best) } else { Choice::Stay };
        }
        let settled = paths.find(best).map(|it| it.since + Duration::from_millis(ranking.settle_ms.into()));
        match settled.filter(|until| *until > now.instant) {
            Some(until) => Choice::Wait(best, until),
            None if standing(best) == PathStanding::WORKS => Choice::Take(best),
            None => Choice::Test(best),
        }
    }

    /// Takes a path: from now on everything goes over it, and the peer is told (RFC 4555 §3.5).
    pub(crate) fn take_path(
        &mut self,
        host: &mut Host,
        now: Now,
        pair: AddressPair,
        (cause, why): (PathCause, String),
    ) {
        let from = self.path;
        let worked = self.current_pair().is_some_and(|pair| {
            let paths = self.mobility().map(|mobility| &mobility.paths);
            let candidate = paths.and_then(|paths| paths.find(pair));
            candidate.is_some_and(|it| it.standing(now.instant) != PathStanding::FAILED)
        });
        // What the kernel tells of a link comes at once; of a silent path the last that was heard counts.
        let suspected = self.mobility().and_then(|mobility| mobility.suspicion.confirmed);
        let heard = suspected.filter(|_| cause == PathCause::SILENT).unwrap_or(now.instant);
        let silent_since = (!worked).then_some(heard);
        self.expire_addresses(now);
        let Some(mobility) = self.mobility_mut() else { return };
        mobility.ordered = None;
        // Of moves one after another, before the peer could answer, the first tells where it began; and a path that was
        // taken and failed, that nothing has come in since.
        let moving = match mobility.moving.take() {
            Some(before) => Moving {
                cause,
                why,
                silent_since: before.silent_since.or(silent_since.map(|_| before.begun)),
                ..before
            },
            None => Moving { from, cause, why, begun: now.instant, silent_since, octets: 0 },
        };
        mobility.moving = Some(moving);
        mobility.paths.note_move(now.instant);
        mobility.unconfirmed = true;
        mobility.nat_seen = 0;
        mobility.suspicion.unfounded = 0;
        self.go_to(host, pair);
        self.timers.stop(Timer::PathTest);
        // RFC 4555, 3.5: outstanding requests are repeated from the new address.
        self.test.aim = self.first_aim(host, now);
        self.repeat_now(host, now);
        self.want_first(PathTask::Update);
        self.start_next(host, now);
    }

    /// Has everything go over a pair: ESP at once, unless it is to be checked before that the peer is there.
    pub(super) fn go_to(&mut self, host: &mut Host, pair: AddressPair) {
        let path = Path { encapsulation: self.guess_encapsulation(host, pair), ..self.path_of(pair) };
        let checks = self.return_routability() == ReturnRoutability::Before;
        let first_verified = !checks || self.is_verified(&host.translators, pair.remote);
        let Some(mobility) = self.mobility_mut() else { return };
        mobility.forget_path();
        if let Some(predecessor) = mobility.predecessor {
            host.write_letter(predecessor, Letter::Follow(path));
        }
        self.path = path;
        host.directory.note_remote(self.id, path.remote);
        if first_verified {
            host.output(Output::MoveChildSas(self.id, path));
        }
    }

    /// Adds an exchange about the path before all others.
    pub(crate) fn want_first(&mut self, task: PathTask) {
        if let Some(established) = self.established_mut() {
            established.queue.push_first(Task::Path(task));
        }
    }

    /// Decides how ESP travels until the peer has told what it sees: in UDP where a NAT is likely (RFC 4555 §3.5).
    fn guess_encapsulation(&self, host: &Host, pair: AddressPair) -> Encapsulation {
        let translated = host.translators.translate(&pair);
        let likely = translated || (is_private(pair.local) && !is_private(pair.remote));
        if self.nat.supported && likely { Encapsulation::Udp } else { self.path.encapsulation }
    }

    /// Takes another path for good: the peer moved, or a responder had to.
    pub(crate) fn adopt_path(&mut self, host: &mut Host, now: Now, path: Path, why: &str) {
        let from = std::mem::replace(&mut self.path, path);
        let octets = self.mobility_mut().map_or(0, |mobility| {
            mobility.forget_path();
            mobility.left = Some((from.remote, now.instant));
            std::mem::take(&mut mobility.follow_octets)
        });
        host.directory.note_remote(self.id, path.remote);
        host.output(Output::MoveChildSas(self.id, path));
        let gap = now.instant.saturating_since(self.last_heard);
        self.tell_moved(host, (from, why.to_owned()), (gap, octets));
        self.plan_maintenance(host, now, vpnhost_policy::SituationCause::MOVED);
    }
}

/// What follows from a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// The path stays.
    Stay,
    /// A better path is not taken before this.
    Wait(AddressPair, Instant),
    /// A better path is to be tested first.
    Test(AddressPair),
    /// Another path is taken now.
    Take(AddressPair),
}

/// Tells whether an address is one that networks use behind a NAT (RFC 1918, 6598, 4193).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private() || address.is_link_local() || (first == 100 && (second & 0xc0) == 64)
        }
        IpAddr::V6(address) => address.is_unique_local(),
    }
}
