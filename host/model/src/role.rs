//! Who began.

/// The role of this host: in an exchange the side that sent the request is its initiator; of an
/// IKE SA, the side that sent the first IKE_SA_INIT (RFC 7296 §2.2, "original initiator").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Began.
    Initiator,
    /// Answers.
    Responder,
}

impl Role {
    /// Returns the peer's role.
    pub fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }

    /// Tells whether this is the initiator.
    pub fn is_initiator(self) -> bool {
        self == Self::Initiator
    }
}
