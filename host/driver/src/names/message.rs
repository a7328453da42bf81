//! Questions to DNS servers and their answers, octet by octet (RFC 1035 §4.1). No I/O.

use std::net::IpAddr;

/// An IPv4 address.
pub(super) const TYPE_A: u16 = 1;
/// An IPv6 address.
pub(super) const TYPE_AAAA: u16 = 28;
const TYPE_CNAME: u16 = 5;
const CLASS_IN: u16 = 1;
/// The response bit and the operation of a header's flags, where a response to a question has 0x8000.
const FLAGS: u16 = 0xf800;
/// The response was too long for a datagram.
const TRUNCATED: u16 = 0x0200;
/// The error code.
const CODE: u16 = 0x000f;
const NO_ERROR: u16 = 0;
/// There is no such name.
const NAME_ERROR: u16 = 3;

/// A response to a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// The addresses, none if the name has none, and for how many seconds they count.
    Answer(Vec<IpAddr>, Option<u32>),
    /// The server could not tell, or would not (SERVFAIL, REFUSED): it says nothing of the name.
    Failure,
}

/// Writes a question; `None` if the text is no name (RFC 1035 §2.3.4).
pub(super) fn question(name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        octets.push(length);
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    (name.is_ascii() && octets.len() <= 255).then_some(())?;
    octets.extend(kind.to_be_bytes());
    octets.extend(CLASS_IN.to_be_bytes());
    Some(octets)
}

/// Reads a response to a question (RFC 1035 §4.1); `None` if it is none.
///
/// Of a response that was too long for a datagram the records that are whole are taken: one address is enough.
pub(super) fn answers(message: &[u8], id: u16, question: &[u8]) -> Option<Response> {
    let mut reader = Reader(message);
    let (found_id, flags, questions, records) =
        (reader.word()?, reader.word()?, reader.word()?, reader.word()?);
    reader.take(4)?;
    let asked = reader.take(question.len())?;
    if found_id != id || flags & FLAGS != 0x8000 || questions != 1 || !asked.eq_ignore_ascii_case(question) {
        return None;
    }
    let is_truncated = flags & TRUNCATED != 0;
    match flags & CODE {
        NO_ERROR => {}
        NAME_ERROR => return Some(Response::Answer(Vec::new(), None)),
        _ => return Some(Response::Failure),
    }
    let (mut found, mut ttl) = (Vec::new(), None);
    for _ in 0..records {
        let (kind, class, seconds, data) = match reader.record() {
            Some(record) => record,
            None if is_truncated => break,
            None => return None,
        };
        match (kind, class, data.len()) {
            (TYPE_A, CLASS_IN, 4) => found.extend(<[u8; 4]>::try_from(data).map(IpAddr::from)),
            (TYPE_AAAA, CLASS_IN, 16) => found.extend(<[u8; 16]>::try_from(data).map(IpAddr::from)),
            (TYPE_CNAME, CLASS_IN, _) => {}
            _ => continue,
        }
        // An alias that leads elsewhere before the address changes is a change too.
        ttl = Some(ttl.map_or(seconds, |ttl: u32| ttl.min(seconds)));
    }
    // What is missing may be the very address.
    let is_lost = is_truncated && found.is_empty();
    Some(if is_lost { Response::Failure } else { Response::Answer(found, ttl) })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// Takes a record: its type, its class, for how many seconds it counts, and its data.
    fn record(&mut self) -> Option<(u16, u16, u32, &'a [u8])> {
        self.skip_name()?;
        let (kind, class) = (self.word()?, self.word()?);
        let seconds = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        let length = self.word()?;
        Some((kind, class, seconds, self.take(usize::from(length))?))
    }

    /// Skips a name: labels up to an empty one, or up to a pointer to the rest (RFC 1035 §4.1.4).
    fn skip_name(&mut self) -> Option<()> {
        loop {
            match self.take(1)?[0] {
                0 => return Some(()),
                length @ 1..64 => self.take(usize::from(length))?,
                0xc0.. => return self.take(1).map(drop),
                64..0xc0 => return None,
            };
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A response: an alias, then an address.
    pub(in super::super) fn response(query: &[u8]) -> Vec<u8> {
        let mut octets = query.to_vec();
        octets[2] = 0x81;
        octets[3] = 0x80;
        octets[7] = 2;
        octets.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 200, 0, 4, 1, b'a', 0xc0, 12]);
        octets.extend([1, b'a', 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 9, 0, 4, 192, 0, 2, 7]);
        octets
    }

    #[test]
    fn what_answers_another_question_or_is_cut_off_is_no_answer() {
        let question = question("moon.example.org.", TYPE_A).unwrap();
        let query = [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &question].concat();
        let good = response(&query);
        // The alias does not count for as long as the address does.
        let answer = Response::Answer(vec!["192.0.2.7".parse().unwrap()], Some(200));
        assert_eq!(answers(&good, 7, &question), Some(answer));
        assert_eq!(answers(&good, 8, &question), None);
        assert_eq!(answers(&query, 7, &question), None, "a question is no response");
        let other = super::question("sun.example.org", TYPE_A).unwrap();
        assert_eq!(answers(&good, 7, &other), None);
        for length in 0..good.len() {
            assert_eq!(answers(&good[..length], 7, &question), None, "{length} octets");
        }
    }

    #[test]
    fn a_server_that_cannot_tell_says_nothing_of_the_name_and_one_that_knows_of_none_does() {
        let question = question("moon.example.org", TYPE_A).unwrap();
        let query = [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &question].concat();
        let with_code = |code: u8| {
            let mut octets = query.clone();
            (octets[2], octets[3]) = (0x81, 0x80 | code);
            answers(&octets, 7, &question)
        };
        assert_eq!(with_code(2), Some(Response::Failure), "SERVFAIL");
        assert_eq!(with_code(5), Some(Response::Failure), "REFUSED");
        assert_eq!(with_code(3), Some(Response::Answer(Vec::new(), None)), "NXDOMAIN");
        assert_eq!(with_code(0), Some(Response::Answer(Vec::new(), None)), "no address of this kind");
    }

    #[test]
    fn of_a_response_that_was_too_long_what_is_whole_is_taken() {
        let question = question("moon.example.org", TYPE_A).unwrap();
        let query = [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &question].concat();
        let mut long = response(&query);
        long[2] |= 0x02;
        let whole = long.len();
        long[7] = 9;
        let answer = Response::Answer(vec!["192.0.2.7".parse().unwrap()], Some(200));
        assert_eq!(answers(&long, 7, &question), Some(answer));
        assert_eq!(
            answers(&long[..whole - 1], 7, &question),
            Some(Response::Failure),
            "the address is cut off"
        );
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        assert!(question(&"a".repeat(64), TYPE_A).is_none());
        assert!(question(&"a.".repeat(200), TYPE_A).is_none());
        assert!(question("a..b", TYPE_A).is_none());
        assert!(question("mönch.example", TYPE_A).is_none());
    }
}
