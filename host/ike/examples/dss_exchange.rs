//! Records an IKE_SA_INIT and an IKE_AUTH between two endpoints that prove themselves with DSS (RFC 7296 §3.8, method 3), for
//! a judge that shares no code with them: the initiator's private X25519 value, then the four messages, a line each.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::wildcard_enum_match_arm, dead_code)]

#[path = "../../pki/tests/rules/maker.rs"]
mod maker;
#[path = "../tests/endpoints/pump.rs"]
mod pump;

use std::sync::Arc;

use maker::{Key, Plan, names};
use pump::{A, B, IKE, Pump, child, config, initiator, responder};
use vpnhost_crypto::{CryptoError, DrawnRandom, PrivateKey, SecureRandom};
use vpnhost_ike::{Command, EndpointConfig, Job, LocalAuth, OwnCertificate, PeerAuth, PeerConfig, Trust};
use vpnhost_pki::{Credential, Rules};

/// Gives the same octets once more.
struct Again(Vec<u8>);

impl SecureRandom for Again {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&std::mem::replace(&mut self.0, rest));
        Ok(())
    }
}

fn main() {
    let file = include_bytes!("../../../tests/vectors/keys/dsa.pem");
    let key = Key::of(PrivateKey::read(file).expect("a key"));
    let ca = Key::new(1);
    let root = Plan::ca("CN=root", "CN=root").sign(&ca, &ca);
    let own = |name: &'static str| {
        let plan = Plan::end("CN=end", "CN=root").with(names(&[(2, name.as_bytes())]));
        let backend = vpnhost_rustcrypto::backend();
        let credential = Credential::new(backend, vec![plan.sign(&key, &ca)], key.0.clone(), true);
        LocalAuth::Certificate(vec![Arc::new(OwnCertificate::new(credential.expect("a pair")))])
    };
    let rules = Rules { allow_legacy: true, ..Rules::default() };
    let trust = Trust { anchors: vec![root], known: Vec::new(), keys: Vec::new(), rules };
    let a = PeerConfig {
        local_auth: own("a.lab"),
        peer_auth: PeerAuth::Certificate(Arc::new(trust)),
        ..initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")])
    };
    let b = PeerConfig { local_auth: own("b.lab"), ..responder(&a) };
    // The older method, in datagrams that are whole.
    let old = |peer| EndpointConfig { signature_hashes: false, fragment_size: 60_000, ..config(peer) };
    let mut pump = Pump::new(old(a), old(b));
    pump.sides[A].hold_jobs = true;
    pump.command(A, Command::Initiate("b".into()));
    let (id, job) = pump.sides[A].jobs.pop_front().expect("the key exchange is begun");
    let Job::StartKeyExchange(algorithm, mut drawn) = job else { panic!("another job") };
    let mut octets = vec![0; DrawnRandom::KEY_EXCHANGE];
    drawn.fill(&mut octets).expect("so many were drawn");
    line(&octets[..32]);
    let again = DrawnRandom::draw(&mut Again(octets), DrawnRandom::KEY_EXCHANGE).expect("as many again");
    let (now, job) = (pump.now, Job::StartKeyExchange(algorithm, again));
    pump.sides[A].endpoint.handle_work(now, id, job.run());
    pump.sides[A].hold_jobs = false;
    pump.settle();
    pump.run_jobs(A);
    pump.settle();
    pump.assert_connected(1);
    for (side, index) in [(A, 0), (B, 0), (A, 1), (B, 1)] {
        line(&pump.sides[side].sent[index].octets);
    }
}

fn line(octets: &[u8]) {
    let text: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    println!("{text}");
}
