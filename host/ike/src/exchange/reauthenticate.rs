//! Re-authentication: a further IKE SA with an IKE_AUTH of its own beside the old one, which ends when the new one
//! carries everything (RFC 7296 §2.8.3); and AUTH_LIFETIME, by which a responder asks for it (RFC 4478).
//!
//! Make before break: that the old one goes without a lost packet is the affair of `twins`.

use std::net::SocketAddr;
use std::time::Duration;

use vpnhost_model::{IkeSaId, Now};

use crate::endpoint::IkeEndpoint;
use crate::exchange::LocalExchange;
use crate::host::Host;
use crate::limits;
use crate::sa::IkeSa;
use crate::sa::maintenance::lifetime;
use crate::sa::queue::Task;
use crate::timer::Timer;
use crate::wire::payload::{Notify, NotifyType};
use crate::wire::{ExchangeType, Message, Payload};

impl IkeEndpoint {
    /// Has the peers of an IKE SA authenticated anew: only the original initiator can begin that, a responder asks.
    pub(crate) fn reauthenticate(&mut self, now: Now, id: IkeSaId) {
        let Some(sa) = self.sas.get(&id).filter(|sa| sa.announced) else { return };
        let Some(established) = sa.established() else { return };
        if !sa.role.is_initiator() {
            return self.visit_one(id, |sa, host| {
                sa.want(Task::AskReauthentication);
                sa.start_next(host, now);
            });
        }
        let name = established.connection.name.clone();
        let addresses = established.estate.addresses.iter().map(|(address, _)| *address).collect();
        let remote = sa.path.remote.ip();
        // Whoever has a successor already, or makes one, needs none.
        let is_made = |other: &IkeSa| other.role.is_initiator() && other.state.is_half_open();
        let is_under_way = self.sas_of(&name).iter().filter_map(|id| self.sas.get(id)).any(is_made);
        if sa.redundant_since.is_some() || is_under_way {
            return;
        }
        let Some(connection) = self.host.connection(&name).cloned() else { return };
        let gateway = connection.gateways.iter().map(|gateway| gateway.address);
        let same = |address: &SocketAddr| self.host.translators.is_same_host(address.ip(), remote);
        let gateway = gateway.clone().find(same).or(gateway.clone().next());
        tracing::debug!(ike_sa = %id, connection = name, "the peers are authenticated anew");
        self.begin_with(now, &connection, gateway, addresses);
    }
}

impl IkeSa {
    /// Sets the timers of what follows an authentication: the next one, and the end of what was not authenticated anew.
    pub(crate) fn set_authentication_timers(&mut self, host: &mut Host) {
        let Some(established) = self.established() else { return };
        let (since, own) = (established.authenticated, established.connection.timing.reauth);
        let (announced, jitter) = (established.announced_lifetime, established.plan.rekey_jitter_percent);
        let own = Some(own).filter(|own| !own.is_zero());
        let mut due = own.map(|own| since + Self::jittered(host, own, jitter));
        if let Some((at, span)) = announced {
            // In time: the peer ends it then.
            let at = at + Self::jittered(host, span - span / 10, jitter);
            due = Some(due.map_or(at, |due| due.min(at)));
        }
        match due.filter(|_| self.role.is_initiator()) {
            Some(due) => self.timers.set(Timer::Reauthenticate, due),
            None => self.timers.stop(Timer::Reauthenticate),
        }
        match own {
            Some(own) => self.timers.set(Timer::AuthenticationExpires, since + lifetime(own)),
            None => self.timers.stop(Timer::AuthenticationExpires),
        }
    }

    /// The time for it has come; if it fails it is tried again.
    pub(crate) fn on_reauthentication_timer(&mut self, host: &mut Host, now: Now) {
        host.reauthentications.push(self.id);
        let pause = Self::jittered(host, limits::REAUTHENTICATION_PAUSE, 20);
        self.timers.set(Timer::Reauthenticate, now.instant + pause);
    }

    /// Asks the peer to authenticate anew, now.
    pub(crate) fn begin_ask_reauthentication(&mut self, host: &mut Host, now: Now) {
        if let Some(established) = self.established_mut() {
            established.local = Some(LocalExchange::Liveness);
        }
        let sent = self.request(host, now, ExchangeType::INFORMATIONAL, &[auth_lifetime(Duration::ZERO)]);
        self.settle(host, now, sent);
    }

    /// Returns what a responder says of how long an authentication counts.
    pub(crate) fn auth_lifetime_notify(&self) -> Option<Payload> {
        let reauth = self.established()?.connection.timing.reauth;
        (!reauth.is_zero()).then(|| auth_lifetime(reauth))
    }

    /// Takes what the responder says of how long the authentication counts.
    pub(crate) fn note_auth_lifetime(&mut self, host: &mut Host, now: Now, message: &Message) {
        let Some(notify) = message.notify(NotifyType::AUTH_LIFETIME) else { return };
        let Ok(seconds) = <[u8; 4]>::try_from(notify.data.as_slice()) else { return };
        let span = Duration::from_secs(u32::from_be_bytes(seconds).into());
        let span = if span.is_zero() { span } else { span.max(limits::AUTH_LIFETIME_LEAST) };
        let is_initiator = self.role.is_initiator();
        if let Some(established) = self.established_mut().filter(|_| is_initiator) {
            established.announced_lifetime = Some((now.instant, span));
            self.set_authentication_timers(host);
        }
    }
}

fn auth_lifetime(span: Duration) -> Payload {
    let seconds = u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    Payload::Notify(Notify::new(NotifyType::AUTH_LIFETIME, seconds.to_be_bytes().to_vec()))
}
