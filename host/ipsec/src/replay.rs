//! The anti-replay window (RFC 4303 §3.4.3, appendix A): a ring of bits as in RFC 6479.
//!
//! Checked before the ICV, moved only after it: octets without a valid ICV change nothing here.

use crate::counters::DropCause;

/// Bits of one word of the ring.
const WORD: u64 = 64;

/// Which of the last sequence numbers were seen.
#[derive(Clone, Debug)]
pub(crate) struct ReplayWindow {
    /// One word more than the window has, so that a word can be cleared before it is entered.
    ring: Box<[u64]>,
    size: u64,
    top: u64,
    extended: bool,
}

impl ReplayWindow {
    /// Makes a window of `size` packets, rounded up to whole words; `top` is the last number seen.
    pub(crate) fn new(size: u32, extended: bool, top: u64) -> Self {
        let size = u64::from(size).next_multiple_of(WORD);
        // A power of two, so that the word of a number needs no division.
        let words = (size / WORD + 1).next_power_of_two();
        Self { ring: vec![0; words as usize].into(), size, top, extended }
    }

    /// Infers the whole sequence number of a packet from its low half (RFC 4303 §A2.2) and checks it.
    pub(crate) fn check(&self, low: u32) -> Result<u64, DropCause> {
        let sequence = if self.extended { self.infer(low).ok_or(DropCause::Stale)? } else { low.into() };
        self.admit(sequence)?;
        Ok(sequence)
    }

    /// Takes an authentic packet; tells whether it is the newest so far.
    pub(crate) fn commit(&mut self, sequence: u64) -> Result<bool, DropCause> {
        self.admit(sequence)?;
        let newest = sequence > self.top;
        if newest {
            self.advance(sequence);
        }
        let (word, bit) = self.place(sequence);
        self.ring[word] |= bit;
        Ok(newest)
    }

    /// Returns the newest number so far.
    pub(crate) fn top(&self) -> u64 {
        self.top
    }

    fn admit(&self, sequence: u64) -> Result<(), DropCause> {
        // Zero is never sent (RFC 4303 §2.2).
        if sequence == 0 || (sequence <= self.top && self.top - sequence >= self.size) {
            return Err(DropCause::Stale);
        }
        let (word, bit) = self.place(sequence);
        if sequence <= self.top && self.ring[word] & bit != 0 {
            return Err(DropCause::Replayed);
        }
        Ok(())
    }

    fn advance(&mut self, sequence: u64) {
        let words = (sequence / WORD - self.top / WORD).min(self.ring.len() as u64);
        for step in 1..=words {
            let word = self.place_of_word(self.top / WORD + step);
            self.ring[word] = 0;
        }
        self.top = sequence;
    }

    /// RFC 4303 §A2.2: the high half that puts the number nearest to the window.
    fn infer(&self, low: u32) -> Option<u64> {
        let (top_high, top_low) = ((self.top >> 32) as u32, self.top as u32);
        let bottom = top_low.wrapping_sub(self.size as u32 - 1);
        let high = if u64::from(top_low) >= self.size - 1 {
            // Case A: the window lies within one subspace.
            if low >= bottom { Some(top_high) } else { top_high.checked_add(1) }
        } else if low >= bottom {
            // Case B: it began in the one before.
            top_high.checked_sub(1)
        } else {
            Some(top_high)
        };
        high.map(|high| u64::from(high) << 32 | u64::from(low))
    }

    fn place(&self, sequence: u64) -> (usize, u64) {
        (self.place_of_word(sequence / WORD), 1 << (sequence % WORD))
    }

    fn place_of_word(&self, word: u64) -> usize {
        (word & (self.ring.len() as u64 - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What the window must do, without its bits.
    struct Model {
        seen: BTreeSet<u64>,
        size: u64,
        top: u64,
    }

    impl Model {
        fn take(&mut self, sequence: u64) -> Result<bool, DropCause> {
            if sequence == 0 || self.top.checked_sub(sequence).is_some_and(|age| age >= self.size) {
                return Err(DropCause::Stale);
            }
            if !self.seen.insert(sequence) {
                return Err(DropCause::Replayed);
            }
            let newest = sequence > self.top;
            self.top = self.top.max(sequence);
            self.seen.retain(|s| self.top - s < self.size);
            Ok(newest)
        }
    }

    proptest! {
        #[test]
        fn the_ring_does_what_a_set_does(
            size in prop::sample::select(vec![64u32, 128, 1024, 4096]),
            start in prop::sample::select(vec![0u64, 1000, 0xffff_ff00, 0x5_ffff_fff0]),
            steps in prop::collection::vec((any::<bool>(), 0u64..5000), 1..400),
        ) {
            let mut window = ReplayWindow::new(size, true, start);
            let mut model = Model { seen: BTreeSet::new(), size: size.into(), top: start };
            for (forward, distance) in steps {
                let distance = if forward { distance / 7 } else { distance };
                let sequence = if forward { model.top + distance } else { model.top.saturating_sub(distance) };
                let expected = model.take(sequence);
                // The low half alone is enough for whatever lies near the window.
                let checked = window.check(sequence as u32);
                if expected.is_ok() {
                    prop_assert_eq!(checked, Ok(sequence));
                }
                prop_assert_eq!(window.commit(sequence), expected);
            }
        }
    }

    #[test]
    fn a_check_alone_changes_nothing() {
        let mut window = ReplayWindow::new(64, false, 0);
        assert_eq!(window.check(u32::MAX), Ok(u64::from(u32::MAX)));
        assert_eq!(window.check(1), Ok(1));
        assert_eq!(window.commit(1), Ok(true));
        assert_eq!(window.check(1), Err(DropCause::Replayed));
        assert_eq!(window.check(0), Err(DropCause::Stale));
    }

    #[test]
    fn the_high_half_follows_over_the_wrap_and_back() {
        let wrap = 1u64 << 32;
        let mut window = ReplayWindow::new(64, true, wrap - 10);
        assert_eq!(window.check(5), Ok(wrap + 5));
        assert_eq!(window.commit(wrap + 5), Ok(true));
        // A straggler from before the wrap, inside the window.
        assert_eq!(window.check((wrap - 3) as u32), Ok(wrap - 3));
        assert_eq!(window.commit(wrap - 3), Ok(false));
        assert_eq!(window.check((wrap - 3) as u32), Err(DropCause::Replayed));
        // Before the window: taken for one of the next subspace, which no ICV confirms.
        assert_eq!(window.check((wrap - 100) as u32), Ok(2 * wrap - 100));
        // At the very start there is no subspace before.
        assert_eq!(ReplayWindow::new(64, true, 0).check(u32::MAX), Err(DropCause::Stale));
    }

    #[test]
    fn a_jump_over_the_whole_ring_forgets_all() {
        let mut window = ReplayWindow::new(64, false, 0);
        assert_eq!(window.commit(5), Ok(true));
        assert_eq!(window.commit(5 + (1 << 20)), Ok(true));
        assert_eq!(window.commit(5 + (1 << 20) - 63), Ok(false));
        assert_eq!(window.commit(5 + (1 << 20) - 64), Err(DropCause::Stale));
    }
}
