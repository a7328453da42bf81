//! The trial of a silence: an INFORMATIONAL on a port that carries nothing else, which the peer answers at once, and once
//! more after a time that it is asked for (see `extension::idle_probe`).
//!
//! The further answer has the Message ID of the first, so that it needs no place in the window, and moves nothing
//! (RFC 4555 §3.8). It comes in some copies: losing all of them is rare, and one silence fails only when it did so twice. The
//! mapping that the tunnel uses is never left to itself for it.

use std::net::SocketAddr;
use std::time::Duration;

use vpnhost_model::{Encapsulation, Instant, Now, Path};
use vpnhost_policy::SituationCause;

use crate::exchange::{LocalExchange, PathExchange};
use crate::extension::idle_probe;
use crate::host::Host;
use crate::limits;
use crate::output::Event;
use crate::sa::IkeSa;
use crate::sa::mapping::Network;
use crate::sa::path_test::{Aim, Heard, is_same};
use crate::sa::queue::{PathTask, Task};
use crate::sa::secured::Unsealed;
use crate::timer::Timer;
use crate::wire::{Envelope, ExchangeType, Message};

/// A silence that is being tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleProbe {
    path: Path,
    /// The network of the IKE SA's own path.
    network: Network,
    span: Duration,
    message_id: u32,
    /// When the peer promised to answer again, and since when nothing has passed.
    promised: Option<Instant>,
}

/// An answer that is owed to the peer once more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwedAnswer {
    path: Path,
    span: Duration,
    message_id: u32,
    copies: u8,
}

// ---- as who asks -------------------------------------------------------------------------------------

impl IkeSa {
    /// Returns the path that a silence is tried on, and the silence that the keepalive has now, if this host keeps a NAT's
    /// mapping and the peer can help to learn for how long it lasts.
    fn probed(&self, host: &Host) -> Option<(Path, Duration)> {
        let established =
            self.established().filter(|it| it.estate.answers_late && !it.plan.keepalive.is_zero())?;
        let keeps = self.nat.local && self.path.encapsulation == Encapsulation::Udp && self.chooses_path();
        let port = host.config.idle_port.filter(|_| keeps && !host.shutting_down)?;
        let local = SocketAddr::new(self.path.local.ip(), port);
        Some((Path { local, ..self.path }, established.connection.timing.keepalive))
    }

    /// Sets the timer of the next silence to try, unless one is under way.
    pub(crate) fn set_idle_probe(&mut self, host: &mut Host, now: Now) {
        if self.probe.is_some() {
            return;
        }
        let Some((_, keepalive)) = self.probed(host) else { return self.timers.stop(Timer::IdleProbe) };
        let (due, _) = host.mappings.next(now.instant, Network::of(&self.path), keepalive);
        let due = due.max(now.instant + limits::IDLE_PROBE_PAUSE);
        self.timers.set(Timer::IdleProbe, self.probe_after.map_or(due, |after| due.max(after)));
    }

    /// Begins to try a silence, or ends one to which nothing came through.
    pub(crate) fn on_idle_probe_timer(&mut self, host: &mut Host, now: Now) {
        if let Some(IdleProbe { promised: Some(since), span, .. }) = self.probe {
            // Who slept meanwhile did not hear what came.
            if now.instant > since + span + limits::IDLE_ANSWER_WAIT * 2 {
                self.forget_idle_probe(host);
                return self.set_idle_probe(host, now);
            }
            return self.end_idle_probe(host, now, Some(false));
        }
        let Some((_, keepalive)) = self.probed(host) else { return };
        let (due, _) = host.mappings.next(now.instant, Network::of(&self.path), keepalive);
        match host.mappings.busy_until(now.instant, self.id) {
            Some(until) => self.timers.set(Timer::IdleProbe, until),
            None if due > now.instant => self.timers.set(Timer::IdleProbe, due),
            None => self.want(Task::Path(PathTask::TryIdle)),
        }
    }

    /// Asks the peer for an answer now and another later.
    pub(crate) fn begin_idle_probe(&mut self, host: &mut Host, now: Now) {
        let Some((path, keepalive)) = self.probed(host).filter(|_| self.probe.is_none()) else { return };
        // Another IKE SA may have begun while this one waited for its turn.
        if let Some(until) = host.mappings.busy_until(now.instant, self.id) {
            return self.timers.set(Timer::IdleProbe, until);
        }
        let network = Network::of(&self.path);
        let (_, span) = host.mappings.next(now.instant, network, keepalive);
        host.mappings.begin_trial(now.instant, self.id, span);
        let message_id = self.window.next_request();
        self.probe = Some(IdleProbe { path, network, span, message_id, promised: None });
        if let Some(established) = self.established_mut() {
            established.local = Some(LocalExchange::Path(Box::new(PathExchange::TryIdle)));
        }
        self.next_aim = Aim::Other(path, limits::PATH_TEST_TRIES);
        let sent = self.request(host, now, ExchangeType::INFORMATIONAL, &[idle_probe::ask(span)]);
        self.settle(host, now, sent);
    }

    /// The peer answered: on the port that was asked on, and to one request, the silence begins now.
    pub(crate) fn on_idle_response(
        &mut self,
        host: &mut Host,
        now: Now,
        message: &Message,
        heard: Option<Heard>,
    ) {
        let Some(probe) = &mut self.probe else { return };
        let there = heard.is_some_and(|it| it.round_trip.is_some() && is_same(&it.path, &probe.path));
        if !there || idle_probe::asked(message) != Some(probe.span) {
            return self.end_idle_probe(host, now, None);
        }
        probe.promised = Some(now.instant);
        // The answer may have taken its time.
        host.mappings.begin_trial(now.instant, self.id, probe.span);
        self.timers.set(Timer::IdleProbe, now.instant + probe.span + limits::IDLE_ANSWER_WAIT);
    }

    /// Takes a further answer to a request that was answered before; tells whether one is waited for.
    pub(crate) fn take_idle_answer(
        &mut self,
        host: &mut Host,
        now: Now,
        path: Path,
        (envelope, datagram): (Envelope, &mut [u8]),
    ) -> bool {
        let message_id = envelope.header.message_id;
        let awaits = |probe: &IdleProbe| probe.message_id == message_id && is_same(&probe.path, &path);
        let Some(probe) = self.probe.filter(|probe| probe.promised.is_some() && awaits(probe)) else {
            return false;
        };
        let Some(secured) = self.secured.as_mut().filter(|_| envelope.fragment.is_none()) else {
            return true;
        };
        if let Unsealed::Message(Ok(message)) = secured.open(envelope, datagram)
            && idle_probe::answered_late(&message) == Some(probe.span)
        {
            // What comes too soon says nothing of the silence that was to be.
            let passed = probe.promised.map(|promised| now.instant.saturating_since(promised));
            let is_due = passed.is_some_and(|passed| passed + limits::IDLE_EARLY >= probe.span);
            self.end_idle_probe(host, now, Some(true).filter(|_| is_due));
        }
        true
    }

    /// Tries the silence no longer that is being tried, for reasons that are not the network's; tells whether one was.
    pub(crate) fn forget_idle_probe(&mut self, host: &mut Host) -> bool {
        host.mappings.end_trial(self.id);
        let was_trying = self.probe.take().is_some();
        if was_trying {
            self.timers.stop(Timer::IdleProbe);
        }
        was_trying
    }

    /// A silence was tried: a packet came through after it, or did not, or it cannot be told.
    fn end_idle_probe(&mut self, host: &mut Host, now: Now, is_remembered: Option<bool>) {
        let Some(probe) = self.probe.take() else { return };
        host.mappings.end_trial(self.id);
        self.timers.stop(Timer::IdleProbe);
        let is_here = probe.network.may_be(&Network::of(&self.path));
        let Some(is_remembered) = is_remembered.filter(|_| is_here) else {
            tracing::debug!(ike_sa = %self.id, span = ?probe.span, "a silence could not be tried");
            // Where the port is closed on the way, asking again and again wakes radios for nothing.
            let pause =
                limits::IDLE_PROBE_AGAIN * 2u32.pow(self.probes_void.min(limits::IDLE_PROBE_DOUBLINGS));
            self.probes_void = self.probes_void.saturating_add(1);
            self.probe_after = Some(now.instant + pause);
            return self.set_idle_probe(host, now);
        };
        tracing::debug!(ike_sa = %self.id, span = ?probe.span, is_remembered, "a silence was tried");
        (self.probes_void, self.probe_after) = (0, None);
        let keepalive = self.established().map(|it| it.plan.keepalive);
        let relied_on = host.mappings.memory(probe.network).proven.max(keepalive);
        let is_too_late = relied_on >= Some(probe.span);
        if host.mappings.note(probe.network, probe.span, is_remembered) {
            if !is_remembered && is_too_late {
                // The tunnel's own mapping may have been forgotten, too, and the peer does not follow a keepalive.
                self.want(Task::Path(PathTask::Update));
            }
            self.tell_learned(host, probe.network);
            self.plan_maintenance(host, now, SituationCause::MAPPING);
        }
        self.set_idle_probe(host, now);
    }

    /// Tells people what was learned, once there is nothing more to learn for the time being.
    fn tell_learned(&self, host: &mut Host, network: Network) {
        let Some(established) = self.established() else { return };
        if host.mappings.is_settled(network, established.connection.timing.keepalive) {
            let memory = host.mappings.memory(network);
            let connection = established.connection.name.clone();
            host.event(Event::KeepaliveLearned { ike_sa: self.id, connection, network, memory });
        }
    }
}

// ---- as who answers ----------------------------------------------------------------------------------

impl IkeSa {
    /// Promises a further answer where one is asked for, on a path that is not the IKE SA's own. One is owed at a time: a new
    /// promise takes the place of the one before.
    pub(crate) fn promise_idle_answer(&mut self, now: Now, message: &Message) -> Option<Duration> {
        let span = idle_probe::asked(message)?;
        let own = is_same(&self.reply_path, &self.path);
        if own || !self.established().is_some_and(|established| established.estate.answers_late) {
            return None;
        }
        let message_id = message.header.message_id;
        self.owed = Some(OwedAnswer { path: self.reply_path, span, message_id, copies: limits::IDLE_COPIES });
        self.timers.set(Timer::IdleAnswer, now.instant + span);
        Some(span)
    }

    /// Answers once more.
    pub(crate) fn on_idle_answer_timer(&mut self, host: &mut Host, now: Now) {
        let Some(mut owed) = self.owed.take().filter(|_| self.established().is_some()) else { return };
        let answer = [idle_probe::late_answer(owed.span)];
        let Ok(datagrams) = self.seal(host, ExchangeType::INFORMATIONAL, (true, owed.message_id), &answer)
        else {
            return;
        };
        for datagram in datagrams {
            host.transmit(self.id, owed.path, datagram);
        }
        owed.copies = owed.copies.saturating_sub(1);
        if owed.copies > 0 {
            self.owed = Some(owed);
            self.timers.set(Timer::IdleAnswer, now.instant + limits::IDLE_COPY_GAP);
        }
    }
}
