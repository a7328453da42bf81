//! EAP-TLS packets (RFC 5216 §2.1.5, §3): flags, the length of a whole, and its fragments.

use vpnhost_ike::EapFailure;

use crate::limits;

const LENGTH: u8 = 0x80;
const MORE: u8 = 0x40;
const START: u8 = 0x20;

/// TLS records on their way in and out, in fragments.
#[derive(Default)]
pub(crate) struct Fragments {
    outgoing: Vec<u8>,
    sent: usize,
    incoming: Vec<u8>,
    announced: Option<usize>,
}

/// What a packet is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The server's Start.
    Start,
    /// Nothing but "go on".
    Empty,
    /// A fragment with more behind it.
    Part,
    /// The last fragment; all of them together.
    Whole(Vec<u8>),
}

impl Fragments {
    /// The server's first request.
    pub(crate) fn start() -> Vec<u8> {
        vec![START]
    }

    /// Lays out records to be sent.
    pub(crate) fn put(&mut self, records: Vec<u8>) {
        self.outgoing = records;
        self.sent = 0;
    }

    /// Tells whether there are fragments that were not sent yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.sent < self.outgoing.len()
    }

    /// Returns the next packet: a fragment, or an empty one where nothing is to be sent.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let rest = &self.outgoing[self.sent..];
        let fragment = &rest[..rest.len().min(limits::TLS_FRAGMENT)];
        let more = if fragment.len() < rest.len() { MORE } else { 0 };
        let mut packet = Vec::with_capacity(5 + fragment.len());
        if more != 0 && self.sent == 0 {
            packet.push(LENGTH | more);
            // Bounded by the records of one flight.
            packet.extend(u32::try_from(self.outgoing.len()).unwrap_or(u32::MAX).to_be_bytes());
        } else {
            packet.push(more);
        }
        packet.extend(fragment);
        self.sent += fragment.len();
        packet
    }

    /// Takes a packet.
    ///
    /// # Errors
    /// [`EapFailure`] if it has a wrong form, or is too much.
    pub(crate) fn take(&mut self, packet: &[u8]) -> Result<Taken, EapFailure> {
        let (&flags, rest) =
            packet.split_first().ok_or(EapFailure::Malformed("a TLS packet without flags"))?;
        let rest = if flags & LENGTH == 0 { rest } else { self.announce(rest)? };
        if flags & START != 0 {
            return if rest.is_empty() && self.incoming.is_empty() {
                Ok(Taken::Start)
            } else {
                Err(EapFailure::Malformed("a Start with records"))
            };
        }
        let length = self.incoming.len() + rest.len();
        if length > self.announced.unwrap_or(limits::TLS_FLIGHT) {
            return Err(EapFailure::TooMuch("more TLS records than were announced, or than is taken here"));
        }
        self.incoming.extend(rest);
        if flags & MORE != 0 {
            // Whoever sends empty fragments for ever does not come to an end.
            return if rest.is_empty() {
                Err(EapFailure::Malformed("an empty fragment"))
            } else {
                Ok(Taken::Part)
            };
        }
        let whole = std::mem::take(&mut self.incoming);
        let announced = self.announced.take();
        if announced.is_some_and(|announced| announced != whole.len()) {
            return Err(EapFailure::Malformed("fewer TLS records than were announced"));
        }
        Ok(if whole.is_empty() { Taken::Empty } else { Taken::Whole(whole) })
    }

    fn announce<'a>(&mut self, packet: &'a [u8]) -> Result<&'a [u8], EapFailure> {
        let (length, rest) = packet
            .split_first_chunk()
            .ok_or(EapFailure::Malformed("the length of the records is cut off"))?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > limits::TLS_FLIGHT {
            return Err(EapFailure::TooMuch("more TLS records than are taken here"));
        }
        if self.announced.is_some_and(|announced| announced != length) {
            return Err(EapFailure::Malformed("the fragments disagree about their length"));
        }
        self.announced = Some(length);
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_out_in_fragments_comes_in_whole() {
        for length in [0, 1, 1023, 1024, 1025, 5000] {
            let records: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let (mut out, mut back) = (Fragments::default(), Fragments::default());
            out.put(records.clone());
            let whole = loop {
                match back.take(&out.next()).unwrap() {
                    Taken::Part => assert!(out.is_pending()),
                    Taken::Whole(whole) => break whole,
                    Taken::Empty => break Vec::new(),
                    Taken::Start => panic!("no Start was sent"),
                }
            };
            assert_eq!(whole, records);
            assert!(!out.is_pending());
        }
    }

    #[test]
    fn fragments_are_held_to_what_was_announced_and_to_the_bound() {
        let taken = |packets: &[&[u8]]| {
            let mut fragments = Fragments::default();
            packets.iter().map(|packet| fragments.take(packet)).last().unwrap()
        };
        assert!(taken(&[&[]]).is_err());
        assert!(taken(&[&[0x80, 0, 0]]).is_err());
        assert!(taken(&[&[0x80, 0, 1, 0, 1, 9]]).is_err());
        assert!(taken(&[&[0xc0, 0, 0, 0, 2, 9], &[0, 9, 9]]).is_err());
        assert!(taken(&[&[0xc0, 0, 0, 0, 3, 9], &[0, 9]]).is_err());
        assert!(taken(&[&[0xc0, 0, 0, 0, 3, 9], &[0xc0, 0, 0, 0, 4, 9]]).is_err());
        assert!(taken(&[&[0x40]]).is_err());
        assert!(taken(&[&[0x20, 1]]).is_err());
        assert_eq!(taken(&[&[0x20]]), Ok(Taken::Start));
        assert_eq!(taken(&[&[0]]), Ok(Taken::Empty));
        assert_eq!(taken(&[&[0xc0, 0, 0, 0, 2, 9], &[0, 8]]), Ok(Taken::Whole(vec![9, 8])));
        let mut endless = Fragments::default();
        let fragment = [&[0x40][..], &[7; 1024]].concat();
        assert!((0..100).any(|_| endless.take(&fragment).is_err()));
    }
}
