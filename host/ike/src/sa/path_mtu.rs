//! The search for the largest packet that a path carries, where nobody on it says so (RFC 4821, RFC 8899): the size that is
//! wanted first, and what is between the largest that arrived and the smallest that did not.

use vpnhost_model::Path;

use crate::limits;

/// A search under way. Sizes are octets of IP packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MtuSearch {
    /// The path that is searched.
    pub(crate) path: Path,
    wanted: u16,
    /// The largest that is known to arrive.
    works: u16,
    /// The smallest that is known not to.
    fails: Option<u16>,
    /// How often the present size was not answered.
    silent: u8,
    /// What was told last.
    told: Option<u16>,
    /// Octets by which a test may be smaller than the size that it is for: a suite fills whole blocks.
    grain: u16,
}

/// What a path was found to carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundMtu {
    pub(crate) path: Path,
    pub(crate) octets: u16,
}

impl MtuSearch {
    /// Begins with a packet that went out.
    pub(crate) fn new(path: Path, wanted: u16) -> Self {
        let works = if path.remote.is_ipv4() { limits::PATH_MTU_MIN_V4 } else { limits::PATH_MTU_MIN_V6 };
        Self {
            path,
            wanted: wanted.clamp(works, limits::PATH_MTU_MOST),
            works,
            fails: None,
            silent: 0,
            told: None,
            grain: 0,
        }
    }

    /// Returns the size to test now.
    pub(crate) fn size(&self) -> u16 {
        match self.fails {
            None => self.wanted,
            // What nearly every path carries is likelier than what is half way.
            Some(fails) if self.is_below_common() && fails > limits::PATH_MTU_MIN_V6 => {
                limits::PATH_MTU_MIN_V6
            }
            Some(fails) => self.works.midpoint(fails),
        }
    }

    /// Tells whether it is not known yet that what nearly every path carries arrives, or as much of it as whole blocks fill.
    fn is_below_common(&self) -> bool {
        self.works + self.grain.max(1) <= limits::PATH_MTU_MIN_V6
    }

    /// Tells whether a test was not answered, so that the next has to wait for longer.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.silent > 0
    }

    /// Takes what became of a test of [`Self::size`], or of so much of it as whole blocks fill. Returns the path MTU from
    /// now on, where it is another.
    ///
    /// Once without an answer makes packets smaller at once, so that traffic goes on; only twice says that it was the size,
    /// and not a loss like any other.
    pub(crate) fn note(&mut self, answered: bool, tested: u16) -> Option<u16> {
        let size = self.size().min(tested);
        if tested < self.size() {
            self.grain = limits::LARGEST_BLOCK;
        }
        if answered {
            (self.works, self.silent) = (size.max(self.works), 0);
        } else {
            self.silent += 1;
        }
        if self.silent >= limits::MTU_SILENCES {
            (self.fails, self.silent) = (Some(size), 0);
        }
        // Below what is not answered, what nearly every path carries is taken on trust, until that is not answered either.
        let trusted = if size > limits::PATH_MTU_MIN_V6 { limits::PATH_MTU_MIN_V6 } else { self.works };
        let is_whole = self.fails.is_none() && self.silent == 0;
        let fits = if is_whole { size } else { self.works.max(trusted) };
        let is_news = fits != self.told.unwrap_or(self.wanted);
        self.told = if is_news { Some(fits) } else { self.told };
        is_news.then_some(fits)
    }

    /// Tells whether it is known well enough.
    pub(crate) fn is_over(&self) -> bool {
        let step = limits::MTU_STEP.max(2 * self.grain);
        // Within one block nothing is tested.
        self.wanted - self.works < self.grain.max(1)
            || self.fails.is_some_and(|fails| fails.saturating_sub(self.works) <= step)
    }

    /// Returns what was found, where it is less than what was wanted.
    pub(crate) fn found(&self) -> Option<u16> {
        (self.is_over() && self.works < self.wanted).then_some(self.works)
    }
}

#[cfg(test)]
mod tests {
    use vpnhost_model::Encapsulation;

    use super::*;

    fn search(v6: bool) -> MtuSearch {
        let ends = if v6 {
            ["[2001:db8::1]:4500", "[2001:db8::2]:4500"]
        } else {
            ["192.0.2.1:4500", "192.0.2.2:4500"]
        };
        let [local, remote] = ends.map(|end| end.parse().unwrap());
        MtuSearch::new(Path { local, remote, interface: None, encapsulation: Encapsulation::Udp }, 1462)
    }

    /// Searches a path; returns what was told, and the number of tests.
    fn run(mut search: MtuSearch, mut arrives: impl FnMut(u16) -> bool) -> (Vec<u16>, usize) {
        let (mut told, mut tests) = (Vec::new(), 0);
        while !search.is_over() {
            tests += 1;
            assert!(tests < 40, "{search:?}");
            let answered = arrives(search.size());
            told.extend(search.note(answered, search.size()));
        }
        (told, tests)
    }

    #[test]
    fn what_whole_blocks_took_from_a_test_is_not_taken_to_arrive() {
        for mtu in 1280..1462_u16 {
            let (mut search, mut told, mut tests) = (search(false), Vec::new(), 0);
            while !search.is_over() {
                tests += 1;
                assert!(tests < 40, "{search:?}");
                // Headers and ICV of 92 octets, and blocks.
                let tested = 92 + (search.size() - 92) / 16 * 16;
                told.extend(search.note(tested <= mtu, tested));
            }
            let found = *told.last().unwrap();
            assert!(found <= mtu && mtu - found <= 48, "{mtu}: {told:?}");
        }
    }

    #[test]
    fn a_path_that_carries_what_is_wanted_is_tested_once_and_nothing_is_told() {
        assert_eq!(run(search(false), |_| true), (vec![], 1));
    }

    #[test]
    fn one_lost_test_makes_packets_smaller_only_for_a_moment() {
        let mut first = true;
        let (told, tests) = run(search(false), |_| !std::mem::take(&mut first));
        assert_eq!((told, tests), (vec![1280, 1462], 2));
    }

    #[test]
    fn every_path_mtu_is_found_from_below() {
        for v6 in [false, true] {
            for mtu in (if v6 { 1280 } else { 576 }..1462_u16).step_by(7) {
                let (told, _) = run(search(v6), |size| size <= mtu);
                let found = *told.last().unwrap();
                assert!(found <= mtu && mtu - found <= limits::MTU_STEP, "{mtu}: {told:?}");
                assert_eq!(told[0], 1280, "what nearly every path carries comes first");
            }
        }
    }
}
