//! The Master Session Key with TLS 1.2 (RFC 5216 §2.3) and TLS 1.3 (RFC 9190 §2.3), computed a second time from what
//! TLS logs: with HMAC alone, and not by the TLS library.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use vpnhost_crypto::{CryptoError, DrawnRandom, PrivateKey, SecureRandom};
use vpnhost_ike::{EapBegin, EapOutcome, OwnCertificate, Trust};
use vpnhost_model::Prf;
use vpnhost_pki::{Certificate, Credential, Rules, identity};

use super::TlsPeer;
use super::client::Client;
use super::server::Server;
use super::session::{Handshake, Session};
use crate::method::{ClientEnd as _, ServerEnd as _, Turn};

const CA: &str = include_str!("../../tests/conversations/data/ca.pem");

/// A label, the client's random octets, and a secret.
type Logged = (String, Vec<u8>, Vec<u8>);

/// What a TLS library logs.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<Logged>>);

impl rustls::KeyLog for Log {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        self.0.lock().unwrap().push((label.to_owned(), client_random.to_vec(), secret.to_vec()));
    }
}

impl Log {
    fn of(&self, label: &str) -> (Vec<u8>, Vec<u8>) {
        let log = self.0.lock().unwrap();
        let found = log.iter().find(|(logged, ..)| logged == label);
        found.map(|(_, random, secret)| (random.clone(), secret.clone())).expect(label)
    }
}

struct Ones;

impl SecureRandom for Ones {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        out.fill(1);
        Ok(())
    }
}

fn begin() -> EapBegin {
    EapBegin {
        unix: Duration::from_secs(1_798_761_600),
        peer: vpnhost_model::Identity::Fqdn("moon.lab".into()),
        random: DrawnRandom::draw(&mut Ones, 64).unwrap(),
        stands_alone: true,
        crypto: vpnhost_rustcrypto::backend(),
        crls: Arc::new([]),
    }
}

fn credential(certificates: &str, key: &str) -> OwnCertificate {
    let certificates = Certificate::read_all(certificates.as_bytes()).unwrap();
    let key = PrivateKey::read(key.as_bytes()).unwrap();
    OwnCertificate::new(Credential::new(vpnhost_rustcrypto::backend(), certificates, key, false).unwrap())
}

/// What a conversation came to.
struct Ended {
    client: EapOutcome,
    server: EapOutcome,
    log: Arc<Log>,
    /// The server's random octets, out of its ServerHello.
    server_random: Vec<u8>,
}

/// Has two ends talk by a version of TLS.
fn talk(version: &'static SupportedProtocolVersion) -> Ended {
    let trust = Arc::new(Trust {
        anchors: Certificate::read_all(CA.as_bytes()).unwrap(),
        known: Vec::new(),
        keys: Vec::new(),
        rules: Rules::default(),
    });
    let data = |name: &str, end: &str| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conversations/data/");
        std::fs::read_to_string(format!("{path}{name}.{end}")).unwrap()
    };
    let own = |name| credential(&data(name, "pem"), &data(name, "key"));
    let log = Arc::new(Log::default());
    let peer = TlsPeer { trust: Arc::clone(&trust), identity: identity::parse("moon.lab") };
    let handshake = Handshake { versions: vec![version], key_log: Arc::clone(&log) as _ };
    let mut client = Client::within("carol@lab", Session::client(&own("carol"), &peer, &begin(), &handshake));
    let mut server =
        Server::new(&crate::server::Claim::Eap(b"carol@lab".to_vec()), &own("moon"), &trust, &begin());
    let mut request = server.begin().unwrap();
    let mut server_random = Vec::new();
    loop {
        // Flags, the length, a record's header, a message's header, the version.
        if server_random.is_empty() && request.len() > 48 {
            assert_eq!((request[0] & 0x80, request[5], request[10]), (0x80, 22, 2), "a ServerHello");
            server_random = request[16..48].to_vec();
        }
        match server.take(&client.answer(&request).unwrap()) {
            Turn::Request(next) => request = next,
            Turn::Success(outcome) => {
                let client = client.outcome().expect("both are done");
                return Ended { client, server: outcome, log, server_random };
            }
            Turn::Failure(failure) => panic!("{failure}"),
        }
    }
}

/// HMAC with SHA-384, which the preferred suites of both versions have.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let prf = vpnhost_rustcrypto::backend().find_prf(Prf::HMAC_SHA2_384).unwrap();
    prf.key(key).unwrap().compute(parts).unwrap().expose().to_vec()
}

#[test]
fn with_tls_1_2_the_key_is_that_of_rfc_5216() {
    let ended = talk(&TLS12);
    let (client_random, master) = ended.log.of("CLIENT_RANDOM");
    // RFC 5246, 5: P_hash.
    let seed = [b"client EAP encryption", &client_random[..], &ended.server_random].concat();
    let mut a = seed.clone();
    let mut keys = Vec::new();
    while keys.len() < 64 {
        a = hmac(&master, &[&a]);
        keys.extend(hmac(&master, &[&a, &seed]));
    }
    assert_eq!(ended.client.msk.as_ref().unwrap().expose(), &keys[..64]);
    assert_eq!(ended.server.msk, ended.client.msk);
}

#[test]
fn with_tls_1_3_the_key_is_that_of_rfc_9190() {
    let ended = talk(&TLS13);
    let (_, exporter) = ended.log.of("EXPORTER_SECRET");
    let hash = vpnhost_rustcrypto::backend().find_hash(vpnhost_crypto::Hash::SHA2_384).unwrap();
    let digest = |octets: &[u8]| {
        let mut digest = [0; 48];
        hash.hash(&[octets], &mut digest).unwrap();
        digest
    };
    // RFC 8446, 7.1 and 7.5.
    let expand = |secret: &[u8], label: &[u8], context: &[u8], length: u16| {
        let label = [b"tls13 ", label].concat();
        let info = [
            &length.to_be_bytes()[..],
            &[u8::try_from(label.len()).unwrap()],
            &label,
            &[u8::try_from(context.len()).unwrap()],
            context,
        ]
        .concat();
        let (mut block, mut out, mut count) = (Vec::new(), Vec::new(), 0_u8);
        while out.len() < usize::from(length) {
            count += 1;
            block = hmac(secret, &[&block, &info, &[count]]);
            out.extend(&block);
        }
        out
    };
    let derived = expand(&exporter, b"EXPORTER_EAP_TLS_Key_Material", &digest(&[]), 48);
    let keys = expand(&derived, b"exporter", &digest(&[13]), 128);
    assert_eq!(ended.client.msk.as_ref().unwrap().expose(), &keys[..64]);
    assert_eq!(ended.server.msk, ended.client.msk);
}

#[test]
fn either_version_proves_both_and_shows_both_certificates() {
    for version in [&TLS12, &TLS13] {
        let ended = talk(version);
        assert!(ended.client.stands_alone && ended.server.stands_alone);
        assert_eq!(ended.server.identity, "carol@lab");
        let subject =
            |outcome: EapOutcome| outcome.certificate.expect("it was judged").facts().subject.clone();
        assert!(subject(ended.client).contains("moon") && subject(ended.server).contains("carol"));
    }
}
