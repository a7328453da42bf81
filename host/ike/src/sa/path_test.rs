//! Where the outstanding request goes, and on which paths its answer came back (RFC 4555 §3.10).
//!
//! A window of one has one request at a time. To learn which paths work the same datagrams go over several: the
//! responder answers each copy to where it came from.

use std::time::Duration;

use vpnhost_model::{Instant, Path};

/// Where the outstanding request goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Aim {
    /// To the IKE SA's own path.
    #[default]
    Current,
    /// To another path so many times more, and to no other; then to the IKE SA's own, so that the window opens again.
    Other(Path, u8),
    /// To the IKE SA's own path, and to all others on the same link: nobody knows which of the peer's addresses answers.
    Beside,
    /// To every path that there is.
    Everywhere,
}

/// A request and its copies.
#[derive(Debug, Default)]
pub(crate) struct PathTest {
    /// Where it goes now.
    pub(crate) aim: Aim,
    message_id: u32,
    asked: Vec<Asked>,
    /// Where the request before was not answered in time: its answer may come yet.
    before: (u32, Vec<Asked>),
}

/// A path that a request went over.
#[derive(Clone, Copy, Debug)]
struct Asked {
    path: Path,
    first: Instant,
    last: Instant,
    /// It went there more than once: whose answer it is cannot be told (Karn).
    again: bool,
    answered: Option<Instant>,
    /// It counted as lost: who answers yet was late only.
    given_up: bool,
}

impl Asked {
    fn round_trip(&self) -> Option<Duration> {
        self.answered.filter(|_| !self.again).map(|answered| answered.saturating_since(self.first))
    }
}

/// An answer, and how it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The path that the request went over.
    pub(crate) path: Path,
    /// From request to answer, where that can be told.
    pub(crate) round_trip: Option<Duration>,
    /// Since the request went there first.
    pub(crate) since_asked: Duration,
    /// It had counted as lost.
    pub(crate) is_late: bool,
}

impl PathTest {
    /// Begins anew: a request with this Message ID is about to go out.
    pub(crate) fn begin(&mut self, message_id: u32, aim: Aim) {
        let mut before = std::mem::take(&mut self.asked);
        before.retain(|asked| asked.given_up && asked.answered.is_none());
        *self = Self { aim, message_id, asked: Vec::new(), before: (self.message_id, before) };
    }

    /// Notes that it goes over a path.
    pub(crate) fn note_asked(&mut self, now: Instant, path: Path) {
        match self.asked.iter_mut().find(|asked| is_same(&asked.path, &path)) {
            Some(asked) => (asked.last, asked.again) = (now, true),
            None => self.asked.push(Asked {
                path,
                first: now,
                last: now,
                again: false,
                answered: None,
                given_up: false,
            }),
        }
    }

    /// Tells whether an answer with this Message ID on a path would be news.
    pub(crate) fn awaits(&self, message_id: u32, path: &Path) -> bool {
        let (before, late) = &self.before;
        let of_this = self.asked.iter().filter(|_| self.message_id == message_id);
        let of_last = late.iter().filter(|_| *before == message_id);
        of_this.chain(of_last).any(|asked| is_same(&asked.path, path) && asked.answered.is_none())
    }

    /// Takes an authentic answer that came on a path; `None` if it went over no such path, or was answered there before.
    pub(crate) fn note_answer(&mut self, now: Instant, message_id: u32, path: &Path) -> Option<Heard> {
        let (before, late) = &mut self.before;
        let of_this = self.asked.iter_mut().filter(|_| self.message_id == message_id);
        let of_last = late.iter_mut().filter(|_| *before == message_id);
        let mut of_both = of_this.chain(of_last);
        let asked = of_both.find(|asked| is_same(&asked.path, path) && asked.answered.is_none())?;
        asked.answered = Some(now);
        let since_asked = now.saturating_since(asked.first);
        Some(Heard { path: asked.path, round_trip: asked.round_trip(), since_asked, is_late: asked.given_up })
    }

    /// Returns the paths without an answer.
    pub(crate) fn silent(&self) -> impl Iterator<Item = Path> {
        self.asked.iter().filter(|asked| asked.answered.is_none()).map(|asked| asked.path)
    }

    /// Returns until when the paths without an answer are to be waited for, if each is given a time from when it was asked
    /// last.
    pub(crate) fn silent_until(&self, patience: impl Fn(Path) -> Option<Duration>) -> Option<Instant> {
        let silent = self.asked.iter().filter(|asked| asked.answered.is_none());
        silent.filter_map(|asked| Some(asked.last + patience(asked.path)?)).max()
    }

    /// Takes the paths without an answer: they are waited for no more.
    pub(crate) fn give_up_silent(&mut self) -> Vec<Path> {
        let silent = self.asked.iter_mut().filter(|asked| asked.answered.is_none());
        silent
            .map(|asked| {
                asked.given_up = true;
                asked.path
            })
            .collect()
    }

    /// Tells whether a path gave an answer.
    pub(crate) fn is_answered(&self, path: &Path) -> bool {
        self.asked.iter().any(|asked| is_same(&asked.path, path) && asked.answered.is_some())
    }

    /// Returns the round-trip time that it showed on a path.
    pub(crate) fn round_trip(&self, path: &Path) -> Option<Duration> {
        self.asked.iter().find(|asked| is_same(&asked.path, path))?.round_trip()
    }

    /// Tells whether it went over this path alone: only then its answer proves that the peer is there (RFC 4555 §3.7).
    pub(crate) fn went_only(&self, path: &Path) -> bool {
        self.asked.iter().all(|asked| is_same(&asked.path, path))
    }
}

/// Tells whether two paths are one: the same ends, and the same link where both name one. Two links may have the same
/// address, as behind two home routers.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    let are_twins = one.interface.zip(other.interface).is_some_and(|(one, other)| one != other);
    (one.local, one.remote) == (other.local, other.remote) && !are_twins
}

#[cfg(test)]
mod tests {
    use vpnhost_model::Encapsulation;

    use super::*;

    fn path(local: u8) -> Path {
        Path {
            local: ([192, 0, 2, local], 4500).into(),
            remote: ([198, 51, 100, 1], 4500).into(),
            interface: Some(local.into()),
            encapsulation: Encapsulation::Udp,
        }
    }

    #[test]
    fn every_copy_of_a_request_is_answered_by_itself() {
        let mut test = PathTest::default();
        test.begin(7, Aim::Everywhere);
        test.note_asked(Instant(0), path(1));
        test.note_asked(Instant(10), path(2));
        assert!(test.awaits(7, &path(2)) && !test.awaits(6, &path(2)) && !test.awaits(7, &path(3)));
        let heard = test.note_answer(Instant(30), 7, &path(2)).unwrap();
        assert_eq!(heard.round_trip, Some(Duration::from_nanos(20)));
        assert_eq!(test.note_answer(Instant(31), 7, &path(2)), None, "a repeated answer is no news");
        assert_eq!(test.silent().collect::<Vec<_>>(), [path(1)]);
        assert!(!test.went_only(&path(2)));
    }

    #[test]
    fn an_answer_that_counted_as_lost_is_known_for_late_also_amid_the_next_request() {
        let mut test = PathTest::default();
        test.begin(7, Aim::Everywhere);
        test.note_asked(Instant(0), path(1));
        test.note_asked(Instant(0), path(2));
        test.note_answer(Instant(10), 7, &path(1));
        assert_eq!(test.give_up_silent(), [path(2)]);
        test.begin(8, Aim::Current);
        test.note_asked(Instant(20), path(1));
        assert!(test.awaits(7, &path(2)) && !test.awaits(7, &path(1)));
        let span = Duration::from_nanos(30);
        let late = Heard { path: path(2), round_trip: Some(span), since_asked: span, is_late: true };
        assert_eq!(test.note_answer(Instant(30), 7, &path(2)), Some(late));
        assert!(!test.awaits(7, &path(2)) && test.went_only(&path(1)));
        test.begin(9, Aim::Current);
        assert!(!test.awaits(7, &path(2)), "one request back is enough");
    }

    #[test]
    fn two_links_with_one_address_are_asked_and_answer_each_for_itself() {
        let twin = |interface| Path { interface, ..path(1) };
        let (one, other) = (twin(Some(1)), twin(Some(2)));
        let mut test = PathTest::default();
        test.begin(7, Aim::Everywhere);
        test.note_asked(Instant(0), one);
        test.note_asked(Instant(0), other);
        assert_eq!(test.note_answer(Instant(20), 7, &other).map(|heard| heard.path), Some(other));
        assert_eq!(test.silent().collect::<Vec<_>>(), [one]);
        assert!(!test.went_only(&other) && !test.is_answered(&one));
        assert!(is_same(&one, &twin(None)), "where it came in is not known");
    }

    #[test]
    fn what_was_sent_twice_tells_no_round_trip_time() {
        let mut test = PathTest::default();
        test.begin(7, Aim::Current);
        test.note_asked(Instant(0), path(1));
        test.note_asked(Instant(10), path(1));
        let heard = test.note_answer(Instant(30), 7, &path(1));
        assert_eq!(
            heard.map(|heard| (heard.path, heard.round_trip, heard.is_late)),
            Some((path(1), None, false))
        );
        assert!(test.went_only(&path(1)) && test.is_answered(&path(1)));
    }
}
