//! Every bound on what a peer, a policy or a configuration can make the endpoint hold or do.

use std::ops::RangeInclusive;
use std::time::Duration;

pub use crate::wire::limits as wire;

/// Half-open IKE SAs of a responder, in all; more IKE_SA_INITs are dropped.
pub const HALF_OPEN: usize = 8192;

/// Half-open IKE SAs of one source, an IPv4 address or an IPv6 /64 (RFC 8019 §4.2).
pub const HALF_OPEN_PER_SOURCE: usize = 1024;

/// Half-open IKE SAs of one source from which on it has to return a COOKIE.
pub const HALF_OPEN_PER_SOURCE_BEFORE_COOKIE: usize = 3;

/// Half-open IKE SAs of a source's surroundings, an IPv4 /24 or an IPv6 /48.
pub const HALF_OPEN_AROUND: usize = 4096;

/// Half-open IKE SAs of a source's surroundings from which on all who are there have to return a COOKIE.
pub const HALF_OPEN_AROUND_BEFORE_COOKIE: usize = 16;

/// How long a half-open IKE SA is kept while there are more than [`crate::EndpointConfig::cookie_threshold`] (RFC 8019
/// §4.1).
pub const HALF_OPEN_IN_A_CROWD: Duration = Duration::from_secs(8);

/// Failed IKE_AUTHs of one source from which on it is let in seldom.
pub const FAILURES_BEFORE_PAUSE: u32 = 10;

/// How seldom: an IKE_SA_INIT each.
pub const FAILING_SOURCE_PAUSE: Duration = Duration::from_secs(2);

/// How long after the last failure a source is no longer suspect.
pub const FAILURES_FORGOTTEN: Duration = Duration::from_secs(60);

/// Sources whose failures are remembered.
pub const FAILING_SOURCES: usize = 4096;

/// Messages of a half-open IKE SA that cannot be decrypted, until only one is read in a while.
pub const NOISE_READ: u32 = 16;

/// How long the next is not read then.
pub const NOISE_PAUSE: Duration = Duration::from_secs(1);

/// Octets of fragments that all half-open IKE SAs hold together; more are dropped until some are whole or given up.
pub const HALF_OPEN_FRAGMENTS: usize = 16 << 20;

/// CREATE_CHILD_SA requests of a peer that are answered at once: all its children, and some rekeys (RFC 8019 §5).
pub const CREATE_CHILD_AT_ONCE: u32 = CHILDREN_PER_IKE_SA as u32 + 64;

/// How soon one more is answered then; what comes before gets TEMPORARY_FAILURE.
pub const CREATE_CHILD_GAP: Duration = Duration::from_millis(250);

/// IKE SAs in all, whatever their state.
pub const IKE_SAS: usize = 65_536;

/// Questions put to delegated policies at a time; beyond it the native policy answers at once.
pub const OPEN_QUESTIONS: usize = 256;

/// Jobs under way at a time; beyond it a peer's IKE_SA_INIT is dropped.
pub const JOBS: usize = 1024;

/// For so long on average other policies are asked about one IKE SA before the next, when they take over.
pub const REVIEW_EACH: Duration = Duration::from_millis(20);
/// Child SAs of an IKE SA; a further one is refused with NO_ADDITIONAL_SAS.
pub const CHILDREN_PER_IKE_SA: usize = 256;

/// Exchanges that wait for the window of an IKE SA.
pub const QUEUED_EXCHANGES: usize = 1024;

/// Suites in a menu or an offer.
pub const SUITES: usize = 64;

/// Traffic selectors of one side of a Child SA.
pub const SELECTORS: usize = 64;

/// IKE_SA_INIT requests of one initiator's attempt: COOKIE and INVALID_KE_PAYLOAD in any order.
pub const INIT_ATTEMPTS: u8 = 20;

/// CREATE_CHILD_SA requests of one attempt that were answered with INVALID_KE_PAYLOAD.
pub const INVALID_KE_ATTEMPTS: u8 = 3;

/// The least octets of an IP datagram that carries a fragment of an IKE message: headers, IV, ICV and some content.
pub const DATAGRAM_LEAST: u16 = 256;

/// The smallest path MTU of IPv4 that is reckoned with.
pub const PATH_MTU_MIN_V4: u16 = 576;

/// The smallest path MTU of IPv6 (RFC 8200 §5), which nearly every path of IPv4 carries as well.
pub const PATH_MTU_MIN_V6: u16 = 1280;

/// The largest path MTU that is tested: a message of one Notify carries no more.
pub const PATH_MTU_MOST: u16 = 8192;

/// A size counts as too large for a path after so many tests in a row without an answer.
pub const MTU_SILENCES: u8 = 2;

/// A path MTU that is known to so many octets is known well enough.
pub const MTU_STEP: u16 = 16;

/// Octets to which a suite may fill a message up.
pub const LARGEST_BLOCK: u16 = 16;

/// A test of a path MTU is not answered any more after two round trips and this.
pub const MTU_PATIENCE: Duration = Duration::from_millis(100);

/// Octets of a nonce that this host draws (RFC 7296 §2.10: at least half the PRF's key).
pub const NONCE: usize = 32;

/// Octets of key exchange data that are looked at: 8192-bit MODP is the longest.
pub const KEY_EXCHANGE_DATA: usize = 1024;

/// Octets of a COOKIE (RFC 7296 §3.10.1).
pub const COOKIE: usize = 64;

/// How long a set of fragments waits for the missing ones.
pub const FRAGMENTS_WAIT: Duration = Duration::from_secs(30);

/// How long an initiator goes on after an unprotected error in answer to IKE_SA_INIT (RFC 7296 §2.21.1).
pub const UNPROTECTED_ERROR_PATIENCE: Duration = Duration::from_secs(10);

/// How long the inbound half of a replaced Child SA lives on after the Delete.
pub const OLD_INBOUND: Duration = Duration::from_secs(5);

/// How long the responder of a rekey waits for traffic on the new SA or the Delete of the old one.
pub const REKEY_HANDOVER: Duration = Duration::from_secs(30);

/// How long an IKE SA that the peer replaced waits for the peer's Delete.
pub const REPLACED_IKE_SA: Duration = Duration::from_secs(30);

/// The first pause after TEMPORARY_FAILURE; it doubles (RFC 7296 §2.25).
pub const TEMPORARY_FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
pub const TEMPORARY_FAILURE_PAUSE_CAP: Duration = Duration::from_secs(60);

/// A cookie secret is used for so long, and accepted for as long again.
pub const COOKIE_SECRET: Duration = Duration::from_secs(60);

/// Answers to unprotected messages that have no SA, a second (RFC 7296 §2.21.4).
pub const UNPROTECTED_ANSWERS_PER_SECOND: u32 = 64;

/// Such answers that say a token, a second (RFC 6290 §9.3).
pub const CRASH_TOKENS_PER_SECOND: u32 = 32;

/// How long after its start a host tells senders of ESP on unknown SPIs that it does not know them (RFC 7296 §1.5): later the
/// SPI is one that was deleted, mostly.
pub const LOSS_TOLD: Duration = Duration::from_secs(600);

/// Such words of others that are heard, a second.
pub const LOSS_HINTS_PER_SECOND: u32 = 16;

/// How soon the next has a peer asked.
pub const LOSS_HINT_PAUSE: Duration = Duration::from_secs(1);

/// Octets of a token that a peer gives (RFC 6290 §5).
pub const CRASH_TOKEN: RangeInclusive<usize> = 16..=128;

/// Tokens in one message that are looked at (RFC 6290 §4.5).
pub const CRASH_TOKENS_READ: usize = 4;

/// IKE_SA_INITs that came to nothing and are told of, a second.
pub const REFUSALS_TOLD_PER_SECOND: u32 = 4;

/// Message IDs after which an IKE SA is rekeyed; the rest is left for the rekey itself.
pub const MESSAGE_IDS: u32 = u32::MAX - 0xFFFF;

/// Retransmissions of a Delete when the endpoint shuts down or a peer did not authenticate.
pub const FAREWELL_TRIES: u16 = 2;

/// Local addresses that NAT_DETECTION_SOURCE_IP is sent for when the kernel chooses the source.
pub const NAT_DETECTION_SOURCES: usize = 8;

/// Largest wait between retransmissions.
pub const RETRANSMIT_CAP: Duration = Duration::from_secs(60);

/// How long two IKE SAs that both hosts began at once stand side by side before all is sent on the one that stays;
/// after as long again the other ends.
pub const TWINS: Duration = Duration::from_secs(5);

/// A certificate that ends within this is told of at set-up, where nothing authenticates anew before.
pub const CERTIFICATE_ENDS_SOON: Duration = Duration::from_secs(7 * 86_400);

/// How long an initiator that could not authenticate anew waits before it tries again.
pub const REAUTHENTICATION_PAUSE: Duration = Duration::from_secs(30);

/// The least time for which an AUTH_LIFETIME is believed; a shorter one than this, but zero, is taken for it
/// (RFC 4478 §5).
pub const AUTH_LIFETIME_LEAST: Duration = Duration::from_secs(10);

/// Octets after which a Child SA with blocks of 64 bits (3DES) is rekeyed unless the operator says otherwise. Two equal
/// blocks betray what they hide (Sweet32, CVE-2016-2183): among so many, 2^25, there are two with a chance of 2^-15.
pub const SHORT_BLOCK_OCTETS: u64 = 256 << 20;

/// The least time that an SA lives on beyond the age at which it is to be rekeyed; a tenth of that age, if longer.
pub const RENEWAL_LEAST: Duration = Duration::from_secs(60);

/// How long the answer to a CREATE_CHILD_SA may take to arrive before what it made is taken for known.
pub const ANSWER_ARRIVES: Duration = Duration::from_secs(3);

/// Deletes that are remembered while an answer is awaited which may make what they delete.
pub const EARLY_DELETES: usize = 16;

/// CAs that a CERTREQ payload names, 20 octets each; IKE_SA_INIT is never sent in fragments.
pub const AUTHORITIES: usize = 24;

/// An authenticated peer's certificate is judged again after this at the latest.
pub const CERTIFICATE_JUDGED_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// Between judgements of many peers' certificates when newer revocation lists are there, on average.
pub const JUDGEMENT_PAUSE: Duration = Duration::from_millis(20);

/// How long an IKE SA that ended repeats its last reply.
pub const LAST_REPLY: Duration = Duration::from_secs(15);

/// Octets that an EAP conversation is given for its challenges.
pub const EAP_RANDOM: usize = 64;

/// How long a client's EAP conversation may last, however many of its packets are answered slowly.
pub const EAP_PATIENCE: Duration = Duration::from_secs(120);

/// Requests of an IKE_AUTH exchange with EAP, from the first to the last; certificates in fragments take some dozens.
pub const EAP_ROUNDS: u32 = 256;

/// Characters of a peer's identity that are compared with those that are expected, for the nearest connection's sake.
pub const LIKENESS: usize = 256;

/// Addresses of a peer that are remembered.
pub const PEER_ADDRESSES: usize = 32;

/// How long an address is known to be the peer's after it was proven, or to the peer after it heard of this host there, if
/// it is not in use: as short as a lease that networks give (DHCP), and long beside a walk between two networks, which costs
/// no further round trip.
pub const ADDRESS_KNOWN: Duration = Duration::from_secs(3600);

/// NAT64s that are known at a time, and that are remembered.
pub const TRANSLATORS: usize = 8;

/// Addresses of this host that a peer is told of, beside the one in use.
pub const OWN_ADDRESSES: usize = vpnhost_policy::limits::ADDRESSES;

/// Pairs of addresses that an IKE SA chooses from.
pub const PATHS: usize = vpnhost_policy::limits::PATHS;

/// Paths beside the one in use that a request is sent over at once.
pub const PATHS_ASKED_AT_ONCE: usize = 8;

/// How long moves, and paths that went away, are remembered.
pub const PATH_MEMORY: Duration = Duration::from_secs(600);

/// Moves that are remembered.
pub const MOVES_REMEMBERED: usize = 256;

/// How long it is remembered when paths were gone or silent.
pub const OUTAGE_MEMORY: Duration = Duration::from_secs(3600);

/// Such times that are remembered.
pub const OUTAGES_REMEMBERED: usize = 256;

/// What keeps an IKE SA from paths, so that it is told once.
pub const HINDRANCES: usize = 64;

/// How long an answer proves that a path works.
pub const PATH_PROVEN: Duration = Duration::from_secs(10);

/// How long a path that gave no answer is not tried before others.
pub const PATH_FAILED: Duration = Duration::from_secs(30);

/// Requests over a path that is tested before it is used, until it counts as failed.
pub const PATH_TEST_TRIES: u8 = 3;

/// The most suites that a policy is told of which a peer did not offer.
pub const NOT_OFFERED: usize = 64;

/// How long ESP from where a peer was before it moved does not mean that it is there again.
pub const JUST_LEFT: Duration = Duration::from_secs(1);

/// What took longer than this from request to answer was an outage, not a slow path.
pub const REPEATED_FOR: Duration = Duration::from_secs(3);

/// Round-trip times that differ by less are the same to a plan.
pub const ROUND_TRIP_NOISE: Duration = Duration::from_millis(20);

/// The least time that slower paths are given to answer when one has answered.
pub const PATH_TEST_GRACE: Duration = Duration::from_millis(100);

/// The most of it.
pub const PATH_TEST_PATIENCE: Duration = Duration::from_secs(1);

/// How often the patience with a peer that is heard only when it is asked doubles.
pub const SUSPICION_DOUBLINGS: u32 = 6;

/// Octets of a COOKIE2 (RFC 4555 §4.2.5: 8 to 64).
pub const COOKIE2: usize = 8;

/// How often a peer's new address is asked for a COOKIE2 back before the IKE SA stays where it was.
pub const CHECKS: u8 = 2;

/// To how many addresses where the peer is not known to be an answer goes.
pub const REPLIES_ELSEWHERE: usize = 16;

/// How soon it goes there again; then after twice the time.
pub const REPLY_ELSEWHERE_PAUSE: Duration = Duration::from_secs(8);

/// Addresses of unknown owners that are asked for a COOKIE2 back within [`CHECKS_SPAN`]: as many again for updates as for
/// ESP that comes from elsewhere. Whoever authenticated may say that it is at a victim's.
pub const CHECKS_IN_SPAN: u8 = 16;

/// See [`CHECKS_IN_SPAN`].
pub const CHECKS_SPAN: Duration = Duration::from_secs(60);

/// How long no other address that ESP came from is checked after one where nobody answered.
pub const CHECK_PAUSE: Duration = Duration::from_secs(2);

/// UPDATE_SA_ADDRESSES that are answered with UNEXPECTED_NAT_DETECTED, until the path counts as failed (RFC 4555 §3.9).
pub const UNEXPECTED_NATS: u8 = 3;

/// How long an initiator waits before it tells of changed addresses: mostly a move tells of them before.
pub const ANNOUNCEMENT_PAUSE: Duration = Duration::from_secs(3);

/// How often an IKE SA asks its peer in vain from addresses that are not in use, to be known there.
pub const INTRODUCTIONS: u8 = 3;

/// How long an address is there before the peer is asked something from it: what sets the tunnel up comes first.
pub const INTRODUCTION: Duration = Duration::from_secs(1);

/// After the machine slept a responder waits at least so long for its clients to be heard of by themselves.
pub const RESUME_LEAST: Duration = Duration::from_secs(5);

/// The clients that it asks after that are asked within this time, not all at once.
pub const RESUME_SPREAD: Duration = Duration::from_secs(10);

/// Repetitions of a request without an answer after which the peer may be gone.
pub const REPETITIONS_BEFORE_DOUBT: u16 = 2;

/// How long a responder with MOBIKE waits for an initiator that does not answer (RFC 4555 §3.11: at least five minutes).
pub const INITIATOR_AWAY: Duration = Duration::from_secs(300);

/// How often it repeats its request then, once the planned repetitions are over.
pub const INITIATOR_ASKED: Duration = Duration::from_secs(30);

/// How often an update that followed another, whose answer came late, goes to its path alone before it goes over all.
pub const UPDATES_ALONE: u8 = 4;

/// How long after the last packet traffic still waits for a peer that may be gone.
pub const TRAFFIC_WAITS: Duration = Duration::from_secs(5);

/// Between two negotiations with a peer that may be gone, while traffic waits.
pub const NEGOTIATION_PAUSE: Duration = Duration::from_secs(1);

/// The most time between two of them while none does, and between two questions whether the peer is there where nothing
/// but them is said. A gateway waits longer for a client that it asked something ([`INITIATOR_AWAY`]): it hears of one that
/// comes out of a dead spot, or has another mapping at its NAT, before it gives it up, unless that one datagram is lost.
pub const ASKED_AT_REST: Duration = Duration::from_secs(256);

/// How long the answer to an IKE_SA_INIT is waited for that goes out once, because nobody hurries.
pub const UNHURRIED_ANSWER: Duration = Duration::from_secs(5);

/// A peer of which nothing was heard for so long is asked whether it is there, though nothing else is suspicious: it may have
/// vanished. A longer [`crate::Timing::liveness_idle`] holds.
pub const SILENT_PEER: Duration = Duration::from_secs(15 * 60);

/// How often a silent peer is asked on an IKE SA whether it is there after it has begun another one: what is lost and what
/// is late can make a single answer one of yesterday.
pub const RIVAL_CHECKS: u8 = 3;

/// The least silence that a NAT is tried with.
pub const IDLE_LEAST: Duration = Duration::from_secs(5);

/// The most.
pub const IDLE_MOST: Duration = Duration::from_secs(3600);

/// The first that is tried, unless the keepalive is shorter.
pub const IDLE_FIRST: Duration = Duration::from_secs(20);

/// What is known of a NAT is tried again after this.
pub const IDLE_CONFIRMED: Duration = Duration::from_secs(24 * 3600);

/// Copies of the answer that ends a silence.
pub const IDLE_COPIES: u8 = 3;

/// Between two of them.
pub const IDLE_COPY_GAP: Duration = Duration::from_millis(500);

/// How long after a silence its answer is waited for.
pub const IDLE_ANSWER_WAIT: Duration = Duration::from_secs(3);

/// How soon the next silence is tried.
pub const IDLE_PROBE_PAUSE: Duration = Duration::from_secs(1);

/// How soon the next is tried when one could not be.
pub const IDLE_PROBE_AGAIN: Duration = Duration::from_secs(60);

/// How often that pause doubles while none can be tried.
pub const IDLE_PROBE_DOUBLINGS: u32 = 10;

/// How much sooner than promised the answer that ends a silence may come: the promise may have taken longer than it.
pub const IDLE_EARLY: Duration = Duration::from_secs(1);

/// How long packets that are missing after one silence are held against the NAT: those of another, later, were lost
/// for reasons of their own.
pub const IDLE_DOUBTED: Duration = Duration::from_secs(600);

/// How long a silence that nobody tried counts as forgotten by the NAT: nothing else would ever show that it was not.
pub const IDLE_HELD_AGAINST: Duration = Duration::from_secs(3600);

/// Networks whose NATs are remembered.
pub const NETWORKS: usize = 64;

/// How often the peer is told of a move without growing pauses while nothing comes in after it.
pub const UPDATES_REPEATED: u32 = 8;
