//! A full negotiation beside an IKE SA whose peer does not answer, or seems to have lost it: where MOBIKE cannot help.
//!
//! Silence, and an unprotected INVALID_IKE_SPI, prove nothing: they may be an attacker's. So the IKE SA stays until
//! another is authenticated, or a token proves the loss ([`crate::extension::crash_detection`]). Both are tried: the
//! request that was not answered, on every path, and right after it an IKE_SA_INIT. Whichever is answered first by
//! somebody who can prove who he is ends the other.
//!
//! While traffic waits this goes on every second. At rest it is a matter of the battery: the pauses double up to
//! [`limits::ASKED_AT_REST`], and an IKE_SA_INIT goes out once, each on another path. What changes, another link
//! or an end of sleep, begins with short pauses again.

use std::time::Duration;

use vpnhost_model::{IkeSaId, Instant, Now, Path};

use crate::endpoint::IkeEndpoint;
use crate::host::Host;
use crate::limits;
use crate::output::CloseReason;
use crate::sa::IkeSa;
use crate::sa::path_test::Aim;
use crate::sa::state::State;
use crate::timer::Timer;
use crate::wire::payload::{Delete, NotifyType};
use crate::wire::{Header, Message, Payload};

/// That a peer may be gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubt {
    /// When it was heard of last.
    heard: Instant,
    /// How often it was asked since: the pauses double.
    attempts: u32,
    /// Negotiations that were begun at rest: each takes another path.
    turns: u32,
    /// Something happened since it was asked last: it is asked with haste.
    stirred: bool,
    /// Somebody said in clear that it lost the IKE SA, since it was asked last by itself.
    hinted: bool,
    /// A token proved that it lost the IKE SA: only its addresses and routes stay, until another has them.
    is_proved: bool,
}

/// What an IKE SA is begun beside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside {
    /// The IKE SA of a doubted peer.
    pub(crate) of: IkeSaId,
    /// Traffic waits, or something happened; else IKE_SA_INIT goes out once.
    pub(crate) in_haste: bool,
    /// Which path it goes over then, counted through all that there are.
    pub(crate) turn: u32,
}

impl Doubt {
    fn new(heard: Instant, is_proved: bool) -> Self {
        Self { heard, attempts: 0, turns: 0, stirred: false, hinted: false, is_proved }
    }
}

impl IkeSa {
    /// The peer did not answer what was repeated often enough to doubt that it is there.
    ///
    /// Tells whether the doubt is new: then the request went out again with it.
    pub(crate) fn doubt(&mut self, host: &mut Host, now: Now) -> bool {
        let heard = self.last_heard;
        // What another stands in for already needs no third, and what is to end needs none.
        let is_ending = self.established().is_none_or(|established| established.queue.ends_ike_sa());
        if !self.chooses_path() || self.redundant_since.is_some() || is_ending {
            return false;
        }
        let Some(mobility) = self.mobility_mut() else { return false };
        let begins = mobility.doubt.is_none();
        if begins {
            mobility.doubt = Some(Doubt::new(heard, false));
            self.on_doubt_timer(host, now);
        }
        begins
    }

    /// The peer proved that it lost this IKE SA. What the host has of it stays until another takes its place: an address
    /// that goes and comes again ends what the machine's programs have open.
    pub(crate) fn outlive_loss(&mut self, host: &mut Host, now: Now) {
        let heard = self.last_heard;
        if self.is_proved_gone() {
            return;
        }
        if let Some(mobility) = self.mobility_mut() {
            mobility.doubt = Some(Doubt::new(heard, true));
            self.on_doubt_timer(host, now);
        }
    }

    /// Tells whether a token proved that the peer has this IKE SA no more.
    pub(crate) fn is_proved_gone(&self) -> bool {
        self.mobility().is_some_and(|mobility| mobility.doubt.is_some_and(|doubt| doubt.is_proved))
    }

    /// Tells whether the peer may be gone.
    pub(crate) fn is_doubted(&self) -> bool {
        self.mobility().is_some_and(|mobility| mobility.doubt.is_some())
    }

    /// The time for a negotiation has come.
    pub(crate) fn on_doubt_timer(&mut self, host: &mut Host, now: Now) {
        let heard = self.last_heard;
        let Some(mobility) = self.mobility_mut() else { return };
        let Some(doubt) = mobility.doubt.filter(|doubt| doubt.heard == heard) else {
            // It is there.
            mobility.doubt = None;
            return;
        };
        self.end_unanswered_order(host, now);
        if doubt.is_proved {
            let most = self.established().map(|established| established.plan.max_outage);
            if now.instant.saturating_since(self.unheard_since()) >= most.unwrap_or_default() {
                return self.end(host, now, CloseReason::PeerLostState);
            }
        } else if self.is_outage_over(now) {
            return self.end_silent(host, now);
        }
        let Some(mobility) = self.mobility_mut() else { return };
        let attempts = doubt.attempts.saturating_add(1);
        // A hint counts once until the peer was asked by itself again.
        mobility.doubt = Some(Doubt { attempts, hinted: doubt.hinted && doubt.stirred, ..doubt });
        let waits = mobility.has_traffic_waiting(now);
        let doubled = limits::NEGOTIATION_PAUSE.saturating_mul(1 << doubt.attempts.min(16));
        let rarely = doubled.min(limits::ASKED_AT_REST);
        let pause = if waits { limits::NEGOTIATION_PAUSE } else { rarely };
        self.timers.set(Timer::Doubt, now.instant + pause);
        if waits || doubt.stirred {
            self.repeat_now(host, now);
        } else {
            self.repeat_once(host, now);
        }
        host.doubted.push(self.id);
    }

    /// Traffic waits again: a peer that may be gone is asked now.
    pub(crate) fn hurry_doubt(&mut self, now: Now) {
        let is_far = |at: Instant| at > now.instant + limits::NEGOTIATION_PAUSE;
        if self.is_doubted() && self.timers.deadline(Timer::Doubt).is_some_and(is_far) {
            self.timers.set(Timer::Doubt, now.instant);
        }
    }

    /// The links are others, or the machine slept: a peer that may be gone is asked now, and soon again.
    pub(crate) fn renew_doubt(&mut self, now: Now) {
        if let Some(doubt) = self.mobility_mut().and_then(|mobility| mobility.doubt.as_mut()) {
            (doubt.attempts, doubt.stirred) = (0, true);
            self.timers.set(Timer::Doubt, now.instant);
        }
    }

    /// Somebody said in clear that the peer lost the IKE SA: then it is there, on some path. It is asked now; but once for
    /// each time that it was asked anyway, for this may be said of a peer that refuses another IKE SA, or by an attacker.
    fn heed_hint(&mut self, now: Now) {
        let is_hinted = self.mobility().and_then(|mobility| mobility.doubt).is_none_or(|doubt| doubt.hinted);
        if is_hinted {
            return;
        }
        self.hurry_doubt(now);
        let is_hurried = self.timers.deadline(Timer::Doubt) == Some(now.instant);
        if let Some(doubt) = self.mobility_mut().and_then(|mobility| mobility.doubt.as_mut()) {
            (doubt.hinted, doubt.stirred) = (is_hurried, is_hurried);
        }
    }

    /// Somebody said in clear that the peer lost a Child SA: it is asked now, and what is begun beside goes out again, for what
    /// went out before was lost with the peer. Once for each time that it was asked anyway, as any such hint.
    pub(crate) fn hurry_hinted_doubt(&mut self, host: &mut Host, now: Now) {
        let doubt = self.mobility_mut().and_then(|mobility| mobility.doubt.as_mut());
        if let Some(doubt) = doubt.filter(|doubt| !doubt.hinted) {
            (doubt.hinted, doubt.stirred) = (true, true);
            self.on_doubt_timer(host, now);
        }
    }

    /// The peer is there, and knows this IKE SA: no other is needed.
    pub(crate) fn dismiss_doubt(&mut self, host: &mut Host, at: Instant) {
        let doubt = self.mobility_mut().and_then(|mobility| mobility.doubt.take());
        if doubt.is_none() {
            return;
        }
        self.timers.stop(Timer::Doubt);
        host.relieved.push(self.id);
        let backoff = self.backoff();
        if self.timers.deadline(Timer::Retransmit).is_none()
            && let Some((_, deadline)) = self.window.restart(at, backoff)
        {
            // Only the doubt had the request repeated.
            self.timers.set(Timer::Retransmit, deadline);
        }
    }

    /// Somebody says that the peer does not have this IKE SA, in clear: true or not, it does no harm to ask. Only a token
    /// proves it.
    pub(crate) fn hear_of_loss(&mut self, host: &mut Host, now: Now, header: &Header, datagram: &[u8]) {
        let Ok(message) = Message::decode(datagram) else { return };
        if self.is_proved_lost(host, &message) {
            return host.lost.push(self.id);
        }
        let says = message.notify(NotifyType::INVALID_IKE_SPI).is_some();
        if says && self.window.awaits(header.message_id) {
            tracing::debug!(ike_sa = %self.id, "INVALID_IKE_SPI, perhaps not the peer's");
            if self.is_doubted() {
                self.heed_hint(now);
            } else {
                self.doubt(host, now);
            }
        }
    }

    /// A negotiation that was begun at rest is hurried; one in haste goes out again if it did not for as long as is named.
    fn hurry_beside(&mut self, host: &mut Host, now: Now, since: Option<Duration>) {
        let age = now.instant.saturating_since(self.last_sent);
        let is_old = since.is_some_and(|since| age >= since);
        let hurried = self.beside.as_mut().filter(|it| !it.in_haste || is_old);
        if let Some(beside) = hurried.filter(|_| matches!(self.state, State::SaInitSent(_))) {
            let is_repeated = std::mem::replace(&mut beside.in_haste, true);
            self.test.aim = Aim::Everywhere;
            // What repeats itself already is given up no later for this.
            if is_repeated {
                self.repeat_besides(host, now);
            } else {
                self.repeat_now(host, now);
            }
        }
    }

    /// Returns the path that IKE_SA_INIT goes over once, if nobody hurries: another at each attempt, for only some may work.
    pub(crate) fn path_in_turn(&self, host: &Host) -> Option<Path> {
        let beside = self.beside.filter(|it| !it.in_haste && matches!(self.state, State::SaInitSent(_)))?;
        let paths = self.every_path(host);
        let at = usize::try_from(beside.turn).unwrap_or_default() % paths.len().max(1);
        paths.get(at).copied()
    }

    /// Returns since when the peer does not answer: at rest nobody asks it, and asleep nobody hears it.
    fn unheard_since(&self) -> Instant {
        self.window.first_sent().map_or(self.last_heard, |asked| asked.max(self.last_heard))
    }

    /// Tells whether the outage has lasted for so long that the IKE SA is given up.
    pub(crate) fn is_outage_over(&self, now: Now) -> bool {
        let Some(established) = self.established() else { return true };
        let silence = now.instant.saturating_since(self.unheard_since());
        !established.estate.mobility.enabled || silence >= established.plan.max_outage
    }
}

impl IkeEndpoint {
    /// Begins with the peer of a doubted IKE SA anew, unless that is under way.
    pub(crate) fn renegotiate(&mut self, now: Now, id: IkeSaId) {
        let Some(established) = self.sas.get(&id).and_then(IkeSa::established) else { return };
        let mobility = &established.estate.mobility;
        let in_haste = mobility.doubt.is_some_and(|doubt| doubt.stirred) || mobility.has_traffic_waiting(now);
        let name = established.connection.name.clone();
        let is_first = mobility.doubt.is_none_or(|doubt| doubt.attempts <= 1);
        // Whoever proves its loss is there, and so, perhaps, is who is said to have lost it: an IKE_SA_INIT that was sent before
        // it came up was lost, and one that was sent with the question whose answer is the proof was not.
        let again = mobility.doubt.and_then(|doubt| match (doubt.hinted, doubt.is_proved && is_first) {
            (true, _) => Some(Duration::ZERO),
            (false, true) => Some(limits::NEGOTIATION_PAUSE / 2),
            (false, false) => None,
        });
        let remote = self.sas.get(&id).map(|sa| sa.path.remote.ip());
        let addresses = established.estate.addresses.iter().map(|(address, _)| *address).collect();
        self.end_forgotten(now, &name);
        let doubt = self.sas.get_mut(&id).and_then(IkeSa::mobility_mut).and_then(|it| it.doubt.as_mut());
        let turn = doubt.map_or(0, |doubt| {
            doubt.stirred = false;
            doubt.turns
        });
        let is_made = |other: &IkeSa| other.role.is_initiator() && other.state.is_half_open();
        let made: Vec<IkeSaId> =
            self.sas_of(&name).into_iter().filter(|id| self.sas.get(id).is_some_and(is_made)).collect();
        if !made.is_empty() {
            let hurried = made.into_iter().filter(|_| in_haste);
            return hurried.for_each(|id| {
                self.visit_one(id, |sa, host| sa.hurry_beside(host, now, again));
            });
        }
        let Some(connection) = self.host.connection(&name).cloned() else { return };
        let state = self.connections.entry(name).or_default();
        // The gateway in use knows the host's addresses, and is the likeliest to be there: the others come after it.
        let in_use = connection.gateways.iter().position(|gateway| Some(gateway.address.ip()) == remote);
        let count = connection.gateways.len().max(1);
        let at = in_use.filter(|_| is_first).unwrap_or(state.next_gateway % count);
        let gateway = connection.gateways.get(at).map(|gateway| gateway.address);
        state.next_gateway = at.wrapping_add(1);
        tracing::debug!(ike_sa = %id, ?gateway, "the peer may be gone: a negotiation beside");
        if let Some(begun) = self.begin_with(now, &connection, gateway, addresses)
            && let Some(sa) = self.sas.get_mut(&begun)
        {
            // Every gateway is tried on a path before the next.
            let turn = turn / u32::try_from(count).unwrap_or(u32::MAX);
            sa.beside = Some(Beside { of: id, in_haste, turn });
        }
        let doubt = self.sas.get_mut(&id).and_then(IkeSa::mobility_mut).and_then(|it| it.doubt.as_mut());
        if let Some(doubt) = doubt.filter(|_| !in_haste) {
            doubt.turns = doubt.turns.wrapping_add(1);
        }
    }

    /// Ends what was begun with a connection's peer and came to a halt in IKE_AUTH: a responder forgets it, and never answers.
    fn end_forgotten(&mut self, now: Now, name: &str) {
        // Of the peer's patience only this host's own is known.
        let patience = |sa: &IkeSa| sa.connection.as_ref().map(|connection| connection.timing.half_open);
        let is_forgotten = |sa: &&IkeSa| {
            let sent = sa.window.first_sent().filter(|_| matches!(sa.state, State::AuthSent(_)));
            let silence = sent.map(|sent| now.instant.saturating_since(sent));
            silence.zip(patience(sa)).is_some_and(|(silence, patience)| silence >= patience)
        };
        let all = self.sas_of(name);
        let forgotten: Vec<IkeSaId> =
            all.iter().filter_map(|id| self.sas.get(id)).filter(is_forgotten).map(|sa| sa.id).collect();
        for id in forgotten {
            self.visit_one(id, |sa, host| sa.end_silent(host, now));
        }
    }

    /// The peer of an IKE SA was there after all: what was begun beside it is given up, unless IKE_AUTH is on its way, and
    /// the peer may have it already: then it takes the place of the old one, as with a re-authentication.
    pub(crate) fn end_beside(&mut self, now: Now, id: IkeSaId) {
        let half_open =
            |sa: &&IkeSa| sa.beside.is_some_and(|it| it.of == id) && matches!(sa.state, State::SaInitSent(_));
        let begun: Vec<IkeSaId> = self.sas.values().filter(half_open).map(|sa| sa.id).collect();
        for id in begun {
            self.visit_one(id, |sa, host| sa.end(host, now, CloseReason::Replaced));
        }
    }

    /// What was begun in the place of IKE SAs that the peer lost was refused: nothing takes their place. From now on the
    /// connection is tried as after any end. Tells whether there were any.
    pub(crate) fn end_lost(&mut self, now: Now, name: &str) -> bool {
        let is_gone = |id: &IkeSaId| self.sas.get(id).is_some_and(IkeSa::is_proved_gone);
        let lost: Vec<IkeSaId> = self.sas_of(name).into_iter().filter(is_gone).collect();
        for id in &lost {
            self.visit_one(*id, |sa, host| sa.end(host, now, CloseReason::PeerLostState));
        }
        !lost.is_empty()
    }

    /// An IKE SA came up: those of the same connection whose peer was doubted end. The peer, if it has them yet, is told.
    pub(crate) fn end_doubted(&mut self, now: Now, twins: &[IkeSaId]) {
        for id in twins {
            if self.sas.get(id).is_some_and(IkeSa::is_proved_gone) {
                self.visit_one(*id, |sa, host| sa.end(host, now, CloseReason::PeerLostState));
            } else if self.sas.get(id).is_some_and(IkeSa::is_doubted) {
                self.visit_one(*id, |sa, host| {
                    sa.say_goodbye(host, now, CloseReason::Replaced, Payload::Delete(Delete::ike()));
                });
            }
        }
    }
}
