//! Why authentication fails, at either end (RFC 7296 §2.15).

use vpnhost_pki::Refusal;

use crate::auth::eap::EapFailure;

/// Why a peer is not who it says it is, or why this host cannot prove who it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationFailure {
    /// The AUTH payload does not match the secret.
    #[error("the pre-shared key does not match")]
    WrongSecret,
    /// No connection admits the identity.
    #[error("no connection admits this identity")]
    UnknownIdentity,
    /// The responder is not whom the connection asks for.
    #[error("the peer is another than the connection asks for (peer.id)")]
    UnexpectedIdentity {
        /// Who it says it is.
        said: String,
        /// Who it should be.
        expected: String,
    },
    /// No secret is configured for the identity.
    #[error("no secret for this identity")]
    NoSecret,
    /// The peer proves itself in another way than the connection wants, or in one that is unknown.
    #[error("the peer authenticates by {used}, the connection wants {wanted}")]
    Method {
        /// What the peer's AUTH payload says.
        used: String,
        /// What the connection wants.
        wanted: &'static str,
    },
    /// The peer's certificate is refused.
    #[error("{0}")]
    Certificate(Refusal),
    /// The AUTH payload is not signed with the key of the peer's certificate.
    #[error("the signature is not made with the key of the peer's certificate")]
    WrongSignature,
    /// The AUTH payload is signed with an algorithm that is unknown, unfit for the key, or not allowed.
    #[error("the signature algorithm {0}")]
    SignatureAlgorithm(&'static str),
    /// This host's key cannot sign in a way that the peer says it can verify.
    #[error("no signature of this host's {key} key is among what the peer verifies ({hashes})")]
    NoCommonSignature {
        /// The kind of the key.
        key: String,
        /// The hashes that the peer named.
        hashes: String,
    },
    /// EAP failed.
    #[error("EAP: {0}")]
    Eap(EapFailure),
    /// This host's own key could not sign.
    #[error("this host's private key cannot sign")]
    OwnKey,
    /// This host's own certificate is past its end, or before its begin: an initiator shows it to nobody.
    #[error("{}", .0.sentence_of_own())]
    OwnCertificate(Refusal),
}

impl AuthenticationFailure {
    /// Tells whether the fault is this host's own, not the peer's.
    pub(crate) fn is_our_own(&self) -> bool {
        matches!(
            self,
            Self::OwnKey
                | Self::OwnCertificate(_)
                | Self::Eap(EapFailure::OwnCertificate(_) | EapFailure::Internal(_))
        )
    }

    /// Returns the code, which never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongSecret => "wrong-psk",
            Self::UnknownIdentity => "unknown-identity",
            Self::UnexpectedIdentity { .. } => "unexpected-identity",
            Self::NoSecret => "no-secret",
            Self::Method { .. } => "auth-method",
            Self::Certificate(refusal) => refusal.code(),
            Self::WrongSignature => "wrong-signature",
            Self::SignatureAlgorithm(_) => "signature-algorithm",
            Self::NoCommonSignature { .. } => "no-common-signature",
            Self::Eap(failure) => failure.code(),
            Self::OwnKey => "own-key",
            Self::OwnCertificate(refusal) => refusal.code_of_own(),
        }
    }
}
