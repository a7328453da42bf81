//! ESP by request, for a judge in another language: a request a line, an answer a line.
//!
//! ```text
//! esp_oracle [rustcrypto|aws-lc]
//!
//! suites                                                       suite NAME KEY_LEN INTEGRITY_KEY_LEN ... end
//! seal SUITE KEY INTEGRITY_KEY SPI esn|short LAST PATH OCTETS  ok OCTETS | drop CAUSE
//! open SUITE KEY INTEGRITY_KEY SPI esn|short LAST PATH OCTETS  ok OCTETS | drop CAUSE
//! ```
//! Octets and the SPI are hexadecimal; an absent key is `-`. `LAST` is the last sequence number under the
//! key, in decimal: the next packet has the one behind it. `PATH` is `udp4`, `udp6`, `raw4` or `raw6`, with
//! `-transport` behind it for transport mode between the two hosts, and `-nat` or `-unknown` for transport mode
//! through a NAT whose inner addresses the peer told or did not tell. An
//! inner packet goes in and ESP comes out of `seal`, without the headers in front, which a socket adds. Each
//! request has an SA of its own, in the [`Outbound`] and [`Inbound`] that the data plane runs. It invents
//! keys and IVs for nobody: its random octets are a plain sequence.

use std::io::{self, BufRead as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::ParseIntError;
use std::sync::Arc;

use vpnhost_crypto::{CryptoBackend, CryptoError, PacketAlgorithm as _, PacketKey, SecureRandom};
use vpnhost_ipsec::{
    Arrival, Batch, Counters, Inbound, InboundCommand, InboundSa, Outbound, OutboundCommand, OutboundSa,
    SaActivity, TunnelConfig, Verdict,
};
use vpnhost_model::{
    ChildSaId, ChildSpi, Encapsulation, Instant, Mode, Path, Sequence, TrafficSelector, Translation,
};

/// The largest packet of a request.
const LARGEST: usize = 2048;
const NOW: Instant = Instant(0);
const ID: ChildSaId = ChildSaId(1);

type Backend = &'static dyn CryptoBackend;

fn main() -> io::Result<()> {
    let backend = match std::env::args().nth(1).as_deref() {
        None | Some("rustcrypto") => vpnhost_rustcrypto::backend(),
        Some("aws-lc") => vpnhost_aws_lc::backend(),
        Some(_) => return Err(io::Error::other("the backends are rustcrypto and aws-lc")),
    };
    let mut random = Rising(0);
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let answer = answer(backend, &line?, &mut random).unwrap_or_else(|why| format!("error {why}"));
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

fn answer(backend: Backend, line: &str, random: &mut Rising) -> Result<String, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["suites"] => Ok(suites(backend)),
        ["seal", rest @ ..] => seal(Request::read(backend, rest)?, random),
        ["open", rest @ ..] => open(Request::read(backend, rest)?),
        _ => Err("neither suites, seal nor open".to_owned()),
    }
}

/// Names every packet protection of the backend, so that the judge forgets none.
fn suites(backend: Backend) -> String {
    let mut lines = Vec::new();
    for id in backend.packet_ids() {
        if let Some(algorithm) = backend.find_packet(id) {
            let layout = algorithm.layout();
            lines.push(format!("suite {id} {} {}", layout.encryption_key_len, layout.integrity_key_len));
        }
    }
    lines.push("end".to_owned());
    lines.join("\n")
}

/// What a line asks for.
struct Request {
    key: Box<dyn PacketKey>,
    spi: ChildSpi,
    sequence: Sequence,
    last_sequence: u64,
    path: Path,
    mode: Mode,
    translation: Translation,
    octets: Vec<u8>,
}

impl Request {
    fn read(backend: Backend, words: &[&str]) -> Result<Self, String> {
        let &[suite, key, integrity_key, spi, sequence, last, path, octets] = words else {
            return Err(format!("{} words", words.len()));
        };
        let id = backend.packet_ids().into_iter().find(|id| id.to_string() == suite);
        let algorithm = id.and_then(|id| backend.find_packet(id)).ok_or("unknown suite")?;
        let key = algorithm.key(&hex(key)?, &hex(integrity_key)?).map_err(|error| error.to_string())?;
        let sequence = match sequence {
            "esn" => Sequence::EXTENDED,
            "short" => Sequence::SHORT,
            _ => return Err("neither esn nor short".to_owned()),
        };
        let (path, kind) = path.split_once('-').unwrap_or((path, ""));
        let path = path_of(path)?;
        let (mode, translation) = match kind {
            "" => (Mode::Tunnel, Translation::None),
            "transport" => (Mode::Transport, Translation::None),
            "unknown" => (Mode::Transport, Translation::Unknown),
            "nat" => (
                Mode::Transport,
                Translation::From { local: path.remote.ip(), remote: inside(path.local.ip()) },
            ),
            _ => return Err("neither transport, nat nor unknown".to_owned()),
        };
        let number = |error: ParseIntError| error.to_string();
        Ok(Self {
            key,
            spi: ChildSpi(u32::from_str_radix(spi, 16).map_err(number)?),
            sequence,
            last_sequence: last.parse().map_err(number)?,
            path,
            mode,
            translation,
            octets: hex(octets)?,
        })
    }
}

fn seal(request: Request, random: &mut Rising) -> Result<String, String> {
    let Request { key, spi, sequence, last_sequence, path, mode, octets, .. } = request;
    let counters = Arc::new(Counters::default());
    let mut outbound = Outbound::new(TunnelConfig::default(), Box::new(random.fork()), counters);
    let sa = OutboundSa {
        id: ID,
        spi,
        path,
        key,
        sequence,
        last_sequence,
        local: selectors(mode, path.local.ip()),
        remote: selectors(mode, path.remote.ip()),
        mode,
        activity: Arc::new(SaActivity::default()),
    };
    for command in [OutboundCommand::Install(Box::new(sa)), OutboundCommand::Activate(ID)] {
        outbound.handle_command(NOW, command).map_err(|error| error.to_string())?;
    }
    let mut batch = Batch::new(1, LARGEST);
    fill(&mut batch, &octets)?;
    batch.push(octets.len());
    outbound.seal(NOW, &mut batch);
    Ok(outcome(&batch))
}

fn open(request: Request) -> Result<String, String> {
    let Request { key, spi, sequence, last_sequence, path, mode, translation, octets } = request;
    let mut inbound = Inbound::new(TunnelConfig::default(), Arc::new(Counters::default()));
    let sa = InboundSa {
        id: ID,
        spi,
        path,
        key,
        sequence,
        last_sequence,
        replay_window: 64,
        // Whoever opens is the other host.
        local: selectors(mode, path.remote.ip()),
        remote: selectors(mode, path.local.ip()),
        mode,
        translation,
        activity: Arc::new(SaActivity::default()),
    };
    let install = InboundCommand::Install(Box::new(sa));
    inbound.handle_command(NOW, install).map_err(|error| error.to_string())?;
    let mut batch = Batch::new(1, LARGEST);
    fill(&mut batch, &octets)?;
    batch.push_arrival(0, octets.len(), Arrival { path, tos: 0 });
    inbound.open(NOW, &mut batch);
    Ok(outcome(&batch))
}

fn fill(batch: &mut Batch, octets: &[u8]) -> Result<(), String> {
    let room = batch.room().and_then(|room| room.get_mut(..octets.len())).ok_or("too long")?;
    room.copy_from_slice(octets);
    Ok(())
}

fn outcome(batch: &Batch) -> String {
    let Some((packet, octets)) = batch.packets().next() else { return "error no packet".to_owned() };
    match packet.verdict() {
        Verdict::Send(_) | Verdict::Deliver => {
            format!("ok {}", octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>())
        }
        Verdict::Dropped(cause) => format!("drop {}", cause.name()),
        Verdict::Reply => "drop too_big".to_owned(),
        Verdict::Pending | Verdict::Waits => "error undecided".to_owned(),
    }
}

fn selectors(mode: Mode, host: IpAddr) -> Vec<TrafficSelector> {
    match mode {
        Mode::Tunnel => vec![TrafficSelector::any_v4(), TrafficSelector::any_v6()],
        Mode::Transport => vec![TrafficSelector::host(host)],
    }
}

/// Returns the address that a host has behind its NAT.
fn inside(outside: IpAddr) -> IpAddr {
    match outside {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(10, 9, 8, 7)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 7)),
    }
}

fn path_of(word: &str) -> Result<Path, String> {
    let encapsulation = match word.get(..3) {
        Some("udp") => Encapsulation::Udp,
        Some("raw") => Encapsulation::Raw,
        _ => return Err("neither udp nor raw".to_owned()),
    };
    let (local, remote) = match word.get(3..) {
        Some("4") => ("192.0.2.1:4500", "192.0.2.2:4500"),
        Some("6") => ("[2001:db8::1]:4500", "[2001:db8::2]:4500"),
        _ => return Err("neither 4 nor 6".to_owned()),
    };
    let [local, remote] = [local, remote].map(|text| text.parse().expect("a socket address"));
    Ok(Path { local, remote, interface: None, encapsulation })
}

fn hex(word: &str) -> Result<Vec<u8>, String> {
    if word == "-" {
        return Ok(Vec::new());
    }
    let octet = |at: usize| word.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    let octets: Option<Vec<u8>> = (0..word.len()).step_by(2).map(octet).collect();
    octets.ok_or_else(|| "not hexadecimal".to_owned())
}

/// Octets that differ from request to request, and are foreseen by everybody.
struct Rising(u64);

impl Rising {
    fn fork(&mut self) -> Self {
        self.0 += 1;
        Self(self.0 << 32)
    }
}

impl SecureRandom for Rising {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        for piece in out.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            piece.copy_from_slice(&mixed.to_be_bytes()[..piece.len()]);
        }
        Ok(())
    }
}
