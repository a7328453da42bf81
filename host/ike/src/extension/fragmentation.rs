//! IKE fragmentation (RFC 7383): cuts a sealed message into datagrams, and puts fragments together.
//!
//! A fragment is stored only after its ICV was right. When a set is given up is the exchange's affair.

use std::collections::BTreeMap;

use vpnhost_crypto::{CryptoError, PacketKey};

use crate::wire::protected::{self, Content};
use crate::wire::{
    DecodeError, Envelope, FragmentPosition, Header, IvSource, Message, OpenError, Payload, PayloadType,
    SealError, limits, payload,
};

/// Seals payloads into one message of at most `max_message` octets, or else into fragments of at most
/// as many (RFC 7383 §2.5). The octets are those of the IKE message: the headers of IP and UDP and the
/// non-ESP marker come on top.
///
/// # Errors
/// The payloads do not fit into [`limits::FRAGMENTS`] datagrams, or the key or the source of IVs fails.
pub fn seal_fragments(
    header: &Header,
    payloads: &[Payload],
    key: &mut dyn PacketKey,
    iv: &mut IvSource<'_>,
    max_message: usize,
) -> Result<Vec<Vec<u8>>, SealError> {
    let octets = protected::encode_content(payloads)?;
    let first = protected::first_of(payloads);
    let layout = key.layout();
    if protected::sealed_len(layout, false, octets.len()) <= max_message {
        let content = Content { first, fragment: None, octets: &octets };
        return protected::seal_content(header, content, key, iv).map(|message| vec![message]);
    }
    let overhead = protected::overhead_before_iv(true) + layout.iv_len + layout.icv_len;
    let block_len = layout.block_len.max(1);
    let text_len = max_message.saturating_sub(overhead) / block_len * block_len;
    let chunk_len = text_len.saturating_sub(1);
    let total = octets.len().checked_div(chunk_len).map_or(usize::MAX, |_| octets.len().div_ceil(chunk_len));
    let total = u16::try_from(total).ok().filter(|&total| total <= limits::FRAGMENTS);
    let Some(total) = total else {
        return Err(SealError::Fragments { content_len: octets.len(), most: limits::FRAGMENTS, max_message });
    };
    (1..=total)
        .zip(octets.chunks(chunk_len))
        .map(|(number, chunk)| {
            // RFC 7383, 2.5: only the first fragment names the first payload.
            let first = if number == 1 { first } else { PayloadType::NONE };
            let content =
                Content { first, fragment: Some(FragmentPosition { number, total }), octets: chunk };
            protected::seal_content(header, content, key, iv)
        })
        .collect()
}

/// The fragments of one message that have arrived. Each direction of an IKE SA has one: requests and
/// responses count their Message IDs apart.
#[derive(Debug, Default)]
pub struct Reassembly {
    set: Option<FragmentSet>,
}

/// Fragments that belong together.
#[derive(Debug)]
struct FragmentSet {
    header: Header,
    first: PayloadType,
    total: u16,
    chunks: BTreeMap<u16, Vec<u8>>,
    content_len: usize,
    refused: Option<DecodeError>,
}

impl Reassembly {
    /// Tells whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.set.is_none()
    }

    /// Returns the Message ID of what is stored.
    pub fn message_id(&self) -> Option<u32> {
        self.set.as_ref().map(|set| set.header.message_id)
    }

    /// Returns how many octets are stored.
    pub fn octets(&self) -> usize {
        self.set.as_ref().map_or(0, |set| set.content_len)
    }

    /// Gives up what is stored.
    pub fn clear(&mut self) {
        self.set = None;
    }

    /// Opens a fragment in place and stores its content; with the last one the whole is returned and
    /// nothing stays stored. The envelope is the one found in the datagram.
    ///
    /// # Errors
    /// The fragment is to be dropped in silence; what was stored stays, unless it has grown beyond
    /// [`limits::MESSAGE`].
    pub fn accept(
        &mut self,
        envelope: Envelope,
        datagram: &mut [u8],
        key: &mut dyn PacketKey,
    ) -> Result<Option<Reassembled>, FragmentError> {
        let position = envelope.fragment.ok_or(FragmentError::NotAFragment)?;
        self.admit(&envelope, position)?;
        let opened = envelope.open(datagram, key)?;
        let refused = opened.check_outer().err();
        let set = self.set_for(&envelope, position);
        set.refused = set.refused.or(refused);
        set.store(&envelope, position, opened.content());
        if set.content_len > limits::MESSAGE {
            self.clear();
            return Err(FragmentError::TooLarge);
        }
        if set.chunks.len() < usize::from(set.total) {
            return Ok(None);
        }
        Ok(self.set.take().map(FragmentSet::join))
    }

    /// Applies the tests of RFC 7383 §2.6 that come before the ICV.
    fn admit(&self, envelope: &Envelope, position: FragmentPosition) -> Result<(), FragmentError> {
        if position.total > limits::FRAGMENTS {
            return Err(FragmentError::TooMany { total: position.total });
        }
        let Some(set) = self.set.as_ref().filter(|set| set.is_of(envelope)) else { return Ok(()) };
        if position.total < set.total {
            return Err(FragmentError::Stale { total: position.total, current: set.total });
        }
        if position.total == set.total && set.chunks.contains_key(&position.number) {
            return Err(FragmentError::Duplicate { number: position.number });
        }
        Ok(())
    }

    /// Returns the set that an authentic fragment belongs to. Another message, or a larger total, which
    /// means that the peer has cut its message anew, starts over (RFC 7383 §2.6).
    fn set_for(&mut self, envelope: &Envelope, position: FragmentPosition) -> &mut FragmentSet {
        let keep = |set: &FragmentSet| set.is_of(envelope) && set.total == position.total;
        if !self.set.as_ref().is_some_and(keep) {
            self.set = None;
        }
        self.set.get_or_insert_with(|| FragmentSet {
            header: envelope.header,
            first: PayloadType::NONE,
            total: position.total,
            chunks: BTreeMap::new(),
            content_len: 0,
            refused: None,
        })
    }
}

impl FragmentSet {
    fn is_of(&self, envelope: &Envelope) -> bool {
        self.header.message_id == envelope.header.message_id
    }

    fn store(&mut self, envelope: &Envelope, position: FragmentPosition, content: &[u8]) {
        if position.number == 1 {
            self.header = envelope.header;
            self.first = envelope.first;
        }
        self.content_len += content.len();
        self.chunks.insert(position.number, content.to_vec());
    }

    fn join(self) -> Reassembled {
        let content = self.chunks.into_values().collect::<Vec<_>>().concat();
        Reassembled { header: self.header, first: self.first, content, refused: self.refused }
    }
}

/// A message put together from its fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassembled {
    /// The header of the first fragment.
    pub header: Header,
    /// The first payload within.
    pub first: PayloadType,
    /// The content that an Encrypted payload would have had.
    pub content: Vec<u8>,
    refused: Option<DecodeError>,
}

impl Reassembled {
    /// Reads the payloads.
    ///
    /// # Errors
    /// The content is malformed, or a payload is critical and unknown.
    pub fn message(&self) -> Result<Message, DecodeError> {
        self.refused.map_or(Ok(()), Err)?;
        let payloads = payload::decode_inner_chain(self.first, &self.content, 0)?;
        Ok(Message { header: self.header, payloads })
    }
}

/// A fragment that is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// The message is not a fragment.
    #[error("message is not a fragment")]
    NotAFragment,
    /// Its message is cut into more fragments than this host stores.
    #[error("fragment of {total}, at most {most} are stored", most = limits::FRAGMENTS)]
    TooMany {
        /// How many there are.
        total: u16,
    },
    /// The peer has cut its message into more fragments since.
    #[error("fragment of {total} when the message now has {current}")]
    Stale {
        /// How many this one knows of.
        total: u16,
        /// How many there are now.
        current: u16,
    },
    /// It is stored already.
    #[error("fragment {number} is here already")]
    Duplicate {
        /// Its number.
        number: u16,
    },
    /// The message would be larger than [`limits::MESSAGE`]; what was stored is given up.
    #[error("fragments of more than {most} octets", most = limits::MESSAGE)]
    TooLarge,
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl From<CryptoError> for FragmentError {
    fn from(error: CryptoError) -> Self {
        Self::Open(error.into())
    }
}

#[cfg(test)]
mod tests;
