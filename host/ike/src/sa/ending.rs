//! How an IKE SA ends: with a goodbye to the peer, or here and now.

use vpnhost_model::Now;

use crate::error::IkeError;
use crate::host::{Ending, Host};
use crate::limits;
use crate::output::{CloseReason, Event};
use crate::sa::IkeSa;
use crate::sa::state::State;
use crate::timer::Timer;
use crate::wire::{ExchangeType, Payload};

impl IkeSa {
    /// Lets this IKE SA end here and now. What it had goes; its last reply is kept for repetitions.
    pub(crate) fn end(&mut self, host: &mut Host, now: Now, reason: CloseReason) {
        if matches!(self.state, State::Gone | State::Closed) {
            return;
        }
        let was_established =
            matches!(self.state, State::Established(_) | State::Rekeyed | State::Closing(_));
        let peer = self.established().map(|established| established.peer_id.clone());
        self.leave_half_open(host);
        if !was_established && !self.role.is_initiator() && reason.is_failed_login() {
            self.count_failure(host, now);
        }
        self.give_up_estate(host, now, &reason);
        host.forget_ike_sa(self.id);
        self.waits.clear();
        self.timers.clear();
        self.window.withdraw();
        let repeats = !self.window.reply().is_empty() && self.secured.is_some();
        self.state = if repeats { State::Gone } else { State::Closed };
        self.timers.set(Timer::HalfOpen, now.instant + limits::LAST_REPLY);
        if !self.announced {
            return;
        }
        let connection = self.connection.as_ref().map(|connection| connection.name.clone());
        tracing::debug!(ike_sa = %self.id, connection, %reason, "IKE SA closed");
        host.event(Event::IkeSaClosed { ike_sa: self.id, connection, reason: reason.clone() });
        if let Some(connection) = self.connection.clone() {
            let carried = self.carried;
            host.endings.push(Ending { connection, peer, was_established, carried, reason });
        }
    }

    /// Holds a failed login against where it comes from.
    pub(crate) fn count_failure(&mut self, host: &mut Host, now: Now) {
        if !std::mem::replace(&mut self.counted_failed, true) {
            host.directory.crowd.failed(now.instant, self.path.remote.ip());
        }
    }

    /// Counts no longer as half open.
    pub(crate) fn leave_half_open(&mut self, host: &mut Host) {
        if let Some(address) = self.counted_half_open.take() {
            host.directory.crowd.leave(address);
        }
        self.count_fragments(host);
        self.timers.stop(Timer::HalfOpen);
    }

    /// Sends a last INFORMATIONAL and ends when it is answered, or soon if not.
    pub(crate) fn say_goodbye(&mut self, host: &mut Host, now: Now, reason: CloseReason, payload: Payload) {
        self.leave_half_open(host);
        self.give_up_estate(host, now, &reason);
        self.waits.clear();
        self.timers.clear();
        self.window.withdraw();
        self.state = State::Closing(reason.clone());
        if let Err(error) = self.request(host, now, ExchangeType::INFORMATIONAL, &[payload]) {
            tracing::warn!(ike_sa = %self.id, %error, "no goodbye could be sent");
            self.end(host, now, reason);
        }
    }

    /// Ends an exchange that cannot go on.
    pub(crate) fn settle(&mut self, host: &mut Host, now: Now, result: Result<(), IkeError>) {
        if let Err(error) = result {
            tracing::debug!(ike_sa = %self.id, %error, "the IKE SA cannot go on");
            self.end(host, now, error.close_reason());
        }
    }
}
