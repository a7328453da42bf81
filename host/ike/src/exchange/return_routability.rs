//! Return routability: an INFORMATIONAL with COOKIE2 to a peer's new address, before or after ESP goes there (RFC 4555
//! §3.7).
//!
//! Whoever re-sends a peer's genuine message from a victim's address cannot answer from there: the victim gets this
//! request so many times as [`limits::CHECKS`] says, and no ESP where the check comes before.
//!
//! A check costs a round trip, in which nothing reaches a peer whose old path is dead. So an address from which the peer
//! only asks something is checked while nothing depends on it; and where the peer was proven to be before, it is followed
//! to at once, and checked after.

use vpnhost_crypto::SecretBytes;
use vpnhost_model::{Instant, Now, Path};

use crate::config::ReturnRoutability;
use crate::exchange::{LocalExchange, PathExchange};
use crate::extension::mobike;
use crate::extension::nat_detection::NatFindings;
use crate::host::Host;
use crate::limits;
use crate::output::{CloseReason, Hindrance};
use crate::sa::IkeSa;
use crate::sa::path_test::{Aim, Heard, is_same};
use crate::sa::queue::{PathTask, Task};
use crate::wire::{ExchangeType, Message};

/// A peer's new address that is to be checked.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    /// Where the peer seems to be.
    pub(crate) path: Path,
    /// What NATs were found there.
    nat: NatFindings,
    /// Where it goes back to if the check fails, and what NATs there were.
    fallback: Option<(Path, NatFindings)>,
    /// How often something may still be sent there without knowing that the peer is there.
    left: u8,
    /// Why it is checked.
    pub(crate) by: Sign,
}

/// What says that a peer is at another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// An UPDATE_SA_ADDRESSES.
    Update,
    /// ESP that came from there, perhaps copied.
    Traffic,
    /// A request that says nothing of addresses: the peer may come to be there.
    Request,
}

/// How many addresses of unknown owners may be asked yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budget {
    since: Option<Instant>,
    spent: u8,
}

impl Budget {
    /// Takes one out; tells whether there was one.
    fn spend(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_since(since) >= limits::CHECKS_SPAN) {
            *self = Self { since: Some(now), spent: 0 };
        }
        let is_left = self.spent < limits::CHECKS_IN_SPAN;
        self.spent += u8::from(is_left);
        is_left
    }
}

/// A check that is not answered yet.
pub(crate) struct LocalCheck {
    path: Path,
    cookie: SecretBytes,
}

impl IkeSa {
    /// Follows the peer to a path that it was heard on: at once, or when it is proven that it is there.
    pub(crate) fn follow_to(
        &mut self,
        host: &mut Host,
        now: Now,
        (path, nat): (Path, NatFindings),
        (policy, by): (ReturnRoutability, Sign),
    ) {
        self.expire_addresses(now);
        let before = (self.path, self.nat);
        let proves_later = policy == ReturnRoutability::Before && self.may_prove_later(now, &path, by);
        let policy = if proves_later { ReturnRoutability::After } else { policy };
        if policy != ReturnRoutability::Never && !self.may_ask(now, &path, by) {
            tracing::debug!(ike_sa = %self.id, %path, "too many addresses of unknown owners were asked");
            return;
        }
        if policy != ReturnRoutability::Before {
            self.nat = nat;
            if before.0 != path {
                self.adopt_path(host, now, path, "the peer moved");
            }
        }
        let left = match self.test.aim {
            Aim::Other(aimed, left) if is_same(&aimed, &path) => Some(left),
            Aim::Other(..) | Aim::Current | Aim::Beside | Aim::Everywhere => None,
        };
        let Some(mobility) = self.mobility_mut() else { return };
        if policy == ReturnRoutability::Never {
            // Whatever was to be checked before, the peer is here now.
            mobility.check.take_if(|check| check.by != Sign::Request);
            return;
        }
        let same = mobility.check.as_mut().filter(|check| is_same(&check.path, &path));
        if let Some((check, left)) = same.zip(left)
            && (left > 0 || check.by == Sign::Request)
        {
            // Something came from there before the update: the peer is being asked, and will be once more.
            check.nat = nat;
            check.by = by;
            self.test.aim = Aim::Other(path, 1);
            return;
        }
        // Where a peer was not proven to be is nothing to go back to.
        let pending = mobility.check.take().filter(|check| check.by != Sign::Request).map(|it| it.fallback);
        let goes_back = policy == ReturnRoutability::After && (pending.is_none() || proves_later);
        let fallback = pending.flatten().or(goes_back.then_some(before));
        mobility.check = Some(Check { path, nat, fallback, left: limits::CHECKS, by });
        self.want_first(PathTask::Check);
        if self.window.is_busy() {
            // The peer may not be where the outstanding request went any more: with its answer the window opens.
            self.test.aim = Aim::Other(path, 1);
            if let Some(check) = self.mobility_mut().and_then(|mobility| mobility.check.as_mut()) {
                check.left -= 1;
            }
            self.repeat_now(host, now);
        }
    }

    /// Tells whether the peer, who says that it is there, is followed before it is asked: where it was proven to be, unless
    /// it is being looked for elsewhere, and not ever again in a moment.
    fn may_prove_later(&mut self, now: Now, path: &Path, by: Sign) -> bool {
        let Some(mobility) = self.mobility_mut() else { return false };
        let is_sought = mobility.check.as_ref().is_some_and(|check| check.by != Sign::Request);
        let was_proven = mobility.verified.contains(path.remote.ip());
        by == Sign::Update && was_proven && !is_sought && mobility.update_budget.spend(now.instant)
    }

    /// Tells whether a path may be asked on: where the peer was proven to be always, and elsewhere not too often.
    fn may_ask(&mut self, now: Now, path: &Path, by: Sign) -> bool {
        let Some(mobility) = self.mobility_mut() else { return false };
        let budget = match by {
            Sign::Update => &mut mobility.update_budget,
            Sign::Traffic | Sign::Request => &mut mobility.traffic_budget,
        };
        mobility.verified.contains(path.remote.ip()) || budget.spend(now.instant)
    }

    /// ESP came from another address than the peer's: follows it there, if it was not looked for there in vain lately.
    pub(crate) fn follow_traffic(&mut self, host: &mut Host, now: Now, path: Path) {
        let policy = self.return_routability();
        let Some(mobility) = self.mobility_mut() else { return };
        if mobility.check.is_none() {
            // No message of IKE began it.
            mobility.follow_octets = 0;
        }
        // What an update says comes before what copied packets may say.
        let goes_before = |check: &Check| match check.by {
            Sign::Update => true,
            Sign::Traffic => is_same(&check.path, &path),
            Sign::Request => false,
        };
        let is_checked = mobility.check.as_ref().is_some_and(goes_before);
        let pauses = mobility.check_failed.is_some_and(|at| now.instant - at < limits::CHECK_PAUSE)
            || mobility.has_just_left(now, path.remote);
        if !is_checked && !pauses && !is_same(&path, &self.path) {
            self.follow_to(host, now, (path, self.nat), (policy, Sign::Traffic));
            self.start_next(host, now);
        }
    }

    /// The peer asked something from an address that is not the one in use: when it moves there, the check is done.
    pub(crate) fn check_early(&mut self, now: Now) {
        self.expire_addresses(now);
        let path = self.reply_path;
        let policy = self.return_routability();
        let Some(mobility) = self.mobility() else { return };
        let is_new = path.remote.ip() != self.path.remote.ip()
            && !mobility.verified.contains(path.remote.ip())
            && mobike::is_unicast(path.remote.ip())
            && !self.forbids(path);
        let waits = mobility.check.is_some() || self.looks_after_path();
        if policy != ReturnRoutability::Before || !is_new || waits || !self.may_ask(now, &path, Sign::Request)
        {
            return;
        }
        let check = Check { path, nat: self.nat, fallback: None, left: 1, by: Sign::Request };
        if let Some(mobility) = self.mobility_mut() {
            mobility.check = Some(check);
        }
        self.want(Task::Path(PathTask::Check));
    }

    /// The peer was asked at its new address often enough.
    pub(crate) fn give_up_check(&mut self, host: &mut Host, now: Now, path: Path) {
        let Some(mobility) = self.mobility_mut() else { return };
        let failed = mobility.check.as_ref().filter(|check| is_same(&check.path, &path));
        let Some((fallback, by)) = failed.map(|check| (check.fallback, check.by)) else { return };
        mobility.check = None;
        if by == Sign::Request {
            return;
        }
        mobility.check_failed = Some(now.instant);
        // Somebody else may have the address now.
        let other = fallback.is_none_or(|(back, _)| back.remote.ip() != path.remote.ip());
        if other {
            mobility.verified.forget(path.remote.ip());
        }
        self.hinder(host, path, (Hindrance::NotReturned, ""));
        if let Some((fallback, nat)) = fallback {
            self.nat = nat;
            self.adopt_path(host, now, fallback, "the peer does not answer at its new address");
        }
    }

    /// Asks the peer at its new address for a cookie back.
    pub(crate) fn begin_check_route(&mut self, host: &mut Host, now: Now) {
        let Some(check) = self.mobility().and_then(|mobility| mobility.check.clone()) else { return };
        let cookie = match mobike::draw_cookie(&mut *host.random) {
            Ok(cookie) => cookie,
            Err(error) => return self.settle(host, now, Err(error.into())),
        };
        let payloads = [mobike::cookie(&cookie)];
        if let Some(established) = self.established_mut() {
            let local = LocalCheck { path: check.path, cookie };
            established.local = Some(LocalExchange::Path(Box::new(PathExchange::Check(local))));
        }
        self.next_aim = Aim::Other(check.path, check.left.max(1));
        let sent = self.request(host, now, ExchangeType::INFORMATIONAL, &payloads);
        self.settle(host, now, sent);
    }

    /// Takes the answer: it counts only if it came from where the request went, and the request went nowhere else.
    pub(crate) fn on_check_response(
        &mut self,
        host: &mut Host,
        now: Now,
        message: &Message,
        (local, heard): (LocalCheck, Option<Heard>),
    ) {
        if !mobike::returns(message, &local.cookie) {
            // RFC 4555, 3.7: if the values do not match, the IKE SA MUST be closed.
            return self.end(host, now, CloseReason::Protocol("another COOKIE2 came back".into()));
        }
        let only = self.test.went_only(&local.path);
        let Some(mobility) = self.mobility_mut() else { return };
        let Some(check) = mobility.check.take() else { return };
        if !is_same(&check.path, &local.path) {
            // The peer has moved on.
            mobility.check = Some(check);
            return self.want_first(PathTask::Check);
        }
        match heard.filter(|heard| is_same(&heard.path, &check.path)) {
            // It went elsewhere, too: asked once more, the answer proves something (RFC 4555 §3.7).
            Some(_) if !only && check.by != Sign::Request => {
                mobility.check = Some(Check { left: limits::CHECKS, ..check });
                self.want_first(PathTask::Check);
            }
            Some(_) if check.by == Sign::Request => {
                if only {
                    self.note_verified(now, check.path);
                }
            }
            Some(_) => {
                self.note_verified(now, check.path);
                self.nat = check.nat;
                if self.path != check.path {
                    self.adopt_path(host, now, check.path, "the peer moved, and answers there");
                }
            }
            None => {
                let path = check.path;
                mobility.check = Some(check);
                self.give_up_check(host, now, path);
            }
        }
    }

    /// Notes that the peer is where a path leads.
    pub(crate) fn note_verified(&mut self, now: Now, path: Path) {
        if let Some(mobility) = self.mobility_mut() {
            mobility.verified.note(now.instant, path.remote.ip());
        }
    }
}
