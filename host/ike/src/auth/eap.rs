//! What IKE asks of EAP (RFC 7296 §2.16, RFC 3748): a conversation that is fed with packets, on either end.
//!
//! The methods live in a crate of their own; nothing here knows one of them. A step may verify certificates
//! and sign, so it is a job and never done on the event loop; what a method draws beyond the randomness that it
//! is given (a TLS library draws its own) is thus outside of the endpoint too.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::{DrawnRandom, SecretBytes};
use vpnhost_pki::Refusal;

use crate::wire::payload::Eap;

/// One end of an EAP conversation: the server's is begun without a packet.
pub trait EapMethod: Send {
    /// Takes the other end's packet, and says what comes of it. Called no more after success or failure.
    fn step(&mut self, incoming: Option<&Eap>) -> EapStep;
}

/// What comes of a packet.
#[derive(Debug)]
pub enum EapStep {
    /// The conversation goes on with this packet.
    Send(Eap),
    /// The other end has proved what it had to.
    Success {
        /// The server's Success; nothing of a client.
        packet: Option<Eap>,
        /// What both ends know now.
        outcome: EapOutcome,
    },
    /// There is no more to say.
    Failure {
        /// The server's Failure; nothing of a client.
        packet: Option<Eap>,
        /// Why.
        failure: EapFailure,
    },
}

/// What both ends of an EAP conversation know after its success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EapOutcome {
    /// The client's identity as the method has proved it, not as EAP's identity exchange claimed it.
    pub identity: String,
    /// The method's name for people.
    pub method: &'static str,
    /// The Master Session Key, of a method that makes one.
    pub msk: Option<SecretBytes>,
    /// Whether the method proved the server too, and no one can guess a secret from what was said: only then
    /// may it stand without the server's certificate (RFC 5998 §4).
    pub stands_alone: bool,
}

/// Begins conversations as it is configured.
pub trait EapSetup: fmt::Debug + Send + Sync {
    /// Begins one, at a wall clock time since 1970. One that must stand alone offers no method that cannot.
    fn begin(&self, unix: Duration, random: DrawnRandom, stands_alone: bool) -> Box<dyn EapMethod>;

    /// Tells whether one of its methods can stand without the server's certificate (RFC 5998 §4).
    fn can_stand_alone(&self) -> bool;

    /// Tells whether another is configured alike.
    fn is_same(&self, other: &dyn EapSetup) -> bool;

    /// Returns itself, for the comparison.
    fn as_any(&self) -> &dyn Any;
}

/// How a connection's EAP conversations are begun.
#[derive(Clone, Debug)]
pub struct EapConfig(pub Arc<dyn EapSetup>);

impl PartialEq for EapConfig {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_same(&*other.0)
    }
}

/// Why an EAP conversation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EapFailure {
    /// The server does not know the user. The client is told the same as for a wrong password.
    #[error("there is no user {0}")]
    UnknownUser(String),
    /// The client's password is wrong.
    #[error("the password of {0} is wrong")]
    WrongPassword(String),
    /// The other end says that it failed.
    #[error("the other end refused{}", said(.0))]
    Refused(String),
    /// The server does not know the password, so that it is not the one that it pretends to be.
    #[error("the server does not know the password")]
    ServerUnproven,
    /// The server said success before it had proved anything.
    #[error("the server said success before the method came to an end")]
    EarlySuccess,
    /// The two ends have no method in common.
    #[error("no common method: this host takes {ours}, the other end {theirs}")]
    NoCommonMethod {
        /// What is configured here.
        ours: String,
        /// What the other end asked for or offered.
        theirs: String,
    },
    /// The other end's certificate is refused.
    #[error("{0}")]
    Certificate(Refusal),
    /// TLS failed.
    #[error("TLS: {0}")]
    Tls(String),
    /// A packet of the other end has a wrong form or comes at a wrong time.
    #[error("{0}")]
    Malformed(&'static str),
    /// A bound is reached.
    #[error("{0}")]
    TooMuch(&'static str),
    /// A method without a certificate of the server was used that cannot stand alone (RFC 5998 §4).
    #[error("{0} cannot stand without the server's certificate")]
    CannotStandAlone(&'static str),
    /// This host failed itself.
    #[error("this host failed: {0}")]
    Internal(String),
}

impl EapFailure {
    /// Returns the code, which never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownUser(_) => "eap-unknown-user",
            Self::WrongPassword(_) => "eap-wrong-password",
            Self::Refused(_) => "eap-refused",
            Self::ServerUnproven => "eap-server-unproven",
            Self::EarlySuccess => "eap-early-success",
            Self::NoCommonMethod { .. } => "eap-no-common-method",
            Self::Certificate(refusal) => refusal.code(),
            Self::Tls(_) => "eap-tls",
            Self::Malformed(_) => "eap-malformed",
            Self::TooMuch(_) => "eap-too-much",
            Self::CannotStandAlone(_) => "eap-cannot-stand-alone",
            Self::Internal(_) => "eap-internal",
        }
    }
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
