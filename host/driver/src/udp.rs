//! The UDP sockets that IKE and encapsulated ESP share (RFC 3948, RFC 7296 §2.23).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;

use socket2::{Domain, Protocol, Type};

use crate::error::DriverError;
use crate::options;

/// The four octets of zero where ESP has its SPI: what follows is IKE (RFC 7296 §3.1).
pub(crate) const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// What a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// IKE without the non-ESP marker.
    Ike,
    /// ESP, and IKE behind the non-ESP marker.
    Both,
    /// ESP as IP protocol 50.
    Esp,
    /// IKE behind the non-ESP marker, on a port where silences are tried.
    Idle,
}

/// A socket of the tunnel's outside.
#[derive(Debug)]
pub(crate) struct Socket {
    /// The socket.
    pub(crate) fd: OwnedFd,
    /// What it is bound to.
    pub(crate) local: SocketAddr,
    /// What it carries.
    pub(crate) carries: Carries,
    /// Whether the kernel merges what arrives and cuts what leaves.
    pub(crate) segmented: bool,
    /// Held while what control sends must carry DF, or while something is sent without.
    pub(crate) whole: Mutex<()>,
}

/// A datagram on the port for NAT traversal, by its first octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// IKE; the marker is none of it.
    Ike,
    /// ESP.
    Esp,
    /// A NAT keepalive (RFC 3948 §2.3).
    Keepalive,
    /// None of these: too short to be anything.
    Runt,
}

/// Tells what a datagram on the port for NAT traversal is (RFC 3948 §2.1 to §2.3).
pub(crate) fn kind(octets: &[u8]) -> Kind {
    match octets {
        [0xff] => Kind::Keepalive,
        [0, 0, 0, 0, _, ..] => Kind::Ike,
        [_, _, _, _, _, ..] => Kind::Esp,
        _ => Kind::Runt,
    }
}

/// Binds a socket for every address and port. A port of zero becomes one that is free, the same for
/// every address; the ports in use are returned.
pub(crate) fn open(
    listen: &[IpAddr],
    ports: [u16; 2],
    mark: u32,
) -> Result<(Vec<Socket>, [u16; 2]), DriverError> {
    let mut sockets = Vec::new();
    let mut bound = ports;
    let carries = [Carries::Ike, Carries::Both];
    for ip in listen {
        for (port, carries) in bound.iter_mut().zip(carries) {
            // One port for both is the one with the marker.
            if carries == Carries::Ike && ports[0] == ports[1] && ports[0] != 0 {
                continue;
            }
            match bind(SocketAddr::new(*ip, *port), carries, mark) {
                Ok(socket) => {
                    *port = socket.local.port();
                    sockets.push(socket);
                }
                Err(error) if is_family_missing(*ip, &error) && listen.len() > 1 => {
                    tracing::warn!(address = %ip, "this machine has no addresses of that family: not listening there");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
    }
    if sockets.is_empty() {
        let source = std::io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
        return Err(DriverError::io("listen on any of the addresses", source));
    }
    Ok((sockets, bound))
}

/// Binds a socket for every address that carries encapsulated ESP, on one port that is free; where it is not in a family,
/// silences are not tried there.
pub(crate) fn open_idle(sockets: &[Socket], mark: u32) -> Vec<Socket> {
    let mut idle: Vec<Socket> = Vec::new();
    for socket in sockets.iter().filter(|socket| socket.carries == Carries::Both) {
        let port = idle.first().map_or(0, |first| first.local.port());
        match bind(SocketAddr::new(socket.local.ip(), port), Carries::Idle, mark) {
            Ok(bound) => idle.push(bound),
            Err(error) => tracing::debug!(%error, "no port to learn on for how long NATs remember"),
        }
    }
    idle
}

fn bind(address: SocketAddr, carries: Carries, mark: u32) -> Result<Socket, DriverError> {
    let failed = |action| move |source| DriverError::io(action, source);
    let domain = Domain::for_address(address);
    let socket = socket2::Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))
        .map_err(failed("open a UDP socket"))?;
    if address.is_ipv6() {
        socket.set_only_v6(true).map_err(failed("keep IPv4 out of an IPv6 socket"))?;
    }
    let fd = socket.as_fd();
    options::set_mark(fd, mark).map_err(failed("mark the packets of a UDP socket"))?;
    options::set_up(fd, address.is_ipv4()).map_err(failed("set the options of a UDP socket"))?;
    options::enlarge(fd).map_err(failed("enlarge the queues of a UDP socket"))?;
    socket.bind(&address.into()).map_err(|source| match source.raw_os_error() {
        Some(libc::EADDRINUSE) => DriverError::PortBusy(address),
        Some(libc::EACCES | libc::EPERM) => DriverError::Permission {
            action: "bind a UDP port below 1024",
            capability: "CAP_NET_BIND_SERVICE",
        },
        Some(_) | None => DriverError::Io { action: "bind a UDP socket to an address of `listen`", source },
    })?;
    let local = socket
        .local_addr()
        .and_then(|bound| bound.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into()))
        .map_err(failed("ask for a UDP socket's address"))?;
    let segmented = carries == Carries::Both && merge_arrivals(&socket);
    Ok(Socket { fd: socket.into(), local, carries, segmented, whole: Mutex::default() })
}

/// Lets the kernel hand over several datagrams as one (UDP_GRO, Linux 5.0); tells whether it does. Such a
/// kernel also cuts one into several (UDP_SEGMENT, Linux 4.18).
fn merge_arrivals(socket: &socket2::Socket) -> bool {
    options::set(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1).is_ok()
}

/// Tells whether an address cannot be bound because the machine lacks its whole family.
fn is_family_missing(ip: IpAddr, error: &DriverError) -> bool {
    match error {
        DriverError::Io { source, .. } => match source.raw_os_error() {
            Some(libc::EAFNOSUPPORT) => true,
            Some(libc::EADDRNOTAVAIL) => ip.is_unspecified(),
            Some(_) | None => false,
        },
        DriverError::PortBusy(_)
        | DriverError::Permission { .. }
        | DriverError::TunBusy(_)
        | DriverError::Netlink { .. }
        | DriverError::NftMissing
        | DriverError::Nft(_)
        | DriverError::Program { .. }
        | DriverError::Timeout(_)
        | DriverError::DataPlane(_)
        | DriverError::StateExposed(_)
        | DriverError::StateBusy(_)
        | DriverError::State { .. }
        | DriverError::Stopped => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn what_a_datagram_is_stands_in_its_first_octets() {
        assert_eq!(kind(&[0xff]), Kind::Keepalive);
        assert_eq!(kind(&[0, 0, 0, 0, 1]), Kind::Ike);
        assert_eq!(kind(&[0, 0, 0, 1, 1]), Kind::Esp);
        assert_eq!(kind(&[0xff, 0xff, 0, 1, 1]), Kind::Esp);
        for runt in [&[][..], &[0xfe], &[0, 0, 0, 0], &[1, 2, 3, 4]] {
            assert_eq!(kind(runt), Kind::Runt);
        }
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let (sockets, ports) = open(&[LOOPBACK], [0, 0], 0).unwrap();
        assert!(sockets.iter().all(|socket| ports.contains(&socket.local.port())) && ports[0] != ports[1]);
        let error = open(&[LOOPBACK], [0, ports[1]], 0).unwrap_err();
        assert!(
            matches!(error, DriverError::PortBusy(busy) if busy == (LOOPBACK, ports[1]).into()),
            "{error}"
        );
    }

    #[test]
    fn both_families_are_bound_beside_each_other_on_the_same_ports() {
        let any: [IpAddr; 2] = ["0.0.0.0".parse().unwrap(), "::".parse().unwrap()];
        // Another process may hold the port that the kernel chose, in the other family.
        let Some((sockets, ports)) = (0..8).find_map(|_| open(&any, [0, 0], 0).ok()) else {
            panic!("no ports are free in both families");
        };
        for (index, carries) in [(0, Carries::Ike), (1, Carries::Both)] {
            let of_port: Vec<_> = sockets.iter().filter(|s| s.local.port() == ports[index]).collect();
            assert!(of_port.iter().all(|socket| socket.carries == carries));
            assert!((1..=2).contains(&of_port.len()));
        }
    }
}
