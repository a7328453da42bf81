//! The last things that happened, for `explain`: bounded, in order, without keys.
//!
//! What strangers cause is kept apart: nobody who is not authenticated makes the host forget the rest, whatever
//! connection he names. What they were refused for is apart from what else they cause, which is more, and from what costs
//! nobody a round trip, and may come from anywhere.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use vpnhost_ike::output::{CloseReason, Event};
use vpnhost_model::{IkeSaId, Path};
use vpnhost_policy::Sha256;

use crate::limits;

/// What stands in the place of a connection's name for those who belong to none.
pub const STRANGERS: &str = "-";

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts entries from the host's start: a reader sees what it missed.
    pub number: u64,
    /// When, since 1970.
    pub unix: Duration,
    /// The connection, if it is known.
    pub connection: Option<String>,
    /// The connection that comes nearest, of a refusal of a peer that belongs to none.
    pub nearest: Option<String>,
    /// Whether somebody caused it who is not authenticated (yet), whatever connection was named.
    pub is_of_stranger: bool,
    /// The IKE SA, if there is one.
    pub ike_sa: Option<IkeSaId>,
    /// What kind of thing, such as `established` or `decided`; stable.
    pub kind: &'static str,
    /// The question, of a decision.
    pub question: Option<&'static str>,
    /// Who decided: `plugins` or `native`.
    pub by: Option<&'static str>,
    /// The plugin, of a decision, of a failure of one, or of a refusal by one.
    pub plugin: Option<String>,
    /// The digest of that plugin's component.
    pub plugin_sha256: Option<Sha256>,
    /// The stable code of the cause, of an end, a failure or a refusal, or of a path that is not taken.
    pub reason: Option<&'static str>,
    /// The numbers of a move.
    pub moved: Option<Move>,
    /// What happened, as a sentence.
    pub text: String,
}

/// How an IKE SA moved from one path to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Where it was.
    pub from: Path,
    /// Where it is.
    pub to: Path,
    /// Why, in a few words; as a plugin may have written it.
    pub why: String,
    /// How long nothing came in; zero of a move from a path that worked.
    pub gap: Duration,
    /// Octets of IP datagrams that IKE sent and received for it, as far as this host began it.
    pub octets: u32,
}

impl Move {
    /// Returns the move that an event tells of.
    pub fn of(event: &Event) -> Option<Self> {
        let Event::Moved { from, path, why, gap, octets, .. } = event else { return None };
        Some(Self { from: *from, to: *path, why: why.clone(), gap: *gap, octets: *octets })
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, why, gap, octets } = self;
        write!(f, "from {from} to {to}")?;
        match gap.as_millis() {
            0 if gap.is_zero() => write!(f, " without a gap")?,
            0 => write!(f, " after less than 1 ms of silence")?,
            gap => write!(f, " after {gap} ms of silence")?,
        }
        if *octets > 0 {
            write!(f, ", {octets} octets of IKE")?;
        }
        write!(f, ": {why}")
    }
}

impl Entry {
    /// Returns where it is kept.
    pub(crate) fn ring(&self) -> Ring {
        match (self.is_of_stranger, self.reason) {
            (false, _) => Ring::Known,
            (true, None) => Ring::Strangers,
            // Of a first message, or of nothing after it.
            (true, Some(_)) if self.kind == "refused" => Ring::Forgeable,
            (true, Some(reason)) if reason == CloseReason::HalfOpenTimeout.code() => Ring::Forgeable,
            (true, Some(_)) => Ring::Refusals,
        }
    }

    /// Tells whether a connection is meant: its own, or the nearest.
    fn is_about(&self, connection: &str) -> bool {
        self.connection.as_deref().or(self.nearest.as_deref()) == Some(connection)
    }
}

/// Where an entry is kept, and what it may push out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ring {
    /// What the host does, and peers who are authenticated.
    Known,
    /// Why strangers were refused who answered from where they were.
    Refusals,
    /// Why strangers were refused, or went away, of whom nothing more came than a first message.
    Forgeable,
    /// What else strangers cause.
    Strangers,
}

impl Ring {
    const ALL: [Self; 4] = [Self::Known, Self::Refusals, Self::Forgeable, Self::Strangers];

    fn most(self) -> usize {
        match self {
            Self::Known => limits::JOURNAL_ENTRIES,
            Self::Refusals => limits::JOURNAL_REFUSALS,
            Self::Forgeable => limits::JOURNAL_FORGEABLE,
            Self::Strangers => limits::JOURNAL_STRANGERS,
        }
    }
}

/// The last entries.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    rings: [VecDeque<Entry>; Ring::ALL.len()],
    /// The number of the last entry that tells that a connection is up.
    came_up: BTreeMap<String, u64>,
    count: u64,
}

impl Journal {
    /// Adds an entry under the next number, and returns it.
    pub(crate) fn push(&mut self, mut entry: Entry) -> Entry {
        entry.number = self.count;
        self.count += 1;
        if let ("established", Some(connection)) = (entry.kind, &entry.connection) {
            self.came_up.insert(connection.clone(), entry.number);
        }
        let ring = entry.ring();
        let entries = &mut self.rings[ring as usize];
        if entries.len() >= ring.most() {
            entries.pop_front();
        }
        entries.push_back(entry.clone());
        entry
    }

    /// Returns the entries of one connection: its own, those of the host, and refusals of strangers that it is the
    /// nearest for; of [`STRANGERS`] what they caused; all without a name.
    pub(crate) fn entries(&self, connection: Option<&str>) -> Vec<Entry> {
        let fits = |entry: &&Entry| match connection {
            None => true,
            Some(STRANGERS) => entry.is_of_stranger,
            Some(wanted) => entry.is_about(wanted) || entry.connection.is_none() && !entry.is_of_stranger,
        };
        let mut all: Vec<Entry> = self.rings.iter().flatten().filter(fits).cloned().collect();
        all.sort_by_key(|entry| entry.number);
        all
    }

    /// Returns the last refusal of a stranger who named a connection, or whom it is the nearest for, unless the connection
    /// came up since.
    pub(crate) fn last_refusal(&self, connection: &str) -> Option<&Entry> {
        let last = |ring| self.rings[ring as usize].iter().rev().find(|entry| entry.is_about(connection));
        let refusals = [Ring::Refusals, Ring::Forgeable].into_iter().filter_map(last);
        let came_up = self.came_up.get(connection);
        refusals.max_by_key(|entry| entry.number).filter(|entry| Some(&entry.number) > came_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(connection: &str) -> Entry {
        Entry {
            number: 0,
            unix: Duration::ZERO,
            connection: Some(connection.to_owned()),
            nearest: None,
            is_of_stranger: false,
            ike_sa: None,
            kind: "started",
            question: None,
            by: None,
            plugin: None,
            plugin_sha256: None,
            reason: None,
            moved: None,
            text: "it began".to_owned(),
        }
    }

    fn stranger(number: u64) -> Entry {
        Entry { connection: None, is_of_stranger: true, ike_sa: Some(IkeSaId(number)), ..entry("") }
    }

    #[test]
    fn the_oldest_entry_goes_first_and_numbers_tell_of_the_gap() {
        let mut journal = Journal::default();
        for _ in 0..limits::JOURNAL_ENTRIES + 3 {
            journal.push(entry("corp"));
        }
        let entries = journal.entries(None);
        assert_eq!(entries.len(), limits::JOURNAL_ENTRIES);
        assert_eq!(entries[0].number, 3);
    }

    #[test]
    fn strangers_do_not_make_the_host_forget_its_connections() {
        let mut journal = Journal::default();
        journal.push(entry("corp"));
        for number in 0..limits::JOURNAL_ENTRIES as u64 * 2 {
            journal.push(stranger(number));
        }
        journal.push(entry("corp"));
        assert_eq!(journal.entries(Some("corp")).len(), 2);
        assert_eq!(journal.entries(Some(STRANGERS)).len(), limits::JOURNAL_STRANGERS);
        let entries = journal.entries(None);
        assert_eq!(entries.len(), limits::JOURNAL_STRANGERS + 2);
        assert_eq!(entries[0].connection.as_deref(), Some("corp"));
        assert!(entries.windows(2).all(|pair| pair[0].number < pair[1].number));
    }

    #[test]
    fn a_strangers_refusal_is_seen_at_the_connection_that_comes_nearest_and_outlasts_what_else_strangers_do()
    {
        let refused = |nearest: &str| Entry {
            nearest: Some(nearest.to_owned()),
            reason: Some("unknown-identity"),
            ..stranger(0)
        };
        let mut journal = Journal::default();
        journal.push(entry("corp"));
        journal.push(refused("corp"));
        for number in 0..limits::JOURNAL_ENTRIES as u64 {
            journal.push(stranger(number));
        }
        assert_eq!(journal.entries(Some("corp")).len(), 2);
        assert_eq!(journal.entries(Some("home")).len(), 0);
        assert_eq!(journal.entries(Some(STRANGERS))[0].reason, Some("unknown-identity"));
        assert_eq!(journal.last_refusal("corp").map(|entry| entry.number), Some(1));
        for _ in 0..limits::JOURNAL_REFUSALS * 2 {
            journal.push(refused("home"));
        }
        assert_eq!(journal.entries(Some("home")).len(), limits::JOURNAL_REFUSALS);
        assert_eq!(journal.entries(Some("corp")).len(), 1);
    }

    #[test]
    fn what_costs_nobody_a_round_trip_does_not_push_out_what_did() {
        let refused =
            |reason| Entry { nearest: Some("corp".to_owned()), reason: Some(reason), ..stranger(0) };
        let mut journal = Journal::default();
        journal.push(refused("unknown-identity"));
        for _ in 0..limits::JOURNAL_ENTRIES {
            journal.push(refused("half-open-timeout"));
            journal.push(Entry { kind: "refused", ike_sa: None, ..refused("no-common-proposal") });
        }
        let entries = journal.entries(Some("corp"));
        assert_eq!(entries.len(), 1 + limits::JOURNAL_FORGEABLE);
        assert_eq!(entries[0].reason, Some("unknown-identity"));
        assert_eq!(journal.last_refusal("corp").and_then(|entry| entry.reason), Some("no-common-proposal"));
        journal.push(refused("wrong-psk"));
        assert_eq!(journal.last_refusal("corp").and_then(|entry| entry.reason), Some("wrong-psk"));
    }

    #[test]
    fn a_refusal_is_the_last_until_the_connection_comes_up() {
        let refused =
            || Entry { connection: Some("corp".to_owned()), reason: Some("wrong-psk"), ..stranger(0) };
        let up = |connection| Entry { kind: "established", ..entry(connection) };
        let mut journal = Journal::default();
        journal.push(refused());
        journal.push(up("home"));
        assert!(journal.last_refusal("corp").is_some());
        journal.push(up("corp"));
        assert_eq!(journal.last_refusal("corp"), None);
        assert_eq!(journal.entries(Some("corp")).len(), 2);
        journal.push(refused());
        assert_eq!(journal.last_refusal("corp").map(|entry| entry.number), Some(3));
    }

    #[test]
    fn a_connection_sees_its_own_entries() {
        let mut journal = Journal::default();
        journal.push(entry("corp"));
        journal.push(entry("home"));
        assert_eq!(journal.entries(Some("home")).len(), 1);
    }
}
