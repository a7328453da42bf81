//! SHA-1 and SHA-2: CAVP's short messages and Monte Carlo chains.

use vpnhost_crypto::{Hash, HashAlgorithm};
use vpnhost_known_answers::Algorithm;

use super::cavp::{Record, records};
use super::{Case, Outcome, Trial, absent, judge, known, octets, try_all};

/// How often a chain hashes between two answers (SHAVS §6.4).
const ROUNDS: usize = 1000;

#[test]
fn sha_is_as_nist_says() {
    try_all("nist-cavp/sha", "", |name, text| {
        let all = records(text);
        if name.contains("Monte") {
            let before = std::iter::once(None).chain(all.iter().map(|record| Some(record.text("MD"))));
            let pairs = all.iter().zip(before);
            return pairs.map(|(record, before)| Case::new(record.name(), chain(record, before))).collect();
        }
        all.iter().map(|record| Case::new(record.name(), message(record))).collect()
    });
}

fn hash_of(digest: &[u8]) -> Hash {
    match digest.len() {
        20 => Hash::SHA1,
        32 => Hash::SHA2_256,
        48 => Hash::SHA2_384,
        64 => Hash::SHA2_512,
        other => panic!("a digest of {other} octets"),
    }
}

fn message(record: &Record<'_>) -> Trial {
    let digest = record.octets("MD");
    // Its length stands in bits.
    let data = &record.octets("Msg")[..record.number("Len") / 8];
    known(Algorithm::Hash(hash_of(&digest)), &[("data", data), ("digest", &digest)])
}

/// A chain goes on from the digest before, the first one from the seed.
fn chain(record: &Record<'_>, before: Option<&str>) -> Trial {
    let seed = octets(before.unwrap_or_else(|| record.text("Seed")));
    let digest = record.octets("MD");
    let hash = hash_of(&digest);
    Box::new(move |backend| match backend.find_hash(hash) {
        None => absent(Algorithm::Hash(hash)),
        Some(algorithm) => {
            last(algorithm, &seed).map_or_else(Outcome::Wrong, |last| judge(last == digest, true))
        }
    })
}

fn last(algorithm: &dyn HashAlgorithm, seed: &[u8]) -> Result<Vec<u8>, String> {
    let mut three = [(); 3].map(|()| seed.to_vec());
    for _ in 0..ROUNDS {
        let mut next = vec![0; seed.len()];
        let parts = [&three[0][..], &three[1], &three[2]];
        algorithm.hash(&parts, &mut next).map_err(|error| error.to_string())?;
        three.rotate_left(1);
        three[2] = next;
    }
    let [.., last] = three;
    Ok(last)
}
