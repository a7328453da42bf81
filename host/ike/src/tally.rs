//! What the endpoint did to stay within its bounds: numbers for `status`, so that an operator sees an attack, or a bound
//! that is too narrow, where no peer is named who could be told of.

/// How often something was refused, dropped or asked for. Nothing of it is ever counted down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// IKE_SA_INITs that were sent back for their cookie.
    pub cookies_asked: u64,
    /// IKE_SA_INITs that were dropped: too many are half open, or their source fails too often.
    pub inits_dropped: u64,
    /// Fragments of half-open IKE SAs that were dropped: others' fill [`crate::limits::HALF_OPEN_FRAGMENTS`].
    pub fragments_dropped: u64,
    /// CREATE_CHILD_SA requests that were put off: the peer sends more of them than anybody needs.
    pub exchanges_put_off: u64,
    /// Certificates of peers that were not looked at: they stood behind [`vpnhost_pki::limits::PEER_CERTIFICATES`]
    /// others. How long they are together is bounded by the message, [`crate::limits::wire::MESSAGE`].
    pub certificates_left_out: u64,
}
