//! What the kernel knows of path MTUs (RFC 1191, RFC 8201): its routes, and what ICMP told its sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, Type};
use vpnhost_model::Path;

use crate::messages::{Received, Receiving};
use crate::options;

/// Asks the kernel for the path MTU to a peer: a connected socket knows it, and sends nothing for it.
pub(crate) fn ask(path: &Path, mark: u32) -> io::Result<u16> {
    let socket = socket2::Socket::new(Domain::for_address(path.remote), Type::DGRAM, Some(Protocol::UDP))?;
    options::set_mark(socket.as_fd(), mark)?;
    let is_v4 = path.remote.is_ipv4();
    options::set_up(socket.as_fd(), is_v4)?;
    if let Some(interface) = path.interface {
        let (level, name) = if is_v4 {
            (libc::IPPROTO_IP, libc::IP_UNICAST_IF)
        } else {
            (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_IF)
        };
        options::set(socket.as_fd(), level, name, interface.to_be().cast_signed())?;
    }
    if !path.local.ip().is_unspecified() {
        socket.bind(&SocketAddr::new(path.local.ip(), 0).into())?;
    }
    let mut remote = path.remote;
    if remote.port() == 0 {
        // Raw ESP has no port; any will do for a look-up.
        remote.set_port(4500);
    }
    socket.connect(&remote.into())?;
    let (level, name) =
        if is_v4 { (libc::IPPROTO_IP, libc::IP_MTU) } else { (libc::IPPROTO_IPV6, libc::IPV6_MTU) };
    options::get(socket.as_fd(), level, name).map(|mtu| u16::try_from(mtu).unwrap_or(u16::MAX))
}

/// An error that the network, or this machine, told about a datagram that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It was too large for the path: the path MTU.
    TooBig(SocketAddr, u16),
    /// It did not arrive: the error's number. Anyone can say so; it is not believed.
    Unreachable(i32),
}

/// Takes errors off a socket's error queue into `rooms`; returns how many there were.
pub(crate) fn take<'a>(
    socket: BorrowedFd<'_>,
    receiving: &mut Receiving,
    rooms: impl Iterator<Item = &'a mut [u8]>,
) -> io::Result<usize> {
    receiving.receive(socket, rooms, libc::MSG_ERRQUEUE)
}

/// Returns what an entry of the error queue says.
pub(crate) fn trouble(entry: &Received) -> Option<Trouble> {
    let (number, info) = entry.beside.error?;
    match (number, entry.remote) {
        (libc::EMSGSIZE, Some(remote)) if info != 0 => {
            Some(Trouble::TooBig(remote, u16::try_from(info).unwrap_or(u16::MAX)))
        }
        _ => Some(Trouble::Unreachable(number)),
    }
}

#[cfg(test)]
mod tests {
    use vpnhost_model::Encapsulation;

    use super::*;
    use crate::ancillary::Beside;

    #[test]
    fn the_loopback_interface_has_a_path_mtu() {
        let path = Path {
            local: "127.0.0.1:0".parse().unwrap(),
            remote: "127.0.0.1:0".parse().unwrap(),
            interface: None,
            encapsulation: Encapsulation::Raw,
        };
        assert!(ask(&path, 0).unwrap() >= 1280);
        let nowhere = Path { local: "192.0.2.77:0".parse().unwrap(), ..path };
        assert!(ask(&nowhere, 0).is_err());
    }

    #[test]
    fn an_icmp_error_is_a_path_mtu_or_hearsay() {
        let remote: SocketAddr = "192.0.2.1:4500".parse().unwrap();
        let entry = |error| Received {
            len: 0,
            is_truncated: false,
            remote: Some(remote),
            beside: Beside { error, ..Beside::default() },
        };
        assert_eq!(trouble(&entry(Some((libc::EMSGSIZE, 1300)))), Some(Trouble::TooBig(remote, 1300)));
        assert_eq!(
            trouble(&entry(Some((libc::ECONNREFUSED, 0)))),
            Some(Trouble::Unreachable(libc::ECONNREFUSED))
        );
        assert_eq!(trouble(&entry(None)), None);
    }
}
