//! Every bound of the control side of this crate; the packet path's are its own.

use std::time::Duration;

/// Entries of the journal.
pub const JOURNAL_ENTRIES: usize = 512;
/// Entries of the journal that peers cause who are not authenticated (yet).
pub const JOURNAL_STRANGERS: usize = 128;
/// Entries of the journal that tell why such peers were refused.
pub const JOURNAL_REFUSALS: usize = 128;
/// The same for those of whom nothing more came than a first message, from an address that may be anybody's.
pub const JOURNAL_FORGEABLE: usize = 128;
/// Characters of an entry's text, and of what `status` tells of causes: peers may have names of 64 KiB.
pub const JOURNAL_TEXT: usize = 1024;
/// Lines of the log about refusals of such peers within [`LOG_SPAN`], and as many about those of whom only a first message
/// came; further ones are counted.
pub const LOG_REFUSALS: u32 = 30;
/// See [`LOG_REFUSALS`].
pub const LOG_SPAN: Duration = Duration::from_secs(60);
/// IKE SAs that a decision is remembered of although they have not begun (yet).
pub const EARLY_IKE_SAS: usize = 1024;
/// Events that a slow subscriber may lag behind before it loses some.
pub const EVENTS: usize = 1024;
/// Orders from handles that wait for the event loop.
pub const ORDERS: usize = 64;
/// Questions of authenticated peers that wait for the plugins.
pub const QUESTIONS_AUTHENTICATED: usize = 64;
/// Questions of peers that are not authenticated yet; fewer, so that they starve nobody.
pub const QUESTIONS_UNAUTHENTICATED: usize = 16;
/// So much earlier than the core gives up waiting, plugins must have answered: the answer has a way to go.
pub const ANSWER_MARGIN: Duration = Duration::from_millis(20);
/// Threads for slow work.
pub const WORKERS: usize = 2;
/// Jobs that wait for a worker; the event loop runs further ones itself, so that none is lost.
pub const JOBS: usize = 256;
/// Results of questions, jobs and changes of the machine that wait for the event loop.
pub const RESULTS: usize = 512;
/// Datagrams that the event loop takes before it looks at anything else.
pub const DATAGRAMS_AT_ONCE: usize = 32;
/// How long the kernel may take for the routes of one change; then what waits for it goes on.
pub const HOST_CHANGE: Duration = Duration::from_secs(3);
/// Between two looks at whose turn it is to change routes.
pub const TURN_LOOK: Duration = Duration::from_millis(10);
/// Outputs that wait for the machine's routes; with more, the rest goes on without waiting.
pub const HELD_OUTPUTS: usize = 4096;
/// How long `nft` or a DNS program may run.
pub const PROGRAM: Duration = Duration::from_secs(5);
/// Octets of what such a program says that are kept.
pub const PROGRAM_SAYS: u64 = 1 << 20;
/// How long the output of such a program that has ended may stay open.
pub const PROGRAM_LAST_WORDS: Duration = Duration::from_millis(500);
/// Between two looks at whether such a program has ended.
pub const PROGRAM_LOOK: Duration = Duration::from_millis(2);
/// How long an orderly end waits for peers to answer a Delete.
pub const GOODBYE: Duration = Duration::from_millis(2500);
/// Address changes within this time after the first, which is told at once, are told as one.
pub const LINK_SETTLE: Duration = Duration::from_millis(50);
/// A suspension that is not longer is none.
pub const SLEEP_LEAST: Duration = Duration::from_secs(1);
/// How long NetworkManager may take to find out whether a network is metered.
pub const METERED_SETTLE: Duration = Duration::from_secs(3);
/// Between two looks at the local time zone.
pub const ZONE_REFRESH: Duration = Duration::from_secs(600);
/// Between two looks at the packet path's activity.
pub const ACTIVITY_INTERVAL: Duration = Duration::from_secs(1);
/// How long it may take at the start to measure what packets cost.
pub const COST_TIME: Duration = Duration::from_millis(20);
/// Between two looks at what a machine with a battery runs on.
pub const POWER_INTERVAL: Duration = Duration::from_secs(30);
/// Power supplies that are looked at.
pub const POWER_SUPPLIES: usize = 32;
/// Octets that are read of what one of them says.
pub const POWER_TEXT: u64 = 64;
/// Addresses of this machine that are looked at.
pub const ADDRESSES: usize = 256;
/// Pairs of them with one address of a peer that are looked for.
pub const PAIRS_PER_REMOTE: usize = 16;
/// The shortest time between two looks at the packet path's activity, while there is some.
pub const ACTIVITY_LEAST: Duration = Duration::from_millis(50);
/// How long the system's own resolver is waited for, before DNS servers are asked past it: longer than it waits for its first
/// server, and shorter than whoever wants a name.
pub const DNS_OF_SYSTEM: Duration = Duration::from_secs(6);
/// Names that it is asked for at the same time.
pub const DNS_OF_SYSTEM_AT_ONCE: usize = 16;
/// DNS servers that are asked past the system's own resolver.
pub const DNS_SERVERS: usize = 3;
/// Octets of an answer of theirs.
pub const DNS_ANSWER_LEN: usize = 1500;
/// How often one of them is asked a question.
pub const DNS_TRIES: u32 = 2;
/// How long it may take to answer each time.
pub const DNS_ANSWER: Duration = Duration::from_millis(750);
/// How long the answer to a name counts at least, whatever its TTL; and an answer that tells none.
pub const NAME_LEAST: Duration = Duration::from_secs(30);
/// How long it counts at most.
pub const NAME_MOST: Duration = Duration::from_secs(3600);
/// Networks that are asked for a NAT64.
pub const NAT64_NETWORKS: usize = 16;
/// Prefixes of a NAT64 that are used of one network.
pub const NAT64_PREFIXES: usize = 2;
/// Between two questions for the NAT64 of a network whose servers do not answer, at first; it doubles.
pub const NAT64_PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause, and the one after an answer that there is none.
pub const NAT64_LONG_PAUSE: Duration = Duration::from_secs(60);
/// Octets of what one file in the state directory says.
pub const STATE_FILE: usize = 1 << 20;
/// Characters of such a file's name.
pub const STATE_NAME: usize = 64;
/// Networks that are remembered over a restart.
pub const NETWORKS_KEPT: usize = 64;
/// For how long.
pub const NETWORK_KEPT_FOR: Duration = Duration::from_secs(90 * 86_400);
/// How old what is remembered of a network in use becomes before that is written down anew.
pub const NETWORK_REFRESHED: Duration = Duration::from_secs(86_400);
/// Between two times that they are written down.
pub const NETWORKS_WRITTEN: Duration = Duration::from_secs(60);
/// Prefixes that are routed in all.
pub const ROUTES: usize = 4096;
