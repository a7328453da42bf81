//! How long a NAT remembers, asked between our own ends by private Notifies (RFC 7296 §3.10.1: status types of private use).
//!
//! Who is behind a NAT asks on a port that carries nothing else; the peer answers at once, and once more after the time
//! that was asked for. What arrives then has found the NAT's mapping alive, which nothing from inside had refreshed.
//! Knows neither when it is asked nor what follows from it. A foreign peer says nothing of it, and is never asked.

use std::time::Duration;

use crate::limits;
use crate::wire::payload::{Notify, NotifyType};
use crate::wire::{Message, Payload};

/// Says that this host answers once more when it is asked to.
pub(crate) fn supported() -> Payload {
    Payload::Notify(Notify::new(NotifyType::IDLE_PROBE_SUPPORTED, Vec::new()))
}

/// Tells whether a peer does.
pub(crate) fn is_supported(message: &Message) -> bool {
    message.notify(NotifyType::IDLE_PROBE_SUPPORTED).is_some()
}

/// Asks for a further answer after a time, or says that it will come.
pub(crate) fn ask(span: Duration) -> Payload {
    with_span(NotifyType::IDLE_PROBE, span)
}

/// Is the further answer.
pub(crate) fn late_answer(span: Duration) -> Payload {
    with_span(NotifyType::IDLE_PROBE_ENDS, span)
}

/// Returns after which time a further answer is asked for, or promised; `None` also for one that is out of bounds.
pub(crate) fn asked(message: &Message) -> Option<Duration> {
    span_of(message, NotifyType::IDLE_PROBE)
}

/// Returns the time after which a further answer comes, if the message is one.
pub(crate) fn answered_late(message: &Message) -> Option<Duration> {
    span_of(message, NotifyType::IDLE_PROBE_ENDS)
}

fn with_span(kind: NotifyType, span: Duration) -> Payload {
    let millis = u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
    Payload::Notify(Notify::new(kind, millis.to_be_bytes().to_vec()))
}

fn span_of(message: &Message, kind: NotifyType) -> Option<Duration> {
    let octets = <[u8; 4]>::try_from(message.notify(kind)?.data.as_slice()).ok()?;
    let span = Duration::from_millis(u32::from_be_bytes(octets).into());
    (limits::IDLE_LEAST..=limits::IDLE_MOST).contains(&span).then_some(span)
}

#[cfg(test)]
mod tests {
    use vpnhost_model::IkeSpi;

    use super::*;
    use crate::wire::{ExchangeType, Flags, Header};

    fn message(payload: Payload) -> Message {
        let flags = Flags { initiator: true, version: false, response: false };
        let header = Header::new((IkeSpi([1; 8]), IkeSpi([2; 8])), ExchangeType::INFORMATIONAL, flags, 7);
        Message { header, payloads: vec![payload] }
    }

    #[test]
    fn a_time_out_of_bounds_is_not_asked_for() {
        for (span, taken) in
            [(0, false), (4_999, false), (5_000, true), (3_600_000, true), (3_600_001, false)]
        {
            let span = Duration::from_millis(span);
            assert_eq!(asked(&message(ask(span))), Some(span).filter(|_| taken), "{span:?}");
        }
        let short = Notify::new(NotifyType::IDLE_PROBE, vec![0, 0, 100]);
        assert_eq!(asked(&message(Payload::Notify(short))), None);
    }

    #[test]
    fn the_first_answer_is_not_the_further_one() {
        let span = Duration::from_secs(20);
        assert_eq!(answered_late(&message(ask(span))), None, "who repeats the first proves nothing");
        assert_eq!(answered_late(&message(late_answer(span))), Some(span));
    }
}
