//! How fast an authenticated peer may have new SAs made (RFC 8019 §5): each costs a key exchange.

use vpnhost_model::Instant;

use crate::limits;

/// What an IKE SA, with those that it replaced, has left of CREATE_CHILD_SA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    left: u32,
    since: Instant,
}

impl Pace {
    /// Begins with all that may come at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: limits::CREATE_CHILD_AT_ONCE, since: now }
    }

    /// Takes one, if one is left; they come back one after another.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let gap = limits::CREATE_CHILD_GAP;
        let gained = now.saturating_since(self.since).as_nanos() / gap.as_nanos();
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        if gained >= limits::CREATE_CHILD_AT_ONCE - self.left {
            *self = Self::new(now);
        } else {
            self.left += gained;
            self.since += gap * gained;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_comes_back_one_after_another() {
        let mut pace = Pace::new(Instant(0));
        let taken = (0..1000).filter(|_| pace.take(Instant(0))).count();
        assert_eq!(taken, limits::CREATE_CHILD_AT_ONCE as usize);
        let later = Instant(0) + limits::CREATE_CHILD_GAP * 3 + limits::CREATE_CHILD_GAP / 2;
        assert_eq!((0..10).filter(|_| pace.take(later)).count(), 3);
        assert_eq!((0..10).filter(|_| pace.take(later + limits::CREATE_CHILD_GAP / 2)).count(), 1);
        let long_after = later + limits::CREATE_CHILD_GAP * 100_000;
        let taken = (0..1000).filter(|_| pace.take(long_after)).count();
        assert_eq!(taken, limits::CREATE_CHILD_AT_ONCE as usize);
    }
}
