//! Every bound of this crate.

use std::time::Duration;

/// Octets in front of a packet in its slot: ESP header and IV, or an ICMP error's headers.
pub const HEADROOM: usize = 64;
/// Octets behind a packet in its slot: padding, trailer and ICV.
pub const TAILROOM: usize = 64;
/// SAs of one direction.
pub const SAS: usize = 16_384;
/// Traffic selectors of one side of one SA.
pub const SELECTORS: usize = 64;
/// The smallest and the largest anti-replay window, in packets.
pub const REPLAY_WINDOW: std::ops::RangeInclusive<u32> = 64..=4096;
/// Reports of no SA that wait for control; what comes on top is counted and lost.
pub const HINTS: usize = 256;
/// The longest time without a fresh report of an address that a peer's packets come from.
pub const MOVED_INTERVAL: Duration = Duration::from_secs(1);
/// The time for which an unanswered [`crate::TrafficReport::Acquire`] of one pair of addresses is not repeated.
pub const ACQUIRE_INTERVAL: Duration = Duration::from_secs(1);
/// Pairs of addresses that are remembered for [`ACQUIRE_INTERVAL`].
pub const ACQUIRE_MEMORY: usize = 32;
/// Packets that wait for their SA, in all.
pub const WAITING: usize = 64;
/// Their octets, in all.
pub const WAITING_OCTETS: usize = 64 << 10;
/// Slots of a batch that are kept for a packet that waited and may have to be fragmented.
pub const FRAGMENTS_OF_ONE: usize = 4;
/// Packets that wait and have one destination, lest it take the room of the others.
pub const WAITING_FOR_ONE: usize = 16;
/// How long a packet waits for its SA: who sent it has sent another by then.
pub const WAITING_TIME: Duration = Duration::from_secs(10);
/// SPIs that a peer was given and that have no SA yet.
pub const EXPECTED_SPIS: usize = 4096;
/// Packets that came before their SA, in all.
pub const EARLY: usize = 64;
/// Their octets, in all.
pub const EARLY_OCTETS: usize = 64 << 10;
/// How long such a packet waits: an answer that takes longer was lost.
pub const EARLY_TIME: Duration = Duration::from_secs(1);
/// The time for which what else comes on unknown SPIs from one address to another is not reported.
pub const UNKNOWN_SPI_INTERVAL: Duration = Duration::from_secs(1);
/// Pairs of addresses that are remembered for it: no more are reported within it.
pub const UNKNOWN_SPI_MEMORY: usize = 16;
/// ICMP errors at once (RFC 1812 §4.3.2.8, RFC 4443 §2.4(f)).
pub const ICMP_BURST: u32 = 64;
/// The time after which another ICMP error is allowed.
pub const ICMP_INTERVAL: Duration = Duration::from_millis(5);
/// Path MTUs that are remembered.
pub const PATH_MTUS: usize = 4096;
/// What every path is taken to carry after a move, with IP's header: the least of IPv6, and what every network of today
/// carries of IPv4. Whoever sends more has the path measured.
pub const PATH_MTU_PROVEN: u16 = 1280;
/// The age at which a path MTU that was learned is forgotten (RFC 1191 §6.3, RFC 8201 §4).
pub const PATH_MTU_AGE: Duration = Duration::from_secs(600);
/// The smallest path MTU that is believed of IPv4 (RFC 791), lest a forged ICMP error starve us.
pub const PATH_MTU_MIN_V4: u16 = 576;
/// The smallest path MTU of IPv6 (RFC 8200 §5).
pub const PATH_MTU_MIN_V6: u16 = 1280;
/// The share of the sequence numbers, in percent, after which a rekey is asked for.
pub const SEQUENCE_SOFT_PERCENT: u64 = 80;
/// Extension headers of IPv6 that are walked.
pub const EXTENSION_HEADERS: usize = 8;
/// The least time without a packet that is told of when one comes in: no NAT forgets sooner.
pub const SILENCE: Duration = Duration::from_secs(5);
/// Flows whose SA is remembered.
pub const FLOWS: usize = 1024;
/// Random octets that are drawn at once for IVs.
pub const RANDOM_POOL: usize = 4096;
