//! Faults as counters: every packet that goes nowhere is counted by its cause.

use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the causes with their stable names.
macro_rules! causes {
    ($($(#[$doc:meta])* $cause:ident = $name:literal;)*) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropCause { $($(#[$doc])* $cause,)* }

        impl DropCause {
            /// Every cause, in the order of the packet path.
            pub const ALL: &'static [Self] = &[$(Self::$cause,)*];

            /// Returns the name that `status` shows, which never changes.
            pub fn name(self) -> &'static str {
                match self { $(Self::$cause => $name,)* }
            }
        }
    };
}

causes! {
    /// Inbound: shorter than an ESP header, or than the SA's IV, ICV and a block; or of broken blocks.
    Truncated = "truncated";
    /// Inbound: no ciphertext at all.
    Empty = "empty";
    /// Inbound: no SA has the SPI.
    UnknownSpi = "unknown_spi";
    /// Inbound: the ICV is wrong.
    BadIcv = "bad_icv";
    /// Inbound: the sequence number was seen before.
    Replayed = "replayed";
    /// Inbound: the sequence number lies before the window, or is zero.
    Stale = "stale";
    /// Inbound: authentic, but pad length or padding is wrong (RFC 4303 §2.4).
    BadPadding = "bad_padding";
    /// Inbound: a dummy packet (next header 59, RFC 4303 §2.6).
    Dummy = "dummy";
    /// Inbound: authentic, but neither IPv4 nor IPv6 by its next header, or another than its version says.
    BadNextHeader = "bad_next_header";
    /// The inner packet's header is broken.
    MalformedInner = "malformed_inner";
    /// Inbound: authentic, but outside the SA's selectors (RFC 4301 §5.2).
    SelectorMismatch = "selector_mismatch";
    /// Inbound: congestion was marked on a packet that cannot carry the mark (RFC 6040 §4.2).
    CongestionMarked = "congestion_marked";
    /// Outbound: no SA for it.
    NoSa = "no_sa";
    /// Outbound: as many packets wait for their SA as may.
    WaitingFull = "waiting_full";
    /// Outbound: it waited for its SA, which took too long.
    WaitedTooLong = "waited_too_long";
    /// Outbound: it waited for its SA, which did not come up.
    SetUpFailed = "set_up_failed";
    /// Outbound: a fragment, which transport mode does not carry (RFC 4303 §3.3.4).
    Fragmented = "fragment";
    /// Outbound: the sequence numbers are used up (RFC 4303 §3.3.3).
    Exhausted = "exhausted";
    /// Outbound: larger than the tunnel's MTU and not to be fragmented; the sender may have been told.
    TooBig = "too_big";
    /// Outbound: its fragments do not fit the batch.
    NoRoom = "no_room";
    /// Outbound: no random octets for the IV.
    NoRandom = "no_random";
    /// The crypto backend failed.
    CryptoFailed = "crypto_failed";
}

/// Packets, octets and drops of both directions; one thread a direction writes, everyone reads.
#[derive(Debug, Default)]
pub struct Counters {
    drops: [AtomicU64; DropCause::ALL.len()],
    /// Inner packets that were sealed, fragments counted singly.
    pub packets_out: AtomicU64,
    /// Their octets.
    pub bytes_out: AtomicU64,
    /// Inner packets that were opened and delivered.
    pub packets_in: AtomicU64,
    /// Their octets.
    pub bytes_in: AtomicU64,
    /// Inner packets that waited for their SA.
    pub waited: AtomicU64,
    /// Inner packets that were fragmented.
    pub fragmented: AtomicU64,
    /// TCP SYN whose MSS was lowered.
    pub mss_clamped: AtomicU64,
    /// ICMP errors that were generated.
    pub icmp_errors: AtomicU64,
    /// Reports of no SA that were lost because control did not take them.
    pub reports_lost: AtomicU64,
}

impl Counters {
    /// Returns how many packets were dropped for a cause.
    pub fn dropped(&self, cause: DropCause) -> u64 {
        self.drops[cause as usize].load(Ordering::Relaxed)
    }

    /// Returns every counter with its stable name; drops are named `drop_…`.
    pub fn snapshot(&self) -> Vec<(String, u64)> {
        let sums = [
            ("packets_out", &self.packets_out),
            ("bytes_out", &self.bytes_out),
            ("packets_in", &self.packets_in),
            ("bytes_in", &self.bytes_in),
            ("waited", &self.waited),
            ("fragmented", &self.fragmented),
            ("mss_clamped", &self.mss_clamped),
            ("icmp_errors", &self.icmp_errors),
            ("reports_lost", &self.reports_lost),
        ];
        let sums = sums.into_iter().map(|(name, sum)| (name.to_owned(), sum.load(Ordering::Relaxed)));
        let drops =
            DropCause::ALL.iter().map(|cause| (format!("drop_{}", cause.name()), self.dropped(*cause)));
        sums.chain(drops).collect()
    }

    pub(crate) fn drop_for(&self, cause: DropCause) {
        add(&self.drops[cause as usize], 1);
    }
}

/// Adds to a counter that only this thread writes, or whose order does not matter.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_counter_and_a_name_of_its_own() {
        let counters = Counters::default();
        for (index, cause) in DropCause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, index);
            counters.drop_for(*cause);
        }
        let mut names: Vec<String> = counters.snapshot().into_iter().map(|(name, _)| name).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(DropCause::ALL.iter().all(|cause| counters.dropped(*cause) == 1));
    }
}
