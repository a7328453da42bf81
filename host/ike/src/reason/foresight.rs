//! What will fail later, told when an SA is set up: everything works by then, and nobody looks.

use std::time::Duration;

use vpnhost_model::KeyExchange;

use crate::reason::some_of;

/// Something that will fail unless it is changed before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Foresight {
    /// The peer's certificate ends before the peers are authenticated anew.
    #[error(
        "the peer's certificate ends in {}, {}: this IKE SA ends with it",
        span(*.left),
        reauth.map_or_else(
            || "and nothing authenticates anew before (reauth)".to_owned(),
            |reauth| format!("before the peers are authenticated anew in {}", span(reauth)),
        )
    )]
    CertificateEnds {
        /// How long it is good for.
        left: Duration,
        /// When the peers would be authenticated anew.
        reauth: Option<Duration>,
    },
    /// The peer offered groups for the Child SA, none of which is configured.
    #[error(
        "child {child} will not be rekeyed: they offer {} for a key exchange of its own (PFS), we allow only {}",
        some_of(theirs),
        some_of(ours)
    )]
    PfsMismatch {
        /// The child.
        child: String,
        /// The groups that the peer offered.
        theirs: Vec<KeyExchange>,
        /// Those that are configured.
        ours: Vec<KeyExchange>,
    },
    /// IKE_AUTH needs no group for the Child SA; its rekey does, and none of those that are configured can be used.
    #[error(
        "child {child} will not be rekeyed: of its groups ({}) no crypto backend has one that is allowed",
        some_of(groups)
    )]
    NoUsableGroup {
        /// The child.
        child: String,
        /// The groups that are configured.
        groups: Vec<KeyExchange>,
    },
    /// The SA is to be renewed sooner than a lost message is given up: a single loss may cost it.
    #[error(
        "{what} is renewed after {}, but a lost message is repeated for {}: one loss may end it",
        span(*.after),
        span(*.patience)
    )]
    LifeTooShort {
        /// What is renewed.
        what: String,
        /// After which time.
        after: Duration,
        /// How long a request is repeated.
        patience: Duration,
    },
}

impl Foresight {
    /// Returns the code, which never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::CertificateEnds { .. } => "certificate-ends-first",
            Self::PfsMismatch { .. } => "pfs-mismatch-ahead",
            Self::NoUsableGroup { .. } => "no-usable-group",
            Self::LifeTooShort { .. } => "life-too-short",
        }
    }
}

fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
