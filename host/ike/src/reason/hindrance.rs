//! Why an IKE SA does not move, although something asks for it: told once of a path, until that path is another.

use std::time::Duration;

/// What keeps an IKE SA from a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Hindrance {
    /// A better path has not been there for long enough.
    #[error("a better path has to last {:.1} s more before it is taken", .0.as_secs_f64())]
    Settling(Duration),
    /// A better path is not known to work.
    #[error("a better path is tested before it is taken")]
    Untested,
    /// The path was tested.
    #[error("the peer did not answer on a path that was tested")]
    Unanswered,
    /// The peer seems to be at a new address, and nothing there answers this host (RFC 4555 §3.7).
    #[error("the peer seems to have moved, and does not answer at its new address: nothing is sent there")]
    NotReturned,
    /// The peer refuses its addresses.
    #[error("the peer refuses the path")]
    Refused,
    /// There is a NAT on it, and the connection forbids them (`encapsulation = "forbid-nat"`).
    #[error("a NAT is on the path, and the connection allows none")]
    Translated,
    /// The machine has no address, or no route, that leads to the peer.
    #[error("no path to the peer is left: it goes on as soon as there is one")]
    NoPath,
}

impl Hindrance {
    /// Returns the code, which never changes.
    pub fn code(self) -> &'static str {
        match self {
            Self::Settling(_) => "path-settling",
            Self::Untested => "path-untested",
            Self::Unanswered => "path-unanswered",
            Self::NotReturned => "path-not-returned",
            Self::Refused => "path-refused",
            Self::Translated => "path-translated",
            Self::NoPath => "no-path",
        }
    }
}
