//! What IKE asks of EAP (RFC 7296 §2.16, RFC 3748): a conversation that is fed with packets, on either end.
//!
//! The methods live in a crate of their own; nothing here knows one of them. A step may verify certificates
//! and sign, so it is a job and never done on the event loop; what a method draws beyond the randomness that it
//! is given (a TLS library draws its own) is thus outside of the endpoint too.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::{CryptoBackend, DrawnRandom, SecretBytes};
use vpnhost_model::Identity;
use vpnhost_pki::{Crl, Refusal};

use crate::auth::judged::JudgedCertificate;
use crate::wire::payload::Eap;

/// One end of an EAP conversation: the server's is begun without a packet.
pub trait EapMethod: Send {
    /// Takes the other end's packet, and says what comes of it. Called no more after success or failure.
    fn step(&mut self, incoming: Option<&Eap>) -> EapStep;

    /// Returns why it fails, once that is sure, while the other end is being told: it may give up without an answer.
    fn failure(&self) -> Option<EapFailure>;
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
    /// The other end's certificate, of a method that shows one.
    pub certificate: Option<Arc<JudgedCertificate>>,
    /// Whether the method proved the server too, and no one can guess a secret from what was said: only then
    /// may it stand without the server's certificate (RFC 5998 §4).
    pub stands_alone: bool,
}

/// What a conversation is begun with.
pub struct EapBegin {
    /// The wall clock: the time since 1970.
    pub unix: Duration,
    /// Who the other end says it is in IKE: proved only where it shows a certificate there.
    pub peer: Identity,
    /// For challenges.
    pub random: DrawnRandom,
    /// The method has to prove the server too, without a certificate in IKE: none that cannot is offered.
    pub stands_alone: bool,
    /// What certificates are verified with.
    pub crypto: &'static dyn CryptoBackend,
    /// The revocation lists that are known now.
    pub crls: Arc<[Crl]>,
}

/// Begins conversations as it is configured.
pub trait EapSetup: fmt::Debug + Send + Sync {
    /// Begins one.
    fn begin(&self, begin: EapBegin) -> Box<dyn EapMethod>;

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

impl Eq for EapConfig {}

/// Who an EAP conversation proved the client to be, for people and policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EapFacts {
    /// The client's name.
    pub identity: String,
    /// The method's name.
    pub method: &'static str,
    /// Who the client said it is in IKE's own ID payload, which nothing proves.
    pub ike_id: Identity,
}

/// Why an EAP conversation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EapFailure {
    /// The server does not know the user. The client is told the same as for a wrong password.
    #[error("there is no such user")]
    UnknownUser(String),
    /// The client's password is wrong.
    #[error("the password is wrong")]
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
    #[error("the other end's certificate is refused ({})", .0.code())]
    Certificate(Refusal),
    /// This host's own certificate is past its end, or before its begin: it is shown to nobody.
    #[error("{}", .0.sentence_of_own())]
    OwnCertificate(Refusal),
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
    /// The client wants to see a certificate, and this host has none (RFC 5998 §3).
    #[error("the client wants a certificate of this host, which proves itself by EAP alone")]
    WantsCertificate,
    /// The AUTH payload behind the conversation is not made with the conversation's key: somebody stands between.
    #[error("the AUTH payload is not made with the key that EAP made")]
    WrongKey,
    /// The gateway let this host in without asking for the proof that it was to give.
    #[error("the other end asked for no EAP, by which this host was to prove itself")]
    NotAsked,
    /// The method proved another user than the connection is for.
    #[error("EAP proved another user than the one that the connection is for")]
    AnotherUser(String),
    /// This host failed itself.
    #[error("this host failed: {0}")]
    Internal(String),
}

impl EapFailure {
    /// Returns what the sentence leaves out, as it is not for the log: names.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::UnknownUser(user) | Self::WrongPassword(user) | Self::AnotherUser(user) => {
                Some(user.clone())
            }
            Self::Certificate(refusal) | Self::OwnCertificate(refusal) => Some(refusal.to_string()),
            Self::Refused(_)
            | Self::ServerUnproven
            | Self::EarlySuccess
            | Self::NoCommonMethod { .. }
            | Self::Tls(_)
            | Self::Malformed(_)
            | Self::TooMuch(_)
            | Self::CannotStandAlone(_)
            | Self::WantsCertificate
            | Self::WrongKey
            | Self::NotAsked
            | Self::Internal(_) => None,
        }
    }

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
            Self::OwnCertificate(refusal) => refusal.code_of_own(),
            Self::Tls(_) => "eap-tls",
            Self::Malformed(_) => "eap-malformed",
            Self::TooMuch(_) => "eap-too-much",
            Self::CannotStandAlone(_) => "eap-cannot-stand-alone",
            Self::WantsCertificate => "eap-wants-certificate",
            Self::WrongKey => "eap-wrong-key",
            Self::NotAsked => "eap-not-asked",
            Self::AnotherUser(_) => "eap-another-user",
            Self::Internal(_) => "eap-internal",
        }
    }
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
