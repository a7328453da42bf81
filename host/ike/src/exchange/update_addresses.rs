//! INFORMATIONAL with UPDATE_SA_ADDRESSES, and with the list of a side's addresses (RFC 4555 §3.5, §3.6, §3.9).

use std::net::IpAddr;

use vpnhost_crypto::SecretBytes;
use vpnhost_model::{Now, Path};
use vpnhost_policy::{PathCause, SituationCause};

use crate::config::ReturnRoutability;
use crate::exchange::ike_sa_init::notify;
use crate::exchange::return_routability::Sign;
use crate::exchange::{LocalExchange, PathExchange};
use crate::extension::{idle_probe, mobike};
use crate::host::Host;
use crate::limits;
use crate::output::{CloseReason, Hindrance, Output};
use crate::sa::IkeSa;
use crate::sa::path_test::{Aim, is_same};
use crate::sa::queue::{PathTask, Task};
use crate::sa::state::State;
use crate::wire::payload::NotifyType;
use crate::wire::{ExchangeType, Message, Payload};

/// An UPDATE_SA_ADDRESSES of ours that is not answered yet.
pub(crate) struct LocalUpdate {
    /// The path that it tells of.
    path: Path,
    /// What the peer has to return, where its address is to be checked.
    cookie: Option<SecretBytes>,
    /// The addresses that it tells of.
    told: Option<Vec<IpAddr>>,
}

/// A list of this host's addresses that the peer has not acknowledged yet.
pub(crate) struct LocalAnnouncement {
    /// The path that it first went out on: the address in its header is one of the list.
    path: Path,
    addresses: Vec<IpAddr>,
}

// ---- as who begins -----------------------------------------------------------------------------------

impl IkeSa {
    /// Tells the peer that this host's packets come by another path, and where to send its own.
    pub(crate) fn begin_update_addresses(&mut self, host: &mut Host, now: Now) {
        let (path, own) = (self.path, self.advertised(host));
        let is_verified = self.is_verified(&host.translators, path.remote.ip());
        let Some(mobility) = self.mobility_mut() else { return };
        let is_known = mobility.told.as_ref() == Some(&own);
        let told = (!is_known).then_some(own);
        let list = told.as_deref().map(mobike::announce);
        let mut payloads = vec![notify(NotifyType::UPDATE_SA_ADDRESSES)];
        payloads.extend(list.into_iter().flatten());
        payloads.extend(self.nat_statement(host));
        let cookie =
            self.wants_check().filter(|_| !is_verified).map(|_| mobike::draw_cookie(&mut *host.random));
        let cookie = match cookie.transpose() {
            Ok(cookie) => cookie,
            Err(error) => return self.settle(host, now, Err(error.into())),
        };
        payloads.extend(cookie.as_ref().map(mobike::cookie));
        if let Some(established) = self.established_mut() {
            established.local =
                Some(LocalExchange::Path(Box::new(PathExchange::Update(LocalUpdate { path, cookie, told }))));
        }
        if self.mobility_mut().is_some_and(|mobility| std::mem::take(&mut mobility.answers_late)) {
            self.next_aim = Aim::Other(path, limits::UPDATES_ALONE);
        } else {
            self.next_aim = self.first_aim(host, now);
        }
        let sent = self.request(host, now, ExchangeType::INFORMATIONAL, &payloads);
        self.settle(host, now, sent);
    }

    /// The IKE SA that took this one's place moved. As long as the peer has not deleted this one it may wait, at the old
    /// address, for the answer that makes the other known to it.
    pub(crate) fn follow_successor(&mut self, host: &mut Host, now: Now, path: Path) {
        if !matches!(self.state, State::Rekeyed) {
            return;
        }
        self.path = path;
        if self.window.is_busy() {
            return self.repeat_now(host, now);
        }
        let mut payloads = vec![notify(NotifyType::UPDATE_SA_ADDRESSES)];
        payloads.extend(self.nat_statement(host));
        let sent = self.request(host, now, ExchangeType::INFORMATIONAL, &payloads);
        self.settle(host, now, sent);
    }

    /// Takes the answer. What was changed meanwhile makes it worthless: another update follows (RFC 4555 §3.5).
    pub(crate) fn on_update_response(
        &mut self,
        host: &mut Host,
        now: Now,
        message: &Message,
        update: LocalUpdate,
    ) {
        if let Some(cookie) = &update.cookie
            && !mobike::returns(message, cookie)
        {
            // RFC 4555, 3.7: if the values do not match, the IKE SA MUST be closed.
            return self.end(host, now, CloseReason::Protocol("another COOKIE2 came back".into()));
        }
        let stands = is_same(&update.path, &self.path) && self.test.went_only(&update.path);
        if !stands {
            let answers = self.test.is_answered(&self.path);
            if let Some(mobility) = self.mobility_mut() {
                mobility.answers_late = answers;
            }
            return self.want_first(PathTask::Update);
        }
        if message.notify(NotifyType::UNEXPECTED_NAT_DETECTED).is_some() {
            return self.on_unexpected_nat(host, now);
        }
        if message.error_notify().is_some() {
            return self.on_update_refused(host, now, Hindrance::Refused);
        }
        self.note_told(update.told);
        let before = (self.path, self.nat);
        self.find_nats(host, message);
        self.choose_encapsulation(host);
        let waited = !self.is_verified(&host.translators, self.path.remote.ip());
        if waited || self.path != before.0 {
            host.output(Output::MoveChildSas(self.id, self.path));
        }
        self.note_verified(now, self.path);
        let has_moved = self.finish_move(host, now);
        if has_moved || self.nat != before.1 {
            self.plan_maintenance(host, now, SituationCause::MOVED);
        }
    }

    /// Tells people of the move, if it was one.
    fn finish_move(&mut self, host: &mut Host, now: Now) -> bool {
        let moving = self.mobility_mut().and_then(|mobility| mobility.moving.take());
        let Some(moving) = moving else { return false };
        let gap = moving.silent_since.map(|since| now.instant.saturating_since(since)).unwrap_or_default();
        let why = describe(moving.cause, &moving.why);
        self.tell_moved(host, (moving.from, why), (gap, moving.octets));
        true
    }

    /// The peer saw other addresses than this host wrote, and NATs are forbidden. Somebody may have changed one packet:
    /// it is tried again some times (RFC 4555 §3.9).
    fn on_unexpected_nat(&mut self, host: &mut Host, now: Now) {
        if self.tries_again_in_spite_of_nat() {
            return self.want_first(PathTask::Update);
        }
        self.on_update_refused(host, now, Hindrance::Translated);
    }

    /// Counts a NAT that was seen where none is allowed; tells whether what found it is tried again.
    fn tries_again_in_spite_of_nat(&mut self) -> bool {
        let Some(mobility) = self.mobility_mut() else { return false };
        mobility.nat_seen = mobility.nat_seen.saturating_add(1);
        let again = mobility.nat_seen < limits::UNEXPECTED_NATS;
        if !again {
            mobility.nat_seen = 0;
        }
        again
    }

    /// Notes which of this host's addresses the peer knows now.
    fn note_told(&mut self, told: Option<Vec<IpAddr>>) {
        let Some(established) = self.established_mut() else { return };
        if told.is_some() {
            established.put_offs = 0;
        }
        let mobility = &mut established.estate.mobility;
        mobility.nat_seen = 0;
        mobility.told = told.or(mobility.told.take());
    }

    /// The peer does not want these addresses: others are tried.
    fn on_update_refused(&mut self, host: &mut Host, now: Now, hindrance: Hindrance) {
        self.hinder(host, self.path, (hindrance, ""));
        let Some(pair) = self.current_pair() else { return };
        if let Some(mobility) = self.mobility_mut() {
            mobility.paths.note_refusal(now.instant, pair);
        }
        self.consider_paths(host, now, PathCause::UNREACHABLE);
    }

    /// Tells the peer this host's addresses, all of them.
    pub(crate) fn begin_announce_addresses(&mut self, host: &mut Host, now: Now) {
        let (path, own) = (self.path, self.advertised(host));
        let Some(established) = self.established_mut() else { return };
        if established.estate.mobility.told.as_ref() == Some(&own) {
            return;
        }
        let mut payloads = mobike::announce(&own);
        let local = LocalAnnouncement { path, addresses: own };
        established.local = Some(LocalExchange::Path(Box::new(PathExchange::Announce(local))));
        if std::mem::take(&mut established.estate.mobility.answers_late) {
            self.next_aim = Aim::Other(path, limits::UPDATES_ALONE);
        }
        payloads.extend(self.no_nats_statement());
        let sent = self.request(host, now, ExchangeType::INFORMATIONAL, &payloads);
        self.settle(host, now, sent);
    }

    /// Takes the answer to a list of addresses.
    ///
    /// RFC 4555, 3.6: what was repeated from several addresses is followed by a new request: the peer counts the one in
    /// the header, and may have taken any copy.
    pub(crate) fn on_announcement_response(
        &mut self,
        host: &mut Host,
        now: Now,
        message: &Message,
        local: LocalAnnouncement,
    ) {
        let stands = is_same(&local.path, &self.path) && self.test.went_only(&local.path);
        if !stands {
            let answers = self.test.is_answered(&self.path);
            if let Some(mobility) = self.mobility_mut() {
                mobility.answers_late = answers;
            }
            self.put_off(host, now, Task::Path(PathTask::Announce));
            return;
        }
        if message.notify(NotifyType::UNEXPECTED_NAT_DETECTED).is_some() {
            if self.tries_again_in_spite_of_nat() {
                self.want(Task::Path(PathTask::Announce));
            }
            return;
        }
        self.note_told(Some(local.addresses));
    }

    /// Says what IKE_AUTH says of MOBIKE, where the connection wants it.
    pub(crate) fn mobike_offer(&self, host: &Host) -> Vec<Payload> {
        if !self.connection.as_ref().is_some_and(|connection| connection.mobike) {
            return Vec::new();
        }
        let own = self.advertised(host);
        let list = if own.is_empty() { Vec::new() } else { mobike::announce(&own) };
        let support = [mobike::supported(), idle_probe::supported()];
        support.into_iter().chain(list).chain(self.no_nats_statement()).collect()
    }

    /// Takes up what the peer's IKE_AUTH says of MOBIKE.
    ///
    /// Tells whether both sides can.
    pub(crate) fn take_mobike_offer(&mut self, host: &mut Host, now: Now, message: &Message) -> bool {
        let wanted = self.connection.as_ref().is_some_and(|connection| connection.mobike);
        let both = wanted && mobike::is_supported(message);
        if both {
            let addresses = mobike::addresses(message).unwrap_or_default();
            self.begin_mobility(host, now, addresses);
            if let Some(established) = self.established_mut() {
                established.estate.answers_late = idle_probe::is_supported(message);
            }
            self.want_introduction(host, now);
        }
        both
    }

    /// Says where this message comes from: so that a NAT is found, or so that none is allowed.
    fn nat_statement(&self, host: &Host) -> Vec<Payload> {
        if self.nat.supported { self.nat_notifies(host) } else { self.no_nats_statement() }
    }

    /// RFC 4555, 3.9: without NAT traversal the addresses are protected, whichever side did without it.
    fn no_nats_statement(&self) -> Vec<Payload> {
        if self.forbids_nats() || !self.nat.supported {
            vec![mobike::no_nats_allowed(self.path)]
        } else {
            Vec::new()
        }
    }

    fn wants_check(&self) -> Option<ReturnRoutability> {
        Some(self.return_routability()).filter(|policy| *policy != ReturnRoutability::Never)
    }
}

// ---- as who answers ----------------------------------------------------------------------------------

impl IkeSa {
    /// Acts upon what an INFORMATIONAL request says of addresses; returns what its answer says of them.
    pub(crate) fn on_address_notifies(
        &mut self,
        host: &mut Host,
        now: Now,
        message: &Message,
    ) -> Vec<Payload> {
        let mut reply: Vec<Payload> = mobike::returned_cookie(message).into_iter().collect();
        if !self.mobility().is_some_and(|mobility| mobility.enabled) {
            return reply;
        }
        let path = self.reply_path;
        let list = mobike::addresses(message);
        let update = message.notify(NotifyType::UPDATE_SA_ADDRESSES).is_some();
        let probes = message.notify(NotifyType::NAT_DETECTION_SOURCE_IP).is_some();
        // RFC 4555, 3.9: without NAT traversal all that can change addresses says where it comes from.
        let is_unsaid = !self.nat.supported && !mobike::says_where_from(message);
        if (update || list.is_some()) && (is_unsaid || !mobike::came_unchanged(message, path)) {
            tracing::info!(ike_sa = %self.id, %path, "a message was changed on the way, and no NAT is allowed");
            reply.push(notify(NotifyType::UNEXPECTED_NAT_DETECTED));
            return reply;
        }
        if probes && self.nat.supported {
            // RFC 4555, 3.8: the answer has them too.
            reply.extend(self.nat_notifies_on(host, path));
        }
        if let Some(addresses) = list {
            self.on_peer_addresses(host, now, addresses, path.remote.ip());
        }
        // RFC 4555, 3.5: the initiator decides.
        if update && !self.looks_after_path() {
            if !mobike::is_unicast(path.remote.ip()) || self.forbids(path) {
                reply.push(notify(NotifyType::UNACCEPTABLE_ADDRESSES));
                return reply;
            }
            self.follow_update(host, now, message, path);
        } else {
            self.check_early(now);
        }
        reply
    }

    /// Tells whether a peer that moved there is not followed: its address lies behind the tunnel.
    pub(crate) fn forbids(&self, path: Path) -> bool {
        self.established().is_some_and(|established| established.estate.is_behind(path.remote.ip()))
    }

    /// The initiator moved to a path.
    fn follow_update(&mut self, host: &mut Host, now: Now, message: &Message, path: Path) {
        let nat = self.nats_on(host, message, path);
        let encapsulation = self.encapsulation_on(host, &path, nat);
        let path = Path { encapsulation, ..path };
        let policy = self.return_routability();
        let check = self.mobility().and_then(|mobility| mobility.check.as_ref());
        let is_checked = check.is_some_and(|check| check.by != Sign::Request);
        let is_known = is_same(&path, &self.path) && !is_checked;
        let policy = if is_known { ReturnRoutability::Never } else { policy };
        self.follow_to(host, now, (path, nat), (policy, Sign::Update));
    }
}

/// Writes why a move happens: what made this host look, and what the policy says.
fn describe(cause: PathCause, why: &str) -> String {
    let cause = match cause {
        PathCause::ADDED => "another path came",
        PathCause::REMOVED => "the path in use went away",
        PathCause::SILENT => "the peer did not answer on the path in use",
        PathCause::UNREACHABLE => "the path in use was refused",
        PathCause::PEER_ADDRESSES => "the peer's addresses are others",
        _ => "",
    };
    [cause, why].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ")
}
