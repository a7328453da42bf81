//! Every socket of the tunnel's outside, and which of them a path takes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::PoisonError;

use vpnhost_ike::output::TransmitKind;
use vpnhost_model::{Encapsulation, Path};

use super::cutting::{self, Scissors};
use super::limits;
use crate::error::DriverError;
use crate::messages::{self, Envelope};
use crate::udp::{Carries, NON_ESP_MARKER, Socket};
use crate::{raw_esp, udp};

/// Every socket, UDP and raw.
#[derive(Debug)]
pub(crate) struct Sockets {
    all: Vec<Socket>,
    ports: [u16; 2],
    scissors: Scissors,
}

impl Sockets {
    /// Opens them.
    pub(crate) fn open(listen: &[IpAddr], ports: [u16; 2], mark: u32) -> Result<Self, DriverError> {
        let (mut all, ports) = udp::open(listen, ports, mark)?;
        let idle = udp::open_idle(&all, mark);
        all.extend(idle);
        all.extend(raw_esp::open(listen, mark));
        Ok(Self { all, ports, scissors: Scissors::open(mark) })
    }

    /// Returns all of them.
    pub(crate) fn all(&self) -> &[Socket] {
        &self.all
    }

    /// Returns the ports that are bound: for IKE, and for NAT traversal.
    pub(crate) fn ports(&self) -> [u16; 2] {
        self.ports
    }

    /// Returns the port that silences are tried on, if one could be bound.
    pub(crate) fn idle_port(&self) -> Option<u16> {
        self.all.iter().find(|socket| socket.carries == Carries::Idle).map(|socket| socket.local.port())
    }

    /// Tells whether there is a raw socket of that family.
    pub(crate) fn has_raw_esp(&self, is_v4: bool) -> bool {
        self.all.iter().any(|socket| socket.carries == Carries::Esp && socket.local.is_ipv4() == is_v4)
    }

    /// Returns the socket that ESP on this path leaves by.
    pub(crate) fn for_esp(&self, path: &Path) -> Option<&Socket> {
        match path.encapsulation {
            Encapsulation::Udp => self.find(Carries::Both, path),
            Encapsulation::Raw => self.find(Carries::Esp, path),
        }
    }

    /// Sends an ESP packet that is larger than its path carries, so that it arrives all the same; `None` if this machine
    /// cannot.
    pub(crate) fn send_cut(
        &self,
        socket: &Socket,
        (path, tos): (&Path, u8),
        (octets, limit): (&[u8], u16),
    ) -> Option<io::Result<()>> {
        let envelope = esp_envelope(path, tos);
        let (udp, encapsulation) = (socket.local.port(), path.encapsulation);
        let cut = self.scissors.send((envelope, udp), encapsulation, (octets, limit));
        let whole = || path.remote.is_ipv4().then(|| cutting::send_without_df(socket, envelope, octets));
        cut.or_else(whole)
    }

    /// Sends an IKE datagram or a keepalive. The port for NAT traversal takes the non-ESP marker, also
    /// towards a peer on a port of its own choice.
    pub(crate) fn transmit(&self, path: &Path, octets: &[u8], kind: TransmitKind) -> io::Result<()> {
        let [ike, nat_traversal] = self.ports;
        let is_plain = path.local.port() == ike && ike != nat_traversal;
        let carries = match path.local.port() {
            _ if is_plain => Carries::Ike,
            port if Some(port) == self.idle_port() => Carries::Idle,
            _ => Carries::Both,
        };
        let Some(socket) = self.find(carries, path) else {
            return Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                format!("no socket for {}", path.local),
            ));
        };
        let marker: &[u8] = match (carries, kind) {
            (Carries::Both | Carries::Idle, TransmitKind::Ike) => &NON_ESP_MARKER,
            (Carries::Both | Carries::Idle, TransmitKind::Keepalive) | (Carries::Ike | Carries::Esp, _) => {
                &[]
            }
        };
        let send = || messages::send_one(socket.fd.as_fd(), envelope(path, 0), [marker, octets]);
        let _held = socket.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tries = 0..limits::HEARSAY;
        loop {
            match send() {
                Err(error) if may_be_hearsay(&error) && tries.next().is_some() => {}
                done => return done,
            }
        }
    }

    /// Finds the socket that is bound to the path's address, or to all of its family.
    fn find(&self, carries: Carries, path: &Path) -> Option<&Socket> {
        let local = path.local.ip();
        let fitting = || {
            let is_v4 = path.remote.is_ipv4();
            self.all.iter().filter(move |s| s.carries == carries && s.local.is_ipv4() == is_v4)
        };
        let bound_to = |ip: IpAddr| fitting().find(move |socket| socket.local.ip() == ip);
        if local.is_unspecified() {
            return fitting().next();
        }
        bound_to(local).or_else(|| fitting().find(|socket| socket.local.ip().is_unspecified()))
    }
}

/// Returns how an ESP packet travels on a path.
pub(crate) fn esp_envelope(path: &Path, tos: u8) -> Envelope {
    let mut envelope = envelope(path, tos);
    match path.encapsulation {
        Encapsulation::Udp => {}
        // A raw socket of IPv6 takes a port for a protocol.
        Encapsulation::Raw => envelope.remote.set_port(0),
    }
    envelope
}

fn envelope(path: &Path, tos: u8) -> Envelope {
    let any: IpAddr = match path.remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = if path.local.ip().is_unspecified() { any } else { path.local.ip() };
    Envelope { source, interface: path.interface.unwrap_or(0), remote: path.remote, tos }
}

/// Tells whether an error may be about an earlier datagram: a socket tells each ICMP error once, at the next
/// call, and sends nothing then.
pub(crate) fn may_be_hearsay(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::EACCES
                | libc::EMSGSIZE
        )
    )
}
