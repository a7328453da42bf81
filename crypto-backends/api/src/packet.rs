//! Whole packet protections: what ESP and the SK payload are sealed and opened with, in place.

use vpnhost_model::PacketId;

use crate::CryptoError;

/// What an IV must be; the caller writes it, so that no swap of backends can repeat a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IvKind {
    /// No value twice under one key: a counter (GCM, CCM, CTR, ChaCha20-Poly1305).
    Counter,
    /// Not to be foreseen: random, or an encrypted counter (CBC; RFC 3602 §3).
    Unpredictable,
}

/// The lengths of a packet protection, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketLayout {
    /// IV in front of the ciphertext.
    pub iv_len: usize,
    /// What the IV must be.
    pub iv_kind: IvKind,
    /// ICV behind it.
    pub icv_len: usize,
    /// What the plaintext is padded to; 1 for a stream. ESP pads to at least four all the same.
    pub block_len: usize,
    /// Key material for encryption, with salt: the length of SK_e and of ESP's first key.
    pub encryption_key_len: usize,
    /// Key material for integrity, 0 for an AEAD: the length of SK_a and of ESP's second key.
    pub integrity_key_len: usize,
}

/// A packet protection of a backend, for one key length.
pub trait PacketAlgorithm: Send + Sync {
    /// Returns its encryption, key length and integrity.
    fn id(&self) -> PacketId;

    /// Returns its lengths.
    fn layout(&self) -> PacketLayout;

    /// Makes a key for one direction.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] unless both keys have the lengths of [`Self::layout`].
    fn key(&self, encryption: &[u8], integrity: &[u8]) -> Result<Box<dyn PacketKey>, CryptoError>;
}

/// One packet in a batch: `AAD | IV | text | ICV` in one slice.
///
/// Before `seal` the caller has written AAD, IV and padded plaintext, and left room for the ICV;
/// after `open` the text is the padded plaintext. With `esn_high` the AAD is SPI and sequence number,
/// and the high half of the extended sequence number takes part in the ICV where RFC 4303 §2.2.1
/// and RFC 4106 §5 put it.
#[derive(Debug)]
pub struct PacketMut<'a> {
    /// The whole packet.
    pub octets: &'a mut [u8],
    /// Octets of additional authenticated data at its start.
    pub aad_len: usize,
    /// The high half of an extended sequence number.
    pub esn_high: Option<u32>,
    /// What became of it; whatever was there before is overwritten by `seal` and `open`.
    pub outcome: Result<(), CryptoError>,
}

impl<'a> PacketMut<'a> {
    /// Makes a packet without an extended sequence number.
    pub fn new(octets: &'a mut [u8], aad_len: usize) -> Self {
        Self { octets, aad_len, esn_high: None, outcome: Ok(()) }
    }
}

/// A key for one direction of one SA. One thread owns it.
pub trait PacketKey: Send {
    /// Returns the lengths of its algorithm.
    fn layout(&self) -> PacketLayout;

    /// Encrypts and authenticates each packet in place; a packet's outcome is its own. A packet too
    /// short for its layout has [`CryptoError::BadLength`] and is left as it was.
    fn seal(&mut self, packets: &mut [PacketMut<'_>]);

    /// Authenticates, then decrypts each packet in place; a packet's outcome is its own. A packet
    /// with a wrong ICV has [`CryptoError::AuthenticationFailed`]; its text is not to be used.
    fn open(&mut self, packets: &mut [PacketMut<'_>]);
}
