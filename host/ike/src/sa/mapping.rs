//! What is known of the NATs before this host: for how long each was seen to remember an idle mapping, and for how long it
//! was not. And which time is to be tried next: it doubles until one fails, and then halves what is uncertain.
//!
//! It is known by network, not by IKE SA: who comes back to one, or negotiates anew, knows it still. How a time is tried is
//! the affair of `exchange::idle_probe`.

use std::net::IpAddr;
use std::time::Duration;

use vpnhost_model::{IkeSaId, Instant, Path};

use crate::limits;

/// A network that this host has an address in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// This host's address there.
    pub local: IpAddr,
    /// The index of the interface.
    pub interface: Option<u32>,
}

impl Network {
    /// Returns the network that a path begins in.
    pub(crate) fn of(path: &Path) -> Self {
        Self { local: path.local.ip(), interface: path.interface }
    }

    /// Tells whether they may be the same: which interface it is may not be known yet.
    pub(crate) fn may_be(&self, other: &Self) -> bool {
        let interfaces = self.interface.zip(other.interface);
        self.local == other.local && interfaces.is_none_or(|(one, other)| one == other)
    }
}

/// What is known of the NAT of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The longest silence after which a packet from outside still came through.
    pub proven: Option<Duration>,
    /// The shortest silence after which none did.
    pub failed: Option<Duration>,
}

/// A network with what was learned there.
#[derive(Clone, Debug)]
struct Learned {
    network: Network,
    memory: Memory,
    /// A silence that failed once: packets are lost for other reasons, too.
    doubted: Option<Duration>,
    /// A silence that nobody tried, and before whose end packets were missing; and when that was.
    missed: Option<(Duration, Instant)>,
    /// What failed was tried: trials go on to confirm it.
    is_tried: bool,
    /// When what failed without having been tried counts no longer.
    lapses: Option<Instant>,
    /// When there was nothing more to learn.
    settled: Option<Instant>,
    /// The next confirmation is about what failed: a NAT may also remember for longer than before.
    confirms_failed: bool,
}

/// What was learned, by network; the one used last stands last.
#[derive(Debug, Default)]
pub(crate) struct Mappings {
    learned: Vec<Learned>,
    /// Who is trying a silence now, until when at the most. Two at once on one port would refresh each other's mapping.
    trying: Option<(IkeSaId, Instant)>,
}

impl Mappings {
    /// Returns what is known of a network's NAT.
    pub(crate) fn memory(&self, network: Network) -> Memory {
        self.find(network).map(|learned| learned.memory).unwrap_or_default()
    }

    /// Returns every network with what is known of its NAT.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Network, Memory)> + '_ {
        self.learned.iter().map(|learned| (learned.network, learned.memory))
    }

    /// Takes what was known before; what was learned since stays.
    pub(crate) fn recall(&mut self, network: Network, memory: Memory) {
        let within = |span: &Duration| (limits::IDLE_LEAST..=limits::IDLE_MOST).contains(span);
        if self.find(network).is_none() {
            let memory =
                Memory { proven: memory.proven.filter(within), failed: memory.failed.filter(within) };
            self.enter(network).memory = memory;
        }
    }

    /// Returns the silence to try next in a network, and when: one that is known already only after a long time.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        network: Network,
        keepalive: Duration,
    ) -> (Instant, Duration) {
        let learned = self.enter(network);
        if let Some(span) = learned.uncertain(keepalive) {
            return (now, span);
        }
        let settled = *learned.settled.get_or_insert(now);
        let Memory { proven, failed } = learned.memory;
        let known = if learned.confirms_failed { failed.or(proven) } else { proven.or(failed) };
        (now.max(settled + limits::IDLE_CONFIRMED), known.unwrap_or(limits::IDLE_LEAST))
    }

    /// Takes what became of a silence that was tried; tells whether anything is known that was not known before.
    pub(crate) fn note(&mut self, network: Network, span: Duration, is_remembered: bool) -> bool {
        let learned = self.enter(network);
        if !is_remembered && learned.doubted != Some(span) {
            learned.doubted = Some(span);
            return false;
        }
        learned.doubted = None;
        if learned.settled.take().is_some() {
            learned.confirms_failed = !learned.confirms_failed;
        }
        let (before, memory) = (learned.memory, &mut learned.memory);
        if is_remembered {
            memory.proven = memory.proven.max(Some(span));
            memory.failed = memory.failed.filter(|failed| *failed > span);
        } else {
            (learned.is_tried, learned.lapses) = (true, None);
            memory.failed = Some(memory.failed.map_or(span, |failed| failed.min(span)));
            memory.proven = memory.proven.filter(|proven| *proven < span);
        }
        *memory != before
    }

    /// Takes what traffic showed of a silence that nobody tried; tells whether anything is known that was not known before.
    ///
    /// Packets are lost for other reasons, too: it takes two silences, about as long, one soon after the other.
    pub(crate) fn witness(
        &mut self,
        now: Instant,
        network: Network,
        (span, is_remembered): (Duration, bool),
    ) -> bool {
        let learned = self.enter(network);
        let confirms = |(missed, at): &(Duration, Instant)| {
            now.saturating_since(*at) < limits::IDLE_DOUBTED && span.max(*missed) <= span.min(*missed) * 2
        };
        let (before, memory) = (learned.memory, &mut learned.memory);
        if is_remembered {
            learned.doubted.take_if(|doubted| *doubted <= span);
            learned.missed.take_if(|(missed, _)| *missed <= span);
            memory.proven = memory.proven.max(Some(span));
            memory.failed = memory.failed.filter(|failed| *failed > span);
        } else if let Some((missed, _)) = learned.missed.take().filter(confirms) {
            let span = span.max(missed);
            learned.doubted = None;
            (learned.is_tried, learned.lapses) = (false, None);
            memory.failed = Some(memory.failed.map_or(span, |failed| failed.min(span)));
            memory.proven = memory.proven.filter(|proven| *proven < span);
        } else {
            learned.missed = Some((span, now));
            learned.doubted.get_or_insert(span);
        }
        *memory != before
    }

    /// Lets what failed long ago count no longer, unless it was tried: what is known then is tried again by using it. Tells
    /// whether it did.
    pub(crate) fn lapse(&mut self, now: Instant, network: Network) -> bool {
        let found = self.learned.iter_mut().find(|learned| learned.network.may_be(&network));
        let Some(learned) = found.filter(|it| it.memory.failed.is_some() && !it.is_tried) else {
            return false;
        };
        let is_over = *learned.lapses.get_or_insert(now + limits::IDLE_HELD_AGAINST) <= now;
        if is_over {
            (learned.memory.failed, learned.lapses) = (None, None);
        }
        is_over
    }

    /// Returns until when another IKE SA may be trying a silence, if one is.
    pub(crate) fn busy_until(&self, now: Instant, ike_sa: IkeSaId) -> Option<Instant> {
        self.trying.filter(|(other, until)| *other != ike_sa && *until > now).map(|(_, until)| until)
    }

    /// Notes that an IKE SA tries a silence from now on.
    pub(crate) fn begin_trial(&mut self, now: Instant, ike_sa: IkeSaId, span: Duration) {
        self.trying = Some((ike_sa, now + span + limits::IDLE_ANSWER_WAIT * 2));
    }

    /// Notes that an IKE SA tries none any more.
    pub(crate) fn end_trial(&mut self, ike_sa: IkeSaId) {
        self.trying.take_if(|(other, _)| *other == ike_sa);
    }

    /// Tells whether there is nothing more to learn of a network for the time being.
    pub(crate) fn is_settled(&self, network: Network, keepalive: Duration) -> bool {
        self.find(network).is_some_and(|learned| learned.uncertain(keepalive).is_none())
    }

    fn find(&self, network: Network) -> Option<&Learned> {
        self.learned.iter().find(|learned| learned.network.may_be(&network))
    }

    /// Returns the entry of a network; beyond the bound the one that was not used for longest goes.
    fn enter(&mut self, network: Network) -> &mut Learned {
        let found = self.learned.iter().position(|learned| learned.network.may_be(&network));
        let mut learned = found.map(|at| self.learned.remove(at)).unwrap_or_else(|| Learned {
            network,
            memory: Memory::default(),
            doubted: None,
            missed: None,
            is_tried: false,
            lapses: None,
            settled: None,
            confirms_failed: false,
        });
        learned.network.interface = learned.network.interface.or(network.interface);
        if self.learned.len() >= limits::NETWORKS {
            self.learned.remove(0);
        }
        self.learned.push(learned);
        let last = self.learned.len() - 1;
        &mut self.learned[last]
    }
}

impl Learned {
    /// Returns the silence whose outcome is not known well enough.
    fn uncertain(&self, keepalive: Duration) -> Option<Duration> {
        if self.doubted.is_some() {
            return self.doubted;
        }
        let first = keepalive.clamp(limits::IDLE_LEAST, limits::IDLE_FIRST);
        match (self.memory.proven, self.memory.failed) {
            (None, None) => Some(first),
            (Some(proven), None) => (proven < limits::IDLE_MOST).then(|| (proven * 2).min(limits::IDLE_MOST)),
            (None, Some(failed)) => {
                (failed > limits::IDLE_LEAST).then(|| (failed / 2).max(limits::IDLE_LEAST))
            }
            // A fifth more is not worth another try.
            (Some(proven), Some(failed)) => {
                (failed > proven + proven / 4).then(|| proven + failed.saturating_sub(proven) / 2)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: Duration = Duration::from_secs(20);

    fn network(last: u8) -> Network {
        Network { local: [192, 0, 2, last].into(), interface: Some(2) }
    }

    /// Learns a NAT, and returns what is known then and how many silences that took.
    fn learn(mappings: &mut Mappings, now: Instant, lifetime: Duration) -> (Memory, u32) {
        let mut tries = 0;
        loop {
            let (due, span) = mappings.next(now, network(1), CONFIGURED);
            if due > now {
                return (mappings.memory(network(1)), tries);
            }
            mappings.note(network(1), span, span < lifetime);
            tries += 1;
        }
    }

    #[test]
    fn any_nat_is_learned_in_a_few_steps_and_close_enough() {
        for lifetime in [6, 15, 30, 47, 120, 300, 900, 3000, 3599] {
            let lifetime = Duration::from_secs(lifetime);
            let (memory, tries) = learn(&mut Mappings::default(), Instant(0), lifetime);
            let proven = memory.proven.unwrap();
            assert!(proven < lifetime, "{lifetime:?} {memory:?}");
            assert!(memory.failed.is_none_or(|failed| failed >= lifetime && failed <= proven + proven / 4));
            assert!(proven >= lifetime * 7 / 10, "{lifetime:?} {memory:?}");
            assert!(tries <= 16, "{lifetime:?} {tries}");
        }
        let (memory, _) = learn(&mut Mappings::default(), Instant(0), Duration::from_secs(9999));
        assert_eq!(memory, Memory { proven: Some(limits::IDLE_MOST), failed: None });
    }

    #[test]
    fn one_loss_is_no_failure() {
        let mut mappings = Mappings::default();
        assert!(!mappings.note(network(1), CONFIGURED, false));
        assert_eq!(mappings.memory(network(1)), Memory::default());
        assert!(mappings.note(network(1), CONFIGURED, true), "the second try came through");
        assert!(!mappings.note(network(1), CONFIGURED * 2, false));
        assert!(mappings.note(network(1), CONFIGURED * 2, false));
        assert_eq!(mappings.memory(network(1)).failed, Some(CONFIGURED * 2));
    }

    #[test]
    fn a_nat_that_changes_is_found_out_by_confirmation_both_ways() {
        let mut mappings = Mappings::default();
        let mut now = Instant(0);
        for lifetime in [900, 30, 900].map(Duration::from_secs) {
            for _ in 0..2 {
                now += limits::IDLE_CONFIRMED;
                learn(&mut mappings, now, lifetime);
            }
            let (memory, _) = learn(&mut mappings, now, lifetime);
            assert!(memory.proven.is_some_and(|proven| proven < lifetime), "{lifetime:?} {memory:?}");
            assert!(
                memory.proven.is_some_and(|proven| proven >= lifetime * 7 / 10),
                "{lifetime:?} {memory:?}"
            );
        }
    }

    #[test]
    fn networks_are_remembered_up_to_a_bound_and_the_one_that_is_used_stays() {
        let mut mappings = Mappings::default();
        let known = Memory { proven: Some(CONFIGURED), failed: None };
        for last in 0..=limits::NETWORKS as u8 {
            mappings.recall(network(last), known);
            mappings.next(Instant(0), network(0), CONFIGURED);
        }
        assert_eq!(mappings.all().count(), limits::NETWORKS);
        assert_eq!(mappings.memory(network(0)), known);
        assert_eq!(mappings.memory(network(1)), Memory::default());
    }
}
