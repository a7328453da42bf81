//! Says when a frame that enters one direction of a bad link leaves it, or whether it does.
//!
//! Times are those since the link was made; the caller has the clock, the frames and the order of departures. The
//! same seed and the same frames give the same link.

use std::time::Duration;

/// One way through a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the end named first to the other.
    Forth,
    /// From the end named second to the first.
    Back,
}

impl Direction {
    /// Both ways.
    pub const BOTH: [Self; 2] = [Self::Forth, Self::Back];

    /// Returns its place in [`Self::BOTH`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Forth => 0,
            Self::Back => 1,
        }
    }
}

/// How bad one direction is. The default is a good link: nothing is late and nothing is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// What every frame takes.
    pub delay: Duration,
    /// What a frame takes besides, at most; even, from nothing on. It keeps the order.
    pub jitter: Duration,
    /// The share of frames that is lost, each by itself.
    pub loss: f64,
    /// Losses that come together.
    pub bursts: Bursts,
    /// The share of frames that is held back for `hold`, so that those behind overtake it.
    pub reorder: f64,
    /// For how long a reordered frame is held back.
    pub hold: Duration,
    /// The share of frames that arrives twice.
    pub duplicate: f64,
    /// Bits in a second; zero is no limit.
    pub rate: u64,
    /// How many octets may wait for their turn at the rate; what finds no room is dropped (tail drop).
    pub queue: u64,
    /// Nothing comes through, and nobody is told.
    pub cut: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            bursts: Bursts::default(),
            reorder: 0.0,
            hold: Duration::from_millis(10),
            duplicate: 0.0,
            rate: 0,
            queue: 64 * 1024,
            cut: false,
        }
    }
}

/// The model of Gilbert and Elliott: a good and a bad state, and a chance of changing at each frame. In the bad one
/// every frame is lost; in the good one [`Conditions::loss`] of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bursts {
    /// The chance that a frame begins a burst.
    pub begin: f64,
    /// The chance that a frame ends it, and comes through.
    pub end: f64,
}

impl Bursts {
    /// Returns bursts of a mean length, in frames, that lose a share of all frames.
    #[must_use]
    pub fn of(share: f64, frames: f64) -> Self {
        let share = share.clamp(0.0, 1.0);
        let end = 1.0 / frames.max(1.0);
        // The share of time in the bad state is begin / (begin + end).
        let begin = if share < 1.0 { (share * end / (1.0 - share)).min(1.0) } else { 1.0 };
        Self { begin, end: if share < 1.0 { end } else { 0.0 } }
    }
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It leaves at this time, and once more where it is doubled.
    Leaves {
        /// When it leaves.
        at: Duration,
        /// Whether it leaves twice.
        twice: bool,
    },
    /// It does not arrive.
    Lost,
}

/// What became of the frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that entered.
    pub entered: u64,
    /// Lost by chance, alone or in a burst.
    pub lost: u64,
    /// Lost because the queue was full.
    pub overflowed: u64,
    /// Lost because the link was cut.
    pub cut: u64,
    /// Arrived twice.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
}

/// One direction of a bad link.
#[derive(Clone, Debug)]
pub struct Schedule {
    conditions: Conditions,
    chance: Chance,
    is_burst: bool,
    /// When the last octet that waits for its turn will have been sent.
    idle_from: Duration,
    /// The latest departure of a frame that was not held back.
    last: Duration,
    counters: Counters,
}

impl Schedule {
    /// Returns a direction without faults.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            conditions: Conditions::default(),
            chance: Chance::new(seed),
            is_burst: false,
            idle_from: Duration::ZERO,
            last: Duration::ZERO,
            counters: Counters::default(),
        }
    }

    /// Returns how bad it is.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        self.conditions
    }

    /// Returns what became of its frames.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Changes how bad it is, for the frames that enter from now on. What waits for its turn waits as many octets.
    pub fn set(&mut self, now: Duration, conditions: Conditions) {
        let waiting = self.waiting(now);
        self.conditions = conditions;
        self.idle_from = now + self.time_for(waiting);
        if conditions.bursts == Bursts::default() {
            self.is_burst = false;
        }
    }

    /// Says what becomes of a frame that enters now.
    pub fn enter(&mut self, now: Duration, octets: usize) -> Fate {
        let conditions = self.conditions;
        self.counters.entered += 1;
        if conditions.cut {
            self.counters.cut += 1;
            return Fate::Lost;
        }
        let octets = octets as u64;
        let waiting = self.waiting(now);
        // One frame is always taken by an idle link, however small its queue.
        if waiting > 0 && waiting.saturating_add(octets) > conditions.queue {
            self.counters.overflowed += 1;
            return Fate::Lost;
        }
        self.idle_from = self.idle_from.max(now) + self.time_for(octets);
        // What is lost on the way has taken its turn.
        if self.is_lost() {
            self.counters.lost += 1;
            return Fate::Lost;
        }
        let jitter = conditions.jitter.mul_f64(self.chance.share());
        let mut at = self.idle_from + conditions.delay + jitter;
        if self.chance.falls(conditions.reorder) {
            self.counters.reordered += 1;
            at += conditions.hold;
        } else {
            at = at.max(self.last);
            self.last = at;
        }
        let twice = self.chance.falls(conditions.duplicate);
        self.counters.duplicated += u64::from(twice);
        Fate::Leaves { at, twice }
    }

    /// Counts a frame for which the caller has no room.
    pub fn refuse(&mut self) {
        self.counters.entered += 1;
        self.counters.overflowed += 1;
    }

    fn is_lost(&mut self) -> bool {
        let Bursts { begin, end } = self.conditions.bursts;
        let changes = self.chance.falls(if self.is_burst { end } else { begin });
        self.is_burst ^= changes;
        self.is_burst || self.chance.falls(self.conditions.loss)
    }

    /// Returns how many octets wait for their turn.
    fn waiting(&self, now: Duration) -> u64 {
        let nanos = self.idle_from.saturating_sub(now).as_nanos();
        u64::try_from(nanos * u128::from(self.conditions.rate) / NANOS_PER_OCTET).unwrap_or(u64::MAX)
    }

    fn time_for(&self, octets: u64) -> Duration {
        match self.conditions.rate {
            0 => Duration::ZERO,
            rate => {
                let nanos = u128::from(octets) * NANOS_PER_OCTET / u128::from(rate);
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(LONGEST)
            }
        }
    }
}

/// An octet takes so many nanoseconds, divided by the bits in a second.
const NANOS_PER_OCTET: u128 = 8 * 1_000_000_000;
/// No frame takes longer than this for its turn, however low the rate.
const LONGEST: Duration = Duration::from_secs(3600);

/// Chance that is the same at each run (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number from 0 to below 1.
    pub(super) fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        (word >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn falls(&mut self, share: f64) -> bool {
        self.share() < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: u32 = 100_000;
    const OCTETS: usize = 200;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    /// Sends frames, one a millisecond, and returns when each leaves.
    fn sent(conditions: Conditions) -> (Vec<Option<Duration>>, Counters) {
        let mut schedule = Schedule::new(7);
        schedule.set(Duration::ZERO, conditions);
        let fates = (0..FRAMES).map(|number| match schedule.enter(ms(number.into()), OCTETS) {
            Fate::Leaves { at, .. } => Some(at),
            Fate::Lost => None,
        });
        (fates.collect(), schedule.counters())
    }

    fn lost_share(departures: &[Option<Duration>]) -> f64 {
        departures.iter().filter(|at| at.is_none()).count() as f64 / departures.len() as f64
    }

    /// Returns the mean length of the runs of lost frames.
    fn mean_run(departures: &[Option<Duration>]) -> f64 {
        let runs = departures.split(Option::is_some).filter(|run| !run.is_empty());
        let lengths: Vec<usize> = runs.map(<[_]>::len).collect();
        lengths.iter().sum::<usize>() as f64 / lengths.len() as f64
    }

    fn is_ordered(departures: &[Option<Duration>]) -> bool {
        departures.iter().flatten().is_sorted()
    }

    #[test]
    fn a_good_link_lets_every_frame_through_at_once() {
        let (departures, _) = sent(Conditions::default());
        assert!(departures.iter().zip(0..).all(|(at, number)| *at == Some(ms(number))));
    }

    #[test]
    fn a_delay_is_that_of_every_frame() {
        let (departures, _) = sent(Conditions { delay: ms(25), ..Conditions::default() });
        assert!(departures.iter().zip(0..).all(|(at, number)| *at == Some(ms(number + 25))));
    }

    #[test]
    fn jitter_spreads_departures_but_keeps_the_order() {
        let (departures, _) = sent(Conditions { delay: ms(20), jitter: ms(10), ..Conditions::default() });
        assert!(is_ordered(&departures));
        let taken: Vec<_> = departures.iter().zip(0..).map(|(at, number)| at.unwrap() - ms(number)).collect();
        let (least, most) = (taken.iter().min().unwrap(), taken.iter().max().unwrap());
        assert!(*least >= ms(20) && *most <= ms(30), "{least:?} to {most:?}");
        assert!(*most - *least > ms(8), "{least:?} to {most:?}");
    }

    #[test]
    fn the_share_of_lost_frames_is_the_one_that_was_asked_for() {
        let (departures, counters) = sent(Conditions { loss: 0.02, ..Conditions::default() });
        let share = lost_share(&departures);
        assert!((0.018..0.022).contains(&share), "{share}");
        assert_eq!(counters.lost, (share * f64::from(FRAMES)).round() as u64);
        let run = mean_run(&departures);
        assert!(run < 1.1, "each by itself: {run}");
    }

    #[test]
    fn bursts_lose_the_same_share_in_long_runs() {
        let (departures, _) = sent(Conditions { bursts: Bursts::of(0.05, 8.0), ..Conditions::default() });
        let (share, run) = (lost_share(&departures), mean_run(&departures));
        assert!((0.04..0.06).contains(&share), "{share}");
        assert!((7.0..9.0).contains(&run), "{run}");
    }

    #[test]
    fn a_burst_of_everything_loses_everything() {
        let (departures, _) = sent(Conditions { bursts: Bursts::of(1.0, 8.0), ..Conditions::default() });
        assert!((0.999..=1.0).contains(&lost_share(&departures)));
    }

    #[test]
    fn reordering_lets_later_frames_overtake_the_share_that_is_held_back() {
        let (departures, counters) =
            sent(Conditions { delay: ms(5), reorder: 0.1, hold: ms(3), ..Conditions::default() });
        let late = departures.iter().zip(0..).filter(|(at, number)| at.unwrap() == ms(number + 8)).count();
        assert_eq!(counters.reordered, late as u64);
        assert!((9_000..11_000).contains(&late), "{late}");
        let others: Vec<_> = departures.iter().zip(0..).filter(|(at, n)| at.unwrap() == ms(n + 5)).collect();
        assert_eq!(others.len() + late, departures.len(), "who is not held back is not late");
        assert!(!is_ordered(&departures));
    }

    #[test]
    fn duplication_doubles_its_share_of_frames() {
        let mut schedule = Schedule::new(7);
        schedule.set(Duration::ZERO, Conditions { duplicate: 0.3, ..Conditions::default() });
        let is_twice = |fate| matches!(fate, Fate::Leaves { twice: true, .. });
        let doubled = (0..FRAMES).filter(|_| is_twice(schedule.enter(ms(0), OCTETS))).count();
        assert!((29_000..31_000).contains(&doubled), "{doubled}");
        assert_eq!(schedule.counters().duplicated, doubled as u64);
    }

    #[test]
    fn a_rate_spaces_frames_and_a_full_queue_drops_the_last() {
        let mut schedule = Schedule::new(7);
        // 200 octets take 2 ms.
        let conditions = Conditions { rate: 800_000, queue: 1000, ..Conditions::default() };
        schedule.set(Duration::ZERO, conditions);
        let mut departures = Vec::new();
        for _ in 0..7 {
            if let Fate::Leaves { at, .. } = schedule.enter(Duration::ZERO, OCTETS) {
                departures.push(at);
            }
        }
        assert_eq!(departures, [2, 4, 6, 8, 10].map(ms));
        assert_eq!(schedule.counters().overflowed, 2);
        // When two have gone there is room for two.
        let at = ms(4);
        assert_eq!(schedule.enter(at, OCTETS), Fate::Leaves { at: ms(12), twice: false });
        assert_eq!(schedule.enter(at, OCTETS), Fate::Leaves { at: ms(14), twice: false });
        assert_eq!(schedule.enter(at, OCTETS), Fate::Lost);
    }

    #[test]
    fn an_idle_link_takes_a_frame_that_is_larger_than_its_queue() {
        let mut schedule = Schedule::new(7);
        schedule.set(Duration::ZERO, Conditions { rate: 8_000_000, queue: 10, ..Conditions::default() });
        assert_eq!(schedule.enter(Duration::ZERO, 1000), Fate::Leaves { at: ms(1), twice: false });
        assert_eq!(schedule.enter(Duration::ZERO, 1000), Fate::Lost);
    }

    #[test]
    fn what_waits_goes_on_at_the_new_rate() {
        let mut schedule = Schedule::new(7);
        schedule.set(Duration::ZERO, Conditions { rate: 800_000, ..Conditions::default() });
        schedule.enter(Duration::ZERO, 1000);
        // Ten milliseconds' worth becomes twenty at half the rate.
        schedule.set(Duration::ZERO, Conditions { rate: 400_000, ..Conditions::default() });
        assert_eq!(schedule.enter(Duration::ZERO, 50), Fate::Leaves { at: ms(21), twice: false });
    }

    #[test]
    fn a_cut_link_lets_nothing_through_until_it_is_whole_again() {
        let mut schedule = Schedule::new(7);
        schedule.set(ms(0), Conditions { cut: true, ..Conditions::default() });
        assert_eq!(schedule.enter(ms(1), OCTETS), Fate::Lost);
        schedule.set(ms(2), Conditions::default());
        assert_eq!(schedule.enter(ms(3), OCTETS), Fate::Leaves { at: ms(3), twice: false });
        assert_eq!(schedule.counters(), Counters { entered: 2, cut: 1, ..Counters::default() });
    }

    #[test]
    fn a_shorter_delay_lets_no_frame_overtake_those_under_way() {
        let mut schedule = Schedule::new(7);
        schedule.set(ms(0), Conditions { delay: ms(100), ..Conditions::default() });
        schedule.enter(ms(0), OCTETS);
        schedule.set(ms(1), Conditions::default());
        assert_eq!(schedule.enter(ms(1), OCTETS), Fate::Leaves { at: ms(100), twice: false });
    }
}
