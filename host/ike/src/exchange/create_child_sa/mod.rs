//! CREATE_CHILD_SA for Child SAs: a further one, or one in the place of another (RFC 7296 §1.3.1, §1.3.3).
//!
//! The responder's decision is a sub-machine that IKE_AUTH uses too: suites are ranked, selectors
//! narrowed, the key exchange answered, and the Child SA installed.

mod initiator;
mod responder;

pub(crate) use initiator::LocalChild;
pub(crate) use responder::{ChildDecision, ChildOffer, Next, Refusal};

use crate::exchange::shape::{ExchangeShapes, Shape};
use crate::wire::{ExchangeType, PayloadType};

/// RFC 7296 §1.3 and appendices C.3 and C.4.
pub(crate) const SHAPES: ExchangeShapes = ExchangeShapes {
    exchange: ExchangeType::CREATE_CHILD_SA,
    requests: &[
        Shape::of(
            "Child SA",
            &[
                PayloadType::SECURITY_ASSOCIATION,
                PayloadType::NONCE,
                PayloadType::TS_INITIATOR,
                PayloadType::TS_RESPONDER,
            ],
            &[PayloadType::KEY_EXCHANGE],
        ),
        Shape::of(
            "IKE SA",
            &[PayloadType::SECURITY_ASSOCIATION, PayloadType::NONCE, PayloadType::KEY_EXCHANGE],
            &[],
        ),
    ],
    responses: &[
        Shape::of(
            "Child SA",
            &[
                PayloadType::SECURITY_ASSOCIATION,
                PayloadType::NONCE,
                PayloadType::TS_INITIATOR,
                PayloadType::TS_RESPONDER,
            ],
            &[PayloadType::KEY_EXCHANGE],
        ),
        Shape::of(
            "IKE SA",
            &[PayloadType::SECURITY_ASSOCIATION, PayloadType::NONCE, PayloadType::KEY_EXCHANGE],
            &[],
        ),
        Shape::error("error"),
    ],
};
