//! Octets as a script: whoever reads takes the next ones, and the end ends it.

/// What a fuzzer gives, read from the front.
pub(crate) struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// Takes an octet.
    pub(crate) fn octet(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Takes two octets as a number.
    pub(crate) fn word(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.octet()?, self.octet()?]))
    }

    /// Takes a number below `bound`, which is 256 at most and not zero.
    pub(crate) fn below(&mut self, bound: usize) -> Option<usize> {
        Some(usize::from(self.octet()?) % bound)
    }

    /// Takes a length and so many octets, fewer where fewer are left.
    pub(crate) fn octets(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.octet()?).min(self.rest.len());
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(taken)
    }

    /// Changes octets as the script says, up to three times.
    pub(crate) fn mutate(&mut self, octets: &mut Vec<u8>) -> Option<()> {
        for _ in 0..self.below(4)? {
            let at = usize::from(self.word()?) % (octets.len() + 1);
            match self.below(6)? {
                0 if at < octets.len() => octets[at] ^= 1 << self.below(8)?,
                1 if at < octets.len() => octets[at] = self.octet()?,
                2 => octets.truncate(at),
                3 => drop(octets.drain(at..(at + self.below(24)?).min(octets.len()))),
                4 => {
                    let more = self.octets()?;
                    octets.splice(at..at, more.iter().copied());
                }
                _ => {
                    let end = (at + self.below(48)?).min(octets.len());
                    let again = octets[at..end].to_vec();
                    octets.splice(at..at, again);
                }
            }
        }
        Some(())
    }
}
