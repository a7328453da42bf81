//! What a peer refused: only a Notify comes back, so the sentence says what was asked for, and what it usually is that
//! the peer does not like.

use std::sync::Arc;

use vpnhost_model::{EspSuite, Identity, IkeSuite, KeyExchange, TrafficSelector};

use crate::config::{LocalAuth, OwnCertificate};
use crate::reason::some_of;

/// What the peer was asked for when it refused.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Asked {
    /// Nothing that would explain the refusal.
    #[default]
    Nothing,
    /// An IKE SA of one of these suites.
    Ike(Vec<IkeSuite>),
    /// To take this host for who it says it is.
    Login {
        /// Who this host says it is.
        local: Identity,
        /// Who it asked for, if for anybody.
        remote: Option<Identity>,
        /// How it proved that.
        by: Proof,
    },
    /// A Child SA.
    Child {
        /// Of one of these suites.
        suites: Vec<EspSuite>,
        /// Whether it was to replace one.
        rekey: bool,
        /// For this, behind this host and behind the peer.
        selectors: (Vec<TrafficSelector>, Vec<TrafficSelector>),
    },
    /// A key exchange of one of these groups, where the peer wants another.
    Group {
        /// What it wants.
        wanted: KeyExchange,
        /// What was offered.
        offered: Vec<KeyExchange>,
        /// Whether it was for Child SAs.
        child: bool,
    },
}

/// How this host proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// With a pre-shared key.
    Secret,
    /// With a certificate.
    Certificate,
    /// With a raw public key (RFC 7670).
    PublicKey,
    /// By EAP.
    Eap,
}

impl Proof {
    /// Returns how a connection has this host prove who it is.
    pub(crate) fn of(local: &LocalAuth) -> Self {
        match local {
            LocalAuth::SharedKey => Self::Secret,
            LocalAuth::Certificate(own) => {
                let is_raw = |own: &Arc<OwnCertificate>| own.credential().certificates().is_empty();
                if own.first().is_some_and(is_raw) { Self::PublicKey } else { Self::Certificate }
            }
            LocalAuth::Eap(_) | LocalAuth::EapAlone => Self::Eap,
        }
    }

    /// Returns what it usually is that a peer does not like.
    fn suspect(self) -> &'static str {
        match self {
            Self::Secret => "the pre-shared key",
            Self::Certificate => "the certificate (its CA, its validity, whether it is revoked)",
            Self::PublicKey => "the public key (is it the one that it has of us?)",
            Self::Eap => "what EAP proved (the user, the password or the certificate)",
        }
    }
}

impl Asked {
    /// Returns the code of the refusal.
    pub(super) fn code(&self, notify: &str) -> &'static str {
        match (self, notify) {
            // The encryption was agreed on before, in IKE_AUTH, where there is no group: it is what is new.
            (Self::Child { rekey: true, .. }, "NO_PROPOSAL_CHOSEN")
            | (Self::Group { child: true, .. }, _) => "pfs-mismatch",
            (Self::Group { child: false, .. }, _) => "wrong-group",
            (Self::Nothing | Self::Ike(_) | Self::Login { .. } | Self::Child { .. }, _) => code(notify),
        }
    }

    /// Returns the rest of a sentence that has told the Notify.
    pub(super) fn sentence(&self, notify: &str) -> String {
        match (self, notify) {
            (Self::Ike(suites), "NO_PROPOSAL_CHOSEN") => {
                format!(
                    "; we offered for IKE {}: compare encryption, integrity, prf and group",
                    some_of(suites)
                )
            }
            (Self::Child { suites, rekey: true, .. }, "NO_PROPOSAL_CHOSEN") => format!(
                "; we offered for ESP {}: the encryption was agreed on before, so it is the group (PFS)",
                some_of(suites)
            ),
            (Self::Child { suites, .. }, "NO_PROPOSAL_CHOSEN") => {
                format!("; we offered for ESP {}: compare encryption and integrity", some_of(suites))
            }
            (Self::Child { .. }, "TS_UNACCEPTABLE") => {
                "; it has no traffic selectors in common with ours".to_owned()
            }
            (_, "INTERNAL_ADDRESS_FAILURE") => "; it has no virtual address left for us".to_owned(),
            (_, "FAILED_CP_REQUIRED") => {
                "; it wants us to ask for a virtual address (request_address)".to_owned()
            }
            (Self::Login { by, .. }, "AUTHENTICATION_FAILED") => format!(
                "; it does not say why: its log does. Usually {}, or one of the two identities, is not what it expects",
                by.suspect()
            ),
            (Self::Group { wanted, offered, .. }, _) => {
                format!("; it wants group {wanted}, we allow only {}", some_of(offered))
            }
            (Self::Nothing | Self::Ike(_) | Self::Login { .. } | Self::Child { .. }, _) => String::new(),
        }
    }

    /// Returns the identities or selectors that were asked with, where the refusal is about them.
    pub(super) fn detail(&self, notify: &str) -> Option<String> {
        match self {
            Self::Login { local, remote: Some(remote), .. } => {
                Some(format!("we said we are {local}, and asked for {remote}"))
            }
            Self::Login { local, remote: None, .. } => Some(format!("we said we are {local}")),
            Self::Child { selectors: (local, remote), .. } if notify == "TS_UNACCEPTABLE" => {
                Some(format!("we asked for {} === {}", some_of(local), some_of(remote)))
            }
            Self::Nothing | Self::Ike(_) | Self::Child { .. } | Self::Group { .. } => None,
        }
    }
}

/// Returns the code of a Notify (RFC 7296 §3.10.1).
pub(super) fn code(notify: &str) -> &'static str {
    match notify {
        "NO_PROPOSAL_CHOSEN" => "no-common-proposal",
        "TS_UNACCEPTABLE" => "no-common-selector",
        "AUTHENTICATION_FAILED" => "authentication-refused",
        "INTERNAL_ADDRESS_FAILURE" => "pool-empty",
        "FAILED_CP_REQUIRED" => "address-required",
        "INVALID_KE_PAYLOAD" => "wrong-group",
        "NO_ADDITIONAL_SAS" => "no-additional-sas",
        "SINGLE_PAIR_REQUIRED" => "single-pair-required",
        "TEMPORARY_FAILURE" => "temporary-failure",
        "CHILD_SA_NOT_FOUND" => "child-sa-not-found",
        "INVALID_SYNTAX" => "invalid-syntax",
        "INVALID_MAJOR_VERSION" => "invalid-major-version",
        "UNSUPPORTED_CRITICAL_PAYLOAD" => "unsupported-critical-payload",
        _ => "refused",
    }
}
