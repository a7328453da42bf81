//! Bounds of what is read from files and kept by the binary.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The largest configuration that is read, in octets.
pub(crate) const CONFIG_OCTETS: u64 = 4 << 20;
/// The largest pre-shared key, in octets.
pub(crate) const SECRET_OCTETS: u64 = 4 << 10;
/// How long fetching a revocation list may take.
pub(crate) const FETCH: Duration = Duration::from_secs(8);
/// The largest answer with one, in octets.
pub(crate) const FETCH_OCTETS: usize = vpnhost_pki::limits::CRL_OCTETS + (64 << 10);
/// After this it is fetched again.
pub(crate) const FETCH_AGAIN: Duration = Duration::from_secs(600);
/// After this it is tried again, if it could not be fetched.
pub(crate) const FETCH_FAILED_AGAIN: Duration = Duration::from_secs(60);
/// The largest private key, in octets.
pub(crate) const KEY_OCTETS: u64 = 64 << 10;
/// Octets below which a pre-shared key is called short.
pub(crate) const SHORT_SECRET: usize = 20;
/// The largest file of secrets, in octets.
pub(crate) const SECRETS_OCTETS: u64 = 16 << 20;
/// The most octets of a name of a connection, child, plugin or pool.
pub(crate) const NAME_OCTETS: usize = 64;
/// The most octets of an interface's name (IFNAMSIZ without its zero).
pub(crate) const INTERFACE_OCTETS: usize = 15;
/// The TUN's MTU: IPv6 does not go below the least (RFC 8200 §5).
pub(crate) const MTU: RangeInclusive<i64> = 1280..=65_535;
/// A datagram that carries a fragment of an IKE message.
pub(crate) const FRAGMENT_SIZE: RangeInclusive<i64> = 256..=65_535;
/// The anti-replay window in packets.
pub(crate) const REPLAY_WINDOW: RangeInclusive<i64> = 64..=4096;
/// Memory of a plugin in octets: from what instantiates at all to what a 32-bit guest can address.
pub(crate) const PLUGIN_MEMORY: RangeInclusive<u64> = 1 << 20..=4 << 30;
/// The most octets of memory of a plugin that is only inspected.
pub(crate) const INSPECTED_MEMORY: usize = 256 << 20;
/// The longest that one call of a plugin, or a chain, may take.
pub(crate) const ANSWER_DEADLINE: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(10);
/// The first retransmission.
pub(crate) const RETRANSMIT_FIRST: RangeInclusive<Duration> =
    Duration::from_millis(50)..=Duration::from_secs(60);
/// Retransmissions.
pub(crate) const RETRANSMIT_TRIES: RangeInclusive<i64> = 1..=50;
/// Growth of the pause between retransmissions.
pub(crate) const RETRANSMIT_FACTOR: RangeInclusive<f64> = 1.0..=10.0;
/// The shortest interval of rekeys, liveness checks and keepalives.
pub(crate) const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest silence under traffic that makes paths suspect.
pub(crate) const SUSPECT: Duration = Duration::from_millis(100);
/// The longest time without any path after which an SA is still moved: from ten seconds to a week.
pub(crate) const MAX_OUTAGE: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(7 * 86_400);
/// The longest interval that a timer takes.
pub(crate) const LONGEST_INTERVAL: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Octets of a Child SA that are carried within moments.
pub(crate) const ODD_REKEY_BYTES: u64 = 1 << 20;
/// Packets of a Child SA that are carried within moments.
pub(crate) const ODD_REKEY_PACKETS: u64 = 1000;
/// Octets under one 3DES key after which its blocks are no longer safe to be distinct.
pub(crate) const TRIPLE_DES_BYTES: u64 = 1 << 30;
/// The time after which a NAT may forget a UDP mapping (RFC 4787, REQ-5).
pub(crate) const NAT_MEMORY: Duration = Duration::from_secs(120);
/// Looking up one name of a peer.
pub(crate) const LOOKUP: Duration = Duration::from_secs(8);
/// Names that are looked up at once.
pub(crate) const LOOKUPS: usize = 32;
/// Addresses that are kept of one name.
pub(crate) const ADDRESSES_OF_A_NAME: usize = 16;
/// Between two looks at the files of plugins that are watched: one that did not change since the last is whole.
pub(crate) const FILES_LOOKED_AT: Duration = Duration::from_secs(1);
/// Between two looks at names that lead nowhere.
pub(crate) const LOOKUP_AGAIN: Duration = Duration::from_secs(30);
/// Octets of the log of decisions, before it is moved aside.
pub(crate) const DECISIONS_OCTETS: u64 = 16 << 20;
/// What an operator may make of that.
pub(crate) const DECISIONS_SIZE: RangeInclusive<u64> = 64 << 10..=4 << 30;
/// Files of decisions in all.
pub(crate) const DECISIONS_FILES: usize = 4;
/// What an operator may make of that.
pub(crate) const DECISIONS_COUNT: RangeInclusive<i64> = 1..=1000;
/// Decisions that wait to be written.
pub(crate) const DECISIONS_QUEUED: usize = 1024;
/// Octets of a request's body on the control socket; no request has one.
pub(crate) const CONTROL_BODY: usize = 4096;
/// Octets of the control socket's path: what `sockaddr_un` holds without its zero.
pub(crate) const SOCKET_OCTETS: usize = 107;
/// Connections to the control socket at once.
pub(crate) const CONTROL_CONNECTIONS: usize = 64;
/// After an error of `accept`, such as too many open files, it is tried again.
pub(crate) const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// Lines of a stream that wait for a slow reader.
pub(crate) const CONTROL_LINES: usize = 64;
/// How long an operation is waited for; it goes on without a listener.
pub(crate) const OUTCOME: Duration = Duration::from_secs(180);
/// Octets of an answer of the daemon that is read at once.
pub(crate) const ANSWER_OCTETS: usize = 64 << 20;
/// Octets of one line of a stream.
pub(crate) const LINE_OCTETS: usize = 1 << 20;
/// How long a call of a plugin may take that is tested, measured or replayed, if no longer one is set.
pub(crate) const PATIENT_CALL: Duration = Duration::from_secs(1);
/// Lines that break a chain of decisions and are told.
pub(crate) const BREAKS_TOLD: usize = 20;
/// Lines that are no decisions and are told.
pub(crate) const ODD_LINES_TOLD: u64 = 3;
/// Replies of each question that are not the same and are shown to people.
pub(crate) const FINDINGS_TOLD: u64 = 10;
/// Decisions of a log that `explain` tells.
pub(crate) const DECISIONS_TOLD: usize = 100;
