//! The fuzz targets without a fuzzer: the vectors, every truncation and every flipped bit of them, and
//! ten thousand mutations from a fixed seed for each target.

#[allow(unreachable_pub, reason = "a library of its own to the fuzzer")]
#[path = "fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

use vpnhost_ike::wire::Message;

/// Mutations for each target.
const MUTATIONS: u32 = 10_000;

#[test]
fn every_vector_is_read_and_written_back_as_it_came() {
    for (name, octets) in vectors() {
        let message = Message::decode(&octets).unwrap_or_else(|error| panic!("{name}: {error}"));
        let written = message.encode().unwrap();
        if name == "tcpdump-ikev2pI2" {
            // This peer sets the critical bit of known payloads, which is ignored and not written.
            assert_eq!(Message::decode(&written).unwrap().payloads, message.payloads);
            assert_ne!(written, octets);
        } else {
            assert_eq!(written, octets, "{name}");
        }
    }
}

#[test]
fn every_truncation_of_every_vector_is_refused_inside_of_it() {
    for (name, octets) in vectors() {
        for length in 0..octets.len() {
            let error = Message::decode(&octets[..length]).unwrap_err();
            assert!(error.offset <= length, "{name} cut to {length}: {error}");
            fuzz::wire(&octets[..length]);
        }
    }
}

#[test]
fn no_flipped_bit_of_any_vector_breaks_the_decoder() {
    for (_, mut octets) in vectors() {
        for bit in 0..octets.len() * 8 {
            octets[bit / 8] ^= 1 << (bit % 8);
            fuzz::wire(&octets);
            octets[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn mutated_vectors_never_break_the_decoder() {
    let vectors: Vec<Vec<u8>> = vectors().into_iter().map(|(_, octets)| octets).collect();
    let mut random = Random(0x7296);
    for _ in 0..MUTATIONS {
        let mut octets = random.pick(&vectors).clone();
        for _ in 0..=random.below(4) {
            mutate(&mut octets, &vectors, &mut random);
        }
        fuzz::wire(&octets);
    }
}

#[test]
fn reassembly_agrees_with_its_model() {
    let mut random = Random(0x7383);
    for _ in 0..MUTATIONS / 10 {
        let script: Vec<u8> = (0..4 + 3 * random.below(60)).map(|_| random.octet()).collect();
        fuzz::fragments(&script);
        // And mostly in order, so that messages are completed.
        let mut script =
            vec![random.octet() & 3, random.octet(), random.octet() | 0x80, random.octet() | 0x80];
        let what = random.octet() & 3;
        script.extend((0..40).flat_map(|which| [what, which, 0]));
        fuzz::fragments(&script);
    }
}

#[test]
fn two_endpoints_survive_whoever_is_between_them() {
    replay(&fuzz::seeds::endpoint_scripts(), fuzz::endpoint);
}

#[test]
fn the_packet_path_counts_every_packet_and_delivers_only_what_was_sent() {
    replay(&fuzz::seeds::esp_scripts(), fuzz::esp);
}

#[test]
fn whatever_is_said_in_eap_both_ends_have_one_key_or_none() {
    replay(&fuzz::seeds::eap_scripts(), fuzz::eap);
}

#[test]
fn whatever_octets_certificates_have_a_judgement_comes_out() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/pkits");
    let chains = fuzz::seeds::chains(&directory).expect("the chains can be read");
    assert!(chains.iter().all(|chain| chain.len() > 1500), "every chain is there");
    replay(&chains, fuzz::certificate);
}

/// Runs scripts as they are, then mutated, each from a seed of its own that is told where one fails.
fn replay(scripts: &[Vec<u8>], target: fn(&[u8])) {
    scripts.iter().for_each(|script| target(script));
    vpnhost_kit::seeds::run(0..MUTATIONS.into(), |seed| {
        let mut random = Random(seed);
        let mut octets = random.pick(scripts).clone();
        for _ in 0..=random.below(6) {
            mutate(&mut octets, scripts, &mut random);
        }
        target(&octets);
    });
}

fn vectors() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/ike");
    let vectors = fuzz::seeds::read(&directory).expect("the vectors can be read");
    assert!(vectors.len() >= 15, "the vectors are there");
    vectors
}

fn mutate(octets: &mut Vec<u8>, vectors: &[Vec<u8>], random: &mut Random) {
    let at = random.below(octets.len() + 1);
    let end = octets.len().min(at + random.below(40));
    match random.below(7) {
        0 if at < octets.len() => octets[at] ^= 1 << random.below(8),
        1 if at < octets.len() => octets[at] = random.octet(),
        2 if at + 1 < octets.len() => {
            octets[at..at + 2].copy_from_slice(&[random.octet() & 1, random.octet()])
        }
        3 => drop(octets.drain(at..end)),
        4 => octets.truncate(at),
        5 => {
            let repeated = octets[at..end].to_vec();
            octets.splice(at..at, repeated);
        }
        _ => {
            let other = random.pick(vectors);
            let from = random.below(other.len());
            octets.truncate(at);
            octets.extend(&other[from..]);
        }
    }
}

/// SplitMix64: the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn octet(&mut self) -> u8 {
        (self.next() >> 56) as u8
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
