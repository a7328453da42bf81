//! The DNS of a lab: names of its own, and the addresses that stand for them behind a NAT64 (RFC 6147), as also
//! `ipv4only.arpa` has them (RFC 7050).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use vpnhost_model::Pref64;

use crate::Namespace;
use crate::link::sys;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
/// After so long without a question, the thread looks whether it shall end.
const PAUSE: Duration = Duration::from_millis(50);
/// What every network of IPv6 alone is asked for, and its addresses.
const IPV4_ONLY: (&str, [Ipv4Addr; 2]) =
    ("ipv4only.arpa", [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)]);

/// What a server knows, and what it was asked.
#[derive(Debug, Default)]
struct Zone {
    names: BTreeMap<String, Vec<IpAddr>>,
    ttl: u32,
    /// For those who ask by IPv6.
    prefix: Option<Pref64>,
    asked: Vec<(SocketAddr, String)>,
    ends: bool,
}

/// A DNS server that runs.
#[derive(Debug)]
pub struct Dns {
    zone: Arc<Mutex<Zone>>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    /// Starts one in a namespace, on every address of it.
    pub fn start(space: &Namespace, ttl: u32, prefix: Option<Pref64>) -> Result<Self> {
        let socket = sys::inside(space.name(), || UdpSocket::bind("[::]:53").context("cannot bind port 53"))?;
        socket.set_read_timeout(Some(PAUSE))?;
        let names = [(IPV4_ONLY.0.to_owned(), IPV4_ONLY.1.map(IpAddr::V4).to_vec())].into();
        let zone = Arc::new(Mutex::new(Zone { names, ttl, prefix, ..Zone::default() }));
        let shared = Arc::clone(&zone);
        let thread = std::thread::Builder::new().name("dns".to_owned());
        let thread = thread.spawn(move || serve(&socket, &shared)).context("cannot start a thread")?;
        Ok(Self { zone, thread: Some(thread) })
    }

    /// Sets the addresses of a name.
    pub fn set(&self, name: &str, addresses: &[IpAddr]) {
        lock(&self.zone).names.insert(name.to_owned(), addresses.to_vec());
    }

    /// Returns how often a name was asked for, and forgets it.
    #[must_use]
    pub fn asked(&self, name: &str) -> usize {
        let mut zone = lock(&self.zone);
        let count = zone.asked.iter().filter(|(_, asked)| asked == name).count();
        zone.asked.retain(|(_, asked)| asked != name);
        count
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        lock(&self.zone).ends = true;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the thread of a DNS server panicked");
        }
    }
}

fn lock(zone: &Mutex<Zone>) -> std::sync::MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(socket: &UdpSocket, zone: &Mutex<Zone>) {
    let mut room = [0; 512];
    loop {
        let received = socket.recv_from(&mut room);
        let mut zone = lock(zone);
        if zone.ends {
            return;
        }
        match received {
            Ok((length, from)) => {
                if let Some(reply) = zone.answer(&room[..length], from) {
                    // Who has gone meanwhile asks again from where it is.
                    drop(socket.send_to(&reply, from));
                }
            }
            // With a timeout a read may be interrupted though no signal is handled, and is not begun again (signal(7)).
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            // Of an answer that did not arrive.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => {
                eprintln!("a DNS server ends: {error}");
                return;
            }
        }
    }
}

impl Zone {
    /// Answers a question (RFC 1035 §4.1); a name that is not there has no address.
    fn answer(&mut self, query: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        let (mut at, mut labels) = (12, Vec::new());
        loop {
            let length = usize::from(*query.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            let label = query.get(at..at + length)?;
            labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?);
        let name = labels.join(".");
        let addresses = self.addresses(&name, kind, from);
        self.asked.push((from, name));
        let mut reply = query.get(..at + 4)?.to_vec();
        reply[2] = 0x80 | (query[2] & 1);
        reply[3] = 0x80;
        reply[4..12].copy_from_slice(&[0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]);
        for address in addresses {
            let (kind, data) = match address {
                IpAddr::V4(address) => (TYPE_A, address.octets().to_vec()),
                IpAddr::V6(address) => (TYPE_AAAA, address.octets().to_vec()),
            };
            reply.extend([0xc0, 12]);
            reply.extend(kind.to_be_bytes());
            reply.extend([0, 1]);
            reply.extend(self.ttl.to_be_bytes());
            reply.extend((data.len() as u16).to_be_bytes());
            reply.extend(data);
        }
        Some(reply)
    }

    fn addresses(&self, name: &str, kind: u16, from: SocketAddr) -> Vec<IpAddr> {
        let known = self.names.get(name).cloned().unwrap_or_default();
        let of = |wanted: fn(&IpAddr) -> bool| known.iter().copied().filter(wanted).collect::<Vec<_>>();
        let by_ipv6 = matches!(from.ip(), IpAddr::V6(address) if address.to_ipv4_mapped().is_none());
        match (kind, self.prefix.filter(|_| by_ipv6)) {
            (TYPE_A, _) => of(IpAddr::is_ipv4),
            (TYPE_AAAA, Some(prefix)) if !known.iter().any(IpAddr::is_ipv6) => {
                let synthesize = |address: &IpAddr| match address {
                    IpAddr::V4(address) => prefix.synthesize(*address).map(IpAddr::V6),
                    IpAddr::V6(_) => None,
                };
                known.iter().filter_map(synthesize).collect()
            }
            (TYPE_AAAA, _) => of(IpAddr::is_ipv6),
            _ => Vec::new(),
        }
    }
}

/// Returns the prefix of the lab's NAT64.
#[must_use]
pub fn prefix() -> Pref64 {
    let base = Ipv6Addr::new(0x2001, 0xdb8, 0x64, 0, 0, 0, 0, 0);
    Pref64::new(base, 96).unwrap_or(Pref64::WELL_KNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(from: &str, kind: u16) -> Vec<String> {
        let names = [(IPV4_ONLY.0.to_owned(), IPV4_ONLY.1.map(IpAddr::V4).to_vec())].into();
        let zone = Zone { names, ttl: 60, prefix: Some(prefix()), ..Zone::default() };
        let found = zone.addresses(IPV4_ONLY.0, kind, format!("{from}:1000").parse().unwrap());
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_who_asks_by_ipv6_is_told_addresses_behind_the_nat64() {
        assert_eq!(addresses("[fd02::10]", TYPE_AAAA), ["2001:db8:64::c000:aa", "2001:db8:64::c000:ab"]);
        assert_eq!(addresses("[fd02::10]", TYPE_A), ["192.0.0.170", "192.0.0.171"]);
        assert!(addresses("[::ffff:10.1.0.10]", TYPE_AAAA).is_empty());
    }
}
