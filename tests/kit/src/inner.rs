//! Inner packets that carry a number: small UDP datagrams over IPv4 or IPv6.

use std::net::IpAddr;

/// A numbered packet between two hosts behind the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InnerPacket {
    /// From where.
    pub source: IpAddr,
    /// To where, of the same family.
    pub destination: IpAddr,
    /// Its number.
    pub number: u64,
}

/// UDP header and number.
const UPPER: usize = 8 + 8;

impl InnerPacket {
    /// Makes a packet from two addresses as text.
    pub fn new(source: &str, destination: &str, number: u64) -> Self {
        let address = |text: &str| text.parse().expect("an address");
        Self { source: address(source), destination: address(destination), number }
    }

    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let total = (20 + UPPER) as u8;
                let mut header = vec![0x45, 0, 0, total, 0, 0, 0x40, 0, 64, 17, 0, 0];
                header.extend(source.octets());
                header.extend(destination.octets());
                let checksum = checksum(&header);
                header[10..12].copy_from_slice(&checksum);
                header
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut header = vec![0x60, 0, 0, 0, 0, UPPER as u8, 17, 64];
                header.extend(source.octets());
                header.extend(destination.octets());
                header
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                panic!("an inner packet between two families")
            }
        };
        octets.extend([0x13, 0x88, 0x13, 0x89, 0, UPPER as u8, 0, 0]);
        octets.extend(self.number.to_be_bytes());
        octets
    }

    /// Reads one.
    pub fn decode(octets: &[u8]) -> Option<Self> {
        let (source, destination, upper) = match octets.first()? >> 4 {
            4 => {
                let address = |at| Some(IpAddr::from(<[u8; 4]>::try_from(octets.get(at..at + 4)?).ok()?));
                (address(12)?, address(16)?, octets.get(20..)?)
            }
            6 => {
                let address = |at| Some(IpAddr::from(<[u8; 16]>::try_from(octets.get(at..at + 16)?).ok()?));
                (address(8)?, address(24)?, octets.get(40..)?)
            }
            _ => return None,
        };
        let number = u64::from_be_bytes(*upper.get(8..)?.first_chunk()?);
        Some(Self { source, destination, number })
    }

    /// Returns the packet that answers it, with the same number.
    pub fn back(&self) -> Self {
        Self { source: self.destination, destination: self.source, number: self.number }
    }
}

/// RFC 1071.
fn checksum(header: &[u8]) -> [u8; 2] {
    let sum: u32 = header.as_chunks().0.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (!(((folded & 0xffff) + (folded >> 16)) as u16)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_read_as_it_was_written() {
        for (source, destination) in [("10.1.0.5", "10.2.0.9"), ("fd01::5", "fd02::9")] {
            let packet = InnerPacket::new(source, destination, 77);
            assert_eq!(InnerPacket::decode(&packet.encode()), Some(packet));
            assert_eq!(packet.back().back(), packet);
        }
        assert_eq!(checksum(&InnerPacket::new("10.1.0.5", "10.2.0.9", 1).encode()[..20]), [0, 0]);
    }
}
