//! What protects the messages of an IKE SA: keys in use, IVs, and fragments that have arrived.

use vpnhost_crypto::{
    CryptoBackend, CryptoError, IvKind, PacketAlgorithm, PacketKey, PrfAlgorithm, SecureRandom,
};
use vpnhost_model::{IkeSuite, Role};

use crate::error::IkeError;
use crate::extension::fragmentation::{FragmentError, Reassembly, seal_fragments};
use crate::sa::keys::IkeKeys;
use crate::wire::{DecodeError, Envelope, Header, Message, OpenError, Payload};

/// What protects the messages of an IKE SA.
pub(crate) struct Secured {
    pub(crate) suite: IkeSuite,
    pub(crate) prf: &'static dyn PrfAlgorithm,
    pub(crate) keys: IkeKeys,
    seal: Box<dyn PacketKey>,
    open: Box<dyn PacketKey>,
    ivs_used: u64,
    requests: Reassembly,
    responses: Reassembly,
}

/// What a protected datagram turned out to be.
pub(crate) enum Unsealed {
    /// A whole message, or the peer's fault in one.
    Message(Result<Message, DecodeError>),
    /// A fragment; others are missing.
    Fragment,
    /// Nothing that comes from the peer.
    Noise,
}

impl Secured {
    /// Takes keys into use for an original role.
    pub(crate) fn new(
        crypto: &'static dyn CryptoBackend,
        suite: IkeSuite,
        keys: IkeKeys,
        role: Role,
    ) -> Result<Self, CryptoError> {
        let algorithm = crypto.find_packet(suite.packet).ok_or(CryptoError::Unsupported)?;
        let prf = crypto.find_prf(suite.prf).ok_or(CryptoError::Unsupported)?;
        let of_initiator = algorithm.key(keys.sk_ei.expose(), keys.sk_ai.expose())?;
        let of_responder = algorithm.key(keys.sk_er.expose(), keys.sk_ar.expose())?;
        let (seal, open) = match role {
            Role::Initiator => (of_initiator, of_responder),
            Role::Responder => (of_responder, of_initiator),
        };
        let (requests, responses) = (Reassembly::default(), Reassembly::default());
        Ok(Self { suite, prf, keys, seal, open, ivs_used: 0, requests, responses })
    }

    /// Seals payloads into datagrams of at most `most` octets each.
    pub(crate) fn seal(
        &mut self,
        random: &mut dyn SecureRandom,
        header: &Header,
        payloads: &[Payload],
        most: usize,
    ) -> Result<Vec<Vec<u8>>, IkeError> {
        let used = &mut self.ivs_used;
        let mut write_iv = |kind: IvKind, out: &mut [u8]| match kind {
            IvKind::Unpredictable => random.fill(out),
            IvKind::Counter => {
                *used = used.checked_add(1).ok_or(CryptoError::Backend)?;
                let counter = used.to_be_bytes();
                let start = out.len().checked_sub(counter.len()).ok_or(CryptoError::BadLength)?;
                out[start..].copy_from_slice(&counter);
                Ok(())
            }
        };
        let kind = self.seal.layout().iv_kind;
        let mut iv = |out: &mut [u8]| write_iv(kind, out);
        Ok(seal_fragments(header, payloads, &mut *self.seal, &mut iv, most)?)
    }

    /// Opens a datagram in place.
    pub(crate) fn open(&mut self, envelope: Envelope, datagram: &mut [u8]) -> Unsealed {
        if envelope.fragment.is_some() {
            let response = envelope.header.flags.response;
            let set = if response { &mut self.responses } else { &mut self.requests };
            return match set.accept(envelope, datagram, &mut *self.open) {
                Ok(Some(whole)) => Unsealed::Message(whole.message()),
                Ok(None) => Unsealed::Fragment,
                Err(FragmentError::Open(error)) => noise(envelope, error),
                Err(error) => {
                    tracing::debug!(%error, "fragment dropped");
                    Unsealed::Noise
                }
            };
        }
        match envelope.open(datagram, &mut *self.open) {
            Ok(opened) => Unsealed::Message(opened.message()),
            Err(error) => noise(envelope, error),
        }
    }

    /// Tells whether a datagram comes from the peer, without taking it; it is decrypted in place.
    pub(crate) fn is_authentic(&mut self, envelope: Envelope, datagram: &mut [u8]) -> bool {
        envelope.open(datagram, &mut *self.open).is_ok()
    }

    /// Returns how many octets of incomplete messages are held.
    pub(crate) fn fragment_octets(&self) -> usize {
        self.requests.octets() + self.responses.octets()
    }

    /// Gives up incomplete sets of fragments.
    pub(crate) fn drop_fragments(&mut self) {
        self.requests.clear();
        self.responses.clear();
    }
}

/// What cannot be opened is noise, unless it bears the right ICV: then the peer is at fault.
fn noise(envelope: Envelope, error: OpenError) -> Unsealed {
    tracing::debug!(%error, message_id = envelope.header.message_id, "message dropped");
    if !error.is_authentic() {
        return Unsealed::Noise;
    }
    Unsealed::Message(Err(DecodeError {
        offset: Header::LEN,
        payload: crate::wire::PayloadType::ENCRYPTED,
        kind: crate::wire::DecodeErrorKind::Value { field: "pad length", value: 0 },
    }))
}
