//! INFORMATIONAL with padding: how large a packet may be on the path in use (RFC 4555 leaves it open; RFC 8899).
//!
//! The request goes out in one datagram of the size that is tested, which nobody on the way may fragment; its repetitions
//! go out as small fragments of the same message, which RFC 7383 §2.5.2 allows, so that the exchange comes to its end
//! however small the path. If the first was answered the size arrives, less what whole blocks of a suite took from it.
//! Nothing is sent before a packet of such a size was.

use std::time::Duration;

use vpnhost_model::Now;

use crate::error::IkeError;
use crate::exchange::{LocalExchange, PathExchange};
use crate::host::Host;
use crate::limits;
use crate::output::{Event, Output};
use crate::sa::IkeSa;
use crate::sa::path_mtu::{FoundMtu, MtuSearch};
use crate::sa::path_test::{Aim, Heard, is_same};
use crate::sa::queue::{PathTask, Task};
use crate::timer::Timer;
use crate::wire::payload::{Notify, NotifyType};
use crate::wire::{ExchangeType, Payload};

/// What UDP's header and the non-ESP marker take of a datagram.
const UDP_AND_MARKER: u16 = 8 + 4;

impl IkeSa {
    /// A packet went out that is larger than any that is known to arrive on this path.
    pub(crate) fn on_large_packet(&mut self, host: &mut Host, now: Now, octets: u16) {
        let path = self.path;
        // Without fragments the exchange would not end on a path that is smaller.
        let may_test = self.fragmentation;
        let Some(mobility) = self.mobility_mut().filter(|mobility| mobility.enabled) else { return };
        let is_searched = mobility.mtu.as_ref().is_some_and(|search| is_same(&search.path, &path));
        if may_test && !is_searched {
            mobility.mtu = Some(MtuSearch::new(path, octets));
            self.want(Task::Path(PathTask::Mtu));
            self.start_next(host, now);
        }
    }

    /// Sends the next test of a search.
    pub(crate) fn begin_test_mtu(&mut self, host: &mut Host, now: Now) {
        let Some(search) = self.mtu_search() else { return self.end_mtu_search() };
        if let Some(established) = self.established_mut() {
            let tested = (search.path, search.size());
            established.local = Some(LocalExchange::Path(Box::new(PathExchange::Mtu(tested))));
        }
        self.next_aim = Aim::Other(search.path, 2);
        let sent = self.request_of_size(host, now, &search).map(|sent| self.note_tested(sent));
        self.settle(host, now, sent);
    }

    /// Whole blocks may have made a test smaller.
    fn note_tested(&mut self, sent: u16) {
        let local = self.established_mut().and_then(|established| established.local.as_mut());
        if let Some(LocalExchange::Path(exchange)) = local
            && let PathExchange::Mtu((_, tested)) = &mut **exchange
        {
            *tested = sent;
        }
    }

    /// Returns the search, unless the IKE SA has taken another path since.
    fn mtu_search(&self) -> Option<MtuSearch> {
        self.mobility()?.mtu.filter(|search| is_same(&search.path, &self.path))
    }

    /// What was found on another path is of no use.
    fn end_mtu_search(&mut self) {
        if let Some(mobility) = self.mobility_mut() {
            mobility.mtu = None;
        }
    }

    /// Returns how large the packet was that it sent.
    fn request_of_size(&mut self, host: &mut Host, now: Now, search: &MtuSearch) -> Result<u16, IkeError> {
        let size = search.size();
        let (exchange, id) = (ExchangeType::INFORMATIONAL, (false, self.window.next_request()));
        let ip = if self.path.remote.is_ipv4() { 20 } else { 40 };
        let room = usize::from(size.saturating_sub(ip + UDP_AND_MARKER));
        let with = |padding: usize| [Payload::Notify(Notify::new(NotifyType::PADDING, vec![0; padding]))];
        let len = |datagrams: &[Vec<u8>]| datagrams.iter().map(Vec::len).sum::<usize>();
        let mut padding =
            room.saturating_sub(len(&self.seal_within(host, exchange, id, (&with(0), usize::MAX))?));
        let mut whole = self.seal_within(host, exchange, id, (&with(padding), usize::MAX))?;
        if len(&whole) > room {
            // Whole blocks made it too large.
            padding =
                padding.saturating_sub((len(&whole) - room).next_multiple_of(limits::LARGEST_BLOCK.into()));
            whole = self.seal_within(host, exchange, id, (&with(padding), usize::MAX))?;
        }
        let least =
            if self.path.remote.is_ipv4() { limits::PATH_MTU_MIN_V4 } else { limits::PATH_MTU_MIN_V6 };
        let most = usize::from(least - ip - UDP_AND_MARKER);
        let pieces = self.seal_within(host, exchange, id, (&with(padding), most))?;
        let sent = usize::from(ip + UDP_AND_MARKER) + len(&whole);
        self.launch(host, now, whole);
        let patience = self.mtu_patience(search);
        let deadline = self.window.repeat_as(now.instant, pieces, patience);
        self.timers.set(Timer::Retransmit, deadline);
        Ok(u16::try_from(sent).unwrap_or(u16::MAX))
    }

    /// The first silence only makes packets smaller for a moment; the second is taken for the truth, and a path may have
    /// become slower.
    fn mtu_patience(&self, search: &MtuSearch) -> Duration {
        let most = self.backoff().first;
        let known = self.round_trip();
        known
            .filter(|_| !search.is_in_doubt())
            .map_or(most, |round_trip| (round_trip * 2 + limits::MTU_PATIENCE).min(most))
    }

    /// Takes the answer: it tells of the size if the request went out once.
    pub(crate) fn on_mtu_tested(&mut self, host: &mut Host, heard: Option<Heard>, tested: u16) {
        let answered = heard.is_some_and(|heard| heard.round_trip.is_some());
        let (ike_sa, path) = (self.id, self.path);
        let Some(mut search) = self.mtu_search() else { return self.end_mtu_search() };
        let told = search.note(answered, tested);
        let is_over = search.is_over();
        if let Some(mobility) = self.mobility_mut() {
            mobility.mtu = (!is_over).then_some(search);
            if let Some(octets) = told {
                mobility.found_mtu = Some(FoundMtu { path, octets });
            }
        }
        if let Some(octets) = told {
            host.output(Output::PathMtu(path, octets));
        }
        if let Some(octets) = search.found() {
            host.event(Event::PathMtu { ike_sa, path, octets });
        }
        if !is_over {
            // It begins once it is settled on which paths the answer came.
            self.want(Task::Path(PathTask::Mtu));
        }
    }
}
