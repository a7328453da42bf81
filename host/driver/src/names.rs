//! Names of peers: asked of the system, and, where that has no answer, of its DNS servers past our own blocks (RFC 1035).
//!
//! A full tunnel that is down blocks the way to DNS servers outside the local network too, and without the gateway's
//! address it would stay down for ever. These questions bear the mark of the tunnel's own packets; what they show to
//! an onlooker is the gateway's name, whose address is seen anyway.

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};

use socket2::SockRef;

use crate::limits;
use crate::machine::Machine;

/// Where DNS servers are named; the later ones are those behind a server on this machine, whose questions are blocked.
const FILES: [&str; 3] =
    ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"];

const PORT: u16 = 53;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
/// The response bit, the operation and the error code of a header's flags, where a response without error has 0x8000.
const FLAGS: u16 = 0xf80f;

/// Returns the addresses of a name, in the system's order; an address is its own name. This blocks.
///
/// # Errors
/// Returns what the system says, if nobody has an answer.
pub fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let of_system = (name, 0).to_socket_addrs();
    let why = match of_system {
        Ok(found) => return Ok(found.map(|address| address.ip()).collect()),
        Err(error) => error,
    };
    for server in servers().into_iter().take(limits::DNS_SERVERS) {
        let found: Vec<IpAddr> = [TYPE_A, TYPE_AAAA]
            .into_iter()
            .flat_map(|kind| ask(SocketAddr::new(server, PORT), name, kind).unwrap_or_default())
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(why)
}

fn servers() -> Vec<IpAddr> {
    let text: String =
        FILES.iter().filter_map(|file| fs::read_to_string(file).ok()).collect::<Vec<_>>().join("\n");
    let mut servers = Vec::new();
    for server in text.lines().filter_map(nameserver).filter(|server| !server.is_loopback()) {
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

fn nameserver(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok()).flatten()
}

/// Asks a server, once.
fn ask(server: SocketAddr, name: &str, kind: u16) -> Option<Vec<IpAddr>> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Without leave to mark packets, the question goes where every other one does.
    drop(SockRef::from(&socket).set_mark(Machine::MARK));
    socket.set_read_timeout(Some(limits::DNS_ANSWER)).ok()?;
    socket.connect(server).ok()?;
    // The standard library's hash keys come from the kernel's randomness.
    let id = RandomState::new().build_hasher().finish() as u16;
    let question = question(name, kind)?;
    let flags_and_counts = [1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    socket.send(&[&id.to_be_bytes()[..], &flags_and_counts, &question].concat()).ok()?;
    let mut answer = [0; limits::DNS_ANSWER_LEN];
    let length = socket.recv(&mut answer).ok()?;
    answers(&answer[..length], id, &question)
}

/// Writes a question; `None` if the text is no name (RFC 1035 §2.3.4).
fn question(name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        octets.push(length);
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    (name.is_ascii() && octets.len() <= 255).then_some(())?;
    octets.extend(kind.to_be_bytes());
    octets.extend(CLASS_IN.to_be_bytes());
    Some(octets)
}

/// Reads the addresses of a response to a question (RFC 1035 §4.1).
fn answers(message: &[u8], id: u16, question: &[u8]) -> Option<Vec<IpAddr>> {
    let mut reader = Reader(message);
    let (found_id, flags, questions, records) =
        (reader.word()?, reader.word()?, reader.word()?, reader.word()?);
    reader.take(4)?;
    let asked = reader.take(question.len())?;
    if found_id != id || flags & FLAGS != 0x8000 || questions != 1 || !asked.eq_ignore_ascii_case(question) {
        return None;
    }
    let mut found = Vec::new();
    for _ in 0..records {
        reader.skip_name()?;
        let (kind, class) = (reader.word()?, reader.word()?);
        reader.take(4)?;
        let length = reader.word()?;
        let data = reader.take(usize::from(length))?;
        // Aliases on the way to the addresses are of other types.
        match (kind, class, data.len()) {
            (TYPE_A, CLASS_IN, 4) => found.extend(<[u8; 4]>::try_from(data).map(IpAddr::from)),
            (TYPE_AAAA, CLASS_IN, 16) => found.extend(<[u8; 16]>::try_from(data).map(IpAddr::from)),
            _ => {}
        }
    }
    Some(found)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// Skips a name: labels up to an empty one, or up to a pointer to the rest (RFC 1035 §4.1.4).
    fn skip_name(&mut self) -> Option<()> {
        loop {
            match self.take(1)?[0] {
                0 => return Some(()),
                length @ 1..64 => self.take(usize::from(length))?,
                0xc0.. => return self.take(1).map(drop),
                64..0xc0 => return None,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A response: an alias, then an address.
    fn response(query: &[u8]) -> Vec<u8> {
        let mut octets = query.to_vec();
        octets[2] = 0x81;
        octets[3] = 0x80;
        octets[7] = 2;
        octets.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'a', 0xc0, 12]);
        octets.extend([1, b'a', 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 7]);
        octets
    }

    #[test]
    fn a_server_is_asked_and_its_answer_read() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let mut query = [0; 512];
            let (length, from) = server.recv_from(&mut query).unwrap();
            server.send_to(&response(&query[..length]), from).unwrap();
        });
        let found = ask(address, "moon.example.org", TYPE_A);
        thread.join().unwrap();
        assert_eq!(found, Some(vec!["192.0.2.7".parse().unwrap()]));
    }

    #[test]
    fn a_question_goes_past_the_blocks_of_a_full_tunnel() {
        crate::machine::tests::with_everything_blocked(|neighbour| {
            neighbour.run("ip addr add 192.0.2.53/32 dev lo");
            let unmarked = UdpSocket::bind("0.0.0.0:0").unwrap();
            assert!(unmarked.send_to(b"?", "192.0.2.53:53").is_err());
            // There is no server: it is enough that the question comes so far.
            let arrived = || {
                neighbour
                    .read("/proc/net/snmp")
                    .lines()
                    .filter(|line| line.starts_with("Udp:"))
                    .nth(1)
                    .map(|line| line.split(' ').nth(2).unwrap().parse::<u32>().unwrap())
            };
            let before = arrived().unwrap();
            assert_eq!(ask("192.0.2.53:53".parse().unwrap(), "moon.example.org", TYPE_A), None);
            assert_eq!(arrived(), Some(before + 1));
        });
    }

    #[test]
    fn what_answers_another_question_or_is_cut_off_is_no_answer() {
        let question = question("moon.example.org.", TYPE_A).unwrap();
        let query = [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &question].concat();
        let good = response(&query);
        assert_eq!(answers(&good, 7, &question).map(|found| found.len()), Some(1));
        assert_eq!(answers(&good, 8, &question), None);
        assert_eq!(answers(&query, 7, &question), None, "a question is no response");
        let other = super::question("sun.example.org", TYPE_A).unwrap();
        assert_eq!(answers(&good, 7, &other), None);
        for length in 0..good.len() {
            assert_eq!(answers(&good[..length], 7, &question), None, "{length} octets");
        }
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        assert!(question(&"a".repeat(64), TYPE_A).is_none());
        assert!(question(&"a.".repeat(200), TYPE_A).is_none());
        assert!(question("a..b", TYPE_A).is_none());
        assert!(question("mönch.example", TYPE_A).is_none());
    }

    #[test]
    fn servers_stand_in_lines_of_their_own() {
        assert_eq!(nameserver("nameserver 192.0.2.53 # the first"), Some("192.0.2.53".parse().unwrap()));
        assert_eq!(nameserver("search example.org"), None);
        assert_eq!(nameserver("nameserver"), None);
    }

    #[test]
    fn an_address_is_its_own_name() {
        assert_eq!(look_up("fd10::1").unwrap(), ["fd10::1".parse::<IpAddr>().unwrap()]);
    }
}
