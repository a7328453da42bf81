//! Every bound of the packet path.

use std::time::Duration;

/// Packets that are sealed at once; reading the TUN stops there.
pub(crate) const TUN_READS: usize = 64;
/// Slots of a batch that is sealed: every packet that was read may become four fragments.
pub(crate) const SEAL_SLOTS: usize = 4 * TUN_READS;
/// Slots of a batch of packets that waited for their SA.
pub(crate) const RELEASED_SLOTS: usize = 64;
/// The least room for a packet from the TUN, lest someone raise the interface's MTU by hand.
pub(crate) const TUN_ROOM: usize = 2048;
/// Packets that are opened at once.
pub(crate) const OPEN_SLOTS: usize = 64;
/// The largest ESP packet that is taken; jumbo frames fit.
pub(crate) const ESP_ROOM: usize = 16 * 1024;
/// Datagrams that are received at once, each of which may be many that the kernel merged.
pub(crate) const RECEIVES: usize = 16;
/// The largest datagram, merged or not.
pub(crate) const DATAGRAM_ROOM: usize = 65_535;
/// Turns that one socket may take before the others have theirs.
pub(crate) const TURNS: usize = 4;
/// Messages of one `sendmmsg`.
pub(crate) const SENDS: usize = 64;
/// Segments of one message: the kernel takes no more before Linux 6.9.
pub(crate) const SEGMENTS: usize = 64;
/// Octets of one message's segments: an IP packet's, less its headers.
pub(crate) const SEGMENTS_OCTETS: usize = 65_535 - 60 - 8;
/// IKE datagrams that wait for control.
pub(crate) const DATAGRAMS: usize = 1024;
/// Reports of traffic that wait for control.
pub(crate) const REPORTS: usize = 1024;
/// How long it takes until a thread looks again whether control has room for reports.
pub(crate) const REPORT_STEP: Duration = Duration::from_millis(20);
/// Octets of a socket's queue, each way.
pub(crate) const SOCKET_BUFFER: usize = 8 << 20;
/// How long a packet waits for a device's full queue before it is dropped.
pub(crate) const CONGESTION: Duration = Duration::from_millis(50);
/// Between two looks at such a queue.
pub(crate) const CONGESTION_STEP: Duration = Duration::from_millis(1);
/// How long a wait for room in a socket lasts before the thread looks whether it is to end.
pub(crate) const ROOM_STEP: Duration = Duration::from_millis(100);
/// The time after which the kernel is asked anew for a peer's path MTU.
pub(crate) const PATH_MTU_REFRESH: Duration = Duration::from_secs(60);
/// The time between two groups of peers that it is asked about.
pub(crate) const PATH_MTU_STEP: Duration = Duration::from_secs(1);
/// Peers that it is asked about at once.
pub(crate) const PATH_MTU_PROBES: usize = 64;
/// How often a datagram is tried again after an error that may be about an earlier one.
pub(crate) const HEARSAY: usize = 8;
/// Errors of ICMP that are taken from a socket at once.
pub(crate) const ERRORS: usize = 32;
