//! What an SA has carried, and when a rekey is asked for (RFC 4301 §4.4.2.1).

use std::sync::atomic::{AtomicU64, Ordering};

use vpnhost_model::Instant;

use crate::counters::add;
use crate::limits;

/// The amounts in one direction after which control is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SoftLimits {
    /// Octets of inner packets.
    pub bytes: Option<u64>,
    /// Packets.
    pub packets: Option<u64>,
}

/// What both directions of an SA have carried, which the packet path writes and control reads; and how much they may,
/// which control writes.
#[derive(Debug, Default)]
pub struct SaActivity {
    /// Octets, or zero for any number.
    most_bytes: AtomicU64,
    /// Packets, likewise.
    most_packets: AtomicU64,
    /// What came in.
    pub inbound: DirectionActivity,
    /// What went out.
    pub outbound: DirectionActivity,
}

/// A silence that ended, as the end sees it to which a packet came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    /// When the last packet before it passed, in either direction.
    pub(crate) since: Instant,
    /// When this end spoke first; none if the peer did.
    pub(crate) spoke: Option<Instant>,
}

impl SaActivity {
    /// Sets what each direction may carry until control is told.
    pub fn limit(&self, limits: SoftLimits) {
        // No packet at all is as much as none too few.
        let most = |limit: Option<u64>| limit.map_or(0, |limit| limit.max(1));
        self.most_bytes.store(most(limits.bytes), Ordering::Relaxed);
        self.most_packets.store(most(limits.packets), Ordering::Relaxed);
    }

    /// Tells whether a direction has carried what it may.
    pub(crate) fn is_at_limit(&self, carried: &DirectionActivity) -> bool {
        let reached = |limit: &AtomicU64, carried: u64| {
            let limit = limit.load(Ordering::Relaxed);
            limit != 0 && carried >= limit
        };
        reached(&self.most_bytes, carried.bytes()) || reached(&self.most_packets, carried.packets())
    }

    /// Returns the silence that a packet ends which comes in now, if it ends one.
    pub(crate) fn silence(&self, now: Instant) -> Option<Silence> {
        let is_long = |since: Instant, until: Instant| until.saturating_since(since) >= limits::SILENCE;
        let heard = self.inbound.last().filter(|heard| is_long(*heard, now))?;
        let Some(sent) = self.outbound.last() else { return Some(Silence { since: heard, spoke: None }) };
        if is_long(sent, now) {
            return Some(Silence { since: heard.max(sent), spoke: None });
        }
        let (before, spoke) = self.outbound.resumed()?;
        let since = before.map_or(heard, |before| before.max(heard));
        is_long(since, spoke).then_some(Silence { since, spoke: Some(spoke) })
    }
}

/// What one direction of an SA has carried.
#[derive(Debug, Default)]
pub struct DirectionActivity {
    bytes: AtomicU64,
    packets: AtomicU64,
    /// Nanoseconds and one; zero is never. So are the others.
    last: AtomicU64,
    /// The first packet after the last silence of this direction.
    resumed: AtomicU64,
    /// The last one before that.
    before: AtomicU64,
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
        instant(&self.last)
    }

    /// Returns the last packet before the last silence of this direction, if there was one before, and the first after it.
    fn resumed(&self) -> Option<(Option<Instant>, Instant)> {
        instant(&self.resumed).map(|resumed| (instant(&self.before), resumed))
    }

    pub(crate) fn carry(&self, bytes: usize) {
        add(&self.bytes, bytes as u64);
        add(&self.packets, 1);
    }

    pub(crate) fn touch(&self, now: Instant) {
        let (now, last) = (now.0.saturating_add(1), self.last.load(Ordering::Relaxed));
        if last == 0 || now.saturating_sub(last) >= limits::SILENCE.as_nanos() as u64 {
            self.before.store(last, Ordering::Relaxed);
            self.resumed.store(now, Ordering::Relaxed);
        }
        self.last.store(now, Ordering::Relaxed);
    }
}

fn instant(of: &AtomicU64) -> Option<Instant> {
    of.load(Ordering::Relaxed).checked_sub(1).map(Instant)
}
