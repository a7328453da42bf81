//! Every algorithm of the pure Rust backend, between two hosts: those that strongSwan has not, or not in every key
//! length, are told here alone. Each packet protection guards an IKE SA and a Child SA; the PRFs and key exchanges
//! take turns beside it, and both SAs are rekeyed.

use vpnhost_crypto::CryptoBackend;
use vpnhost_ike::Command;
use vpnhost_kit::configuration::{child, initiator};
use vpnhost_kit::{A, B};
use vpnhost_model::{Encryption, IkeSuite};

use crate::handshake::real_pair;
use crate::world::{secs, shut_down};

#[test]
fn every_algorithm_guards_an_ike_sa_and_a_child_sa_and_a_rekey_of_both() {
    let backend: &dyn CryptoBackend = vpnhost_rustcrypto::backend();
    let (prfs, groups) = (backend.prf(), backend.key_exchange());
    let protections = backend.packet_ids();
    assert_eq!((protections.len(), prfs.len(), groups.len()), (19 + 8 * 6, 6, 11));
    for (turn, packet) in protections.into_iter().enumerate() {
        let (prf, group) = (prfs[turn % prfs.len()].id(), groups[turn % groups.len()].id());
        // RFC 7296, 3.3.2: an IKE SA is never without encryption.
        let guard =
            if packet.encryption == Encryption::NULL { "aes128-sha256".into() } else { packet.to_string() };
        let (ike, esp) = (format!("{guard}-{prf}-{group}"), format!("{packet}-{group}"));
        let mut a = initiator(vec![child("one", &esp, "10.1.0.0/24", "10.2.0.0/24")]);
        a.ike = IkeSuite::parse_all(&ike).unwrap();
        let mut simulation = real_pair(a, turn as u64);
        simulation.run_for(secs(2));
        simulation.assert_agreed(A, B);
        let sa = simulation.ike_sa(A);
        assert_eq!(sa.suite, IkeSuite::parse_all(&ike).unwrap().first().copied(), "{ike}");
        simulation.assert_passes(A, B);
        simulation.command(A, Command::RekeyChildSa(sa.children[0].id));
        simulation.run_for(secs(2));
        simulation.command(B, Command::RekeyIkeSa(simulation.ike_sa(B).id));
        // The old SAs still take what was on its way.
        simulation.run_for(secs(60));
        simulation.assert_agreed(A, B);
        let rekeyed = simulation.ike_sa(A);
        assert!(rekeyed.id != sa.id && rekeyed.children[0].id != sa.children[0].id, "{ike} / {esp}");
        simulation.assert_passes(A, B);
        shut_down(&mut simulation);
    }
}
