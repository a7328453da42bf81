//! IKE_SA_INIT: suites, key exchange and nonces, in clear (RFC 7296 §1.2), with COOKIE, INVALID_KE_PAYLOAD
//! and NAT detection.
//!
//! Nothing that arrives here is authentic. It moves an exchange forward, or is noise; it ends none.

mod initiator;
mod responder;

pub(crate) use responder::{accept, nonce_of, unprotected};

use std::net::SocketAddr;
use std::sync::Arc;

use vpnhost_crypto::{ActiveKeyExchange, CryptoError, Hash, SecretBytes};
use vpnhost_model::{IkeSuite, Instant, KeyExchange as Method, Path};

use crate::config::{EncapsulationPolicy, PeerConfig};
use crate::error::IkeError;
use crate::exchange::ike_auth::Verifying;
use crate::exchange::ike_auth::eap::EapTalk;
use crate::exchange::shape::{ExchangeShapes, Shape};
use crate::extension::nat_detection::{self, NatFindings};
use crate::host::Host;
use crate::limits;
use crate::output::CloseReason;
use crate::sa::IkeSa;
use crate::sa::keys::{self, IkeKeys, Nonces};
use crate::sa::secured::Secured;
use crate::wire::payload::{KeyExchange, Notify, NotifyType, SecurityAssociation};
use crate::wire::{ExchangeType, Message, Payload, PayloadType};

/// This host begins.
pub(crate) struct SaInitSent {
    stage: Stage,
    suites: Vec<IkeSuite>,
    method: Method,
    active: Option<Box<dyn ActiveKeyExchange>>,
    nonce_i: Vec<u8>,
    cookie: Option<Vec<u8>>,
    attempts: u8,
    request: Vec<u8>,
    answer: Option<Answer>,
    refused: Option<CloseReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ranking,
    StartingKeyExchange,
    Sent,
    CompletingKeyExchange,
}

/// A response that fits.
struct Answer {
    octets: Vec<u8>,
    suite: IkeSuite,
    nonce_r: Vec<u8>,
    hashes: Vec<Hash>,
    authorities: Option<Vec<u8>>,
    childless: bool,
}

/// The peer begins.
pub(crate) struct SaInitAnswered {
    pub(crate) candidates: Vec<Arc<PeerConfig>>,
    pub(crate) init: InitRecord,
    suites: Vec<IkeSuite>,
    suite: Option<IkeSuite>,
    offer: SecurityAssociation,
    key_exchange: KeyExchange,
    /// The peer's IKE_AUTH request, while its proof is being verified.
    pub(crate) verifying: Option<Box<Verifying>>,
    /// The EAP conversation that the peer proves itself by.
    pub(crate) eap: Option<Box<EapTalk>>,
    noise: Noise,
}

/// What came for a half-open IKE SA and could not be decrypted. The keys are kept (RFC 8019 §4.6): of somebody who sends
/// garbage only a little is read, and the true peer gets through.
#[derive(Clone, Copy, Debug, Default)]
struct Noise {
    count: u32,
    quiet_until: Instant,
}

impl SaInitAnswered {
    /// Tells whether what comes now is read.
    pub(crate) fn reads(&self, now: Instant) -> bool {
        now >= self.noise.quiet_until
    }

    /// Notes that something could not be decrypted.
    pub(crate) fn heard_noise(&mut self, now: Instant) {
        self.noise.count = self.noise.count.saturating_add(1);
        if self.noise.count >= limits::NOISE_READ {
            self.noise.quiet_until = now + limits::NOISE_PAUSE;
        }
    }
}

/// What IKE_AUTH needs of IKE_SA_INIT.
#[derive(Clone, Debug, Default)]
pub(crate) struct InitRecord {
    /// RealMessage1.
    pub(crate) request: Vec<u8>,
    /// RealMessage2.
    pub(crate) response: Vec<u8>,
    pub(crate) nonce_i: Vec<u8>,
    pub(crate) nonce_r: Vec<u8>,
    /// The hashes that the peer verifies RFC 7427 signatures over.
    pub(crate) hashes: Vec<Hash>,
    /// The CAs of the peer's CERTREQ, if it is the responder and sent one.
    pub(crate) authorities: Option<Vec<u8>>,
    /// The peer is a responder that sets up IKE SAs without a Child SA.
    pub(crate) childless: bool,
}

impl SaInitSent {
    /// Returns the unprotected refusal that came, if one did.
    pub(crate) fn refusal(&self) -> Option<CloseReason> {
        self.refused.clone()
    }
}

impl IkeSa {
    /// Derives the keys and takes them into use.
    fn secure(
        &mut self,
        host: &Host,
        suite: IkeSuite,
        shared: &SecretBytes,
        record: &InitRecord,
    ) -> Result<(), IkeError> {
        let prf = host.crypto.find_prf(suite.prf).ok_or(CryptoError::Unsupported)?;
        let nonces = Nonces { i: &record.nonce_i, r: &record.nonce_r };
        let seed = keys::skeyseed(prf, nonces, shared)?;
        let spis = (self.spi_i, self.spi_r);
        let layout = packet_layout(host, suite)?;
        let keys = IkeKeys::derive(prf, layout, &seed, nonces, spis)?;
        self.secured = Some(Secured::new(host.crypto, suite, keys, self.role)?);
        Ok(())
    }

    /// Says where this host's messages come from and go to, as far as it knows.
    pub(crate) fn nat_notifies(&self, host: &Host) -> Vec<Payload> {
        self.nat_notifies_on(host, self.path)
    }

    /// Says where a message on a path comes from and goes to.
    pub(crate) fn nat_notifies_on(&self, host: &Host, path: Path) -> Vec<Payload> {
        if self.forbids_nats() {
            // RFC 4555, 3.9: without NAT traversal there is nothing to detect.
            return Vec::new();
        }
        let spis = (self.spi_i, self.spi_r);
        let (local, remote) = (path.local, path.remote);
        let mut sources = Vec::new();
        if self.wants_encapsulation() {
            // RFC 7296, 2.23: a hash that matches nothing makes the peer wrap ESP in UDP.
            sources.extend(nat_detection::hash(host.crypto, spis, SocketAddr::new(local.ip(), 0)));
        } else if local.ip().is_unspecified() {
            // The kernel chooses the source: any of our addresses may be it.
            let mine = host.local_addresses.iter().map(|link| link.address);
            let family = mine.filter(|address| address.is_ipv4() == local.is_ipv4());
            sources.extend(family.take(limits::NAT_DETECTION_SOURCES).filter_map(|ip| {
                nat_detection::hash(host.crypto, spis, SocketAddr::new(ip, local.port())).ok()
            }));
        }
        if sources.is_empty() {
            sources.extend(nat_detection::hash(host.crypto, spis, local));
        }
        let destination = nat_detection::hash(host.crypto, spis, remote);
        let source = |digest: [u8; 20]| (NotifyType::NAT_DETECTION_SOURCE_IP, digest);
        sources
            .into_iter()
            .map(source)
            .chain(destination.map(|digest| (NotifyType::NAT_DETECTION_DESTINATION_IP, digest)))
            .map(|(kind, digest)| Payload::Notify(Notify::new(kind, digest)))
            .collect()
    }

    /// Finds the NATs between this host and the peer, if the peer's message tells of them.
    pub(crate) fn find_nats(&mut self, host: &Host, message: &Message) {
        self.nat = self.nats_on(host, message, self.path);
        tracing::debug!(ike_sa = %self.id, nat = ?self.nat, "NAT detection");
    }

    /// Returns the NATs on a path, as the peer's message tells; if it does not, those that are known.
    pub(crate) fn nats_on(&self, host: &Host, message: &Message, path: Path) -> NatFindings {
        if self.forbids_nats() {
            return NatFindings { supported: self.nat.supported, ..NatFindings::default() };
        }
        let digests = |kind: NotifyType| -> Vec<&[u8]> {
            let of_kind = message.notifies().filter(|notify| notify.kind == kind);
            of_kind.map(|notify| notify.data.as_slice()).collect()
        };
        let sources = digests(NotifyType::NAT_DETECTION_SOURCE_IP);
        let destinations = digests(NotifyType::NAT_DETECTION_DESTINATION_IP);
        let spis = (message.header.spi_i, message.header.spi_r);
        let ends = (path.local, path.remote);
        let found = nat_detection::find(host.crypto, spis, ends, (&sources, &destinations));
        if found.supported { found } else { self.nat }
    }

    /// Tells whether the connection has no NAT between the peers (RFC 4555 §3.9).
    pub(crate) fn forbids_nats(&self) -> bool {
        self.connection.as_ref().is_some_and(|it| it.encapsulation == EncapsulationPolicy::ForbidNat)
    }

    /// Moves to the NAT traversal port where there is a NAT, or where the operator wants UDP.
    ///
    /// RFC 7296, 2.23: the initiator moves, right after IKE_SA_INIT.
    fn float(&mut self, host: &Host) {
        // RFC 4555, 3.3: whoever may move goes there at once, so that a NAT may come later.
        let mobike = self.connection.as_ref().is_some_and(|connection| connection.mobike);
        let wanted = self.nat.local || self.nat.peer || self.wants_encapsulation() || mobike;
        if self.nat.supported && wanted {
            let before = self.path;
            self.path.local.set_port(host.config.ports[1]);
            if self.path.remote.port() == 500 {
                self.path.remote.set_port(4500);
            }
            self.floated_from = Some(before).filter(|before| before.remote != self.path.remote);
        }
        self.choose_encapsulation(host);
    }
}

/// Returns the lengths of an IKE suite's keys.
pub(crate) fn packet_layout(
    host: &Host,
    suite: IkeSuite,
) -> Result<vpnhost_crypto::PacketLayout, CryptoError> {
    use vpnhost_crypto::PacketAlgorithm;
    Ok(host.crypto.find_packet(suite.packet).ok_or(CryptoError::Unsupported)?.layout())
}

pub(crate) fn notify(kind: NotifyType) -> Payload {
    Payload::Notify(Notify::new(kind, vec![]))
}

/// Writes suites for people.
pub(crate) fn join<S: std::fmt::Display>(suites: &[S]) -> String {
    suites.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// RFC 7296 §1.2 and appendix C.1.
pub(crate) const SHAPES: ExchangeShapes = ExchangeShapes {
    exchange: ExchangeType::IKE_SA_INIT,
    requests: &[Shape::of(
        "request",
        &[PayloadType::SECURITY_ASSOCIATION, PayloadType::KEY_EXCHANGE, PayloadType::NONCE],
        &[],
    )],
    responses: &[
        Shape::of(
            "answer",
            &[PayloadType::SECURITY_ASSOCIATION, PayloadType::KEY_EXCHANGE, PayloadType::NONCE],
            &[],
        ),
        Shape::error("error"),
        Shape::of("cookie", &[PayloadType::NOTIFY], &[]),
    ],
};
