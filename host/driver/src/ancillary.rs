//! Addresses and ancillary data of messages, as the kernel lays them out; see cmsg(3), ip(7), ipv6(7).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// A socket address as octets: `sockaddr_in` or `sockaddr_in6`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct Name(pub(crate) [u8; Name::LEN]);

impl Name {
    pub(crate) const LEN: usize = 28;
    const V4: usize = 16;

    /// Makes a name that nothing was written into.
    pub(crate) const fn empty() -> Self {
        Self([0; Self::LEN])
    }

    /// Writes an address; returns how many octets it takes.
    pub(crate) fn write(&mut self, address: SocketAddr) -> usize {
        let octets = &mut self.0;
        octets[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                octets[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                octets[4..8].copy_from_slice(&v4.ip().octets());
                octets[8..16].fill(0);
                Self::V4
            }
            SocketAddr::V6(v6) => {
                octets[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                octets[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
                octets[8..24].copy_from_slice(&v6.ip().octets());
                octets[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                Self::LEN
            }
        }
    }

    /// Reads the address of `len` octets that the kernel wrote.
    pub(crate) fn read(&self, len: usize) -> Option<SocketAddr> {
        let octets = &self.0[..len.min(Self::LEN)];
        let family = i32::from(u16::from_ne_bytes(array(octets, 0)?));
        let port = u16::from_be_bytes(array(octets, 2)?);
        match family {
            libc::AF_INET => Some((Ipv4Addr::from(array::<4>(octets, 4)?), port).into()),
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(array::<16>(octets, 8)?);
                let scope = u32::from_ne_bytes(array(octets, 24)?);
                Some(SocketAddrV6::new(ip, port, 0, scope).into())
            }
            _ => None,
        }
    }
}

/// Ancillary data of one message.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct Control(pub(crate) [u8; Control::LEN]);

/// What is said beside a message that was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// The address of this machine that it came to, and the interface.
    pub(crate) destination: Option<(IpAddr, u32)>,
    /// Its TOS or traffic class.
    pub(crate) tos: u8,
    /// The length of each of the datagrams that the kernel merged.
    pub(crate) segment: Option<usize>,
    /// How many messages the socket has lost so far because its queue was full, if any.
    pub(crate) lost: Option<u32>,
    /// An error about a message that was sent: its number, and what goes with it (a path MTU, of EMSGSIZE).
    pub(crate) error: Option<(i32, u32)>,
}

impl Control {
    pub(crate) const LEN: usize = 256;
    /// `struct cmsghdr`: a `size_t` and two `int`.
    const HEADER: usize = size_of::<usize>() + 8;

    /// Makes ancillary data that says nothing.
    pub(crate) const fn empty() -> Self {
        Self([0; Self::LEN])
    }

    /// Writes one item at `at`; returns where the next one goes.
    pub(crate) fn write(&mut self, at: usize, level: i32, kind: i32, data: &[u8]) -> usize {
        let len = Self::HEADER + data.len();
        let end = at + align(len);
        let item = &mut self.0[at..end];
        item[..size_of::<usize>()].copy_from_slice(&len.to_ne_bytes());
        item[size_of::<usize>()..][..4].copy_from_slice(&level.to_ne_bytes());
        item[size_of::<usize>() + 4..][..4].copy_from_slice(&kind.to_ne_bytes());
        item[Self::HEADER..len].copy_from_slice(data);
        item[len..].fill(0);
        end
    }

    /// Writes the source address and the interface that a message is to leave by.
    pub(crate) fn write_source(&mut self, at: usize, source: IpAddr, interface: u32) -> usize {
        match source {
            IpAddr::V4(v4) => {
                let mut data = [0; 12];
                data[..4].copy_from_slice(&interface.to_ne_bytes());
                data[4..8].copy_from_slice(&v4.octets());
                self.write(at, libc::IPPROTO_IP, libc::IP_PKTINFO, &data)
            }
            IpAddr::V6(v6) => {
                let mut data = [0; 20];
                data[..16].copy_from_slice(&v6.octets());
                data[16..].copy_from_slice(&interface.to_ne_bytes());
                self.write(at, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &data)
            }
        }
    }

    /// Writes the TOS or traffic class that a message is to have.
    pub(crate) fn write_tos(&mut self, at: usize, v4: bool, tos: u8) -> usize {
        let data = i32::from(tos).to_ne_bytes();
        if v4 {
            self.write(at, libc::IPPROTO_IP, libc::IP_TOS, &data)
        } else {
            self.write(at, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &data)
        }
    }

    /// Writes the length of the segments that a message is to be cut into.
    pub(crate) fn write_segment(&mut self, at: usize, len: u16) -> usize {
        self.write(at, libc::SOL_UDP, libc::UDP_SEGMENT, &len.to_ne_bytes())
    }

    /// Reads the first `len` octets.
    pub(crate) fn read(&self, len: usize) -> Beside {
        let mut beside = Beside::default();
        let mut rest = &self.0[..len.min(Self::LEN)];
        while let Some((level, kind, data, next)) = item(rest) {
            beside.take(level, kind, data);
            rest = next;
        }
        beside
    }
}

impl Beside {
    fn take(&mut self, level: i32, kind: i32, data: &[u8]) {
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // `ipi_spec_dst`, which is what a reply is sent from.
                if let (Some(interface), Some(ip)) = (array(data, 0), array::<4>(data, 4)) {
                    self.destination = Some((Ipv4Addr::from(ip).into(), u32::from_ne_bytes(interface)));
                }
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                if let (Some(ip), Some(interface)) = (array::<16>(data, 0), array(data, 16)) {
                    self.destination = Some((Ipv6Addr::from(ip).into(), u32::from_ne_bytes(interface)));
                }
            }
            (libc::IPPROTO_IP, libc::IP_TOS) => self.tos = data.first().copied().unwrap_or(0),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                self.tos = array(data, 0).map_or(0, |tos| i32::from_ne_bytes(tos) as u8);
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let len = array(data, 0).map(i32::from_ne_bytes).and_then(|len| usize::try_from(len).ok());
                self.segment = len.filter(|len| *len > 0);
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => self.lost = array(data, 0).map(u32::from_ne_bytes),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                // `struct sock_extended_err`: the number first, `ee_info` at octet 8.
                if let (Some(number), Some(info)) = (array(data, 0), array(data, 8)) {
                    self.error = Some((i32::from_ne_bytes(number), u32::from_ne_bytes(info)));
                }
            }
            _ => {}
        }
    }
}

/// Splits the first item off.
fn item(octets: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let len = usize::from_ne_bytes(array(octets, 0)?);
    let level = i32::from_ne_bytes(array(octets, size_of::<usize>())?);
    let kind = i32::from_ne_bytes(array(octets, size_of::<usize>() + 4)?);
    let data = octets.get(Control::HEADER..len)?;
    Some((level, kind, data, octets.get(align(len)..).unwrap_or_default()))
}

const fn align(len: usize) -> usize {
    len.next_multiple_of(size_of::<usize>())
}

fn array<const N: usize>(octets: &[u8], at: usize) -> Option<[u8; N]> {
    octets.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_was_written() {
        for address in ["192.0.2.7:4500", "[2001:db8::7]:500", "[fe80::1%3]:4500"] {
            let address: SocketAddr = address.parse().unwrap();
            let mut name = Name::empty();
            let len = name.write(address);
            assert_eq!(name.read(len), Some(address));
            assert_eq!(name.read(len - 9), None);
        }
        assert_eq!(Name::empty().read(Name::LEN), None);
    }

    #[test]
    fn what_goes_beside_a_message_is_read_as_it_was_written() {
        for (ip, interface) in [("192.0.2.7", 3), ("2001:db8::7", 0)] {
            let ip: IpAddr = ip.parse().unwrap();
            let mut control = Control::empty();
            let at = control.write_source(0, ip, interface);
            let at = control.write_tos(at, ip.is_ipv4(), 0xb9);
            let beside = control.read(at);
            assert_eq!((beside.destination, beside.tos), (Some((ip, interface)), 0xb9));
            assert_eq!(control.read(at - 9).tos, 0, "an item that is cut off is none");
        }
    }

    #[test]
    fn the_layout_is_that_of_the_c_library() {
        let mut control = Control::empty();
        let end = control.write_segment(0, 1400);
        // SAFETY-free: only lengths are compared.
        #[allow(unsafe_code)]
        let (space, len) = unsafe { (libc::CMSG_SPACE(2), libc::CMSG_LEN(2)) };
        assert_eq!(end, space as usize);
        assert_eq!(control.0[..size_of::<usize>()], (len as usize).to_ne_bytes());
    }
}
