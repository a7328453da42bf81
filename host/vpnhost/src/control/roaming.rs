//! What `roam` and `ping` order of the path of an IKE SA, and what they wait for.

use vpnhost_driver::{IkeSaState, Move, PathState, Snapshot};
use vpnhost_ike::output::{Event, Hindrance};
use vpnhost_model::IkeSaId;

use super::document::{Line, Moved};
use super::ends::Ends;
use super::operation::{Order, not_yet_up};
use super::snapshot::micros;

/// An order about one IKE SA and its path.
#[derive(Debug)]
pub(super) struct Errand {
    connection: String,
    ike_sa: IkeSaId,
    /// The path that is named.
    ends: Option<Ends>,
}

/// Plans to take another path.
pub(super) fn roam(
    connection: &str,
    ends: Option<Ends>,
    snapshot: &Snapshot,
) -> Result<(Order, Errand), Line> {
    let chooser = ike_sas(connection, snapshot).find(|sa| sa.chooses_path);
    let Some(sa) = chooser else { return Err(cannot_choose(connection, snapshot)) };
    if let Some(ends) = ends {
        let path = find(connection, sa, ends)?;
        if path.in_use {
            return Err(Line::done(format!("{connection} is on {ends} already")));
        }
    }
    let errand = Errand { connection: connection.to_owned(), ike_sa: sa.id, ends };
    Ok((Order::Roam(sa.id, ends), errand))
}

/// Plans to ask whether the peer is there, on its path or on one that is named.
pub(super) fn ping(
    connection: &str,
    ends: Option<Ends>,
    snapshot: &Snapshot,
) -> Result<(Order, Errand), Line> {
    let mut own = ike_sas(connection, snapshot).peekable();
    let Some(first) = own.peek().copied() else { return Err(not_yet_up(connection)) };
    let Some(ends) = ends else {
        let errand = Errand { connection: connection.to_owned(), ike_sa: first.id, ends: None };
        return Ok((Order::CheckLiveness(first.id), errand));
    };
    let has_it = |sa: &&IkeSaState| sa.paths.iter().any(|path| Ends::of(path) == ends);
    let sa = own.find(has_it).unwrap_or(first);
    find(connection, sa, ends)?;
    // Who does not choose knows one path only, which every request takes.
    let order = if sa.chooses_path { Order::TestPath(sa.id, ends) } else { Order::CheckLiveness(sa.id) };
    Ok((order, Errand { connection: connection.to_owned(), ike_sa: sa.id, ends: Some(ends) }))
}

fn ike_sas<'a>(connection: &'a str, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a IkeSaState> {
    snapshot.ike_sas.iter().filter(move |sa| sa.connection == connection)
}

fn find<'a>(connection: &str, sa: &'a IkeSaState, ends: Ends) -> Result<&'a PathState, Line> {
    sa.paths.iter().find(|path| Ends::of(path) == ends).ok_or_else(|| {
        let line = Line::failed(format!("{connection} has no path {ends}"));
        line.hint("vpnhost list paths")
    })
}

fn cannot_choose(connection: &str, snapshot: &Snapshot) -> Line {
    let Some(sa) = ike_sas(connection, snapshot).next() else { return not_yet_up(connection) };
    let line = Line::failed(format!("{connection} is not this host's to move"));
    if sa.mobike {
        line.because("the peer began its IKE SA, and whoever begins it chooses the path (RFC 4555)")
            .hint("roam on the peer")
    } else {
        line.because("this host or the peer has no MOBIKE")
            .hint("`mobike = true` on both sides, then up again")
    }
}

impl Errand {
    /// Holds an event against an order to move.
    pub(super) fn observe_roam(&mut self, event: &Event) -> Option<Line> {
        if !self.is_about(event) {
            return None;
        }
        let connection = &self.connection;
        if let Some(moved) = Move::of(event) {
            let (to, wanted) = (moved.to, self.ends.map(|ends| (ends.local, ends.remote)));
            let is_there = wanted.is_none_or(|ends| ends == (to.local.ip(), to.remote.ip()));
            if moved.from != to && is_there {
                return Some(Line::moved(format!("{connection} moved {moved}"), Moved::of(&moved)));
            }
            // A path that does not work is left again, before anybody was told that it was taken.
            let failed = match self.ends {
                Some(ends) => Line::failed(format!("{connection} did not take {ends}")),
                None => Line::failed(format!("{connection} did not move")),
            };
            let instead = if moved.from == to {
                format!("it stays on {to}: {}", moved.why)
            } else {
                format!("it moved {moved}")
            };
            return Some(failed.because(instead));
        }
        match (event, self.ends) {
            // Nobody named another: to be where it is best is what was wanted.
            (Event::Stays { path, why, .. }, None) => {
                Some(Line::done(format!("{connection} stays on {path}: {why}")))
            }
            (Event::Stays { path, why, .. }, Some(_)) => {
                Some(Line::failed(format!("{connection} stays on {path}")).because(why))
            }
            _ => self.observe_end(event, "did not move"),
        }
    }

    /// Holds an event against the wish to know whether the peer is there.
    pub(super) fn observe_ping(&mut self, event: &Event) -> Option<Line> {
        if !self.is_about(event) {
            return None;
        }
        let connection = &self.connection;
        let on = self.ends.map_or_else(String::new, |ends| format!(" on {ends}"));
        if let Event::Alive { round_trip, .. } = event {
            let text = match round_trip {
                Some(time) => format!("{connection} answered{on} after {:.1} ms", time.as_secs_f64() * 1e3),
                None => format!("{connection} answered{on}, to a retransmission"),
            };
            return Some(Line::Done { text, round_trip_us: round_trip.map(micros), moved: None });
        }
        if let Event::Stays { why, .. } = event {
            return Some(Line::failed(format!("{connection} did not answer{on}")).because(why));
        }
        if let Event::NotMoved { hindrance: hindrance @ Hindrance::Unanswered, path, .. } = event
            && self.ends == Some(Ends { local: path.local.ip(), remote: path.remote.ip() })
        {
            return Some(Line::failed(format!("{connection} did not answer{on}")).because(hindrance));
        }
        self.observe_end(event, &format!("did not answer{on}"))
    }

    /// Tells whether an event is about the IKE SA, or the one that takes its place.
    fn is_about(&mut self, event: &Event) -> bool {
        if let Event::IkeSaRekeyed { old, new } = event
            && *old == self.ike_sa
        {
            self.ike_sa = new.id;
        }
        event.ike_sa() == Some(self.ike_sa)
    }

    fn observe_end(&self, event: &Event, what: &str) -> Option<Line> {
        let Event::IkeSaClosed { reason, .. } = event else { return None };
        Some(Line::failed(format!("{} {what}", self.connection)).for_reason(reason))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vpnhost_ike::output::CloseReason;
    use vpnhost_model::{Encapsulation, Path};

    use super::super::snapshot::tests as example;
    use super::*;

    const ID: IkeSaId = IkeSaId(4);

    fn path(local: &str) -> Path {
        Path {
            local: local.parse().unwrap(),
            remote: "192.0.2.1:4500".parse().unwrap(),
            interface: None,
            encapsulation: Encapsulation::Udp,
        }
    }

    fn moved(from: &str, to: &str) -> Event {
        let why = "the path in use went away".to_owned();
        let (from, path, gap) = (path(from), path(to), Duration::from_millis(34));
        Event::Moved { ike_sa: ID, from, path, why, gap, octets: 312 }
    }

    fn stays() -> Event {
        Event::Stays { ike_sa: ID, path: path("192.0.2.2:4500"), why: "no path is better".to_owned() }
    }

    fn errand(ends: Option<&str>) -> Errand {
        Errand { connection: "corp".to_owned(), ike_sa: ID, ends: ends.map(|text| text.parse().unwrap()) }
    }

    fn other() -> Option<Ends> {
        Some("198.51.100.9-192.0.2.1".parse().unwrap())
    }

    fn failed(line: Line) -> String {
        let Line::Failed { what, why, .. } = line else { panic!("{line:?}") };
        why.map_or(what.clone(), |why| format!("{what} ({why})"))
    }

    fn done(line: Line) -> String {
        let Line::Done { text, .. } = line else { panic!("{line:?}") };
        text
    }

    #[test]
    fn a_path_that_is_named_has_to_be_one_that_there_is() {
        let snapshot = example::snapshot();
        assert_eq!(roam("corp", other(), &snapshot).unwrap().0, Order::Roam(ID, other()));
        assert_eq!(roam("corp", None, &snapshot).unwrap().0, Order::Roam(ID, None));
        assert_eq!(ping("corp", other(), &snapshot).unwrap().0, Order::TestPath(ID, other().unwrap()));
        assert_eq!(ping("corp", None, &snapshot).unwrap().0, Order::CheckLiveness(ID));
        let unknown = Some("198.51.100.8-192.0.2.1".parse().unwrap());
        for planned in [roam("corp", unknown, &snapshot), ping("corp", unknown, &snapshot)] {
            assert_eq!(failed(planned.unwrap_err()), "corp has no path 198.51.100.8-192.0.2.1");
        }
        assert_eq!(failed(roam("home", None, &snapshot).unwrap_err()), "home is not up");
    }

    #[test]
    fn who_did_not_begin_the_ike_sa_does_not_move_it() {
        let mut snapshot = example::snapshot();
        snapshot.ike_sas[0].chooses_path = false;
        let why = failed(roam("corp", None, &snapshot).unwrap_err());
        assert!(why.starts_with("corp is not this host's to move (the peer began its IKE SA"), "{why}");
        snapshot.ike_sas[0].paths[0].in_use = true;
        assert_eq!(ping("corp", other(), &snapshot).unwrap().0, Order::CheckLiveness(ID));
        snapshot.ike_sas[0].mobike = false;
        assert!(failed(roam("corp", None, &snapshot).unwrap_err()).contains("no MOBIKE"));
    }

    #[test]
    fn who_is_on_the_path_already_is_done() {
        let mut snapshot = example::snapshot();
        snapshot.ike_sas[0].paths[0].in_use = true;
        let line = roam("corp", other(), &snapshot).unwrap_err();
        assert_eq!(done(line), "corp is on 198.51.100.9-192.0.2.1 already");
    }

    #[test]
    fn a_move_is_told_with_its_ends_its_cause_its_gap_and_its_cost() {
        let line = errand(None).observe_roam(&moved("192.0.2.2:4500", "192.0.2.3:4500")).unwrap();
        let Line::Done { text, moved: Some(numbers), .. } = line else { panic!("{line:?}") };
        assert_eq!(
            text,
            "corp moved from 192.0.2.2:4500 - 192.0.2.1:4500 to 192.0.2.3:4500 - 192.0.2.1:4500 after 34 ms of \
             silence, 312 octets of IKE: the path in use went away"
        );
        assert_eq!((numbers.gap_ms, numbers.octets, &*numbers.to_local), (34, 312, "192.0.2.3:4500"));
    }

    #[test]
    fn a_move_to_another_path_than_the_one_that_was_named_is_a_failure() {
        let mut errand = errand(Some("192.0.2.3-192.0.2.1"));
        let there = errand.observe_roam(&moved("192.0.2.2:4500", "192.0.2.4:4500")).unwrap();
        let there = failed(there);
        assert!(there.starts_with("corp did not take 192.0.2.3-192.0.2.1 (it moved from "), "{there}");
        let back = errand.observe_roam(&moved("192.0.2.2:4500", "192.0.2.2:4500")).unwrap();
        assert!(failed(back).contains("(it stays on 192.0.2.2:4500 - 192.0.2.1:4500: the path in use"));
        let there = errand.observe_roam(&moved("192.0.2.2:4500", "192.0.2.3:4500"));
        assert!(matches!(there, Some(Line::Done { .. })));
    }

    #[test]
    fn to_stay_is_what_was_wanted_only_if_no_path_was_named() {
        let best = done(errand(None).observe_roam(&stays()).unwrap());
        assert_eq!(best, "corp stays on 192.0.2.2:4500 - 192.0.2.1:4500: no path is better");
        let refused = failed(errand(Some("192.0.2.3-192.0.2.1")).observe_roam(&stays()).unwrap());
        assert_eq!(refused, "corp stays on 192.0.2.2:4500 - 192.0.2.1:4500 (no path is better)");
    }

    #[test]
    fn a_path_answers_or_does_not_and_another_ike_sa_says_nothing_of_it() {
        let alive = |ike_sa| Event::Alive { ike_sa, round_trip: Some(Duration::from_millis(12)) };
        let mut errand = errand(Some("192.0.2.3-192.0.2.1"));
        assert!(errand.observe_ping(&alive(IkeSaId(9))).is_none());
        let line = errand.observe_ping(&alive(ID)).unwrap();
        assert_eq!(done(line), "corp answered on 192.0.2.3-192.0.2.1 after 12.0 ms");
        let silent = |local| Event::NotMoved {
            ike_sa: ID,
            path: path(local),
            hindrance: Hindrance::Unanswered,
            why: String::new(),
        };
        assert!(errand.observe_ping(&silent("192.0.2.7:4500")).is_none());
        let line = errand.observe_ping(&silent("192.0.2.3:4500")).unwrap();
        assert!(failed(line).starts_with("corp did not answer on 192.0.2.3-192.0.2.1 ("));
        let closed = Event::IkeSaClosed { ike_sa: ID, connection: None, reason: CloseReason::DeletedByPeer };
        assert!(failed(errand.observe_ping(&closed).unwrap()).starts_with("corp did not answer on"));
    }
}
