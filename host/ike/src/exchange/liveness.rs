//! Liveness: an INFORMATIONAL without payloads, which whoever is there answers (RFC 7296 §1.4, §2.4).

use std::time::Duration;

use vpnhost_model::Now;

use crate::exchange::LocalExchange;
use crate::host::Host;
use crate::output::Event;
use crate::sa::IkeSa;
use crate::wire::ExchangeType;

impl IkeSa {
    /// Asks the peer whether it is there.
    pub(crate) fn begin_liveness(&mut self, host: &mut Host, now: Now) {
        if let Some(established) = self.established_mut() {
            established.local = Some(LocalExchange::Liveness);
        }
        let sent = self.request(host, now, ExchangeType::INFORMATIONAL, &[]);
        self.settle(host, now, sent);
    }

    /// The peer is there.
    pub(crate) fn on_liveness_response(&mut self, host: &mut Host, round_trip: Option<Duration>) {
        let ike_sa = self.id;
        let Some(established) = self.established_mut() else { return };
        tracing::debug!(%ike_sa, ?round_trip, "the peer is alive");
        if std::mem::take(&mut established.tell_alive) {
            host.event(Event::Alive { ike_sa, round_trip });
        }
    }
}
