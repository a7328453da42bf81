//! ESP as IP protocol 50, through raw sockets (RFC 4303).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Mutex;

use socket2::{Domain, Protocol, Type};

use crate::options;
use crate::udp::{Carries, Socket};

/// Opens a raw socket for each address that is listened on. Without the capability there is none, and ESP
/// travels in UDP alone.
pub(crate) fn open(listen: &[IpAddr], mark: u32) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for ip in listen {
        match open_one(*ip, mark) {
            Ok(socket) => sockets.push(socket),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                tracing::warn!("no permission for raw sockets (CAP_NET_RAW): ESP travels in UDP alone");
                break;
            }
            Err(error) => tracing::debug!(%error, address = %ip, "no raw ESP there"),
        }
    }
    sockets
}

fn open_one(ip: IpAddr, mark: u32) -> io::Result<Socket> {
    let local = SocketAddr::new(ip, 0);
    let protocol = Protocol::from(libc::IPPROTO_ESP);
    let socket = socket2::Socket::new(Domain::for_address(local), Type::RAW.nonblocking(), Some(protocol))?;
    options::set_mark(socket.as_fd(), mark)?;
    options::set_up(socket.as_fd(), ip.is_ipv4())?;
    options::enlarge(socket.as_fd())?;
    socket.bind(&local.into())?;
    Ok(Socket { fd: socket.into(), local, carries: Carries::Esp, segmented: false, whole: Mutex::default() })
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
