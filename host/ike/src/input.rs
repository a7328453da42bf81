//! What the endpoint is told besides datagrams, answers and the time.

use std::net::IpAddr;

use vpnhost_crypto::{ActiveKeyExchange, CryptoBackend, CryptoError, SecretBytes};
use vpnhost_model::{ChildSaId, ChildSpi, IkeSaId, Instant, Path};
use vpnhost_pki::Crl;

use crate::auth::eap::{EapMethod, EapStep};
use crate::auth::signature::Signed;
use crate::auth::verified::AuthVerified;
use crate::config::{EndpointConfig, Gateway};
use crate::output::AuthenticationFailure;

/// What an operator, or the driver for him, orders.
pub enum Command {
    /// Sets up a connection by name and keeps it up until it is taken down; of one that is up already, what
    /// is missing.
    Initiate(String),
    /// Takes down every IKE SA of a connection by name; a pending retry is given up.
    Terminate(String),
    /// Deletes one IKE SA.
    TerminateIkeSa(IkeSaId),
    /// Deletes one Child SA.
    TerminateChildSa(ChildSaId),
    /// Rekeys one IKE SA.
    RekeyIkeSa(IkeSaId),
    /// Rekeys one Child SA.
    RekeyChildSa(ChildSaId),
    /// Has the peers of one IKE SA authenticated anew: a further IKE SA is set up beside it, and takes its place. Whoever
    /// answered asks the peer to do so (RFC 4478).
    Reauthenticate(IkeSaId),
    /// Checks that a peer is there: an empty INFORMATIONAL; answered by `Event::Alive` or by the SA's end.
    CheckLiveness(IkeSaId),
    /// Checks that a peer is there on the path between these addresses, this host's first; answered by `Event::Alive`,
    /// `Event::NotMoved`, or `Event::Stays` if there is no such path.
    TestPath(IkeSaId, (IpAddr, IpAddr)),
    /// Has one IKE SA take the path between these addresses, this host's first, or else the best after all were tested;
    /// answered by `Event::Moved` or `Event::Stays`.
    Roam(IkeSaId, Option<(IpAddr, IpAddr)>),
    /// Replaces the configuration; an SA whose connection did not change is not touched.
    Configure(Box<EndpointConfig>),
    /// Replaces the gateways of a connection by name, where a name leads elsewhere now: what is up stays where it is, and
    /// may go there; what begins, begins there.
    LearnGateways(String, Vec<Gateway>),
    /// Takes algorithms for new SAs from another backend.
    UseCrypto(&'static dyn CryptoBackend),
    /// Takes revocation lists that were fetched, in place of those fetched before: the certificates of all peers that
    /// are up are judged again.
    UseCrls(Vec<Crl>),
    /// Deletes everything and begins nothing more: an orderly end. When `IkeEndpoint::is_idle` the
    /// driver may stop.
    Shutdown,
}

/// What the packet path tells of its SAs, rate-limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrafficReport {
    /// The first packet came in on a Child SA: its peer sends on it (RFC 7296 §2.8).
    FirstInbound(ChildSaId),
    /// Authenticated packets came in on a Child SA since the last report, the last one then: proof of liveness.
    Inbound(ChildSaId, Instant),
    /// A packet came in on a Child SA after silence: what a NAT on the way remembers shows there.
    Resumed(ChildSaId, Resumption),
    /// Packets went out to the peer since the last report, the last one then: no keepalive is needed, and something
    /// should come back.
    Outbound(ChildSaId, Instant),
    /// An authenticated packet came in from another address than the SA's path names.
    Moved(ChildSaId, Path),
    /// A Child SA reached a soft limit of bytes or packets.
    SoftLimit(ChildSaId),
    /// A Child SA's sequence numbers are used up.
    Exhausted(ChildSaId),
    /// A packet of so many octets, IP's header included, is larger than any that is known to arrive on the Child SA's path.
    Large(ChildSaId, u16),
    /// A packet for `destination` found no SA.
    Acquire {
        /// The packet's source.
        source: IpAddr,
        /// Where it wanted to go.
        destination: IpAddr,
    },
    /// An ESP packet came for an SPI that is not there: a hint, not authenticated.
    UnknownSpi {
        /// The SPI.
        spi: ChildSpi,
        /// Where the packet came from, and to which address.
        path: Path,
        /// The octets of the packet, without the headers of UDP and IP.
        octets: usize,
    },
}

/// A packet that came in after silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// When the last packet before it passed, in either direction.
    pub since: Instant,
    /// When this end spoke first after the silence; none if the peer did.
    pub spoke: Option<Instant>,
    /// When the packet came in.
    pub at: Instant,
    /// How many sequence numbers before it are missing.
    pub missing: u64,
}

/// An output that could not be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputFailure {
    /// A Child SA could not be installed; the core deletes it and says so to the peer.
    ChildSa(ChildSaId, String),
    /// Addresses, routes or DNS could not be set up; the core ends the IKE SA.
    Host(IkeSaId, String),
}

/// What became of a job.
pub enum JobResult {
    /// A key exchange was begun.
    Started(Result<Box<dyn ActiveKeyExchange>, CryptoError>),
    /// A key exchange was answered: our public value and the shared secret.
    Responded(Result<(Vec<u8>, SecretBytes), CryptoError>),
    /// A key exchange was completed.
    Completed(Result<SecretBytes, CryptoError>),
    /// This host's AUTH payload was signed.
    Signed(Result<Signed, AuthenticationFailure>),
    /// An EAP conversation, and what came of its step.
    Eap(Box<dyn EapMethod>, EapStep),
    /// A peer's AUTH payload and certificates were verified, or its certificates alone again.
    PeerVerified(Result<AuthVerified, AuthenticationFailure>),
}
