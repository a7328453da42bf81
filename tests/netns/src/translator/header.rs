//! Packets from one protocol to the other (RFC 7915): UDP, echoes, and the errors that senders must hear of.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use vpnhost_model::Pref64;

use super::mapping::{Kind, Mappings};

const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// How much longer an IPv6 header is.
const GROWTH: u32 = 20;
/// What the links of the IPv6 network carry.
const MTU: usize = 1500;
/// The longest packet of IPv6 that must not be told to be shorter, and the least that any link carries.
const LEAST_MTU: u32 = 1280;

/// A NAT64.
#[derive(Debug)]
pub struct Nat64 {
    prefix: Pref64,
    address: Ipv4Addr,
    mappings: Mappings,
    /// Of packets that may be cut on their way (RFC 7915 §5.1).
    identification: u16,
}

/// A packet of either protocol, taken apart.
struct Packet<A> {
    source: A,
    destination: A,
    protocol: u8,
    traffic_class: u8,
    hops: u8,
    payload: Vec<u8>,
}

impl Nat64 {
    /// Returns one that knows no client yet.
    #[must_use]
    pub fn new(prefix: Pref64, address: Ipv4Addr) -> Self {
        Self { prefix, address, mappings: Mappings::default(), identification: 1 }
    }

    /// Returns the packet that goes out in the place of another; for one that is too long, the error for its sender.
    pub fn translate(&mut self, now: Duration, packet: &[u8]) -> Option<Vec<u8>> {
        match packet.first()? >> 4 {
            6 => self.outbound(now, &read_v6(packet)?),
            4 => {
                let dont_fragment = packet.get(6)? & 0x40 != 0;
                let inner = read_v4(packet)?;
                let translated = self.inbound(now, &inner)?;
                if translated.len() <= MTU {
                    return Some(translated);
                }
                dont_fragment.then(|| self.too_big(&inner, packet))
            }
            _ => None,
        }
    }

    fn outbound(&mut self, now: Duration, packet: &Packet<Ipv6Addr>) -> Option<Vec<u8>> {
        let destination = self.prefix.extract(packet.destination)?;
        let mut payload = packet.payload.clone();
        let protocol = match packet.protocol {
            UDP => {
                let port = self.mappings.outbound(now, Kind::Udp, (packet.source, word(&payload, 0)?))?;
                put(&mut payload, 0, port)?;
                sum_udp(&mut payload, pseudo_v4(self.address, destination))?;
                UDP
            }
            ICMPV6 => {
                self.icmp_to_v4(now, packet.source, &mut payload)?;
                ICMP
            }
            _ => return None,
        };
        self.identification = self.identification.wrapping_add(1);
        let out = Packet {
            source: self.address,
            destination,
            protocol,
            traffic_class: packet.traffic_class,
            hops: packet.hops.checked_sub(1).filter(|hops| *hops > 0)?,
            payload,
        };
        Some(write_v4(&out, self.identification))
    }

    fn inbound(&mut self, now: Duration, packet: &Packet<Ipv4Addr>) -> Option<Vec<u8>> {
        if packet.destination != self.address {
            return None;
        }
        let source = self.prefix.synthesize(packet.source)?;
        let mut payload = packet.payload.clone();
        let (protocol, destination) = match packet.protocol {
            UDP => {
                let (client, port) = self.mappings.inbound(now, Kind::Udp, word(&payload, 2)?)?;
                put(&mut payload, 2, port)?;
                sum_udp(&mut payload, pseudo_v6(source, client))?;
                (UDP, client)
            }
            ICMP => (ICMPV6, self.icmp_to_v6(now, source, &mut payload)?),
            _ => return None,
        };
        Some(write_v6(&Packet {
            source,
            destination,
            protocol,
            traffic_class: packet.traffic_class,
            hops: packet.hops.checked_sub(1).filter(|hops| *hops > 0)?,
            payload,
        }))
    }

    /// Translates a message of ICMPv6 (RFC 7915 §5.2).
    fn icmp_to_v4(&mut self, now: Duration, client: Ipv6Addr, message: &mut Vec<u8>) -> Option<()> {
        let (kind, code) = (*message.first()?, *message.get(1)?);
        if kind == 128 {
            let identifier = self.mappings.outbound(now, Kind::Echo, (client, word(message, 4)?))?;
            message[0] = 8;
            put(message, 4, identifier)?;
        } else {
            let (kind, code, rest) = match (kind, code) {
                (1, 1) => (3, 10, 0),
                (1, 4) => (3, 3, 0),
                (1, _) => (3, 1, 0),
                (2, _) => (3, 4, long(message, 4)?.checked_sub(GROWTH)?),
                (3, code) => (11, code, 0),
                _ => return None,
            };
            let inner = self.inner_to_v4(now, message.get(8..)?)?;
            *message = error(kind, code, rest, &inner);
        }
        let sum = checksum(message, 0);
        put(message, 2, sum)
    }

    /// Translates a message of ICMP (RFC 7915 §4.2). Returns whose it is.
    fn icmp_to_v6(&mut self, now: Duration, source: Ipv6Addr, message: &mut Vec<u8>) -> Option<Ipv6Addr> {
        let (kind, code) = (*message.first()?, *message.get(1)?);
        let client = if kind == 0 {
            let (client, identifier) = self.mappings.inbound(now, Kind::Echo, word(message, 4)?)?;
            message[0] = 129;
            put(message, 4, identifier)?;
            client
        } else {
            let (kind, code, rest) = match (kind, code) {
                (3, 4) => (2, 0, (long(message, 4)? & 0xffff).saturating_add(GROWTH).max(LEAST_MTU)),
                (3, 3) => (1, 4, 0),
                (3, 9 | 10 | 13) => (1, 1, 0),
                (3, _) => (1, 0, 0),
                (11, code) => (3, code, 0),
                _ => return None,
            };
            let (client, inner) = self.inner_to_v6(now, message.get(8..)?)?;
            *message = error(kind, code, rest, &inner);
            client
        };
        put(message, 2, 0)?;
        let pseudo = pseudo_v6(source, client) + u32::from(ICMPV6) + u32::try_from(message.len()).ok()?;
        let sum = checksum(message, pseudo);
        put(message, 2, sum)?;
        Some(client)
    }

    /// Translates the beginning of a packet that came to a client, of which an error tells.
    fn inner_to_v4(&mut self, now: Duration, octets: &[u8]) -> Option<Vec<u8>> {
        let mut inner = read_v6_cut(octets)?;
        let source = self.prefix.extract(inner.source).filter(|_| inner.protocol == UDP)?;
        let port = self.mappings.outbound(now, Kind::Udp, (inner.destination, word(&inner.payload, 2)?))?;
        put(&mut inner.payload, 2, port)?;
        let whole = octets.len() - 40;
        let mut out = write_v4(
            &Packet {
                source,
                destination: self.address,
                protocol: UDP,
                traffic_class: inner.traffic_class,
                hops: inner.hops,
                payload: inner.payload,
            },
            0,
        );
        let length = u16::try_from(usize::from(word(octets, 4)?).max(whole) + 20).ok()?;
        put(&mut out, 2, length)?;
        sum_header(&mut out)?;
        Some(out)
    }

    /// Translates the beginning of a packet of a client, of which an error tells; returns whose it was.
    fn inner_to_v6(&mut self, now: Duration, octets: &[u8]) -> Option<(Ipv6Addr, Vec<u8>)> {
        let mut inner = read_v4_cut(octets)?;
        let destination = self.prefix.synthesize(inner.destination).filter(|_| inner.protocol == UDP)?;
        let (client, port) = self.mappings.inbound(now, Kind::Udp, word(&inner.payload, 0)?)?;
        put(&mut inner.payload, 0, port)?;
        let length = word(octets, 2)?.checked_sub(20)?;
        let mut out = write_v6(&Packet {
            source: client,
            destination,
            protocol: UDP,
            traffic_class: inner.traffic_class,
            hops: inner.hops,
            payload: inner.payload,
        });
        put(&mut out, 4, length)?;
        Some((client, out))
    }

    /// Returns what a sender is told whose packet is too long for IPv6 and may not be cut.
    fn too_big(&self, packet: &Packet<Ipv4Addr>, whole: &[u8]) -> Vec<u8> {
        let mtu = MTU as u32 - GROWTH;
        let mut payload = error(3, 4, mtu, &whole[..whole.len().min(28)]);
        let sum = checksum(&payload, 0);
        payload[2..4].copy_from_slice(&sum.to_be_bytes());
        let out = Packet {
            source: self.address,
            destination: packet.source,
            protocol: ICMP,
            traffic_class: 0,
            hops: 64,
            payload,
        };
        write_v4(&out, 0)
    }
}

/// Writes an error of either protocol, its checksum still zero.
fn error(kind: u8, code: u8, rest: u32, inner: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest.to_be_bytes());
    message.extend(inner);
    message
}

fn read_v6(packet: &[u8]) -> Option<Packet<Ipv6Addr>> {
    let mut read = read_v6_cut(packet)?;
    let length = usize::from(word(packet, 4)?);
    read.payload = read.payload.get(..length)?.to_vec();
    Some(read)
}

/// Reads a packet whose end may be missing.
fn read_v6_cut(packet: &[u8]) -> Option<Packet<Ipv6Addr>> {
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
    Some(Packet {
        source: address(8)?,
        destination: address(24)?,
        protocol: *packet.get(6)?,
        traffic_class: (word(packet, 0)? >> 4) as u8,
        hops: *packet.get(7)?,
        payload: packet.get(40..)?.to_vec(),
    })
}

fn read_v4(packet: &[u8]) -> Option<Packet<Ipv4Addr>> {
    let mut read = read_v4_cut(packet)?;
    let is_fragment = word(packet, 6)? & 0x3fff != 0;
    let header = usize::from(packet.first()? & 15) * 4;
    let length = usize::from(word(packet, 2)?).checked_sub(header)?;
    read.payload = read.payload.get(..length).filter(|_| !is_fragment)?.to_vec();
    Some(read)
}

/// Reads a packet whose end may be missing.
fn read_v4_cut(packet: &[u8]) -> Option<Packet<Ipv4Addr>> {
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    Some(Packet {
        source: address(12)?,
        destination: address(16)?,
        protocol: *packet.get(9)?,
        traffic_class: *packet.get(1)?,
        hops: *packet.get(8)?,
        payload: packet.get(usize::from(packet.first()? & 15) * 4..)?.to_vec(),
    })
}

fn write_v6(packet: &Packet<Ipv6Addr>) -> Vec<u8> {
    let mut out = Vec::with_capacity(40 + packet.payload.len());
    out.extend((0x6000_0000 | u32::from(packet.traffic_class) << 20).to_be_bytes());
    out.extend((packet.payload.len() as u16).to_be_bytes());
    out.extend([packet.protocol, packet.hops]);
    out.extend(packet.source.octets());
    out.extend(packet.destination.octets());
    out.extend(&packet.payload);
    out
}

/// Writes a packet; one that IPv6 need not carry whole may be cut on its way (RFC 7915 §5.1).
fn write_v4(packet: &Packet<Ipv4Addr>, identification: u16) -> Vec<u8> {
    let length = 20 + packet.payload.len();
    let (identification, flags) = if length > 1260 { (0, 0x4000) } else { (identification, 0_u16) };
    let mut out = vec![0x45, packet.traffic_class];
    out.extend((length as u16).to_be_bytes());
    out.extend(identification.to_be_bytes());
    out.extend(flags.to_be_bytes());
    out.extend([packet.hops, packet.protocol, 0, 0]);
    out.extend(packet.source.octets());
    out.extend(packet.destination.octets());
    let sum = checksum(&out, 0);
    out[10..12].copy_from_slice(&sum.to_be_bytes());
    out.extend(&packet.payload);
    out
}

fn sum_header(packet: &mut [u8]) -> Option<()> {
    put(packet, 10, 0)?;
    let sum = checksum(packet.get(..20)?, 0);
    put(packet, 10, sum)
}

/// Writes the checksum of a UDP datagram, which is not optional in IPv6 (RFC 7915 §4.5).
fn sum_udp(datagram: &mut [u8], pseudo: u32) -> Option<()> {
    put(datagram, 6, 0)?;
    let sum = checksum(datagram, pseudo + u32::from(UDP) + u32::try_from(datagram.len()).ok()?);
    put(datagram, 6, if sum == 0 { 0xffff } else { sum })
}

fn pseudo_v4(source: Ipv4Addr, destination: Ipv4Addr) -> u32 {
    add(&source.octets()) + add(&destination.octets())
}

fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr) -> u32 {
    add(&source.octets()) + add(&destination.octets())
}

/// Returns the Internet checksum (RFC 1071) of octets after what was added up already.
fn checksum(octets: &[u8], before: u32) -> u16 {
    let mut sum = before + add(octets);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn add(octets: &[u8]) -> u32 {
    let pair = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or_default());
    octets.chunks(2).map(pair).sum()
}

fn word(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

fn long(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(octets.get(at..at + 4)?.try_into().ok()?))
}

fn put(octets: &mut [u8], at: usize, value: u16) -> Option<()> {
    octets.get_mut(at..at + 2)?.copy_from_slice(&value.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = "fd02::10";
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 1);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 64);
    const NOW: Duration = Duration::ZERO;

    fn nat64() -> Nat64 {
        Nat64::new(Pref64::new("2001:db8:64::".parse().unwrap(), 96).unwrap(), ADDRESS)
    }

    fn out(nat64: &Nat64, payload: Vec<u8>, protocol: u8) -> Vec<u8> {
        let destination = nat64.prefix.synthesize(SERVER).unwrap();
        let source = CLIENT.parse().unwrap();
        write_v6(&Packet { source, destination, protocol, traffic_class: 0x2e, hops: 64, payload })
    }

    fn back(payload: Vec<u8>, protocol: u8) -> Vec<u8> {
        let packet =
            Packet { source: SERVER, destination: ADDRESS, protocol, traffic_class: 0, hops: 60, payload };
        write_v4(&packet, 7)
    }

    fn udp(source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
        let mut datagram = [source, destination, 8 + data.len() as u16, 0].map(u16::to_be_bytes).concat();
        datagram.extend(data);
        datagram
    }

    /// Fails unless what a receiver adds up is right: zero after the complement.
    fn assert_sums(packet: &[u8]) {
        if packet[0] >> 4 == 4 {
            assert_eq!(checksum(&packet[..20], 0), 0);
            let read = read_v4(packet).unwrap();
            let pseudo = pseudo_v4(read.source, read.destination) + 17 + read.payload.len() as u32;
            assert_eq!(checksum(&read.payload, if read.protocol == UDP { pseudo } else { 0 }), 0);
        } else {
            let read = read_v6(packet).unwrap();
            let rest = u32::from(read.protocol) + read.payload.len() as u32;
            assert_eq!(checksum(&read.payload, pseudo_v6(read.source, read.destination) + rest), 0);
        }
    }

    #[test]
    fn a_datagram_goes_out_and_its_answer_comes_back() {
        let mut nat64 = nat64();
        let sent = nat64.translate(NOW, &out(&nat64, udp(4500, 4500, b"odd"), UDP)).unwrap();
        assert_sums(&sent);
        let read = read_v4(&sent).unwrap();
        assert_eq!((read.source, read.destination, read.hops), (ADDRESS, SERVER, 63));
        assert_eq!((read.traffic_class, &read.payload[8..]), (0x2e, &b"odd"[..]));
        let port = word(&read.payload, 0).unwrap();
        // Without a checksum, which IPv4 allows.
        let answer = nat64.translate(NOW, &back(udp(4500, port, b"answer"), UDP)).unwrap();
        assert_sums(&answer);
        let read = read_v6(&answer).unwrap();
        assert_eq!(read.source, "2001:db8:64::10.10.0.1".parse::<Ipv6Addr>().unwrap());
        assert_eq!(read.destination, CLIENT.parse::<Ipv6Addr>().unwrap());
        assert_eq!((word(&read.payload, 2), &read.payload[8..]), (Some(4500), &b"answer"[..]));
        assert!(nat64.translate(NOW, &back(udp(4500, port + 1, b"nobody's"), UDP)).is_none());
    }

    #[test]
    fn an_echo_is_answered() {
        let mut nat64 = nat64();
        let sent = nat64.translate(NOW, &out(&nat64, vec![128, 0, 0, 0, 0, 9, 0, 1], ICMPV6)).unwrap();
        assert_sums(&sent);
        let mut reply = read_v4(&sent).unwrap().payload;
        assert_eq!(reply[0], 8);
        reply[0] = 0;
        let answer = nat64.translate(NOW, &back(reply, ICMP)).unwrap();
        assert_sums(&answer);
        assert_eq!(read_v6(&answer).unwrap().payload[..2], [129, 0]);
        assert_eq!(word(&read_v6(&answer).unwrap().payload, 4), Some(9));
    }

    #[test]
    fn a_sender_hears_in_its_own_protocol_that_a_packet_was_too_long() {
        let mut nat64 = nat64();
        let packet = out(&nat64, udp(4500, 4500, &[7; 1400]), UDP);
        let sent = nat64.translate(NOW, &packet).unwrap();
        // A router behind it has 1400 octets for IPv4.
        let told = nat64.translate(NOW, &back(error(3, 4, 1400, &sent[..28]), ICMP)).unwrap();
        assert_sums(&told);
        let read = read_v6(&told).unwrap();
        assert_eq!((read.payload[0], long(&read.payload, 4)), (2, Some(1420)));
        // The client knows its own packet by it.
        assert_eq!(read.payload[8 + 4..8 + 6], packet[4..6]);
        assert_eq!(read.payload[8 + 8..8 + 46], packet[8..46]);

        // A router before the client has 1280 for IPv6.
        let port = word(&read_v4(&sent).unwrap().payload, 0).unwrap();
        let packet = back(udp(4500, port, &[7; 1400]), UDP);
        let received = nat64.translate(NOW, &packet).unwrap();
        let told = nat64.translate(NOW, &out(&nat64, error(2, 0, 1280, &received[..48]), ICMPV6)).unwrap();
        assert_sums(&told);
        let payload = read_v4(&told).unwrap().payload;
        assert_eq!((payload[0], payload[1], long(&payload, 4)), (3, 4, Some(1260)));
        assert_eq!(payload[8 + 12..8 + 24], packet[12..24]);
        assert_eq!(payload[8 + 2..8 + 4], packet[2..4]);
        assert_eq!(checksum(&payload[8..28], 0), 0);
    }

    #[test]
    fn what_grows_too_long_is_sent_back_unless_it_may_be_cut() {
        let mut nat64 = nat64();
        let sent = nat64.translate(NOW, &out(&nat64, udp(1, 4500, b""), UDP)).unwrap();
        let port = word(&read_v4(&sent).unwrap().payload, 0).unwrap();
        let told = nat64.translate(NOW, &back(udp(4500, port, &[0; 1472]), UDP)).unwrap();
        assert_sums(&told);
        let read = read_v4(&told).unwrap();
        assert_eq!((read.destination, long(&read.payload, 4)), (SERVER, Some(1480)));
        assert!(nat64.translate(NOW, &back(udp(4500, port, &[0; 1452]), UDP)).unwrap().len() == 1500);
    }

    #[test]
    fn what_is_cut_off_or_of_others_is_not_translated() {
        let mut nat64 = nat64();
        let packet = out(&nat64, udp(4500, 4500, b"data"), UDP);
        for length in 0..packet.len() {
            assert!(nat64.translate(NOW, &packet[..length]).is_none(), "{length} octets");
        }
        let mut elsewhere = packet.clone();
        elsewhere[24] = 0xfd;
        assert!(nat64.translate(NOW, &elsewhere).is_none());
        let mut fragment = back(udp(4500, 20_000, b"data"), UDP);
        fragment[6] = 0x20;
        nat64.translate(NOW, &packet).unwrap();
        assert!(nat64.translate(NOW, &fragment).is_none());
    }
}
