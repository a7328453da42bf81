//! Why a certificate is refused: each reason with a stable code and a sentence.

use vpnhost_crypto::KeyError;

/// Octets that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the DER of what it should be")]
pub struct Malformed;

impl From<der::Error> for Malformed {
    fn from(_: der::Error) -> Self {
        Self
    }
}

impl From<std::num::TryFromIntError> for Malformed {
    fn from(_: std::num::TryFromIntError) -> Self {
        Self
    }
}

/// Why a file of certificates, lists or keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It is too large.
    #[error("a file of more than {limit} octets")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// There is nothing of the kind in it.
    #[error("no {what} in it, neither PEM nor DER")]
    Empty {
        /// What was looked for.
        what: &'static str,
    },
    /// One of the blocks cannot be read.
    #[error("{what} {number} of the file cannot be read")]
    Unreadable {
        /// What was looked for.
        what: &'static str,
        /// Which one, counted from one.
        number: usize,
    },
    /// The private key is refused.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// The private key is not the certificate's.
    #[error("the private key does not belong to the certificate of {subject}")]
    KeyMismatch {
        /// Whose certificate.
        subject: String,
    },
    /// No backend signs with such a key.
    #[error("no crypto backend signs with the key")]
    NoBackend,
}

/// Why a peer's certificate is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The peer sent none.
    #[error("the peer sent no certificate")]
    NoCertificate,
    /// It cannot be read, or is too large.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// No path leads to a trust anchor.
    #[error(
        "the certificate of {subject} leads to no trusted CA: {}",
        lacking((.subject, .top, .issuer))
    )]
    WrongCa {
        /// Whose certificate.
        subject: String,
        /// Whose is the topmost certificate that was found above it, or itself.
        top: String,
        /// Who issued that: the CA that is missing.
        issuer: String,
    },
    /// The search for a path had too many branches.
    #[error("the certificates form too many paths")]
    TooManyPaths,
    /// A signature in the path is wrong.
    #[error("the signature of the certificate of {subject} is not its issuer's")]
    BadSignature {
        /// Whose certificate.
        subject: String,
    },
    /// A signature algorithm is unknown or not allowed.
    #[error("the certificate of {subject} is signed with an algorithm that is unknown or needs allow_legacy")]
    Algorithm {
        /// Whose certificate.
        subject: String,
    },
    /// A key is too weak, or of an unsupported kind.
    #[error("the key of {subject}: {reason}")]
    Key {
        /// Whose key.
        subject: String,
        /// What is wrong.
        reason: KeyError,
    },
    /// A certificate is past its end.
    #[error("the certificate of {subject} expired {} ago", span(*.ago))]
    Expired {
        /// Whose certificate.
        subject: String,
        /// Seconds since its end.
        ago: i64,
    },
    /// A certificate is before its begin.
    #[error("the certificate of {subject} becomes valid in {}; is this host's clock right?", span(*.left))]
    NotYetValid {
        /// Whose certificate.
        subject: String,
        /// Seconds until its begin.
        left: i64,
    },
    /// A certificate that issued another is no CA's.
    #[error("{subject} is not allowed to issue certificates")]
    NotCa {
        /// Whose certificate.
        subject: String,
    },
    /// There are more CAs in the path than one of them allows.
    #[error("{subject} allows fewer CAs below it than there are")]
    PathTooLong {
        /// Whose certificate.
        subject: String,
    },
    /// The key usage has neither digitalSignature nor nonRepudiation (RFC 4945 §5.1.3.2).
    #[error("the key usage of {subject} does not allow to sign")]
    KeyUsage {
        /// Whose certificate.
        subject: String,
    },
    /// The extended key usage is not there where it is demanded, or for other purposes only.
    #[error("the extended key usage of {subject} {}", if *.is_there { format!("does not allow {wanted}") } else { format!("is missing, and {wanted} is demanded") })]
    MissingEku {
        /// Whose certificate.
        subject: String,
        /// The purpose that is demanded.
        wanted: &'static str,
        /// Whether it is there, for other purposes.
        is_there: bool,
    },
    /// A name is outside of what a CA may certify.
    #[error("a CA of the path may not certify a name of {subject}")]
    NameConstraints {
        /// Whose certificate.
        subject: String,
    },
    /// The policies of the path have nothing in common, and a CA demands it.
    #[error("the certificate policies of the path allow nothing that its CAs demand")]
    Policy,
    /// A critical extension is unknown.
    #[error("the certificate of {subject} has a critical extension that is unknown here: {oid}")]
    CriticalExtension {
        /// Whose certificate.
        subject: String,
        /// The extension's name.
        oid: String,
    },
    /// A certificate of the path is revoked.
    #[error("the certificate of {subject} is revoked ({reason})")]
    Revoked {
        /// Whose certificate.
        subject: String,
        /// The reason that the list gives.
        reason: &'static str,
    },
    /// Whether a certificate is revoked cannot be found out, and the operator demands it.
    #[error("no valid revocation list says whether the certificate of {subject} is revoked: {}", lack.of(issuer))]
    RevocationUnknown {
        /// Whose certificate.
        subject: String,
        /// Who should have made the list.
        issuer: String,
        /// What is wrong with the lists that there are.
        lack: Lack,
    },
    /// The certificate is somebody else's.
    #[error("the certificate is not for {asked}, but for {}", if .found.is_empty() { "nobody" } else { .found.as_str() })]
    WrongIdentity {
        /// Who was expected.
        asked: String,
        /// The certificate's names.
        found: String,
    },
}

impl Refusal {
    /// Returns the code of what is wrong with a certificate of this host, found before a peer had seen it.
    pub fn code_of_own(&self) -> &'static str {
        if matches!(self, Self::Expired { .. }) {
            "own-certificate-expired"
        } else {
            "own-certificate-not-yet-valid"
        }
    }

    /// Returns what to say of a certificate of this host, without its name.
    pub fn sentence_of_own(&self) -> &'static str {
        if matches!(self, Self::Expired { .. }) {
            "this host's own certificate has expired"
        } else {
            "this host's own certificate is not valid yet"
        }
    }

    /// Returns the code, which never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::Unreadable => "bad-certificate",
            Self::WrongCa { .. } => "wrong-ca",
            Self::TooManyPaths => "too-many-paths",
            Self::BadSignature { .. } => "bad-certificate-signature",
            Self::Algorithm { .. } => "certificate-algorithm",
            Self::Key { reason: KeyError::Weak { .. } | KeyError::Legacy, .. } => "weak-key",
            Self::Key { .. } => "unsupported-key",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::NotCa { .. } => "not-a-ca",
            Self::PathTooLong { .. } => "path-too-long",
            Self::KeyUsage { .. } => "key-usage",
            Self::MissingEku { .. } => "missing-eku",
            Self::NameConstraints { .. } => "name-constraints",
            Self::Policy => "certificate-policy",
            Self::CriticalExtension { .. } => "critical-extension",
            Self::Revoked { .. } => "revoked",
            Self::RevocationUnknown { .. } => "revocation-unknown",
            Self::WrongIdentity { .. } => "wrong-identity",
        }
    }
}

/// Why no list says whether a certificate is revoked; of several lists the nearest to one that would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// None of the issuer is known.
    NoList,
    /// It speaks of other certificates, or not of every reason.
    Scope,
    /// It does not say until when it counts.
    Endless,
    /// The issuer has not signed it.
    Signature,
    /// It counts only in so many seconds.
    Early(i64),
    /// A newer one was due so many seconds ago.
    Late(i64),
}

impl Lack {
    /// Returns how near a list is to one that would say it: the greater, the nearer.
    pub(crate) fn nearness(self) -> (u8, i64) {
        match self {
            Self::NoList => (0, 0),
            Self::Scope => (1, 0),
            Self::Signature => (2, 0),
            Self::Endless => (3, 0),
            Self::Early(left) => (4, -left),
            Self::Late(ago) => (5, -ago),
        }
    }

    fn of(self, issuer: &str) -> String {
        match self {
            Self::NoList => format!("there is none of {issuer}, neither out of a file nor fetched"),
            Self::Scope => format!("that of {issuer} does not speak of it, or not of every reason"),
            Self::Endless => format!("that of {issuer} says not until when it counts"),
            Self::Signature => format!("that of {issuer} is not signed by it"),
            Self::Early(left) => format!("that of {issuer} counts only in {}", span(left)),
            Self::Late(ago) => {
                format!("that of {issuer} counts no longer, as a newer one was due {} ago", span(ago))
            }
        }
    }
}

/// Tells what the missing CA issued, where that is not the peer's own certificate.
fn lacking((subject, top, issuer): (&str, &str, &str)) -> String {
    if top == issuer {
        format!("{top}, at its top, is not trusted here")
    } else if top == subject {
        format!("that of {issuer} is missing")
    } else {
        format!("that of {issuer} is missing, which is above {top}")
    }
}

/// A span of time as a person says it.
fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
