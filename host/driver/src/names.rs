//! Names of peers: asked of the system, and of its DNS servers past our own blocks and outside of the tunnels (RFC 1035).
//!
//! A full tunnel that is down blocks the way to DNS servers outside the local network too, and without the gateway's
//! address it would stay down for ever; one whose peer is somewhere else now carries no questions. Ours bear the mark of
//! the tunnel's own packets; what they show to an onlooker is the gateway's name, whose address is seen anyway.

mod message;

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs as _};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::limits;
use crate::machine::Machine;
use crate::tun;

use message::{Response, TYPE_A, TYPE_AAAA};

/// Where DNS servers are named; the later ones are those behind a server on this machine, whose questions are blocked.
const FILES: [&str; 3] =
    ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"];
/// Names that the operator gave addresses to.
const HOSTS: &str = "/etc/hosts";

const PORT: u16 = 53;

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// In the order of whoever answered.
    pub addresses: Vec<IpAddr>,
    /// How long they count, within bounds; the system does not tell.
    pub lifetime: Duration,
}

/// Names that the system's resolver is asked for at the same time: what has to get past it needs threads, too.
static OF_SYSTEM: Semaphore = Semaphore::const_new(limits::DNS_OF_SYSTEM_AT_ONCE);

/// Returns the addresses of a name, as the system knows them; where it knows none, as its DNS servers do. An address is
/// its own name.
///
/// # Errors
/// Returns what the system says, if nobody has an answer.
pub async fn look_up(name: &str) -> io::Result<Found> {
    if let Ok(address) = name.parse() {
        return Ok(Found { addresses: vec![address], lifetime: limits::NAME_MOST });
    }
    let asked = name.to_owned();
    let of_system = async {
        // It goes on when nobody waits for it any more.
        let permit = OF_SYSTEM.try_acquire().map_err(io::Error::other)?;
        apart(move || {
            let found = (asked, 0).to_socket_addrs();
            drop(permit);
            found
        })
        .await
    };
    // It waits for a silent server for longer than whoever wants the name.
    let why = match timeout(limits::DNS_OF_SYSTEM, of_system).await {
        Ok(Ok(Ok(found))) => {
            let addresses = found.map(|address| address.ip()).collect();
            return Ok(Found { addresses, lifetime: limits::NAME_LEAST });
        }
        Ok(Ok(Err(error)) | Err(error)) => error,
        Err(_) => io::Error::new(io::ErrorKind::TimedOut, "no answer"),
    };
    look_up_outside(name).await.ok_or(why)
}

/// Returns the addresses of a name, as DNS servers outside of all tunnels know them; `None` where no server answers, and
/// for a name that the operator gave an address to on this machine.
pub async fn look_up_outside(name: &str) -> Option<Found> {
    let asked = name.to_owned();
    let is_given = move || fs::read_to_string(HOSTS).is_ok_and(|hosts| is_in_hosts(&hosts, &asked));
    let servers = apart(move || (!is_given()).then(servers)).await.ok()??;
    // All at once: the first may be one of the tunnel's, which nobody answers for out here.
    let asked = servers.iter().take(limits::DNS_SERVERS).map(|server| async move {
        let (v4, v6) = tokio::join!(ask(server, name, TYPE_A, None), ask(server, name, TYPE_AAAA, None));
        let of_both: Vec<Found> =
            [v4, v6].into_iter().flatten().filter(|it| !it.addresses.is_empty()).collect();
        let lifetime = of_both.iter().map(|found| found.lifetime).min()?;
        let addresses = of_both.into_iter().flat_map(|found| found.addresses).collect();
        Some(Found { addresses, lifetime })
    });
    let mut answers: FuturesUnordered<_> = asked.collect();
    while let Some(answer) = answers.next().await {
        if answer.is_some() {
            return answer;
        }
    }
    None
}

/// Asks the DNS servers that the machine knows, one after another and by an interface, for the IPv6 addresses of a name. An
/// answer has none only if no server has any: the first may be another network's.
pub(crate) async fn ask_link(link: (&str, u32), name: &str) -> Option<Found> {
    let mut none = None;
    for server in apart(servers).await.ok()?.iter().take(limits::DNS_SERVERS) {
        match ask(server, name, TYPE_AAAA, Some(link)).await {
            Some(found) if !found.addresses.is_empty() => return Some(found),
            found => none = none.or(found),
        }
    }
    none
}

/// Does what waits for files, or for the system's resolver, on a thread of its own.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Tells whether a line names a host (hosts(5)).
fn is_in_hosts(text: &str, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let names = |line: &str| {
        let line = line.split('#').next().unwrap_or_default();
        line.split_whitespace().skip(1).any(|word| word.eq_ignore_ascii_case(name))
    };
    text.lines().any(names)
}

/// A DNS server, and the interface that a link-local address of it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    address: IpAddr,
    zone: Option<String>,
}

fn servers() -> Vec<Server> {
    let text: String =
        FILES.iter().filter_map(|file| fs::read_to_string(file).ok()).collect::<Vec<_>>().join("\n");
    let mut servers = Vec::new();
    for server in text.lines().filter_map(nameserver).filter(|server| !server.address.is_loopback()) {
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

fn nameserver(line: &str) -> Option<Server> {
    let mut words = line.split_whitespace();
    let word = (words.next() == Some("nameserver")).then(|| words.next())??;
    let (address, zone) = word.split_once('%').map_or((word, None), |(address, zone)| (address, Some(zone)));
    Some(Server { address: address.parse().ok()?, zone: zone.map(str::to_owned) })
}

/// Asks a server; by an interface, where one is named.
async fn ask(server: &Server, name: &str, kind: u16, link: Option<(&str, u32)>) -> Option<Found> {
    let to = match (server.address, &server.zone, link) {
        (address, None, _) => SocketAddr::new(address, PORT),
        (IpAddr::V6(address), Some(zone), link) => {
            // A link is not asked about another's names.
            let index = interface_of(zone).filter(|index| link.is_none_or(|(_, asked)| asked == *index))?;
            SocketAddrV6::new(address, PORT, 0, index).into()
        }
        (IpAddr::V4(_), Some(_), _) => return None,
    };
    ask_at(to, name, kind, link.map(|(interface, _)| interface)).await
}

/// Returns the interface that a zone names: by its name, or by its number, as systemd-resolved writes it (RFC 4007 §11.2).
fn interface_of(zone: &str) -> Option<u32> {
    zone.parse().ok().filter(|number| *number != 0).or_else(|| tun::index_of(zone).ok())
}

async fn ask_at(server: SocketAddr, name: &str, kind: u16, interface: Option<&str>) -> Option<Found> {
    let question = message::question(name, kind)?;
    let socket = open(server, interface).ok()?;
    // The standard library's hash keys come from the kernel's randomness.
    let id = RandomState::new().build_hasher().finish() as u16;
    let flags_and_counts = [1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let query = [&id.to_be_bytes()[..], &flags_and_counts, &question].concat();
    let mut room = [0; limits::DNS_ANSWER_LEN];
    for _ in 0..limits::DNS_TRIES {
        socket.send(&query).await.ok()?;
        let answer = async {
            loop {
                let length = socket.recv(&mut room).await.ok()?;
                // Whatever else comes is somebody's guess.
                if let Some(answer) = message::answers(&room[..length], id, &question) {
                    return Some(answer);
                }
            }
        };
        if let Ok(answer) = timeout(limits::DNS_ANSWER, answer).await {
            let Response::Answer(addresses, ttl) = answer? else { return None };
            let lifetime = Duration::from_secs(ttl.unwrap_or_default().into());
            return Some(Found {
                addresses,
                lifetime: lifetime.clamp(limits::NAME_LEAST, limits::NAME_MOST),
            });
        }
    }
    None
}

/// Opens a socket to a server, past our own blocks.
fn open(server: SocketAddr, interface: Option<&str>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, None)?;
    // Without leave to mark packets, the question goes where every other one does.
    drop(SockRef::from(&socket).set_mark(Machine::MARK));
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    socket.bind(&SocketAddr::new(any, 0).into())?;
    socket.connect(&server.into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::message::tests::response;
    use super::*;

    async fn answering(wrong_first: bool) -> Option<Found> {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let answer = async {
            let mut query = [0; 512];
            let (length, from) = server.recv_from(&mut query).await.unwrap();
            let good = response(&query[..length]);
            if wrong_first {
                let forged = [&[good[0] ^ 1], &good[1..]].concat();
                server.send_to(&forged, from).await.unwrap();
            }
            server.send_to(&good, from).await.unwrap();
        };
        tokio::join!(ask_at(address, "moon.example.org", TYPE_A, None), answer).0
    }

    #[tokio::test]
    async fn a_server_is_asked_and_its_answer_read_with_its_lifetime() {
        let found =
            Found { addresses: vec!["192.0.2.7".parse().unwrap()], lifetime: Duration::from_secs(200) };
        assert_eq!(answering(false).await, Some(found));
    }

    #[test]
    fn a_link_is_named_by_its_name_or_by_its_number() {
        assert_eq!(interface_of("lo"), Some(1));
        assert_eq!(interface_of("7"), Some(7));
        assert_eq!((interface_of("0"), interface_of("no such link"), interface_of("")), (None, None, None));
        let server = nameserver("nameserver fe80::16%1").unwrap();
        assert_eq!(server.zone.as_deref().and_then(interface_of), Some(1), "as systemd-resolved writes it");
    }

    #[tokio::test]
    async fn a_guess_that_comes_before_the_answer_does_no_harm() {
        assert!(answering(true).await.is_some());
    }

    #[test]
    fn a_question_goes_past_the_blocks_of_a_full_tunnel() {
        crate::machine::tests::with_everything_blocked(|neighbour| {
            neighbour.run("ip addr add 192.0.2.53/32 dev lo");
            let unmarked = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
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
            // A thread has the namespace of its parent, but not its runtime.
            let asked = std::thread::spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let server = "192.0.2.53:53".parse().unwrap();
                runtime.block_on(ask_at(server, "moon.example.org", TYPE_A, None))
            });
            assert_eq!(asked.join().unwrap(), None);
            assert!(arrived() > Some(before));
        });
    }

    #[test]
    fn servers_stand_in_lines_of_their_own() {
        let server = |address: &str, zone: Option<&str>| {
            Some(Server { address: address.parse().unwrap(), zone: zone.map(str::to_owned) })
        };
        assert_eq!(nameserver("nameserver 192.0.2.53 # the first"), server("192.0.2.53", None));
        assert_eq!(nameserver("nameserver fe80::1%eth0"), server("fe80::1", Some("eth0")));
        assert_eq!(nameserver("search example.org"), None);
        assert_eq!(nameserver("nameserver"), None);
    }

    #[test]
    fn a_name_that_the_operator_gave_an_address_to_is_known() {
        let hosts =
            "127.0.0.1 localhost\n# 192.0.2.1 sun.example.org\n192.0.2.1\tmoon.example.org moon # ours\n";
        assert!(is_in_hosts(hosts, "MOON.example.org") && is_in_hosts(hosts, "moon."));
        assert!(!is_in_hosts(hosts, "sun.example.org") && !is_in_hosts(hosts, "192.0.2.1"));
    }

    #[tokio::test]
    async fn an_address_is_its_own_name() {
        assert_eq!(look_up("fd10::1").await.unwrap().addresses, ["fd10::1".parse::<IpAddr>().unwrap()]);
    }
}
