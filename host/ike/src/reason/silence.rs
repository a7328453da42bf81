//! What is known of a peer that does not answer: which request went where, how often, and whether anything
//! ever came back.

use std::fmt;
use std::time::Duration;

use vpnhost_model::Path;

use crate::wire::ExchangeType;

/// A request without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// How often it was repeated.
    pub tries: u16,
    /// What it was.
    pub request: ExchangeType,
    /// Where it went.
    pub path: Path,
    /// Where the peer had answered before this IKE SA moved to the NAT traversal port.
    pub answered: Option<Path>,
    /// Since the peer was last heard of, if it ever was.
    pub heard: Option<Duration>,
}

impl Silence {
    /// Tells whether the peer answers, only not on the port for NAT traversal.
    pub fn is_nat_traversal_blocked(&self) -> bool {
        self.answered.is_some() && self.request == ExchangeType::IKE_AUTH
    }

    pub(super) fn detail(&self) -> String {
        let Self { path, .. } = self;
        match &self.answered {
            Some(answered) => format!("answered at {}, not at {}", answered.remote, path.remote),
            None => format!("sent to {}", path.remote),
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, port) = (u32::from(self.tries) + 1, self.path.remote.port());
        match self.answered {
            Some(answered) if self.is_nat_traversal_blocked() => write!(
                f,
                "no response to {} on UDP port {port}, sent {sent} times, while UDP port {} is answered: \
                 something on the way blocks NAT traversal",
                self.request,
                answered.remote.port()
            )?,
            Some(_) | None => {
                write!(f, "no response to {} on UDP port {port}, sent {sent} times", self.request)?;
            }
        }
        match self.heard {
            Some(heard) => write!(f, "; the peer was last heard of {} s ago", heard.as_secs()),
            None => f.write_str("; nothing ever came back"),
        }
    }
}
