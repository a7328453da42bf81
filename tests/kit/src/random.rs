//! Chance that comes again with the same seed.

use std::time::Duration;

use vpnhost_null::SeededRandom;

/// Draws for tests: what a network does, when a story acts.
#[derive(Clone, Debug)]
pub struct Random(SeededRandom);

impl Random {
    /// Begins at a seed.
    pub fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    /// Returns a number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next_word() % bound
    }

    /// Returns true so many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// Returns a time from the first up to the second.
    pub fn between(&mut self, (least, most): (Duration, Duration)) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_nanos()).unwrap_or(u64::MAX - 1);
        least + Duration::from_nanos(self.below(span.saturating_add(1).max(1)))
    }

    /// Returns one of a list that is not empty.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Returns an octet.
    pub fn octet(&mut self) -> u8 {
        (self.0.next_word() >> 56) as u8
    }
}

/// Returns a source for machines that draw for themselves.
pub fn source(seed: u64) -> SeededRandom {
    SeededRandom::new(seed)
}
