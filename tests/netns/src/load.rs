//! A load of initiators: each has an endpoint of its own, a socket of its own, an address and an identity of its own,
//! and no packet path. What they say is real; what answers them does not see that they are one process.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant as Clock, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use vpnhost_crypto::SecretBytes;
use vpnhost_ike::{
    ChildConfig, Command, EndpointConfig, Event, Gateway, IkeEndpoint, Output, PeerConfig, PeerIdentity,
    RequestAddress, Secrets, SelectorConfig, Timing,
};
use vpnhost_kit::{configuration, random};
use vpnhost_model::{Encapsulation, IkeSuite, Instant, Now, Path};
use vpnhost_policy_standard::Standard;

/// The IKE suite of every initiator.
pub const IKE: &str = "aes128gcm16-prfsha256-x25519";
/// The ESP suite of every initiator.
pub const ESP: &str = "aes128gcm16";
/// Who the gateway says it is.
pub const GATEWAY: &str = "moon.lab";
/// Where the initiators' addresses come from: the namespace has all of it.
pub const ADDRESSES: &str = "10.50.0.0/16";
/// How many are under way at once: fewer than what makes either peer ask for cookies.
const AT_ONCE: usize = 16;
/// How long nothing may go on.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause where nothing was received.
const PAUSE: Duration = Duration::from_micros(100);
/// In front of each IKE message on this port (RFC 3948 §2.2).
const MARKER: [u8; 4] = [0; 4];
const NAT_PORT: u16 = 4500;

/// Returns the identity and the secret of an initiator.
#[must_use]
pub fn user(number: usize) -> (String, String) {
    (format!("user{number}@load.lab"), format!("the secret of number {number}, 7c1e"))
}

/// Returns an initiator's address.
fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 50, (number / 250) as u8, (number % 250) as u8 + 1)
}

/// Sets up so many IKE SAs with a Child SA each, prints how long it took, and holds them until standard input closes.
pub fn hold(gateway: &str, count: usize) -> Result<()> {
    let gateway = SocketAddr::new(gateway.parse()?, NAT_PORT);
    let mut load = Load { began: Clock::now(), all: Vec::new(), waiting: Vec::new(), up: 0 };
    let mut progress = Clock::now();
    while load.up < count {
        while load.all.len() < count && load.waiting.len() < AT_ONCE {
            load.begin(gateway)?;
        }
        match load.turn()? {
            0 if progress.elapsed() > PATIENCE => bail!("{} of {count} are up, and nothing goes on", load.up),
            0 => std::thread::sleep(PAUSE),
            _ => progress = Clock::now(),
        }
    }
    println!("up {count} seconds {}", load.began.elapsed().as_secs_f64());
    // What the gateway says meanwhile is left unanswered: it is told not to ask.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

struct Load {
    began: Clock,
    all: Vec<Initiator>,
    /// Those that are not up yet.
    waiting: Vec<usize>,
    up: usize,
}

struct Initiator {
    socket: UdpSocket,
    endpoint: IkeEndpoint,
    path: Path,
    child: bool,
}

impl Load {
    fn now(&self) -> Now {
        let since = self.began.elapsed();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Zero is a time like any other, but no deadline lies before it.
        Now { instant: Instant(1) + since, unix, ..Now::default() }
    }

    fn begin(&mut self, gateway: SocketAddr) -> Result<()> {
        let (number, now) = (self.all.len(), self.now());
        let mut initiator = Initiator::new(number, gateway, now)?;
        initiator.drive(now)?;
        self.waiting.push(number);
        self.all.push(initiator);
        Ok(())
    }

    /// Goes round those that are under way; returns how many messages came.
    fn turn(&mut self) -> Result<usize> {
        let now = self.now();
        let (mut came, mut waiting) = (0, std::mem::take(&mut self.waiting));
        for number in &waiting {
            let initiator = &mut self.all[*number];
            came += initiator.receive(now).with_context(|| format!("initiator {number}"))?;
        }
        let before = waiting.len();
        waiting.retain(|number| !self.all[*number].child);
        self.up += before - waiting.len();
        self.waiting = waiting;
        Ok(came)
    }
}

/// Returns the IKE_SA_INIT of an initiator whom nobody answers yet.
pub(crate) fn first_message(gateway: SocketAddr) -> Result<Vec<u8>> {
    let now = Now { instant: Instant(1), ..Now::default() };
    let mut endpoint = endpoint(0, gateway, now);
    while let Some(output) = endpoint.poll_output() {
        if let Output::Transmit(transmit) = output {
            return Ok(transmit.octets);
        }
        if let Output::Work(id, job) = output {
            endpoint.handle_work(now, id, job.run());
        }
    }
    bail!("an initiator says nothing")
}

fn endpoint(number: usize, gateway: SocketAddr, now: Now) -> IkeEndpoint {
    let seed = 0x10ad_0000 + number as u64;
    let mut endpoint = IkeEndpoint::new(
        EndpointConfig::default(),
        vpnhost_rustcrypto::backend(),
        Box::new(random::source(seed)),
        Arc::new(Standard),
        now,
    );
    let config = configuration::endpoint(connection(number, gateway));
    endpoint.handle_command(now, Command::Configure(Box::new(config)));
    endpoint
}

impl Initiator {
    fn new(number: usize, gateway: SocketAddr, now: Now) -> Result<Self> {
        let local = SocketAddr::new(address(number).into(), NAT_PORT);
        let socket = UdpSocket::bind(local).with_context(|| format!("cannot bind {local}"))?;
        socket.set_nonblocking(true)?;
        let endpoint = endpoint(number, gateway, now);
        let path = Path { local, remote: gateway, interface: None, encapsulation: Encapsulation::Udp };
        Ok(Self { socket, endpoint, path, child: false })
    }

    fn receive(&mut self, now: Now) -> Result<usize> {
        let (mut buffer, mut came) = ([0; 4096], 0);
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let Some(message) = buffer[..length].strip_prefix(&MARKER) else { continue };
            let mut message = message.to_vec();
            self.endpoint.handle_datagram(now, self.path, &mut message);
            came += 1;
        }
        if self.endpoint.poll_timeout().is_some_and(|(deadline, _)| deadline <= now.instant) {
            self.endpoint.handle_timeout(now);
        }
        self.drive(now)?;
        Ok(came)
    }

    /// Carries out what the endpoint wants.
    fn drive(&mut self, now: Now) -> Result<()> {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    let datagram = [&MARKER[..], &transmit.octets].concat();
                    self.socket.send_to(&datagram, transmit.path.remote)?;
                }
                Output::Work(id, job) => self.endpoint.handle_work(now, id, job.run()),
                Output::Ask(id, _) => self.endpoint.handle_answer(now, id, None),
                Output::Event(Event::ChildSaEstablished { .. }) => self.child = true,
                Output::Event(Event::IkeSaClosed { reason, .. } | Event::ChildSaFailed { reason, .. }) => {
                    bail!("refused: {reason}")
                }
                Output::Event(_)
                | Output::ReserveSpi(_)
                | Output::FreeSpi(_)
                | Output::InstallChildSa(_)
                | Output::LimitChildSa(..)
                | Output::ActivateOutbound(_)
                | Output::MoveChildSas(..)
                | Output::PathMtu(..)
                | Output::RemoveChildSa(_)
                | Output::ConfigureHost(_)
                | Output::ReleaseHost(_)
                | Output::RenameIkeSa { .. }
                | Output::FindPairs(_) => {}
            }
        }
        Ok(())
    }
}

fn connection(number: usize, gateway: SocketAddr) -> PeerConfig {
    let (identity, secret) = user(number);
    let secret = SecretBytes::new(secret.into_bytes());
    let child = configuration::child("net", ESP, "0.0.0.0/0", "10.20.0.0/24");
    let child = ChildConfig { local: vec![SelectorConfig::Dynamic], ..child };
    PeerConfig {
        respond: false,
        gateways: vec![Gateway { address: gateway }],
        local_id: configuration::identity(&identity),
        peer_id: PeerIdentity::Is(configuration::identity(GATEWAY)),
        secrets: Secrets { default: Some(secret), ..Secrets::default() },
        ike: IkeSuite::parse_all(IKE).unwrap_or_default(),
        request_address: RequestAddress { v4: true, v6: false },
        timing: Timing { liveness_idle: Duration::ZERO, keepalive: Duration::ZERO, ..Timing::default() },
        ..configuration::initiator(vec![child])
    }
}

/// Returns the configuration of a gateway of ours for so many users, whose secrets lie in a file.
#[must_use]
pub fn vpnhost_toml(control: &str, secrets: &str) -> String {
    format!(
        "[host]\ncontrol = {control:?}\nstate = \"{control}.state\"\ntun = {{ name = \"vpn0\", mtu = 1400 }}\n\n\
         [[connection]]\nname = \"crowd\"\nrole = \"responder\"\ngateway = [\"%any\"]\n\
         local = {{ id = \"{GATEWAY}\" }}\npeer = {{ id = \"%any\", secrets_file = {secrets:?} }}\n\
         ike = [\"{IKE}\"]\ndpd = \"never\"\n\n\
         [[connection.child]]\nname = \"net\"\nlocal_ts = [\"10.20.0.0/24\"]\nremote_ts = [\"dynamic\"]\n\
         esp = [\"{ESP}\"]\n\n[[pool]]\nname = \"crowd\"\naddresses = \"10.64.0.0/16\"\n"
    )
}

/// Returns the file with the secrets of so many users.
#[must_use]
pub fn secrets(count: usize) -> String {
    (0..count).map(user).map(|(identity, secret)| format!("{identity} {secret}\n")).collect()
}

/// Returns strongSwan's configuration for the same.
#[must_use]
pub fn swanctl_conf(count: usize) -> String {
    let secret = |number: usize| {
        let (identity, secret) = user(number);
        format!("  ike-{number} {{\n    id = {identity}\n    secret = \"{secret}\"\n  }}\n")
    };
    let secrets: String = (0..count).map(secret).collect();
    format!(
        "connections {{\n  crowd {{\n    version = 2\n    proposals = {IKE}\n    rekey_time = 0\n    mobike = no\n    dpd_delay = 0\n\
         \x20   pools = crowd\n    local {{\n      auth = psk\n      id = {GATEWAY}\n    }}\n    remote {{\n      auth = psk\n    }}\n\
         \x20   children {{\n      net {{\n        local_ts = 10.20.0.0/24\n        esp_proposals = {ESP}\n        rekey_time = 0\n      }}\n    }}\n  }}\n}}\n\
         pools {{\n  crowd {{\n    addrs = 10.64.0.0/16\n  }}\n}}\nsecrets {{\n{secrets}}}\n"
    )
}
