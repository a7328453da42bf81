//! A dropped key is nowhere in the memory of the process: this looks for its octets everywhere.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use vpnhost_crypto::{
    CryptoBackend, KeyKind, PacketAlgorithm, PacketMut, PrivateKey, SecretBytes, SecureRandom, wipe_stack,
};
use vpnhost_null::SeededRandom;

use crate::shelf::{protections, rustcrypto};

/// Octets of a key that are looked for.
const NEEDLE: usize = 16;
/// Octets of memory read at once; a needle across two reads would be missed, so they overlap.
const CHUNK: usize = 1 << 16;

/// Returns how often octets stand in writable memory. They come inverted, lest they find themselves.
fn occurrences(inverted: &[u8; NEEDLE]) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux has it");
    let memory = File::open("/proc/self/mem").expect("a process reads its own");
    let mut chunk = vec![0; CHUNK + NEEDLE];
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw") && !line.contains("[v")) {
        let (from, to) = range(line);
        for start in (from..to).step_by(CHUNK) {
            let len = chunk.len().min((to - start) as usize);
            if memory.read_exact_at(&mut chunk[..len], start).is_ok() {
                let same =
                    |window: &&[u8]| window.iter().zip(inverted).all(|(octet, other)| *octet == !other);
                found += chunk[..len].windows(NEEDLE).filter(same).count();
            }
            chunk.fill(0);
        }
    }
    found
}

fn range(line: &str) -> (u64, u64) {
    let (from, rest) = line.split_once('-').expect("a range");
    let to = rest.split(' ').next().expect("a range");
    let hex = |text| u64::from_str_radix(text, 16).expect("hex");
    (hex(from), hex(to))
}

/// Octets that are looked for, inverted.
struct Needle([u8; NEEDLE]);

impl Needle {
    fn of(secret: &[u8]) -> Self {
        let mut inverted = [0; NEEDLE];
        inverted.iter_mut().zip(secret).for_each(|(inverted, octet)| *inverted = !octet);
        Self(inverted)
    }

    /// As a number's words lie in memory.
    fn reversed(&self) -> Self {
        let mut inverted = self.0;
        inverted.reverse();
        Self(inverted)
    }

    fn is_found(&self) -> bool {
        occurrences(&self.0) > 0
    }
}

fn key(random: &mut SeededRandom, len: usize) -> SecretBytes {
    let mut key = SecretBytes::new(vec![0; len]);
    random.fill(key.expose_mut()).expect("a seed never runs out");
    key
}

fn backends() -> [&'static dyn CryptoBackend; 2] {
    [rustcrypto(), vpnhost_aws_lc::backend()]
}

#[test]
fn what_lives_is_found() {
    let key = key(&mut SeededRandom::new(0x006c_6976_6521), 32);
    let needle = Needle::of(key.expose());
    assert!(needle.is_found());
    drop(key);
    assert!(!needle.is_found());
}

#[test]
fn a_dropped_packet_key_is_nowhere_in_memory() {
    let mut random = SeededRandom::new(0x7a65_726f);
    for protection in backends().iter().flat_map(|&backend| protections(backend)) {
        for used in [false, true] {
            let layout = protection.layout();
            let encryption = key(&mut random, layout.encryption_key_len);
            let integrity = key(&mut random, layout.integrity_key_len);
            let needles = [&encryption, &integrity].map(|key| Needle::of(key.expose()));
            let mut keyed = protection.key(encryption.expose(), integrity.expose()).expect("its length");
            if used {
                let mut octets = vec![0; 8 + layout.iv_len + 64 + layout.icv_len];
                keyed.seal(&mut [PacketMut::new(&mut octets, 8)]);
                keyed.open(&mut [PacketMut::new(&mut octets, 8)]);
            }
            drop((keyed, encryption, integrity));
            if used {
                // Round keys spill from registers; the next call overwrites them, here this one.
                wipe_stack();
            }
            assert!(layout.encryption_key_len == 0 || !needles[0].is_found(), "{}", protection.id());
            assert!(layout.integrity_key_len == 0 || !needles[1].is_found(), "{}", protection.id());
        }
    }
}

#[test]
fn neither_private_value_nor_secret_of_a_key_exchange_is_left_in_memory() {
    for (method, seed) in backends().iter().flat_map(|backend| backend.key_exchange()).zip(0x0064_6821..) {
        let private = Needle::of(key(&mut SeededRandom::new(seed), NEEDLE).expose());
        let active = method.start(&mut SeededRandom::new(seed)).expect("octets enough");
        // With itself: as good as any other.
        let public = active.public().to_vec();
        let secret = active.complete(&public).expect("a good value");
        let shared = Needle::of(secret.expose());
        assert!(shared.is_found());
        drop(secret);
        for needle in [&private, &private.reversed(), &shared, &shared.reversed()] {
            assert!(!needle.is_found(), "{}", method.id());
        }
    }
}

/// Returns a new private key of a kind that is made of random octets alone, and its octets.
fn private_key(kind: KeyKind, random: &mut SeededRandom) -> (PrivateKey, SecretBytes) {
    let (head, len): (&[u8], usize) = match kind {
        KeyKind::Ed25519 => (b"\x30\x2e\x02\x01\0\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", 32),
        // SEC1: version, the key, the curve behind it.
        KeyKind::EcdsaP256 => (b"\x30\x31\x02\x01\x01\x04\x20", 32),
        KeyKind::EcdsaP384 => (b"\x30\x3e\x02\x01\x01\x04\x30", 48),
        KeyKind::EcdsaP521 | KeyKind::Rsa { .. } | KeyKind::Dsa { .. } => unreachable!("not asked for"),
    };
    let tail: &[u8] = match kind {
        KeyKind::EcdsaP256 => b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
        KeyKind::EcdsaP384 => b"\xa0\x07\x06\x05\x2b\x81\x04\x00\x22",
        KeyKind::Ed25519 | KeyKind::EcdsaP521 | KeyKind::Rsa { .. } | KeyKind::Dsa { .. } => b"",
    };
    let secret = key(random, len);
    let file = SecretBytes::new([head, secret.expose(), tail].concat());
    (PrivateKey::read(file.expose()).expect("a good key"), secret)
}

#[test]
fn a_dropped_private_key_is_nowhere_in_memory() {
    let mut random = SeededRandom::new(0x7369_676e);
    for kind in [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::EcdsaP384] {
        for backend in backends() {
            for algorithm in backend.signature().iter().filter(|algorithm| algorithm.id().fits(kind)) {
                let (private, secret) = private_key(kind, &mut random);
                let needle = Needle::of(secret.expose());
                let loaded = algorithm.load(&private).expect("a good key");
                loaded.sign(&[b"text"], &mut SeededRandom::new(1)).expect("a good key");
                assert!(needle.is_found());
                drop((private, secret, loaded));
                wipe_stack();
                for needle in [&needle, &needle.reversed()] {
                    assert!(!needle.is_found(), "{}: {}", backend.name(), algorithm.id());
                }
            }
        }
    }
}
