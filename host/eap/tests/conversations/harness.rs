//! Two ends, and what carries packets between them.

use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::{CryptoBackend, CryptoError, DrawnRandom, PrivateKey, SecureRandom};
use vpnhost_eap::{ClientMethod, ClientSetup, PasswordHash, ServerMethod, ServerSetup, TlsPeer, Users};
use vpnhost_ike::wire::payload::Eap;
use vpnhost_ike::{EapBegin, EapFailure, EapMethod, EapOutcome, EapSetup, EapStep, OwnCertificate, Trust};
use vpnhost_model::Identity;
use vpnhost_pki::{Certificate, Credential, Rules, identity};

/// 2027-01-01.
pub(crate) const NOW: Duration = Duration::from_secs(1_798_761_600);

pub(crate) struct Counter(pub(crate) u8);

impl SecureRandom for Counter {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        for octet in out {
            self.0 = self.0.wrapping_mul(5).wrapping_add(3);
            *octet = self.0;
        }
        Ok(())
    }
}

/// What a conversation begins with.
pub(crate) fn begin(seed: u8) -> EapBegin {
    let random = DrawnRandom::draw(&mut Counter(seed), 64).unwrap();
    let peer = Identity::Fqdn("moon.lab".into());
    EapBegin { unix: NOW, peer, random, stands_alone: false, crypto: crypto(), crls: Arc::new([]) }
}

pub(crate) fn crypto() -> &'static dyn CryptoBackend {
    vpnhost_rustcrypto::backend()
}

/// What came out at both ends.
pub(crate) struct Ends {
    pub(crate) client: Result<EapOutcome, EapFailure>,
    pub(crate) server: Result<EapOutcome, EapFailure>,
    pub(crate) packets: Vec<Eap>,
}

/// What a server's conversation begins with, to whom IKE has told who the client is.
pub(crate) fn begin_with(peer: &str) -> EapBegin {
    EapBegin { peer: identity::parse(peer).unwrap(), ..begin(2) }
}

/// Carries packets until both ends have come to theirs; `change` may touch them on the way.
pub(crate) fn converse_with(
    client: &dyn EapSetup,
    server: &dyn EapSetup,
    change: &mut dyn FnMut(usize, &mut Eap),
) -> Ends {
    converse_between(&mut *client.begin(begin(1)), &mut *server.begin(begin(2)), change)
}

/// The same between two that have begun.
pub(crate) fn converse_between(
    client: &mut dyn EapMethod,
    server: &mut dyn EapMethod,
    change: &mut dyn FnMut(usize, &mut Eap),
) -> Ends {
    let mut packets = Vec::new();
    let mut at_server = None;
    let mut step = server.step(None);
    for _ in 0..1000 {
        let packet = match step {
            EapStep::Send(packet) => packet,
            EapStep::Success { packet, outcome } => {
                at_server = Some(Ok(outcome));
                packet.unwrap()
            }
            EapStep::Failure { packet, failure } => {
                at_server = Some(Err(failure));
                packet.unwrap()
            }
        };
        let answer = deliver(client, packet, &mut packets, change);
        let at_client = match answer {
            EapStep::Send(mut packet) if at_server.is_none() => {
                change(packets.len(), &mut packet);
                packets.push(packet.clone());
                step = server.step(Some(&packet));
                continue;
            }
            EapStep::Send(_) => Err(EapFailure::Malformed("the test: the client talks on")),
            EapStep::Success { outcome, .. } => Ok(outcome),
            EapStep::Failure { failure, .. } => Err(failure),
        };
        let unended = Err(EapFailure::Malformed("the test: the server waits"));
        return Ends { client: at_client, server: at_server.unwrap_or(unended), packets };
    }
    panic!("the conversation does not end");
}

fn deliver(
    client: &mut dyn EapMethod,
    mut packet: Eap,
    packets: &mut Vec<Eap>,
    change: &mut dyn FnMut(usize, &mut Eap),
) -> EapStep {
    change(packets.len(), &mut packet);
    packets.push(packet.clone());
    client.step(Some(&packet))
}

pub(crate) fn converse(client: &dyn EapSetup, server: &dyn EapSetup) -> Ends {
    converse_with(client, server, &mut |_, _| {})
}

pub(crate) fn password_client(user: &str, password: &str) -> ClientSetup {
    let method = ClientMethod::MsChapV2 { user: user.to_owned(), password: PasswordHash::of(password) };
    ClientSetup { identity: user.to_owned(), method }
}

pub(crate) fn users() -> ServerMethod {
    let mut users = Users::default();
    users.insert("carol".to_owned(), PasswordHash::of("lab password"));
    users.insert("größe".to_owned(), PasswordHash::of("пароль"));
    ServerMethod::MsChapV2(Arc::new(users))
}

fn credential(certificates: &str, key: &str) -> Arc<OwnCertificate> {
    let certificates = Certificate::read_all(certificates.as_bytes()).unwrap();
    let key = PrivateKey::read(key.as_bytes()).unwrap();
    Arc::new(OwnCertificate::new(Credential::new(crypto(), certificates, key, false).unwrap()))
}

pub(crate) fn trusting(ca: &str) -> Arc<Trust> {
    let anchors = Certificate::read_all(ca.as_bytes()).unwrap();
    Arc::new(Trust { anchors, known: Vec::new(), keys: Vec::new(), rules: Rules::default() })
}

pub(crate) const CA: &str = include_str!("data/ca.pem");
pub(crate) const OTHER_CA: &str = include_str!("data/other-ca.pem");

pub(crate) fn carol() -> Arc<OwnCertificate> {
    credential(include_str!("data/carol.pem"), include_str!("data/carol.key"))
}

pub(crate) fn dave() -> Arc<OwnCertificate> {
    credential(include_str!("data/dave.pem"), include_str!("data/dave.key"))
}

pub(crate) fn tls_server(ca: &str) -> ServerMethod {
    let credential = credential(include_str!("data/moon.pem"), include_str!("data/moon.key"));
    ServerMethod::Tls { credential, clients: trusting(ca) }
}

pub(crate) fn tls_client(name: &str, credential: Arc<OwnCertificate>, server: &str, ca: &str) -> ClientSetup {
    let server = TlsPeer { identity: identity::parse(server), trust: trusting(ca) };
    ClientSetup { identity: name.to_owned(), method: ClientMethod::Tls { credential, server } }
}

pub(crate) fn server(methods: Vec<ServerMethod>) -> ServerSetup {
    ServerSetup { methods, asks_identity: true }
}
