//! Which suites are told against strongSwan: data, and rows that hold each two of them together at least once.

use std::collections::BTreeSet;

/// What an IKE SA may be encrypted with; those of `AEAD` go without an integrity algorithm.
pub const CIPHERS: [&str; 13] = [
    "aes128",
    "aes192",
    "aes256",
    "aes128ctr",
    "aes256ctr",
    "3des",
    "aes128gcm8",
    "aes192gcm12",
    "aes256gcm16",
    "aes128ccm8",
    "aes192ccm12",
    "aes256ccm16",
    "chacha20poly1305",
];
/// How the names of ciphers that protect integrity themselves differ.
const AEAD: [&str; 3] = ["gcm", "ccm", "poly"];
/// The first stands for no integrity algorithm, next to an AEAD.
pub const INTEGRITY: [&str; 7] = ["", "sha256", "sha384", "sha512", "aesxcbc", "aescmac", "sha1"];
/// PRFs.
pub const PRFS: [&str; 6] = ["prfsha256", "prfsha384", "prfsha512", "prfaesxcbc", "prfaescmac", "prfsha1"];
/// Key exchanges, of the IKE SA and then of the Child SA's rekeying.
pub const GROUPS: [&str; 11] = [
    "x25519", "ecp256", "ecp384", "ecp521", "modp2048", "modp3072", "modp4096", "modp6144", "modp8192",
    "modp1536", "modp1024",
];
/// What protects the Child SA; each cipher and each integrity algorithm that both ends have in user space.
pub const ESP: [&str; 19] = [
    "aes128gcm8",
    "aes192gcm12",
    "aes256gcm8",
    "aes256gcm12",
    "aes128gcm16",
    "aes128ccm8",
    "aes192ccm12",
    "aes256ccm16",
    "aes128ccm12",
    "chacha20poly1305",
    "aes128ctr-sha256",
    "aes192ctr-sha384",
    "aes256ctr-sha512",
    "aes128-aesxcbc",
    "aes256-aescmac",
    "aes128-sha1",
    "3des-sha512",
    "null-sha256",
    "null-aescmac",
];

/// Who begins: we, then strongSwan.
const ROLES: usize = 2;
/// How many values each factor has.
const SIZES: [usize; 6] = [CIPHERS.len(), INTEGRITY.len(), PRFS.len(), GROUPS.len(), ESP.len(), ROLES];
/// Factors whose values need not meet: an IKE SA's protection and a Child SA's share nothing, and a key exchange
/// reaches ESP only through the PRF.
const STRANGERS: [(usize, usize); 3] = [(0, 4), (1, 4), (3, 4)];

/// One combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    values: [usize; 6],
}

impl Row {
    /// Returns the IKE cipher's place in [`CIPHERS`].
    #[must_use]
    pub fn cipher(&self) -> usize {
        self.values[0]
    }

    /// Returns whether we begin.
    #[must_use]
    pub fn is_ours_to_begin(&self) -> bool {
        self.values[5] == 0
    }

    /// Returns the IKE proposal.
    #[must_use]
    pub fn ike(&self) -> String {
        let [cipher, integrity, prf, group, ..] = self.values;
        let parts = [CIPHERS[cipher], INTEGRITY[integrity], PRFS[prf], GROUPS[group]];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
    }

    /// Returns the ESP proposal, with the same key exchange for the rekeying.
    #[must_use]
    pub fn esp(&self) -> String {
        format!("{}-{}", ESP[self.values[4]], GROUPS[self.values[3]])
    }
}

/// Two values of different factors.
type Pair = ((usize, usize), (usize, usize));

fn is_aead(cipher: usize) -> bool {
    AEAD.iter().any(|mark| CIPHERS[cipher].contains(mark))
}

fn go_together(a: (usize, usize), b: (usize, usize)) -> bool {
    match (a, b) {
        ((0, cipher), (1, integrity)) | ((1, integrity), (0, cipher)) => is_aead(cipher) == (integrity == 0),
        _ => true,
    }
}

fn all_pairs() -> BTreeSet<Pair> {
    let mut pairs = BTreeSet::new();
    for (first, &size) in SIZES.iter().enumerate() {
        for (second, &other) in SIZES.iter().enumerate().skip(first + 1) {
            if STRANGERS.contains(&(first, second)) {
                continue;
            }
            for a in (0..size).map(|value| (first, value)) {
                let partners = (0..other).map(|value| (second, value));
                pairs.extend(partners.filter(|&b| go_together(a, b)).map(|b| (a, b)));
            }
        }
    }
    pairs
}

fn ordered(a: (usize, usize), b: (usize, usize)) -> Pair {
    if a < b { (a, b) } else { (b, a) }
}

/// Returns rows in which every two values that go together meet. Greedy: a row begins with a pair that is still
/// missing, and takes for each other factor the value that brings most of what is missing.
#[must_use]
pub fn rows() -> Vec<Row> {
    let mut missing = all_pairs();
    let mut rows = Vec::new();
    while let Some(&(a, b)) = missing.first() {
        let mut chosen = vec![a, b];
        for factor in (0..SIZES.len()).filter(|&factor| factor != a.0 && factor != b.0) {
            let gain = |value: usize| {
                let brought =
                    chosen.iter().filter(|&&other| missing.contains(&ordered(other, (factor, value))));
                brought.count()
            };
            let fits = |value: &usize| chosen.iter().all(|&other| go_together(other, (factor, *value)));
            // Ties go to a value that moves with the row, so that none is used up before the others.
            let turn = |value: usize| (value + rows.len()) % SIZES[factor];
            let best = (0..SIZES[factor]).filter(fits).max_by_key(|&value| (gain(value), turn(value)));
            chosen.push((factor, best.unwrap_or_default()));
        }
        let mut values = [0; 6];
        for &(factor, value) in &chosen {
            values[factor] = value;
        }
        let met = |&(a, b): &Pair| values[a.0] == a.1 && values[b.0] == b.1;
        missing.retain(|pair| !met(pair));
        rows.push(Row { values });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_two_values_that_go_together_meet_in_a_row() {
        let rows = rows();
        let meet = |(a, b): &Pair| rows.iter().any(|row| row.values[a.0] == a.1 && row.values[b.0] == b.1);
        assert!(all_pairs().iter().all(meet));
        // Each cipher meets each group, so fewer there cannot be.
        let least = CIPHERS.len() * GROUPS.len();
        assert!(rows.len() < least * 5 / 4, "{} rows", rows.len());
    }

    #[test]
    fn an_aead_has_no_integrity_algorithm_and_every_other_cipher_has_one() {
        for row in rows() {
            assert_eq!(is_aead(row.cipher()), row.values[1] == 0, "{}", row.ike());
        }
        let row = Row { values: [0, 4, 3, 2, 10, 1] };
        assert_eq!(
            (row.ike(), row.esp()),
            ("aes128-aesxcbc-prfaesxcbc-ecp384".into(), "aes128ctr-sha256-ecp384".into())
        );
    }
}
