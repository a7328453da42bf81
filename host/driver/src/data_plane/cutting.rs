//! ESP that is larger than its path carries, and must arrive: around an inner IPv6 packet of 1280 octets (RFC 8200 §5,
//! RFC 2473 §7.1). What the kernel knows of a path it heeds by itself; what was measured it does not know.
//!
//! So the fragments are made here, and leave by raw sockets. Without the capability for those, a packet over IPv4 leaves
//! without DF, and a router that has no room for it cuts it; over IPv6 only the sender may.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::PoisonError;

use socket2::{Domain, Protocol, Type};
use vpnhost_model::Encapsulation;

use crate::messages::{self, Envelope};
use crate::options;
use crate::udp::Socket;

use super::limits;
use super::wait::{For, Waiting};

/// Protocol numbers.
const UDP: u8 = libc::IPPROTO_UDP as u8;
const ESP: u8 = libc::IPPROTO_ESP as u8;
/// Octets of IPv4's header without options (RFC 791 §3.1), and of IPv6's with the fragment header (RFC 8200 §3, §4.5).
const IPV4_HEADER: usize = 20;
const IPV6_HEADERS: usize = 40 + 8;
const TIME_TO_LIVE: u8 = 64;

/// What fragments leave by, where this machine may have raw sockets.
#[derive(Debug)]
pub(crate) struct Scissors {
    v4: Option<OwnedFd>,
    v6: Option<OwnedFd>,
}

impl Scissors {
    /// Opens a raw socket for each family.
    pub(crate) fn open(mark: u32) -> Self {
        let open = |is_v4| {
            let opened = open_one(is_v4, mark);
            opened.inspect_err(|error| tracing::debug!(%error, is_v4, "no fragments of our own")).ok()
        };
        Self { v4: open(true), v6: open(false) }
    }

    /// Sends a packet in fragments of at most `limit` octets, IP's header included; `None` if this machine cannot. `from` is
    /// the port that UDP around it comes from.
    pub(crate) fn send(
        &self,
        (envelope, from): (Envelope, u16),
        encapsulation: Encapsulation,
        (octets, limit): (&[u8], u16),
    ) -> Option<io::Result<()>> {
        let socket = if envelope.remote.is_ipv4() { &self.v4 } else { &self.v6 }.as_ref()?;
        // The checksum covers the source.
        if envelope.source.is_unspecified() {
            return None;
        }
        let (protocol, whole) = match encapsulation {
            Encapsulation::Udp => (UDP, datagram(&envelope, from, octets)?),
            Encapsulation::Raw => (ESP, octets.to_vec()),
        };
        let mut remote = envelope.remote;
        // A raw socket of IPv6 takes a port for a protocol.
        remote.set_port(0);
        let to = Envelope { remote, ..envelope };
        Some(send_pieces(socket.as_fd(), to, protocol, (&whole, limit)))
    }
}

fn open_one(is_v4: bool, mark: u32) -> io::Result<OwnedFd> {
    // Of IPv4 the header is ours, and nothing is received (raw(7)); of IPv6 the kernel's, and the fragment header ours.
    let (domain, protocol) =
        if is_v4 { (Domain::IPV4, libc::IPPROTO_RAW) } else { (Domain::IPV6, libc::IPPROTO_FRAGMENT) };
    let socket = socket2::Socket::new(domain, Type::RAW.nonblocking(), Some(Protocol::from(protocol)))?;
    options::set_mark(socket.as_fd(), mark)?;
    options::enlarge(socket.as_fd())?;
    if !is_v4 {
        // Whoever has a peer hears of that one alone.
        socket.connect(&SocketAddr::from((Ipv6Addr::LOCALHOST, 0)).into())?;
    }
    Ok(socket.into())
}

/// Sends a packet of IPv4 whole and without DF.
pub(crate) fn send_without_df(socket: &Socket, envelope: Envelope, octets: &[u8]) -> io::Result<()> {
    let set = |value| options::set(socket.fd.as_fd(), libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value);
    let _held = socket.whole.lock().unwrap_or_else(PoisonError::into_inner);
    set(libc::IP_PMTUDISC_DONT)?;
    let sent = messages::send_one(socket.fd.as_fd(), envelope, [octets, &[]]);
    set(libc::IP_PMTUDISC_WANT)?;
    sent
}

fn send_pieces(
    socket: BorrowedFd<'_>,
    envelope: Envelope,
    protocol: u8,
    (whole, limit): (&[u8], u16),
) -> io::Result<()> {
    // The end of the ICV: nobody foretells it (RFC 7739 §5).
    let id = whole.last_chunk().copied().unwrap_or_default();
    let headers = if envelope.remote.is_ipv4() { IPV4_HEADER } else { IPV6_HEADERS };
    if envelope.remote.is_ipv4() {
        // Where the header is ours, nobody else asks whether the source still is.
        UdpSocket::bind((envelope.source, 0))?;
    }
    pieces(whole, usize::from(limit).saturating_sub(headers)).try_for_each(|(place, piece)| {
        match (envelope.source, envelope.remote.ip()) {
            (IpAddr::V4(source), IpAddr::V4(remote)) => {
                let header =
                    ipv4_header((protocol, envelope.tos), (place, id), [source.octets(), remote.octets()]);
                send_piece(socket, envelope, [&header, piece])
            }
            _ => send_piece(socket, envelope, [&fragment_header(protocol, (place, id)), piece]),
        }
    })
}

/// Waits for room once. What finds none is lost then, with the rest of its packet: were that sent again, it would begin with
/// pieces that have left already.
fn send_piece(socket: BorrowedFd<'_>, envelope: Envelope, parts: [&[u8]; 2]) -> io::Result<()> {
    let is_full = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    match messages::send_one(socket, envelope, parts) {
        Err(error) if is_full(&error) => Waiting::new([(socket, For::Room)]).wait(Some(limits::ROOM_STEP))?,
        sent => return sent,
    }
    let again = messages::send_one(socket, envelope, parts);
    again.map_err(|error| if is_full(&error) { io::Error::other("no room in a raw socket") } else { error })
}

/// Where a piece belongs: its offset in octets, and whether others follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    offset: u16,
    more: bool,
}

/// Cuts what is behind IP's header into pieces of at most so many octets.
fn pieces(whole: &[u8], most: usize) -> impl Iterator<Item = (Place, &[u8])> {
    let most = (most & !7).max(8);
    let count = whole.len().div_ceil(most);
    whole.chunks(most).enumerate().map(move |(number, piece)| {
        (Place { offset: (number * most) as u16, more: number + 1 < count }, piece)
    })
}

/// The kernel writes its length and its checksum.
fn ipv4_header(
    (protocol, tos): (u8, u8),
    (place, id): (Place, [u8; 4]),
    [source, remote]: [[u8; 4]; 2],
) -> [u8; IPV4_HEADER] {
    let mut header = [0; IPV4_HEADER];
    (header[0], header[1], header[8], header[9]) = (0x45, tos, TIME_TO_LIVE, protocol);
    // In the place of zero the kernel writes one of its own, to each fragment another.
    header[4..6].copy_from_slice(&u16::from_be_bytes([id[2], id[3]]).max(1).to_be_bytes());
    header[6..8].copy_from_slice(&((place.offset / 8) | (u16::from(place.more) << 13)).to_be_bytes());
    header[12..16].copy_from_slice(&source);
    header[16..].copy_from_slice(&remote);
    header
}

fn fragment_header(protocol: u8, (place, id): (Place, [u8; 4])) -> [u8; 8] {
    let [high, low] = (place.offset | u16::from(place.more)).to_be_bytes();
    [protocol, 0, high, low, id[0], id[1], id[2], id[3]]
}

/// Puts UDP's header in front of ESP, with its checksum: IPv6 wants it (RFC 8200 §8.1), and so does whoever translates IPv4
/// into IPv6 (RFC 7915 §4.5).
fn datagram(envelope: &Envelope, from: u16, octets: &[u8]) -> Option<Vec<u8>> {
    let pseudo = match (envelope.source, envelope.remote.ip()) {
        (IpAddr::V4(source), IpAddr::V4(remote)) => [source.octets(), remote.octets()].concat(),
        (IpAddr::V6(source), IpAddr::V6(remote)) => [source.octets(), remote.octets()].concat(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    let len = u16::try_from(8 + octets.len()).ok()?;
    let mut whole = Vec::with_capacity(usize::from(len));
    for word in [from, envelope.remote.port(), len, 0] {
        whole.extend(word.to_be_bytes());
    }
    whole.extend(octets);
    let sum = sum(&pseudo) + sum(&whole) + u32::from(len) + u32::from(UDP);
    let checksum = match !fold(sum) {
        0 => u16::MAX,
        checksum => checksum,
    };
    whole[6..8].copy_from_slice(&checksum.to_be_bytes());
    Some(whole)
}

/// Adds up words of 16 bits (RFC 1071).
fn sum(octets: &[u8]) -> u32 {
    let words = octets.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    words.map(u32::from).sum()
}

fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_put_together_are_the_packet_and_none_is_larger_than_the_path() {
        let whole: Vec<u8> = (0..1302_u16).map(|at| at as u8).collect();
        for most in [1232, 1233, 1260, 1301, 1302] {
            let (mut again, mut last) = (Vec::<u8>::new(), false);
            for (place, piece) in pieces(&whole, most) {
                assert!(piece.len() <= most && !last);
                assert_eq!((usize::from(place.offset), place.offset % 8), (again.len(), 0));
                last = !place.more;
                again.extend(piece);
            }
            assert!(last && again == whole);
        }
    }

    #[test]
    fn a_place_stands_where_each_family_has_it() {
        let place = Place { offset: 1256, more: true };
        let v4 = ipv4_header((ESP, 2), (place, [1, 2, 0, 0]), [[192, 0, 2, 1], [192, 0, 2, 2]]);
        assert_eq!(v4, [0x45, 2, 0, 0, 0, 1, 0x20, 157, 64, 50, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        assert_eq!(fragment_header(UDP, (place, [1, 2, 3, 4])), [17, 0, 0x04, 0xe9, 1, 2, 3, 4]);
    }

    #[test]
    fn the_checksum_over_a_datagram_with_it_is_that_of_none() {
        let ends = [("2001:db8::1", "[2001:db8::2]:4500"), ("192.0.2.1", "192.0.2.2:4500")];
        for (source, remote) in ends {
            let (source, remote): (IpAddr, SocketAddr) = (source.parse().unwrap(), remote.parse().unwrap());
            let envelope = Envelope { source, interface: 0, remote, tos: 0 };
            for len in [0, 1, 2, 1301] {
                let octets: Vec<u8> = (0..len).map(|at: u32| (at * 7 + 200) as u8).collect();
                let whole = datagram(&envelope, 4500, &octets).unwrap();
                let of = |address: IpAddr| match address {
                    IpAddr::V4(it) => sum(&it.octets()),
                    IpAddr::V6(it) => sum(&it.octets()),
                };
                let pseudo = of(source) + of(remote.ip());
                assert_eq!(fold(pseudo + sum(&whole) + whole.len() as u32 + 17), u16::MAX);
            }
        }
    }
}
