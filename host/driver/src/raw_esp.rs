//! ESP as IP protocol 50, through raw sockets (RFC 4303).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, Type};

use crate::options;
use crate::udp::{Carries, Socket};

/// Opens a raw socket for each address family that is listened on. Without the capability there is
/// none, and ESP travels in UDP alone.
pub(crate) fn open(listen: &[IpAddr], mark: u32) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for any in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
        if !listen.iter().any(|ip| ip.is_ipv4() == any.is_ipv4()) {
            continue;
        }
        match open_one(any, mark) {
            Ok(socket) => sockets.push(socket),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                tracing::warn!("no permission for raw sockets (CAP_NET_RAW): ESP travels in UDP alone");
                break;
            }
            Err(error) => tracing::debug!(%error, address = %any, "no raw ESP in this family"),
        }
    }
    sockets
}

fn open_one(any: IpAddr, mark: u32) -> io::Result<Socket> {
    let (domain, local) = (Domain::for_address((any, 0).into()), (any, 0).into());
    let protocol = Protocol::from(libc::IPPROTO_ESP);
    let socket = socket2::Socket::new(domain, Type::RAW.nonblocking(), Some(protocol))?;
    options::set_mark(socket.as_fd(), mark)?;
    options::set_up(socket.as_fd(), any.is_ipv4())?;
    options::enlarge(socket.as_fd())?;
    Ok(Socket { fd: socket.into(), local, carries: Carries::Esp, segmented: false })
}

/// Returns the length of what is in front of ESP in a packet from a raw socket: the IPv4 header; of IPv6
/// the kernel shows none (raw(7), RFC 3542 §3). `None` if it is none.
pub(crate) fn header_len(is_v4: bool, octets: &[u8]) -> Option<usize> {
    if !is_v4 {
        return Some(0);
    }
    let len = usize::from(octets.first()? & 0x0f) * 4;
    (len >= 20 && len <= octets.len()).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_header_is_skipped_with_its_options() {
        let mut packet = [0x45; 40];
        assert_eq!(header_len(true, &packet), Some(20));
        packet[0] = 0x47;
        assert_eq!(header_len(true, &packet), Some(28));
        assert_eq!(header_len(true, &packet[..27]), None);
        packet[0] = 0x44;
        assert_eq!(header_len(true, &packet), None);
        assert_eq!(header_len(true, &[]), None);
        assert_eq!(header_len(false, &packet), Some(0));
    }
}
