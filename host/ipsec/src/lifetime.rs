//! What an SA has carried, and when a rekey is asked for (RFC 4301 §4.4.2.1).

use std::sync::atomic::{AtomicU64, Ordering};

use vpnhost_model::Instant;

use crate::counters::add;

/// The amounts in one direction after which control is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SoftLimits {
    /// Octets of inner packets.
    pub bytes: Option<u64>,
    /// Packets.
    pub packets: Option<u64>,
}

impl SoftLimits {
    pub(crate) fn are_reached(&self, carried: &DirectionActivity) -> bool {
        let reached = |limit: Option<u64>, carried: u64| limit.is_some_and(|limit| carried >= limit);
        reached(self.bytes, carried.bytes()) || reached(self.packets, carried.packets())
    }
}

/// What both directions of an SA have carried; the packet path writes, control reads.
#[derive(Debug, Default)]
pub struct SaActivity {
    /// What came in.
    pub inbound: DirectionActivity,
    /// What went out.
    pub outbound: DirectionActivity,
}

/// What one direction of an SA has carried.
#[derive(Debug, Default)]
pub struct DirectionActivity {
    bytes: AtomicU64,
    packets: AtomicU64,
    /// Nanoseconds and one; zero is never.
    last: AtomicU64,
}

impl DirectionActivity {
    /// Returns octets of inner packets.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns packets.
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Returns when the last authentic packet passed.
    pub fn last(&self) -> Option<Instant> {
        self.last.load(Ordering::Relaxed).checked_sub(1).map(Instant)
    }

    pub(crate) fn carry(&self, bytes: usize) {
        add(&self.bytes, bytes as u64);
        add(&self.packets, 1);
    }

    pub(crate) fn touch(&self, now: Instant) {
        self.last.store(now.0.saturating_add(1), Ordering::Relaxed);
    }
}
