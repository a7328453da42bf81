//! What can go wrong within the endpoint, by culprit. Nothing of it reaches a caller: it closes one
//! SA, answers one request, or is noise.

use vpnhost_crypto::CryptoError;

use crate::output::CloseReason;
use crate::wire::payload::NotifyType;
use crate::wire::{EncodeError, SealError};

/// A failure on the way through an exchange.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IkeError {
    /// The peer's message is against the protocol, or asks for what it cannot have.
    #[error("{what}")]
    Peer {
        /// What it is told.
        notify: NotifyType,
        /// What was wrong.
        what: &'static str,
    },
    /// A crypto backend or the source of randomness failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A message of ours does not fit into octets.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A message of ours could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A bound of this host is reached.
    #[error("{0} is used up")]
    Local(&'static str),
}

impl IkeError {
    /// The peer's message has a wrong form.
    pub(crate) fn syntax(what: &'static str) -> Self {
        Self::Peer { notify: NotifyType::INVALID_SYNTAX, what }
    }

    /// Returns the Notify that the peer gets in answer to its request.
    pub fn notify(&self) -> NotifyType {
        match self {
            Self::Peer { notify, .. } => *notify,
            Self::Crypto(CryptoError::BadPeerKey) => NotifyType::INVALID_SYNTAX,
            Self::Crypto(_) | Self::Encode(_) | Self::Seal(_) | Self::Local(_) => {
                NotifyType::TEMPORARY_FAILURE
            }
        }
    }

    /// Returns why an SA ends that cannot go on after this.
    pub fn close_reason(&self) -> CloseReason {
        match self {
            Self::Peer { what, .. } => CloseReason::Protocol((*what).to_owned()),
            Self::Crypto(CryptoError::BadPeerKey) => {
                CloseReason::Protocol(CryptoError::BadPeerKey.to_string())
            }
            Self::Crypto(_) | Self::Encode(_) | Self::Seal(_) | Self::Local(_) => {
                CloseReason::Internal(self.to_string())
            }
        }
    }
}
