//! What keeps an established IKE SA going: its timers, its plan, and the queue of exchanges to begin.

use std::time::Duration;

use vpnhost_model::{ChildSaId, Encapsulation, Instant, Now};
use vpnhost_policy::{PathCause, SituationCause};

use crate::host::Host;
use crate::limits;
use crate::output::{CloseReason, Output, Transmit, TransmitKind};
use crate::sa::IkeSa;
use crate::sa::estate::ChildPhase;
use crate::sa::mapping::Network;
use crate::sa::queue::Task;
use crate::sa::state::{Plan, State};
use crate::timer::Timer;
use crate::wire::Payload;
use crate::wire::payload::Delete;

impl IkeSa {
    /// Sets the timers of an IKE SA that was just established or rekeyed, and has its plan made.
    pub(crate) fn start_maintenance(&mut self, host: &mut Host, now: Now, cause: SituationCause) {
        self.set_timers(host, now);
        self.watch_certificate(now);
        if cause != SituationCause::ESTABLISHED {
            // A judgement that was under way ended with the IKE SA that this one replaces.
            self.rejudge_certificate(host, now);
        }
        self.plan_maintenance(host, now, cause);
        self.plan_lifetimes(host, now);
        self.want_announcement(host, now);
    }

    pub(crate) fn set_timers(&mut self, host: &mut Host, now: Now) {
        let Some(established) = self.established() else { return };
        let (plan, since) = (established.plan, established.since);
        let children: Vec<ChildSaId> = established.estate.children.keys().copied().collect();
        self.timers.stop(Timer::Liveness);
        self.set_liveness(host, now);
        self.set_keepalive();
        self.set_idle_probe(host, now);
        if plan.rekey_ike.is_zero() {
            self.timers.stop(Timer::RekeyIkeSa);
            self.timers.stop(Timer::IkeSaExpires);
        } else {
            let age = Self::jittered(host, plan.rekey_ike, plan.rekey_jitter_percent);
            self.timers.set(Timer::RekeyIkeSa, since + age);
            self.timers.set(Timer::IkeSaExpires, since + lifetime(plan.rekey_ike));
        }
        self.set_authentication_timers(host);
        for id in children {
            self.set_child_timer(host, id);
        }
    }

    /// Sets the timer of a Child SA's rekey.
    pub(crate) fn set_child_timer(&mut self, host: &mut Host, id: ChildSaId) {
        let Some(established) = self.established() else { return };
        let Some(child) = established.estate.children.get(&id) else { return };
        let age = child.lifetime.rekey_after.filter(|age| !age.is_zero());
        let (since, jitter) = (child.since, child.lifetime.jitter_percent);
        match age {
            Some(age) => {
                self.timers.set(Timer::ChildSaExpires(id), since + lifetime(age));
                let age = Self::jittered(host, age, jitter);
                self.timers.set(Timer::RekeyChildSa(id), since + age);
            }
            None => {
                self.timers.stop(Timer::RekeyChildSa(id));
                self.timers.stop(Timer::ChildSaExpires(id));
            }
        }
    }

    /// Returns when there is reason to ask whether the peer is there: what went out was not answered for as long as the
    /// plan says, or neither end said anything for so long that the peer may have vanished.
    fn liveness_due(&self) -> Option<Instant> {
        let idle = self.established().map(|it| it.plan.liveness_idle).filter(|idle| !idle.is_zero())?;
        let vanished = self.last_heard + idle.max(limits::SILENT_PEER);
        let since = self.unanswered.or((self.rival_checks > 0).then_some(self.last_heard));
        Some(since.map_or(vanished, |since| vanished.min(since + idle)))
    }

    fn set_liveness(&mut self, host: &mut Host, now: Now) {
        let Some(due) = self.liveness_due() else { return };
        let idle = self.established().map(|it| it.plan.liveness_idle).unwrap_or_default();
        let wait = due.saturating_since(now.instant).as_nanos().min(u64::MAX.into()) as u64;
        // A little later for each, so that a thousand peers are not asked at once.
        let later = Duration::from_nanos(host.draw_up_to(wait / 10));
        self.timers.set(Timer::Liveness, (due + later).max(now.instant + idle / 4));
    }

    /// Notes packets to the peer, the last at `at`: if nothing comes back, the peer is asked.
    pub(crate) fn sent_traffic(&mut self, at: Instant) {
        self.last_sent = self.last_sent.max(at);
        if at > self.last_heard && self.unanswered.is_none() {
            self.unanswered = Some(at);
            self.hasten_liveness();
        }
    }

    /// The peer has begun another IKE SA: it may have lost this one, and its Delete may have been lost. Once this one is
    /// silent, the peer is asked whether it still has it.
    pub(crate) fn note_newcomer(&mut self) {
        self.rival_checks = limits::RIVAL_CHECKS;
        self.hasten_liveness();
    }

    fn hasten_liveness(&mut self) {
        if let Some(due) = self.liveness_due() {
            self.timers.set_earlier(Timer::Liveness, due);
        }
    }

    /// Returns how often a NAT's mapping is kept alive.
    ///
    /// RFC 7296, 2.23; RFC 3948, 4: only who is behind a NAT does.
    pub(crate) fn keepalive(&self) -> Option<Duration> {
        let every = self.established()?.plan.keepalive;
        let wanted = self.nat.local && self.path.encapsulation == Encapsulation::Udp && !every.is_zero();
        wanted.then_some(every)
    }

    fn set_keepalive(&mut self) {
        match self.keepalive() {
            Some(every) => self.timers.set(Timer::Keepalive, self.last_sent + every),
            None => self.timers.stop(Timer::Keepalive),
        }
    }

    /// Does what a timer is for.
    pub(crate) fn on_timer(&mut self, host: &mut Host, now: Now, timer: Timer) {
        match timer {
            Timer::Retransmit => self.retransmit(host, now),
            Timer::HalfOpen => match self.state {
                State::Gone => self.state = State::Closed,
                State::SaInitSent(_)
                | State::SaInitAnswered(_)
                | State::AuthSent(_)
                | State::Authorizing(_)
                | State::Established(_)
                | State::Rekeyed
                | State::Closing(_)
                | State::Closed => {
                    let reason = self.unfinished_talk().unwrap_or(CloseReason::HalfOpenTimeout);
                    self.end(host, now, reason);
                }
            },
            Timer::UnprotectedError => self.believe_refusal(host, now),
            Timer::Liveness => self.on_liveness_timer(host, now),
            Timer::Keepalive => self.on_keepalive_timer(host, now),
            Timer::IdleProbe => self.on_idle_probe_timer(host, now),
            Timer::IdleAnswer => self.on_idle_answer_timer(host, now),
            Timer::RekeyIkeSa => self.want(Task::RekeyIkeSa),
            Timer::RekeyChildSa(id) => self.want_child_rekey(id),
            Timer::IkeSaExpires => self.want(Task::DeleteIkeSa(CloseReason::Expired)),
            Timer::ChildSaExpires(id) => self.on_child_expired(now, id),
            Timer::Activate(id) => self.on_activate_timer(host, now, id),
            Timer::Twins => host.twins.push(self.id),
            Timer::Reauthenticate => self.on_reauthentication_timer(host, now),
            Timer::AuthenticationExpires => self.want(Task::DeleteIkeSa(CloseReason::AuthenticationExpired)),
            Timer::Handover(id) => self.on_handover_timer(host, id),
            Timer::ReplacedIkeSa => self.on_replaced_timer(host, now),
            Timer::CertificateEnds => self.rejudge_certificate(host, now),
            Timer::Fragments => {
                if let Some(secured) = &mut self.secured {
                    secured.drop_fragments();
                }
                self.count_fragments(host);
            }
            Timer::Suspect => self.on_suspect_timer(host, now),
            Timer::Doubt => self.on_doubt_timer(host, now),
            Timer::PathTest => self.on_path_test_timer(host, now),
            Timer::PathSettled => self.consider_paths(host, now, PathCause::REVIEW),
            Timer::PathReview => self.on_path_review_timer(host, now),
            Timer::Resume => self.on_resume_timer(now),
            Timer::Review => self.plan_maintenance(host, now, SituationCause::REVIEW),
            Timer::Policies => self.review(host, now),
            // These are the endpoint's own.
            Timer::Answer | Timer::OldInbound(_) | Timer::Retry => {}
        }
        self.start_next(host, now);
    }

    /// Adds an exchange to those that wait.
    pub(crate) fn want(&mut self, task: Task) {
        if let Some(established) = self.established_mut() {
            established.queue.push(task);
        }
    }

    /// Adds the rekey of a Child SA, unless it is on its way out.
    pub(crate) fn want_child_rekey(&mut self, id: ChildSaId) {
        if self.established().is_some_and(|established| established.estate.is_active(id)) {
            self.want(Task::RekeyChild(id));
        }
    }

    /// Puts an exchange off; each time in a row for longer.
    ///
    /// RFC 7296, 2.25: after TEMPORARY_FAILURE a request may be repeated after some time.
    pub(crate) fn put_off(&mut self, host: &mut Host, now: Now, task: Task) -> Duration {
        let Some(established) = self.established_mut() else { return Duration::ZERO };
        let doubled = limits::TEMPORARY_FAILURE_PAUSE * 2u32.pow(established.put_offs.min(6));
        established.put_offs += 1;
        // Both sides may have been put off by each other: the pauses must differ.
        let pause = Self::jittered(host, doubled.min(limits::TEMPORARY_FAILURE_PAUSE_CAP), 50);
        self.put_off_for(now, pause, task);
        pause
    }

    /// Puts an exchange off for a given time.
    pub(crate) fn put_off_for(&mut self, now: Now, pause: Duration, task: Task) {
        let at = now.instant + pause;
        if let Some(established) = self.established_mut() {
            established.queue.put_off(at, task);
            self.timers.set_earlier(Timer::Resume, at);
        }
    }

    /// A Child SA reached its age, and no rekey took its place: it ends, so that no key is used for ever (RFC 4301
    /// §4.4.2.1: the hard lifetime). Who began makes it anew.
    fn on_child_expired(&mut self, now: Now, id: ChildSaId) {
        let Some(established) = self.established() else { return };
        let Some(child) = established.estate.children.get(&id) else { return };
        let (index, pause) = (child.index, established.connection.timing.retry_first);
        if child.phase != ChildPhase::Active {
            return;
        }
        self.want(Task::DeleteChild(id, CloseReason::Expired));
        if self.role.is_initiator() {
            self.put_off_for(now, pause, Task::CreateChild(index));
        }
    }

    fn on_resume_timer(&mut self, now: Now) {
        let Some(established) = self.established_mut() else { return };
        if let Some(next) = established.queue.resume(now.instant) {
            self.timers.set_earlier(Timer::Resume, next);
        }
    }

    fn on_liveness_timer(&mut self, host: &mut Host, now: Now) {
        // A request that is outstanding shows as well whether the peer is there.
        if self.liveness_due().is_some_and(|due| due <= now.instant) && !self.window.is_busy() {
            self.rival_checks = self.rival_checks.saturating_sub(1);
            self.want(Task::Liveness);
        }
        self.set_liveness(host, now);
    }

    fn on_keepalive_timer(&mut self, host: &mut Host, now: Now) {
        if host.mappings.lapse(now.instant, Network::of(&self.path)) {
            self.plan_maintenance(host, now, SituationCause::MAPPING);
        }
        let Some(Plan { keepalive, liveness_idle, .. }) = self.established().map(|it| it.plan) else {
            return;
        };
        let enough = liveness_idle.max((self.rest(now) / 2).min(limits::ASKED_AT_REST));
        let is_silent = !liveness_idle.is_zero() && now.instant - self.last_heard >= enough;
        if now.instant - self.last_sent >= keepalive && is_silent && !self.window.is_busy() {
            // The radio wakes up anyway: a question keeps the mapping as well, and its answer shows that the peer is there.
            self.want(Task::Liveness);
            self.start_next(host, now);
        }
        if now.instant - self.last_sent >= keepalive {
            let (ike_sa, path, kind) = (Some(self.id), self.path, TransmitKind::Keepalive);
            host.output(Output::Transmit(Transmit { ike_sa, path, octets: vec![0xff], kind }));
            self.last_sent = now.instant;
        }
        self.set_keepalive();
        // The plan may have been made before the IKE SA was announced.
        if self.timers.deadline(Timer::IdleProbe).is_none() {
            self.set_idle_probe(host, now);
        }
    }

    /// Returns for how long no packet has been carried, on this path.
    fn rest(&self, now: Now) -> Duration {
        let Some(established) = self.established() else { return Duration::ZERO };
        let mobility = &established.estate.mobility;
        let last = mobility.carried.max(mobility.paths.last_move()).unwrap_or(established.authenticated);
        now.instant.saturating_since(last)
    }

    /// The peer should know a Child SA by now that does what another does as well. If it was heard of since it does; else
    /// it is asked: it may have moved, and never have got the answer that told it.
    fn on_activate_timer(&mut self, host: &mut Host, now: Now, id: ChildSaId) {
        let child = self.established().and_then(|established| established.estate.children.get(&id));
        let Some(since) = child.map(|child| child.since) else { return };
        if self.last_heard > since {
            return self.activate_child(host, id);
        }
        self.want(Task::Liveness);
        self.timers.set(Timer::Activate(id), now.instant + limits::ANSWER_ARRIVES);
    }

    /// The peer that replaced a Child SA neither sent on the new one nor deleted the old one.
    fn on_handover_timer(&mut self, host: &mut Host, id: ChildSaId) {
        let Some(established) = self.established_mut() else { return };
        let replaced =
            |phase: &ChildPhase| matches!(phase, ChildPhase::ReplacedByPeer { by, .. } if *by == id);
        let estate = &established.estate;
        let old: Vec<ChildSaId> =
            estate.children.values().filter(|child| replaced(&child.phase)).map(|child| child.id).collect();
        let redundant = old.is_empty() && estate.children.get(&id).is_some_and(|child| !child.sends);
        if redundant {
            // We won a simultaneous rekey, and the peer never deleted what it had made.
            established.queue.push(Task::DeleteChild(id, CloseReason::Replaced));
            return;
        }
        for old in old {
            established.queue.push(Task::DeleteChild(old, CloseReason::Replaced));
        }
        self.activate_child(host, id);
    }

    /// The peer that replaced this IKE SA, or made a redundant one, did not delete it.
    fn on_replaced_timer(&mut self, host: &mut Host, now: Now) {
        let redundant = match &self.state {
            State::Rekeyed => true,
            State::Established(_) => !self.announced,
            State::SaInitSent(_)
            | State::SaInitAnswered(_)
            | State::AuthSent(_)
            | State::Authorizing(_)
            | State::Closing(_)
            | State::Gone
            | State::Closed => false,
        };
        if redundant {
            self.say_goodbye(host, now, CloseReason::Replaced, Payload::Delete(Delete::ike()));
        }
    }

    /// Begins the next exchange that waits, if none is under way.
    pub(crate) fn start_next(&mut self, host: &mut Host, now: Now) {
        loop {
            let busy = self.window.is_busy();
            let worn = self.window.is_worn_out();
            let unconfirmed = self.unconfirmed_until.filter(|until| now.instant < *until);
            let tests = self.timers.deadline(Timer::PathTest).is_some();
            let Some(established) = self.established_mut() else { return };
            // Answers that come on other paths are known by the last request.
            let tests = tests && !established.queue.ends_ike_sa();
            if busy || tests || established.local.is_some() || established.remote.is_some() {
                return;
            }
            if let Some(until) = unconfirmed.filter(|_| !established.queue.waits_for_nothing()) {
                return self.timers.set_earlier(Timer::Resume, until);
            }
            if worn && !established.queue.holds(&Task::RekeyIkeSa) {
                established.queue.push(Task::RekeyIkeSa);
            }
            let Some(task) = established.queue.pop() else { return };
            self.begin(host, now, task);
        }
    }
}

/// How long an SA may live that is to be rekeyed at an age.
pub(crate) fn lifetime(age: Duration) -> Duration {
    age + (age / 10).max(limits::RENEWAL_LEAST)
}
