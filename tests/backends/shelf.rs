//! What the tests of this directory share: the backends, their protections, and seeded octets.

use std::path::{Path, PathBuf};

use vpnhost_crypto::{CryptoBackend, Layered, PacketAlgorithm, Protection, SecureRandom};
use vpnhost_model::Integrity;
use vpnhost_null::SeededRandom;

/// The backend in pure Rust.
pub(crate) fn rustcrypto() -> &'static dyn CryptoBackend {
    vpnhost_rustcrypto::backend()
}

/// The other one, on top of the first as the daemon has it.
pub(crate) fn layered() -> &'static dyn CryptoBackend {
    Box::leak(Box::new(Layered::new(&[vpnhost_aws_lc::backend(), rustcrypto()])))
}

/// Returns each backend with the name that tests call it by: both, and one on top of the other.
pub(crate) fn backends() -> [(&'static str, &'static dyn CryptoBackend); 3] {
    [("rustcrypto", rustcrypto()), ("aws-lc", vpnhost_aws_lc::backend()), ("layered", layered())]
}

/// Returns every packet protection of a backend: whole ones, and every cipher with every integrity.
pub(crate) fn protections(backend: &dyn CryptoBackend) -> Vec<Protection> {
    let found: Vec<_> = backend.packet_ids().into_iter().filter_map(|id| backend.find_packet(id)).collect();
    assert!(found.iter().any(|protection| protection.id().integrity == Integrity::NONE));
    found
}

/// Returns where the vectors lie.
pub(crate) fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Draws as many octets as wanted.
pub(crate) fn octets(random: &mut SeededRandom, count: usize) -> Vec<u8> {
    let mut octets = vec![0; count];
    random.fill(&mut octets).expect("a seed never runs out");
    octets
}

/// Draws a number below a bound.
pub(crate) fn below(random: &mut SeededRandom, bound: usize) -> usize {
    (random.next_word() % bound as u64) as usize
}
