//! Which paths work, by what is heard on them and what is not (RFC 4555 §3.10, §3.11): answers, silence under traffic, and
//! requests that go over every path.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use vpnhost_model::{AddressPair, Instant, Now, Path};
use vpnhost_policy::{PathCause, PathStanding};

use crate::host::Host;
use crate::limits;
use crate::sa::IkeSa;
use crate::sa::path_test::{Aim, Heard, is_same};
use crate::sa::queue::{PathTask, Task};
use crate::sa::round_trip::RoundTrip;
use crate::sa::state::State;
use crate::timer::Timer;

impl IkeSa {
    /// The outstanding request was answered: on which paths besides it works is waited for a moment.
    pub(crate) fn settle_path_test(&mut self, host: &mut Host, now: Now, heard: Option<Heard>) {
        if self.test.aim != Aim::Everywhere || !self.chooses_path() {
            return;
        }
        if self.test.silent().next().is_none() {
            return self.on_path_test_timer(host, now);
        }
        let first = heard.and_then(|heard| heard.round_trip);
        // A path that is known to be slow is given the time that it takes; another, that of the first that answered.
        let Some(mobility) = self.mobility() else { return };
        let in_use = |path: &Path| mobility.round_trip.filter(|_| is_same(path, &self.path));
        let tried = |path: &Path| mobility.paths.find(self.pair_of(path)?)?.round_trip;
        let patience = |path: Path| {
            let measured = [in_use(&path), tried(&path)].into_iter().flatten().map(RoundTrip::patience).max();
            measured.or(first.map(|first| first + first / 4))
        };
        let (least, most) = (now.instant + limits::PATH_TEST_GRACE, now.instant + limits::PATH_TEST_PATIENCE);
        let until = self.test.silent_until(patience).unwrap_or(least).max(least).min(most);
        self.timers.set(Timer::PathTest, until);
    }

    /// An answer came again, on another path.
    pub(crate) fn on_late_answer(&mut self, host: &mut Host, now: Now, message_id: u32, path: &Path) {
        self.heard(host, now);
        let Some(heard) = self.note_path_answer(now, message_id, path) else { return };
        if heard.is_late {
            return self.consider_paths(host, now, PathCause::REVIEW);
        }
        if self.timers.deadline(Timer::PathTest).is_some() && self.test.silent().next().is_none() {
            self.timers.stop(Timer::PathTest);
            self.on_path_test_timer(host, now);
        }
    }

    /// An authentic answer came on a path.
    pub(crate) fn note_path_answer(&mut self, now: Now, message_id: u32, path: &Path) -> Option<Heard> {
        let heard = self.test.note_answer(now.instant, message_id, path)?;
        if let Some(pair) = self.measured_pair(&heard.path)
            && let Some(mobility) = self.mobility_mut()
        {
            if heard.is_late {
                mobility.paths.take_back_silence(pair);
            }
            mobility.paths.note_answer(now.instant, pair, heard.round_trip);
        }
        Some(heard)
    }

    /// A request was not answered on a path.
    pub(crate) fn note_path_silence(&mut self, now: Now, path: &Path) {
        if let Some(pair) = self.measured_pair(path)
            && let Some(mobility) = self.mobility_mut()
        {
            mobility.paths.note_silence(now.instant, pair);
        }
    }

    /// Returns the pair that an answer, or its absence, says something about: not on the port where silences are tried, which
    /// something on the way may close alone.
    fn measured_pair(&self, path: &Path) -> Option<AddressPair> {
        self.pair_of(path).filter(|_| path.local.port() == self.path.local.port())
    }

    /// Returns the pair that a path is of, if there is one. Another link with the same address is another pair: also one that
    /// came in the place of a link that is gone, whose interface nothing leaves by any more.
    pub(super) fn pair_of(&self, path: &Path) -> Option<AddressPair> {
        let mut paths = self.mobility()?.paths.all().iter().map(|candidate| candidate.pair);
        let of = |pair: &AddressPair| (pair.local, pair.remote) == (path.local.ip(), path.remote.ip());
        let on = |pair: &AddressPair| path.interface.is_none_or(|interface| interface == pair.interface);
        paths.find(|pair| of(pair) && on(pair))
    }

    /// Packets went out, the last at `at`, and none have come in since.
    pub(crate) fn suspect(&mut self, now: Now, at: Instant) {
        let Some(established) = self.established() else { return };
        let (patience, round_trip) = (established.plan.suspect, self.round_trip().unwrap_or_default());
        if patience.is_zero() || at <= self.last_heard || !self.looks_after_path() {
            return;
        }
        let Some(mobility) = self.mobility_mut() else { return };
        mobility.suspicion.goes_on = mobility.suspicion.since.is_some_and(|since| at > since);
        let since = *mobility.suspicion.since.get_or_insert(at);
        // After a move the peer is told again and again until its packets arrive. It may have to ask first.
        let (free, least) = if mobility.unconfirmed {
            (limits::UPDATES_REPEATED, round_trip * 2)
        } else {
            (0, Duration::ZERO)
        };
        let doublings = mobility.suspicion.unfounded.saturating_sub(free).min(limits::SUSPICION_DOUBLINGS);
        let doubled = patience.saturating_mul(1 << doublings).max(least);
        self.timers.set(Timer::Suspect, (since + doubled).max(now.instant));
    }

    /// The peer was heard at `at`: nothing is suspected any more that went out before.
    pub(crate) fn trust(&mut self, at: Instant, is_traffic: bool) {
        let patience = self.established().map(|established| established.plan.suspect).unwrap_or_default();
        let Some(mobility) = self.mobility_mut() else { return };
        let since = mobility.suspicion.since;
        if since.is_some_and(|since| since > at) {
            return;
        }
        mobility.suspicion.since = None;
        if std::mem::take(&mut mobility.suspicion.asks) {
            mobility.suspicion.unfounded = mobility.suspicion.unfounded.saturating_add(1);
            mobility.suspicion.asked = true;
        }
        let asked = if is_traffic { std::mem::take(&mut mobility.suspicion.asked) } else { true };
        let since_move = mobility.paths.last_move().is_none_or(|moved| at > moved);
        if is_traffic && since_move {
            mobility.unconfirmed = false;
            // What comes in seldom, as reports of who only listens, does not shorten the patience that was learned.
            let is_prompt = !asked && since.is_some_and(|since| at.saturating_since(since) < patience);
            mobility.suspicion.unfounded -= u32::from(is_prompt && mobility.suspicion.unfounded > 0);
        }
        self.timers.stop(Timer::Suspect);
    }

    /// Packets go out, and for too long nothing has come in: every path is asked.
    pub(crate) fn on_suspect_timer(&mut self, host: &mut Host, now: Now) {
        let chooses = self.chooses_path();
        let Some(mobility) = self.mobility_mut() else { return };
        let Some(since) = mobility.suspicion.since.take() else { return };
        mobility.suspicion.confirmed = Some(since);
        mobility.suspicion.asks = true;
        let (unconfirmed, goes_on) = (mobility.unconfirmed, mobility.suspicion.goes_on);
        let unfounded = mobility.suspicion.unfounded;
        tracing::debug!(ike_sa = %self.id, goes_on, "packets go out and none come in");
        if !chooses || !(goes_on || self.window.is_busy()) {
            return self.want(Task::Liveness);
        }
        if (unconfirmed || unfounded > 0) && !self.window.is_busy() {
            // The peer answers, and its packets do not arrive: its check of our address was lost, or a NAT has another
            // mapping for us. RFC 4555, 3.8: then it may be told at once.
            return self.want(Task::Path(PathTask::Update));
        }
        self.test_all_paths(host, now);
    }

    /// Returns every path to ask on, the IKE SA's own first.
    pub(crate) fn every_path(&self, host: &Host) -> Vec<Path> {
        if let State::SaInitSent(_) | State::AuthSent(_) = self.state {
            return self.every_first_path(host);
        }
        if !self.chooses_path() {
            return self.every_path_to_initiator(host);
        }
        let others = self.mobility().map_or(&[][..], |mobility| mobility.paths.all());
        let others = others.iter().map(|candidate| self.path_of(candidate.pair));
        let mut paths = vec![self.path];
        paths.extend(others.filter(|path| !is_same(path, &self.path)).take(limits::PATHS_ASKED_AT_ONCE));
        if self.current_pair().is_none() && paths.len() > 1 {
            // The machine cannot send there any more.
            paths.remove(0);
        }
        paths
    }

    /// Returns the IKE SA's own path, and all others that leave by the same link.
    pub(crate) fn paths_beside(&self) -> Vec<Path> {
        let mut paths = vec![self.path];
        if let Some((mobility, own)) = self.mobility().zip(self.current_pair()) {
            let others = mobility.paths.all().iter().map(|candidate| candidate.pair);
            let others = others.filter(|pair| pair.interface == own.interface && *pair != own);
            paths.extend(others.map(|pair| self.path_of(pair)).take(limits::PATHS_ASKED_AT_ONCE));
        }
        paths
    }

    /// Returns where a request goes on a path that was just taken: where nobody knows that the peer is, for it only told
    /// the address, all others on the same link are tried with it. A peer tells also what is reached from inside alone.
    pub(crate) fn first_aim(&self, host: &Host, now: Now) -> Aim {
        let Some((mobility, pair)) = self.mobility().zip(self.current_pair()) else { return Aim::Current };
        let standing = mobility.paths.find(pair).map(|candidate| candidate.standing(now.instant));
        let is_known =
            standing == Some(PathStanding::WORKS) || self.is_verified(&host.translators, pair.remote);
        if is_known || !self.chooses_path() { Aim::Current } else { Aim::Beside }
    }

    /// The request went out on a path on which nobody knows that the peer is, and beside it: whichever answers first is
    /// taken. The peer is told again, there alone.
    pub(crate) fn go_on_beside(&mut self, host: &mut Host, path: &Path) {
        let is_other = !is_same(path, &self.path) && !self.test.is_answered(&self.path);
        if self.test.aim == Aim::Beside
            && is_other
            && self.chooses_path()
            && let Some(pair) = self.pair_of(path)
        {
            self.go_to(host, pair);
        }
    }

    /// Returns every path on which a responder can reach the initiator: from each of its addresses to each that the
    /// initiator told. RFC 4555, 3.6: only for the list of its own addresses it goes elsewhere than to the one in use.
    fn every_path_to_initiator(&self, host: &Host) -> Vec<Path> {
        let told = self.mobility().map_or(&[][..], |mobility| &mobility.peer_addresses);
        // A NAT has a mapping for the address in use alone.
        let port = if self.nat.peer { self.path.local.port() } else { self.path.remote.port() };
        let others = told.iter().map(|address| SocketAddr::new(*address, port));
        let remotes = [self.path.remote, self.reply_path.remote].into_iter().chain(others);
        let locals: Vec<IpAddr> =
            std::iter::once(self.path.local.ip()).chain(self.own_addresses(host)).collect();
        let mut paths = vec![self.path];
        for remote in remotes {
            for local in locals.iter().filter(|local| local.is_ipv4() == remote.is_ipv4()) {
                let local = SocketAddr::new(*local, self.path.local.port());
                let path = Path { local, remote, interface: None, ..self.path };
                let is_new = !paths.iter().any(|other| is_same(other, &path));
                if is_new && paths.len() <= limits::PATHS_ASKED_AT_ONCE {
                    paths.push(path);
                }
            }
        }
        paths
    }

    /// Returns every path to begin on: RFC 4555, 3.1: who repeats IKE_SA_INIT tries the addresses that it has.
    fn every_first_path(&self, host: &Host) -> Vec<Path> {
        let remote = self.path.remote.ip();
        let pairs = host.pairs.iter().filter(|pair| pair.remote == remote);
        let paths: Vec<Path> =
            pairs.map(|pair| self.path_of(*pair)).take(limits::PATHS_ASKED_AT_ONCE).collect();
        if paths.is_empty() { vec![self.path] } else { paths }
    }

    /// An outstanding request is repeated: without an answer it goes over every path (RFC 4555 §3.5), and a check of the
    /// peer's new address that came to nothing is over.
    pub(crate) fn widen_aim(&mut self, host: &mut Host, now: Now) {
        match self.test.aim {
            Aim::Current | Aim::Beside if self.chooses_path() => {
                if self.mobility().is_some_and(|mobility| mobility.paths.all().len() > 1) {
                    self.test.aim = Aim::Everywhere;
                }
            }
            Aim::Current if self.is_unknown_to_initiator() => self.test.aim = Aim::Everywhere,
            Aim::Current if matches!(self.state, State::SaInitSent(_) | State::AuthSent(_)) => {
                self.test.aim = Aim::Everywhere;
            }
            Aim::Other(path, 0) => self.give_up_check(host, now, path),
            Aim::Current | Aim::Other(..) | Aim::Beside | Aim::Everywhere => {}
        }
    }

    /// Counts a message that arrived. While nothing is asked of the peer's new address it may be the first of a move.
    pub(crate) fn count_arrival(&mut self, path: &Path, len: usize) {
        if let Some(mobility) = self.mobility_mut().filter(|mobility| mobility.check.is_none()) {
            mobility.follow_octets = 0;
        }
        self.count_octets(path, len);
    }

    /// Counts what a move costs: octets of IP datagrams with the UDP header and the non-ESP marker.
    pub(crate) fn count_octets(&mut self, path: &Path, len: usize) {
        let marked = path.local.port() != 500 && path.remote.port() != 500;
        let headers = if path.remote.is_ipv4() { 20 } else { 40 } + 8 + if marked { 4 } else { 0 };
        let octets = u32::try_from(headers + len).unwrap_or(u32::MAX);
        let Some(mobility) = self.mobility_mut() else { return };
        let moving = mobility.moving.as_mut().map(|moving| &mut moving.octets);
        for sum in moving.into_iter().chain([&mut mobility.follow_octets]) {
            *sum = sum.saturating_add(octets);
        }
    }

    /// Asks the peer on every path whether it is there; what comes of it is ranked.
    pub(crate) fn test_all_paths(&mut self, host: &mut Host, now: Now) {
        if self.window.is_busy() {
            self.test.aim = Aim::Everywhere;
            self.repeat_now(host, now);
        } else {
            self.want(Task::Path(PathTask::TestAll));
            self.start_next(host, now);
        }
    }

    /// The time for answers is over: decides with those that came.
    pub(crate) fn on_path_test_timer(&mut self, host: &mut Host, now: Now) {
        let silent = self.test.give_up_silent();
        silent.iter().for_each(|path| self.note_path_silence(now, path));
        let is_current_silent = silent.iter().any(|path| is_same(path, &self.path));
        let cause = if is_current_silent { PathCause::SILENT } else { PathCause::REVIEW };
        self.consider_paths(host, now, cause);
    }

    /// The time that a ranking named has come. The paths are measured before they are ranked anew, but not while nobody
    /// needs them.
    pub(crate) fn on_path_review_timer(&mut self, host: &mut Host, now: Now) {
        let Some(mobility) = self.mobility_mut() else { return };
        let lately = |at: Instant| now.instant.saturating_since(at) < limits::PATH_PROVEN;
        mobility.review_due = !mobility.carried.is_some_and(lately);
        if !mobility.review_due && mobility.paths.all().len() > 1 {
            self.test_all_paths(host, now);
        }
    }

    /// A packet was carried.
    pub(crate) fn note_traffic(&mut self, host: &mut Host, now: Now, at: Instant) {
        let Some(mobility) = self.mobility_mut() else { return };
        mobility.carried = mobility.carried.max(Some(at));
        if std::mem::take(&mut mobility.review_due) {
            self.on_path_review_timer(host, now);
        }
        self.hurry_doubt(now);
    }
}
