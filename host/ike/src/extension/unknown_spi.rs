//! ESP that finds no SA (RFC 7296 §1.5): a gateway that lost its SAs says so in clear to whoever sends on them, as soon as it
//! is up again, and a client that hears it asks at once instead of at the next of its own questions.
//!
//! Anybody can say it, so it is a hint: it has the client ask what its own suspicion would have it ask, and once a second at
//! most. Only what is answered under protection, or a token ([`crate::extension::crash_detection`]), changes anything.

use std::net::IpAddr;

use vpnhost_model::{ChildSpi, Encapsulation, IkeSpi, Now, Path};

use crate::endpoint::IkeEndpoint;
use crate::host::Host;
use crate::limits;
use crate::sa::IkeSa;
use crate::sa::estate::ChildPhase;
use crate::sa::queue::Task;
use crate::wire::payload::{Notify, NotifyType};
use crate::wire::{ExchangeType, Flags, Header, Message, Payload, PayloadType};

/// Octets in front of an IKE message that are not in front of ESP in UDP, and those that are not in front of raw ESP.
const MARKER: usize = 4;
const UDP_AND_MARKER: usize = 8 + MARKER;

impl Host {
    /// Says to whoever sent ESP that its SPI is unknown here: shortly after the start, to one who may be a client, and never
    /// more octets than came. How often, the packet path bounds, and [`Host::transmit_unprotected`].
    pub(crate) fn say_spi_is_unknown(&mut self, now: Now, spi: ChildSpi, (path, octets): (Path, usize)) {
        tracing::debug!(%spi, %path, "ESP for an SPI that is not here");
        let is_new = now.instant.saturating_since(self.started) < limits::LOSS_TOLD;
        let responds = self.config.connections.iter().any(|connection| connection.respond);
        let is_ours = self.local_addresses.iter().any(|link| link.address == path.local.ip());
        if !is_new || !responds || self.shutting_down || !is_ours || !is_single_host(path.remote.ip()) {
            return;
        }
        let (path, in_front) = match path.encapsulation {
            Encapsulation::Udp => (path, MARKER),
            Encapsulation::Raw => (on_nat_ports(path, self.config.ports[1]), UDP_AND_MARKER),
        };
        // What its own packets on a new IKE SA overtook is no loss.
        if self.directory.is_somebody_at(path.remote) {
            return;
        }
        if let Some(message) = message(spi).filter(|message| message.len() + in_front <= octets) {
            self.transmit_unprotected(now, path, message);
        }
    }
}

/// Writes that an SPI is unknown.
///
/// RFC 7296, 1.5: a request of no exchange, with the initiator's flag and SPIs of zero.
fn message(spi: ChildSpi) -> Option<Vec<u8>> {
    let flags = Flags { initiator: true, version: false, response: false };
    let header = Header::new((IkeSpi::default(), IkeSpi::default()), ExchangeType::INFORMATIONAL, flags, 0);
    let notify = Notify::new(NotifyType::INVALID_SPI, spi.0.to_be_bytes());
    Message { header, payloads: vec![Payload::Notify(notify)] }.encode().ok()
}

/// Returns the SPI that a message in clear says is unknown to its sender; such a message is never answered.
///
/// RFC 7296, 1.5: the SPIs of its header mean nothing.
pub(crate) fn said_in(header: &Header, datagram: &[u8]) -> Option<ChildSpi> {
    let is_it = header.exchange == ExchangeType::INFORMATIONAL
        && !header.flags.response
        && header.next_payload == PayloadType::NOTIFY;
    if !is_it {
        return None;
    }
    let message = Message::decode(datagram).ok()?;
    let spi = message.notify(NotifyType::INVALID_SPI)?.data.as_slice().try_into().ok()?;
    Some(ChildSpi(u32::from_be_bytes(spi)))
}

/// Returns the path of IKE beside raw ESP: to the port that IKE SAs float to.
fn on_nat_ports(path: Path, own: u16) -> Path {
    let (mut local, mut remote) = (path.local, path.remote);
    local.set_port(own);
    remote.set_port(4500);
    Path { local, remote, ..path }
}

fn is_single_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !address.is_multicast() && !address.is_unspecified() && !is_broadcast
}

impl IkeEndpoint {
    /// The host on the other end of a path, perhaps, says that an SPI is unknown to it: whoever sends to it there on that SPI
    /// asks. A few a second are heard, for each is held against all IKE SAs.
    pub(crate) fn hear_of_unknown_spi(&mut self, now: Now, path: &Path, spi: ChildSpi) {
        if !self.host.loss_hints.take(now.instant) {
            return;
        }
        let sends = |sa: &&IkeSa| sa.path.remote.ip() == path.remote.ip() && sa.sends_on(spi);
        if let Some(id) = self.sas.values().find(sends).map(|sa| sa.id) {
            self.visit(now, id, |sa, host| {
                sa.heed_loss_hint(host, now);
                sa.start_next(host, now);
            });
        }
    }
}

impl IkeSa {
    /// Tells whether packets go out on an SPI of the peer.
    fn sends_on(&self, spi: ChildSpi) -> bool {
        let mut children = self.established().into_iter().flat_map(|it| it.estate.children.values());
        children.any(|child| child.spi_out == spi && child.sends && child.phase == ChildPhase::Active)
    }

    /// Somebody says that the peer has lost an SA of this IKE SA: the peer is asked now, as when nothing comes in.
    fn heed_loss_hint(&mut self, host: &mut Host, now: Now) {
        if !self.looks_after_path() {
            return;
        }
        let is_doubted = self.is_doubted();
        let Some(mobility) = self.mobility_mut() else { return };
        let lately = |at| now.instant.saturating_since(at) < limits::LOSS_HINT_PAUSE;
        if mobility.loss_hinted.is_some_and(lately) {
            return;
        }
        let last = mobility.loss_hinted.replace(now.instant);
        tracing::debug!(ike_sa = %self.id, "INVALID_SPI, perhaps not the peer's");
        if is_doubted {
            self.hurry_hinted_doubt(host, now);
        } else if let Some(asked) = self.window.first_sent() {
            // Once for each request: or who says it often enough would keep it from ever being given up.
            if last.is_none_or(|last| last < asked) {
                self.repeat_besides(host, now);
            }
        } else {
            self.want(Task::Liveness);
        }
    }
}
