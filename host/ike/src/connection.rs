//! What becomes of a connection between its IKE SAs: whether it is kept up, and when it is tried again.

use std::time::Duration;

use vpnhost_model::Instant;

use crate::config::{PeerConfig, Start, Timing};

/// A connection that this host may begin.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionState {
    /// After an end it is tried again.
    pub(crate) kept_up: bool,
    /// It was ordered, and is kept up once it has been up.
    pub(crate) ordered: bool,
    /// Attempts that failed in a row.
    pub(crate) failures: u32,
    /// When it is tried again.
    pub(crate) retry_at: Option<Instant>,
    /// Not before this is an attempt made for traffic's sake.
    pub(crate) not_before: Option<Instant>,
    /// Which gateway comes next.
    pub(crate) next_gateway: usize,
}

impl ConnectionState {
    /// Makes the state of a connection as it is configured.
    pub(crate) fn of(connection: &PeerConfig) -> Self {
        let kept_up = connection.initiate && connection.start == Start::Up;
        Self { kept_up, ..Self::default() }
    }

    /// Returns the pause before the next attempt, and counts it.
    pub(crate) fn next_pause(&mut self, timing: &Timing) -> Duration {
        let doubled = timing.retry_first.saturating_mul(2u32.saturating_pow(self.failures.min(16)));
        self.failures = self.failures.saturating_add(1);
        doubled.min(timing.retry_cap.max(timing.retry_first))
    }

    /// It is up.
    pub(crate) fn is_up(&mut self) {
        self.failures = 0;
        self.retry_at = None;
        self.not_before = None;
        self.kept_up |= self.ordered;
    }

    /// It is to be down, and to stay so.
    pub(crate) fn take_down(&mut self) {
        *self = Self { next_gateway: self.next_gateway, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_begin_anew_once_it_was_up() {
        let timing = Timing {
            retry_first: Duration::from_secs(1),
            retry_cap: Duration::from_secs(5),
            ..Timing::default()
        };
        let mut state = ConnectionState::default();
        let pauses: Vec<u64> = (0..5).map(|_| state.next_pause(&timing).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
        state.is_up();
        assert_eq!(state.next_pause(&timing).as_secs(), 1);
    }

    #[test]
    fn an_ordered_connection_is_kept_up_once_it_has_been_up() {
        let mut state = ConnectionState { ordered: true, ..ConnectionState::default() };
        assert!(!state.kept_up);
        state.is_up();
        assert!(state.kept_up);
    }
}
