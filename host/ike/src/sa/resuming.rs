//! The machine slept: nothing was sent or heard meanwhile, and the network may be another now.
//!
//! Ages need nothing, since the clock counts through sleep. What counts tries, or takes silence for a sign, begins anew:
//! silence says nothing of the peer while this host did not listen.

use std::time::Duration;

use vpnhost_model::{Instant, Now};

use crate::endpoint::IkeEndpoint;
use crate::host::Host;
use crate::limits;
use crate::output::CloseReason;
use crate::sa::IkeSa;
use crate::sa::queue::{PathTask, Task};
use crate::sa::state::State;
use crate::timer::Timer;
use crate::wire::Payload;
use crate::wire::payload::Delete;

impl IkeEndpoint {
    /// Takes the news that the machine was suspended for so long until now. Comes before everything else after it.
    pub fn handle_resume(&mut self, now: Now, slept: Duration) {
        self.host.woke = now.instant;
        let all: Vec<_> = self.sas.keys().copied().collect();
        for id in all {
            self.visit(now, id, |sa, host| sa.on_resume(host, now, slept));
        }
    }
}

impl IkeSa {
    /// The machine woke up after so long.
    fn on_resume(&mut self, host: &mut Host, now: Now, slept: Duration) {
        self.window.rejuvenate(now.instant);
        match &self.state {
            State::SaInitSent(_) => {
                self.timers.postpone(Timer::UnprotectedError, slept);
                self.repeat_now(host, now);
            }
            // Whoever is half open for too long is forgotten by the peer.
            State::AuthSent(_) if self.is_due(now, Timer::HalfOpen) => {}
            State::AuthSent(_) | State::Closing(_) => self.repeat_now(host, now),
            State::Established(_) => self.go_on(host, now, slept),
            State::SaInitAnswered(_)
            | State::Authorizing(_)
            | State::Rekeyed
            | State::Gone
            | State::Closed => {}
        }
    }

    fn go_on(&mut self, host: &mut Host, now: Now, slept: Duration) {
        let is_mobile = self.chooses_path();
        let is_too_long = is_mobile && self.established().is_some_and(|it| slept >= it.plan.max_outage);
        if self.is_due(now, Timer::IkeSaExpires) {
            return self.leave(host, now, CloseReason::Expired);
        } else if self.is_due(now, Timer::AuthenticationExpires) {
            return self.leave(host, now, CloseReason::AuthenticationExpired);
        } else if is_too_long {
            return self.leave(host, now, CloseReason::Asleep(slept));
        }
        self.forget_silence(host, now);
        if self.is_doubted() {
            self.renew_doubt(now);
        } else if is_mobile {
            self.find_way(host, now);
        } else if self.window.is_busy() {
            self.repeat_now(host, now);
        } else if self.looks_after_path() {
            self.want(Task::Liveness);
            self.start_next(host, now);
        } else {
            self.ask_soon(host, now);
        }
    }

    /// What was begun to learn from silence is of no use any more.
    fn forget_silence(&mut self, host: &mut Host, now: Now) {
        let expires = |id| self.is_due(now, Timer::ChildSaExpires(id));
        let children = self.established().into_iter().flat_map(|it| it.estate.children.keys().copied());
        let expired: Vec<_> = children.filter(|id| expires(*id)).collect();
        for id in expired {
            // It ends; a rekey beside that would make one too many.
            self.timers.stop(Timer::RekeyChildSa(id));
        }
        if self.forget_idle_probe(host) {
            self.set_idle_probe(host, now);
        }
        self.owed = None;
        self.unanswered = None;
        if let Some(mobility) = self.mobility_mut() {
            mobility.suspicion.since = None;
            mobility.mtu = None;
        }
        for timer in [Timer::IdleAnswer, Timer::Suspect, Timer::PathTest] {
            self.timers.stop(timer);
        }
    }

    /// Asks on every path; a NAT has forgotten this host, and the peer follows only what says so (RFC 4555 §3.8).
    fn find_way(&mut self, host: &mut Host, now: Now) {
        let unconfirmed = self.mobility().is_some_and(|mobility| mobility.unconfirmed);
        let must_tell = self.nat.local || unconfirmed;
        if must_tell {
            self.want_first(PathTask::Update);
        }
        if self.window.is_busy() || !must_tell {
            self.test_all_paths(host, now);
        }
        self.start_next(host, now);
    }

    /// A gateway asks those of its clients that it does not hear of by themselves; not all at once.
    fn ask_soon(&mut self, host: &mut Host, now: Now) {
        if self.timers.deadline(Timer::Liveness).is_some() {
            let spread = limits::RESUME_SPREAD.as_nanos() as u64;
            let later = Duration::from_nanos(host.draw_up_to(spread));
            // Whoever is heard of until then need not be asked.
            self.unanswered = Some(self.last_heard);
            self.timers.set(Timer::Liveness, now.instant + limits::RESUME_LEAST + later);
        }
    }

    /// Ends an IKE SA that must not go on. Whether the peer has it yet is not waited for: what it keeps of it ends with the
    /// INITIAL_CONTACT of the next.
    fn leave(&mut self, host: &mut Host, now: Now, reason: CloseReason) {
        self.say_goodbye(host, now, reason.clone(), Payload::Delete(Delete::ike()));
        self.end(host, now, reason);
    }

    fn is_due(&self, now: Now, timer: Timer) -> bool {
        self.timers.deadline(timer).is_some_and(|at: Instant| at <= now.instant)
    }
}
