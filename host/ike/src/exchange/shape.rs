//! Which payloads an exchange's messages must and may have (RFC 7296 §1.2 to §1.5, appendix C).
//!
//! A message is checked against its table before any handler sees it, so that no handler asks whether a
//! payload is there. Notify and Vendor ID payloads may stand anywhere; what a table does not name is ignored.

use crate::wire::{ExchangeType, Message, PayloadType};

/// One form that a message may have.
#[derive(Debug)]
pub(crate) struct Shape {
    /// What it is called in logs.
    pub(crate) name: &'static str,
    /// What must stand in it, exactly once.
    pub(crate) required: &'static [PayloadType],
    /// What may stand in it, once at most.
    pub(crate) optional: &'static [PayloadType],
    /// Whether a Notify of an error type must stand in it.
    pub(crate) error: bool,
}

/// The forms of an exchange's messages, in the order in which they are tried.
#[derive(Debug)]
pub(crate) struct ExchangeShapes {
    /// The exchange.
    pub(crate) exchange: ExchangeType,
    /// The forms of its request.
    pub(crate) requests: &'static [Shape],
    /// The forms of its response.
    pub(crate) responses: &'static [Shape],
}

/// The table of every exchange.
pub(crate) const SHAPES: &[&ExchangeShapes] = &[
    &super::ike_sa_init::SHAPES,
    &super::ike_auth::SHAPES,
    &super::create_child_sa::SHAPES,
    &super::delete::SHAPES,
];

impl Shape {
    /// A form with what it must and may have.
    pub(crate) const fn of(
        name: &'static str,
        required: &'static [PayloadType],
        optional: &'static [PayloadType],
    ) -> Self {
        Self { name, required, optional, error: false }
    }

    /// A form that reports an error.
    pub(crate) const fn error(name: &'static str) -> Self {
        Self { name, required: &[], optional: &[], error: true }
    }

    fn admits(&self, message: &Message) -> bool {
        self.required.iter().all(|&kind| message.count(kind) == 1)
            && self.optional.iter().all(|&kind| message.count(kind) <= 1)
            && (!self.error || message.error_notify().is_some())
    }
}

/// Finds the form that a message has, or `None` if it has none of its exchange's.
pub(crate) fn find(message: &Message) -> Option<&'static Shape> {
    let shapes = SHAPES.iter().find(|shapes| shapes.exchange == message.header.exchange)?;
    let forms = if message.header.flags.response { shapes.responses } else { shapes.requests };
    forms.iter().find(|shape| shape.admits(message))
}

#[cfg(test)]
mod tests {
    use vpnhost_model::IkeSpi;

    use super::*;
    use crate::wire::payload::{Nonce, Notify, NotifyType};
    use crate::wire::{Flags, Header, Payload};

    fn message(exchange: ExchangeType, response: bool, payloads: Vec<Payload>) -> Message {
        let flags = Flags { initiator: !response, version: false, response };
        let header = Header::new((IkeSpi([1; 8]), IkeSpi::ZERO), exchange, flags, 0);
        Message { header, payloads }
    }

    #[test]
    fn a_message_without_its_payloads_has_no_form() {
        let nonce = || Payload::Nonce(Nonce { data: vec![1; 32] });
        assert!(find(&message(ExchangeType::IKE_SA_INIT, false, vec![nonce()])).is_none());
        assert!(find(&message(ExchangeType::CREATE_CHILD_SA, false, vec![nonce(), nonce()])).is_none());
        assert!(find(&message(ExchangeType::INFORMATIONAL, false, vec![])).is_some());
        assert!(find(&message(ExchangeType(99), false, vec![])).is_none());
    }

    #[test]
    fn an_error_is_a_form_of_a_response() {
        let notify = Payload::Notify(Notify::new(NotifyType::NO_PROPOSAL_CHOSEN, vec![]));
        let found = find(&message(ExchangeType::IKE_SA_INIT, true, vec![notify.clone()]));
        assert_eq!(found.map(|shape| shape.name), Some("error"));
        assert!(find(&message(ExchangeType::IKE_SA_INIT, false, vec![notify])).is_none());
    }
}
