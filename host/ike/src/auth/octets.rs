//! The octets that AUTH covers (RFC 7296 §2.15).

use vpnhost_crypto::{CryptoError, PrfAlgorithm, SecretBytes};

/// What one side signs: its first message, the other's nonce, and its own identity under SK_p.
#[derive(Clone, Copy)]
pub(crate) struct SignedOctets<'a> {
    /// RealMessage1 or RealMessage2: the side's IKE_SA_INIT that was answered or the answer.
    pub(crate) message: &'a [u8],
    /// The other side's nonce.
    pub(crate) nonce: &'a [u8],
    /// SK_pi of the initiator, SK_pr of the responder.
    pub(crate) sk_p: &'a SecretBytes,
    /// The body of the side's ID payload: type, three reserved octets, data.
    pub(crate) id_body: &'a [u8],
}

impl SignedOctets<'_> {
    /// Returns MACedID, the last part.
    pub(crate) fn maced_id(&self, prf: &dyn PrfAlgorithm) -> Result<SecretBytes, CryptoError> {
        prf.key(self.sk_p.expose())?.compute(&[self.id_body])
    }

    /// Returns them for a job on another thread.
    pub(crate) fn owned(&self, prf: &dyn PrfAlgorithm) -> Result<OwnedOctets, CryptoError> {
        let (message, nonce) = (self.message.to_vec(), self.nonce.to_vec());
        Ok(OwnedOctets { message, nonce, maced_id: self.maced_id(prf)? })
    }
}

/// The same as one thing of its own.
pub(crate) struct OwnedOctets {
    message: Vec<u8>,
    nonce: Vec<u8>,
    maced_id: SecretBytes,
}

impl OwnedOctets {
    /// Returns the parts that are signed, one after the other.
    pub(crate) fn parts(&self) -> [&[u8]; 3] {
        [&self.message, &self.nonce, self.maced_id.expose()]
    }
}
