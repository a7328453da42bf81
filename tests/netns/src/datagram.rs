//! What a capture of an outside link holds, datagram by datagram: IKE, ESP and keepalives, with the octets of their IP
//! packets.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// A datagram that was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Datagram {
    /// Seconds since 1970.
    pub at: f64,
    /// Who sent it.
    pub from: IpAddr,
    /// From which UDP port; nought of what is not UDP.
    pub port: u16,
    /// Octets of the IP packet.
    pub octets: u32,
    /// What it is.
    pub kind: Kind,
}

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An IKE message.
    Ike(IkeHeader),
    /// ESP, in UDP or as protocol 50.
    Esp {
        /// In UDP.
        encapsulated: bool,
    },
    /// A NAT keepalive.
    Keepalive,
    /// Something else.
    Other,
}

/// What an IKE header says in clear (RFC 7296 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IkeHeader {
    /// The exchange.
    pub exchange: u8,
    /// Who asks in this exchange: the original initiator of the IKE SA, or the other.
    pub asked_by_initiator: bool,
    /// A response.
    pub response: bool,
    /// The Message ID.
    pub message_id: u32,
}

const CREATE_CHILD_SA: u8 = 36;
const INFORMATIONAL: u8 = 37;

/// How many datagrams, and octets of IP packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Datagrams.
    pub datagrams: u32,
    /// Octets.
    pub octets: u32,
}

impl Sum {
    fn add(&mut self, datagram: &Datagram) {
        self.datagrams += 1;
        self.octets += datagram.octets;
    }
}

/// What was seen within a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// IKE without what stands below.
    pub ike: Sum,
    /// The same without repetitions: of each message the first copy.
    pub ike_once: Sum,
    /// Rekeys of Child SAs: CREATE_CHILD_SA and the Delete after it.
    pub rekeys: Sum,
    /// ESP in UDP.
    pub esp_in_udp: Sum,
    /// ESP as protocol 50.
    pub esp_raw: Sum,
    /// NAT keepalives.
    pub keepalives: Sum,
}

impl Tally {
    /// Counts all of them.
    #[must_use]
    pub fn of<'a>(datagrams: impl IntoIterator<Item = &'a Datagram>) -> Self {
        let mut tally = Self::default();
        // Which Message ID the Delete after a rekey will have, for each side that asks.
        let mut delete = [None; 2];
        let mut seen = BTreeSet::new();
        for datagram in datagrams {
            let sum = match datagram.kind {
                Kind::Ike(header) => {
                    let delete = &mut delete[usize::from(header.asked_by_initiator)];
                    let is_rekey = header.exchange == CREATE_CHILD_SA;
                    if is_rekey {
                        *delete = Some(header.message_id.wrapping_add(1));
                    }
                    let is_delete = header.exchange == INFORMATIONAL && *delete == Some(header.message_id);
                    let is_other = !is_rekey && !is_delete;
                    if is_other
                        && seen.insert((header.asked_by_initiator, header.message_id, header.response))
                    {
                        tally.ike_once.add(datagram);
                    }
                    if is_other { &mut tally.ike } else { &mut tally.rekeys }
                }
                Kind::Esp { encapsulated: true } => &mut tally.esp_in_udp,
                Kind::Esp { encapsulated: false } => &mut tally.esp_raw,
                Kind::Keepalive => &mut tally.keepalives,
                Kind::Other => continue,
            };
            sum.add(datagram);
        }
        tally
    }
}

/// Reads a capture that tcpdump wrote on an Ethernet link.
pub fn read(file: &Path) -> Result<Vec<Datagram>> {
    Ok(frames(file)?.iter().filter_map(|(at, frame)| ip(*at, frame)).collect())
}

/// Returns the first UDP payload of a whole capture, marker and all, that is an INFORMATIONAL request from an IPv4 address
/// and was seen since a time.
pub fn informational_from(file: &Path, address: Ipv4Addr, since: f64) -> Result<Option<Vec<u8>>> {
    let asks = |kind| matches!(kind, Kind::Ike(it) if it.exchange == INFORMATIONAL && !it.response);
    let is_it = |it: &Datagram| it.at >= since && it.from == address && asks(it.kind);
    let payload = |frame: &[u8]| frame.get(14 + 20 + 8..).map(<[u8]>::to_vec);
    let frames = frames(file)?;
    Ok(frames
        .iter()
        .find(|(at, frame)| ip(*at, frame).as_ref().is_some_and(is_it))
        .and_then(|it| payload(&it.1)))
}

fn frames(file: &Path) -> Result<Vec<(f64, Vec<u8>)>> {
    let octets = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    records(&octets).with_context(|| format!("{} is no capture", file.display()))
}

/// Returns each frame with the time at which it was seen.
fn records(octets: &[u8]) -> Result<Vec<(f64, Vec<u8>)>> {
    let (head, mut rest) = octets.split_at_checked(24).context("too short")?;
    // In the order of this machine's octets, as tcpdump writes; microseconds; link type 1 is Ethernet.
    if word(head, 0) != Some(0xa1b2_c3d4) || word(head, 20) != Some(1) {
        bail!("not of Ethernet in microseconds");
    }
    let mut frames = Vec::new();
    while let Some((record, after)) = rest.split_at_checked(16) {
        let field = |at| word(record, at).unwrap_or_default();
        let at = f64::from(field(0)) + f64::from(field(4)) / 1e6;
        // The last record may be cut off.
        let Some((frame, next)) = after.split_at_checked(field(8) as usize) else { break };
        rest = next;
        frames.push((at, frame.to_vec()));
    }
    Ok(frames)
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(octets.get(at..at + 4)?.try_into().ok()?))
}

fn short(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

fn ip(at: f64, frame: &[u8]) -> Option<Datagram> {
    let packet = frame.get(14..)?;
    let (from, octets, protocol, payload): (IpAddr, u32, u8, &[u8]) = match short(frame, 12)? {
        0x0800 => {
            let from: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            let header = usize::from(packet.first()? & 15) * 4;
            (Ipv4Addr::from(from).into(), short(packet, 2)?.into(), *packet.get(9)?, packet.get(header..)?)
        }
        0x86dd => {
            let from: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            let octets = u32::from(short(packet, 4)?) + 40;
            (Ipv6Addr::from(from).into(), octets, *packet.get(6)?, packet.get(40..)?)
        }
        _ => return None,
    };
    let (port, kind) = match protocol {
        50 => (0, Kind::Esp { encapsulated: false }),
        17 => (short(payload, 0)?, udp(payload)?),
        _ => (0, Kind::Other),
    };
    Some(Datagram { at, from, port, octets, kind })
}

fn udp(payload: &[u8]) -> Option<Kind> {
    let ports = [short(payload, 0)?, short(payload, 2)?];
    let length = usize::from(short(payload, 4)?).checked_sub(8)?;
    let data = payload.get(8..)?;
    // A NAT changes the client's port: it is enough that one is known.
    if ports.contains(&4500) {
        return Some(match data {
            [0, 0, 0, 0, message @ ..] => ike(message),
            [0xff] | [0xff, ..] if length == 1 => Kind::Keepalive,
            _ => Kind::Esp { encapsulated: true },
        });
    }
    Some(if ports.contains(&500) { ike(data) } else { Kind::Other })
}

fn ike(message: &[u8]) -> Kind {
    let header = || {
        let id = message.get(20..24)?.try_into().ok()?;
        let (exchange, flags) = (*message.get(18)?, *message.get(19)?);
        let response = flags & 0x20 != 0;
        let asked_by_initiator = (flags & 0x08 != 0) != response;
        Some(IkeHeader { exchange, asked_by_initiator, response, message_id: u32::from_be_bytes(id) })
    };
    header().map_or(Kind::Other, Kind::Ike)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(port: u16, data: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((28 + data.len() as u16).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 10, 10, 10, 0, 1]);
        frame.extend(40_000_u16.to_be_bytes());
        frame.extend(port.to_be_bytes());
        frame.extend((8 + data.len() as u16).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(data);
        frame
    }

    fn message(exchange: u8, flags: u8, id: u32) -> Vec<u8> {
        let mut message = vec![1; 16];
        message.extend([46, 0x20, exchange, flags]);
        message.extend(id.to_be_bytes());
        message.extend([0, 0, 0, 28]);
        message
    }

    fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut file = 0xa1b2_c3d4_u32.to_ne_bytes().to_vec();
        file.extend([0; 16]);
        file.extend(1_u32.to_ne_bytes());
        for frame in frames {
            let length = frame.len() as u32;
            [1_700_000_000, 500_000, length, length].iter().for_each(|word| file.extend(word.to_ne_bytes()));
            file.extend(frame);
        }
        file
    }

    fn parse(octets: &[u8]) -> Result<Vec<Datagram>> {
        Ok(records(octets)?.iter().filter_map(|(at, frame)| ip(*at, frame)).collect())
    }

    fn marked(message: &[u8]) -> Vec<u8> {
        [&[0; 4], message].concat()
    }

    #[test]
    fn each_kind_is_known_by_its_first_octets() {
        let frames = [
            frame(500, &message(34, 0x08, 0)),
            frame(4500, &marked(&message(INFORMATIONAL, 0x08, 5))),
            frame(4500, &[0xff]),
            frame(4500, &[0xff; 60]),
            frame(53, &[0; 30]),
        ];
        let datagrams = parse(&capture(&frames)).unwrap();
        assert_eq!(datagrams.len(), 5);
        assert_eq!((datagrams[0].at, datagrams[0].port, datagrams[0].octets), (1_700_000_000.5, 40_000, 56));
        let tally = Tally::of(&datagrams);
        assert_eq!(tally.ike, Sum { datagrams: 2, octets: 116 });
        assert_eq!(tally.keepalives, Sum { datagrams: 1, octets: 29 });
        assert_eq!(tally.esp_in_udp, Sum { datagrams: 1, octets: 88 });
    }

    #[test]
    fn a_rekey_with_its_delete_is_counted_apart() {
        let messages = [
            message(INFORMATIONAL, 0x08, 2),
            message(INFORMATIONAL, 0x20, 2),
            // The responder rekeys, and deletes.
            message(CREATE_CHILD_SA, 0x00, 0),
            message(CREATE_CHILD_SA, 0x28, 0),
            message(INFORMATIONAL, 0x00, 1),
            message(INFORMATIONAL, 0x28, 1),
            message(INFORMATIONAL, 0x08, 3),
        ];
        let frames = messages.map(|message| frame(4500, &marked(&message)));
        let tally = Tally::of(&parse(&capture(&frames)).unwrap());
        assert_eq!((tally.ike.datagrams, tally.rekeys.datagrams), (3, 4));
    }

    #[test]
    fn a_repeated_message_is_counted_once_where_repetitions_do_not_count() {
        let (ask, answer) = (message(INFORMATIONAL, 0x08, 2), message(INFORMATIONAL, 0x20, 2));
        // The responder's own question may have the same Message ID.
        let messages = [&ask, &ask, &answer, &answer, &message(INFORMATIONAL, 0x00, 2)];
        let frames = messages.map(|message| frame(4500, &marked(message)));
        let tally = Tally::of(&parse(&capture(&frames)).unwrap());
        assert_eq!((tally.ike.datagrams, tally.ike_once), (5, Sum { datagrams: 3, octets: 180 }));
    }

    #[test]
    fn a_cut_off_capture_gives_what_is_whole() {
        let whole = capture(&[frame(500, &message(34, 0x08, 0)), frame(500, &message(34, 0x20, 0))]);
        for length in 24..whole.len() {
            assert!(parse(&whole[..length]).unwrap().len() <= 1);
        }
        assert!(parse(&whole[..20]).is_err());
    }
}
