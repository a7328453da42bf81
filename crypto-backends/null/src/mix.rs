//! The one function that everything here is made of. It mixes; it hides nothing.

/// Octets mixed into two words.
#[derive(Clone)]
pub(crate) struct Mix {
    a: u64,
    b: u64,
    pending: [u8; 8],
    len: u64,
}

impl Mix {
    /// Begins, with a number that tells one use from another.
    pub(crate) fn new(domain: u64) -> Self {
        let mut mix = Self { a: 0x9e37_79b9_7f4a_7c15, b: 0xd1b5_4a32_d192_ed03, pending: [0; 8], len: 0 };
        mix.step(domain);
        mix
    }

    /// Takes in octets; how they are split does not matter.
    pub(crate) fn absorb(&mut self, mut octets: &[u8]) {
        while !self.len.is_multiple_of(8) || octets.len() < 8 {
            let Some((&octet, rest)) = octets.split_first() else {
                return;
            };
            self.pending[(self.len % 8) as usize] = octet;
            self.len += 1;
            octets = rest;
            if self.len.is_multiple_of(8) {
                self.step(u64::from_be_bytes(self.pending));
            }
        }
        let (words, tail) = octets.as_chunks::<8>();
        for &word in words {
            self.step(u64::from_be_bytes(word));
        }
        self.len += 8 * words.len() as u64;
        self.absorb(tail);
    }

    /// Gives out as many octets as are wanted.
    pub(crate) fn squeeze(mut self, out: &mut [u8]) {
        self.finish();
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_be_bytes()[..chunk.len()]);
        }
    }

    /// Combines octets with what is given out, by exclusive or.
    pub(crate) fn cover(mut self, text: &mut [u8]) {
        self.finish();
        for chunk in text.chunks_mut(8) {
            for (octet, mask) in chunk.iter_mut().zip(self.next().to_be_bytes()) {
                *octet ^= mask;
            }
        }
    }

    fn finish(&mut self) {
        let filled = (self.len % 8) as usize;
        self.pending[filled..].fill(0);
        self.step(u64::from_be_bytes(self.pending));
        self.step(self.len);
    }

    fn next(&mut self) -> u64 {
        self.step(1);
        self.a ^ self.b
    }

    fn step(&mut self, word: u64) {
        self.a = (self.a ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.a ^= self.a >> 32;
        self.b = (self.b.rotate_left(23) ^ self.a).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        self.b ^= self.b >> 29;
        self.a = self.a.wrapping_add(self.b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(parts: &[&[u8]]) -> [u8; 24] {
        let mut mix = Mix::new(0);
        parts.iter().for_each(|part| mix.absorb(part));
        let mut out = [0; 24];
        mix.squeeze(&mut out);
        out
    }

    #[test]
    fn how_octets_are_split_does_not_matter() {
        let all: Vec<u8> = (0..40).collect();
        for first in 0..40 {
            for second in first..40 {
                let parts = [&all[..first], &all[first..second], &all[second..]];
                assert_eq!(mixed(&parts), mixed(&[&all]));
            }
        }
    }

    #[test]
    fn each_bit_and_the_length_count() {
        let zeros = [0; 24];
        let reference = mixed(&[&zeros]);
        for bit in 0..24 * 8 {
            let mut other = zeros;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(mixed(&[&other]), reference);
        }
        assert_ne!(mixed(&[&zeros[1..]]), reference);
        assert_ne!(mixed(&[&[]]), mixed(&[&[0]]));
    }
}
