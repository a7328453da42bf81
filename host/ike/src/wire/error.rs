//! Why octets are no message, and why a message does not fit into octets.

use crate::wire::PayloadType;

/// Octets that are no IKE message: where, in which payload, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{payload} at octet {offset}: {kind}")]
pub struct DecodeError {
    /// Where the octets at fault begin, counted from the message's first octet; within a reassembled
    /// message from the first octet of its content.
    pub offset: usize,
    /// The payload that they belong to; [`PayloadType::NONE`] is the message's header.
    pub payload: PayloadType,
    /// What is wrong.
    pub kind: DecodeErrorKind,
}

/// What is wrong with octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The octets end too early.
    #[error("{found} octets, at least {least} expected")]
    TooShort {
        /// How many there are.
        found: usize,
        /// How many are needed.
        least: usize,
    },
    /// There are more octets than allowed.
    #[error("{found} octets, at most {most} expected")]
    TooLong {
        /// How many there are.
        found: usize,
        /// How many are allowed.
        most: usize,
    },
    /// A length field does not fit what it measures.
    #[error("length field says {declared} octets, {found} are there")]
    Length {
        /// What the field says.
        declared: usize,
        /// What is there.
        found: usize,
    },
    /// More of something than this host takes.
    #[error("more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are taken.
        most: usize,
    },
    /// A count field does not fit what it counts.
    #[error("count field says {declared} {what}, {found} are there")]
    Count {
        /// Of what.
        what: &'static str,
        /// What the field says.
        declared: usize,
        /// What is there.
        found: usize,
    },
    /// A field has a value that it cannot have.
    #[error("{field} is {value}")]
    Value {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u32,
    },
    /// The message speaks another major version (RFC 7296 §2.5).
    #[error("major version is {0}")]
    MajorVersion(u8),
    /// The payload is critical and unknown: the answer is UNSUPPORTED_CRITICAL_PAYLOAD with its type
    /// (RFC 7296 §2.5).
    #[error("critical and unknown")]
    UnknownCritical,
    /// An Encrypted payload stands within another (RFC 7296 §3.1).
    #[error("stands within an encrypted payload")]
    Nested,
}

/// A message that does not fit into octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{payload}: {found} where at most {most} fit")]
pub struct EncodeError {
    /// The payload; [`PayloadType::NONE`] is the message as a whole.
    pub payload: PayloadType,
    /// How many octets or parts it has.
    pub found: usize,
    /// How many can be written.
    pub most: usize,
}
