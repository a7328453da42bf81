//! Every algorithm of one backend against the same of the other, on seeded random input: same keys, same
//! octets; and what one seals the other opens.

use vpnhost_crypto::{
    CryptoError, PacketAlgorithm, PacketKey, PacketMut, PrivateKey, SecureRandom, prf_plus,
};
use vpnhost_model::KeyExchange;
use vpnhost_null::SeededRandom;

use crate::shelf::{below, layered, octets, protections, rustcrypto};

/// Lengths of texts: all short ones, and one of a full packet.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=300).chain([1400])
}

/// One packet in clear, with room for its ICV.
struct Sample {
    octets: Vec<u8>,
    aad_len: usize,
    esn_high: Option<u32>,
}

impl Sample {
    /// Draws a packet of ESP, or one with AAD of another length as SK has.
    fn draw(random: &mut SeededRandom, algorithm: &dyn PacketAlgorithm, text_len: usize) -> Self {
        let layout = algorithm.layout();
        let esp = below(random, 4) != 0;
        let aad_len = if esp { 8 } else { below(random, 80) };
        let esn_high = (esp && below(random, 2) == 0).then(|| random.next_word() as u32);
        let len = aad_len + layout.iv_len + text_len.next_multiple_of(layout.block_len) + layout.icv_len;
        Self { octets: octets(random, len), aad_len, esn_high }
    }
}

fn batch(
    samples: &[Sample],
    all: &mut [Vec<u8>],
    call: &mut dyn FnMut(&mut [PacketMut<'_>]),
) -> Vec<Result<(), CryptoError>> {
    let mut packets: Vec<_> = all
        .iter_mut()
        .zip(samples)
        .map(|(octets, sample)| PacketMut {
            octets,
            aad_len: sample.aad_len,
            esn_high: sample.esn_high,
            outcome: Err(CryptoError::Backend),
        })
        .collect();
    call(&mut packets);
    packets.iter().map(|packet| packet.outcome).collect()
}

struct Pair {
    name: String,
    icv_len: usize,
    one: Box<dyn PacketKey>,
    other: Box<dyn PacketKey>,
}

impl Pair {
    /// Seals with one, demands the same of the other, and lets the other open it.
    fn check(&mut self, random: &mut SeededRandom, samples: &[Sample]) {
        let clear: Vec<_> = samples.iter().map(|sample| sample.octets.clone()).collect();
        let good = vec![Ok(()); samples.len()];
        let (mut sealed, mut again) = (clear.clone(), clear.clone());
        assert_eq!(batch(samples, &mut sealed, &mut |packets| self.one.seal(packets)), good);
        assert_eq!(batch(samples, &mut again, &mut |packets| self.other.seal(packets)), good);
        assert!(sealed == again, "{}: sealed alike", self.name);
        for key in [&mut self.one, &mut self.other] {
            let mut opened = sealed.clone();
            assert_eq!(batch(samples, &mut opened, &mut |packets| key.open(packets)), good);
            for (opened, clear) in opened.iter().zip(&clear) {
                let text_end = clear.len() - self.icv_len;
                assert!(opened[..text_end] == clear[..text_end], "{}: opened again", self.name);
            }
        }
        self.check_tampered(random, samples, &sealed);
    }

    /// One flipped bit in every second packet: both refuse these, and only these.
    fn check_tampered(&mut self, random: &mut SeededRandom, samples: &[Sample], sealed: &[Vec<u8>]) {
        let mut tampered = sealed.to_vec();
        for octets in tampered.iter_mut().step_by(2) {
            let bit = below(random, octets.len() * 8);
            octets[bit / 8] ^= 1 << (bit % 8);
        }
        let known: Vec<_> = (0..samples.len())
            .map(|place| if place % 2 == 0 { Err(CryptoError::AuthenticationFailed) } else { Ok(()) })
            .collect();
        for key in [&mut self.one, &mut self.other] {
            let mut octets = tampered.clone();
            let outcomes = batch(samples, &mut octets, &mut |packets| key.open(packets));
            assert_eq!(outcomes, known, "{}: a flipped bit", self.name);
        }
    }
}

#[test]
fn packets_sealed_by_one_backend_are_opened_by_the_other() {
    let mut random = SeededRandom::new(1);
    let layered = layered();
    for one in protections(rustcrypto()) {
        let other = layered.find_packet(one.id()).expect("a layer has what the lower one has");
        let layout = one.layout();
        assert_eq!(layout, other.layout());
        let key = octets(&mut random, layout.encryption_key_len);
        let integrity = octets(&mut random, layout.integrity_key_len);
        let mut pair = Pair {
            name: one.id().to_string(),
            icv_len: layout.icv_len,
            one: one.key(&key, &integrity).expect("its own length"),
            other: other.key(&key, &integrity).expect("its own length"),
        };
        let all: Vec<_> = lengths().collect();
        for batch_of in all.chunks(32) {
            let draw = |&len: &usize| Sample::draw(&mut random, &one, len);
            let samples: Vec<_> = batch_of.iter().map(draw).collect();
            pair.check(&mut random, &samples);
        }
    }
}

#[test]
fn lone_ciphers_agree() {
    let mut random = SeededRandom::new(2);
    for one in vpnhost_aws_lc::backend().encryption() {
        let other = rustcrypto().find_encryption(one.id(), one.key_bits()).expect("both have it");
        let key = octets(&mut random, one.key_len());
        let (mut one_key, mut other_key) =
            (one.key(&key).expect("its length"), other.key(&key).expect("its length"));
        for len in lengths().filter(|len| len.is_multiple_of(one.block_len())) {
            let iv = octets(&mut random, one.iv_len());
            let clear = octets(&mut random, len);
            let (mut first, mut second) = (clear.clone(), clear.clone());
            one_key.encrypt(&iv, &mut first).expect("whole blocks");
            other_key.encrypt(&iv, &mut second).expect("whole blocks");
            assert_eq!(first, second);
            one_key.decrypt(&iv, &mut second).expect("whole blocks");
            other_key.decrypt(&iv, &mut first).expect("whole blocks");
            assert_eq!((first, second), (clear.clone(), clear));
        }
    }
}

#[test]
fn lone_integrity_algorithms_agree() {
    let mut random = SeededRandom::new(3);
    for one in vpnhost_aws_lc::backend().integrity() {
        let other = rustcrypto().find_integrity(one.id()).expect("both have it");
        let key = octets(&mut random, one.key_len());
        let (mut one_key, mut other_key) =
            (one.key(&key).expect("its length"), other.key(&key).expect("its length"));
        for len in lengths() {
            let text = octets(&mut random, len);
            let (front, back) = text.split_at(below(&mut random, len + 1));
            let mut icv = vec![0; one.icv_len()];
            one_key.sign(&[front, back], &mut icv).expect("its length");
            assert_eq!(other_key.verify(&[&text], &icv), Ok(()));
            let bit = below(&mut random, icv.len() * 8);
            icv[bit / 8] ^= 1 << (bit % 8);
            for key in [&mut one_key, &mut other_key] {
                assert_eq!(key.verify(&[&text], &icv), Err(CryptoError::AuthenticationFailed));
            }
        }
    }
}

#[test]
fn prfs_and_hashes_agree() {
    let mut random = SeededRandom::new(4);
    for len in lengths() {
        let text = octets(&mut random, len);
        let (front, back) = text.split_at(below(&mut random, len + 1));
        for one in vpnhost_aws_lc::backend().prf() {
            // Keys of any length: nonces and shared secrets are keys of PRFs.
            let key_len = below(&mut random, 300);
            let key = octets(&mut random, key_len);
            let other = rustcrypto().find_prf(one.id()).expect("both have it");
            let (one, other) = (one.key(&key).expect("any length"), other.key(&key).expect("any length"));
            let outputs = (one.compute(&[front, back]), other.compute(&[&text]));
            assert!(outputs.0 == outputs.1 && outputs.0.is_ok());
            let expanded = (prf_plus(&*one, &[&text], len), prf_plus(&*other, &[front, back], len));
            assert!(expanded.0 == expanded.1 && expanded.0.is_ok());
        }
        for one in vpnhost_aws_lc::backend().hash() {
            let other = rustcrypto().find_hash(one.id()).expect("both have it");
            let mut digests = (vec![0; one.output_len()], vec![0; other.output_len()]);
            one.hash(&[front, back], &mut digests.0).expect("its length");
            other.hash(&[&text], &mut digests.1).expect("its length");
            assert_eq!(digests.0, digests.1);
        }
    }
}

#[test]
fn key_exchanges_agree_between_the_backends_and_on_any_public_value() {
    let layered = layered();
    for one in rustcrypto().key_exchange() {
        let other = layered.find_key_exchange(one.id()).expect("a layer has what the lower one has");
        for seed in 0..20 {
            let active = one.start(&mut SeededRandom::new(seed)).expect("octets enough");
            let (public, theirs) =
                other.respond(active.public(), &mut SeededRandom::new(!seed)).expect("a good value");
            assert!(active.complete(&public).expect("a good value") == theirs, "{}", one.id());
            if one.id() == KeyExchange::X25519 {
                any_public_value(seed, *one, other);
            }
        }
    }
}

/// The same private octets on both sides and a peer's value that may be anything.
fn any_public_value(
    seed: u64,
    one: &dyn vpnhost_crypto::KeyExchangeAlgorithm,
    other: &dyn vpnhost_crypto::KeyExchangeAlgorithm,
) {
    let mut random = SeededRandom::new(seed);
    let private = octets(&mut random, 32);
    for _ in 0..10 {
        let peer = octets(&mut random, 32);
        let (first, second) = (
            one.start(&mut Same(&private)).expect("octets enough"),
            other.start(&mut Same(&private)).expect("octets enough"),
        );
        assert_eq!(first.public(), second.public());
        assert!(first.complete(&peer) == second.complete(&peer));
    }
}

#[test]
fn what_one_backend_signs_the_other_verifies_and_no_length_panics() {
    let file = include_str!("../vectors/keys/rsa.pem");
    let rsa = PrivateKey::read(file.as_bytes()).expect("a good key");
    for one in vpnhost_aws_lc::backend().signature() {
        let Some(other) = rustcrypto().find_signature(one.id(), rsa.kind()) else {
            continue;
        };
        for (signs, verifies) in [(*one, other), (other, *one)] {
            let loaded = signs.load(&rsa).expect("a good key");
            let signature =
                loaded.sign(&[b"what is ", b"signed"], &mut SeededRandom::new(5)).expect("it signs");
            let verify = |signature: &[u8]| verifies.verify(loaded.public(), &[b"what is signed"], signature);
            assert_eq!(verify(&signature), Ok(()), "{}", one.id());
            for len in (0..signature.len()).step_by(17) {
                assert_eq!(verify(&signature[..len]), Err(CryptoError::AuthenticationFailed));
            }
        }
    }
}

struct Same<'a>(&'a [u8]);

impl SecureRandom for Same<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        out.copy_from_slice(&self.0[..out.len()]);
        Ok(())
    }
}
