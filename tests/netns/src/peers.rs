//! The two ends of a tunnel, whoever implements them.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{Lab, Namespace, Strongswan, Vpnhost, lab, suite};

/// Who plays an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Player {
    /// vpnhost.
    Ours,
    /// strongSwan with its user-space ESP.
    Strongswan,
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// carol, who initiates.
    Client,
    /// moon, before the inner network.
    Gateway,
}

impl End {
    /// Returns its namespace.
    #[must_use]
    pub fn space(self, lab: &Lab) -> &Namespace {
        match self {
            Self::Client => &lab.carol,
            Self::Gateway => &lab.moon,
        }
    }

    /// Returns its identity.
    #[must_use]
    pub fn identity(self) -> &'static str {
        match self {
            Self::Client => "carol.lab",
            Self::Gateway => "moon.lab",
        }
    }

    /// Returns the other end.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Gateway,
            Self::Gateway => Self::Client,
        }
    }

    /// Returns a short name for files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "carol",
            Self::Gateway => "moon",
        }
    }
}

/// What both ends are configured with; a story changes what it is about.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// IKE proposals, parted by commas.
    pub ike: String,
    /// ESP proposals, parted by commas.
    pub esp: String,
    /// The client's secret.
    pub client_psk: String,
    /// The gateway's secret.
    pub gateway_psk: String,
    /// Who the client says it is, and whom it asks for.
    pub client_names: (String, String),
    /// The gateway's outside address.
    pub gateway: String,
    /// What is behind the gateway.
    pub inner: Vec<String>,
    /// What the client asks for; the gateway's, where empty.
    pub client_wants: Vec<String>,
    /// What is behind the client; `dynamic` is its own address.
    pub behind_client: String,
    /// Whether the client asks for a virtual IPv4 address, and for an IPv6 one.
    pub virtual_addresses: (bool, bool),
    /// `start` of the client of ours: `manual`, `up` or `on-traffic`.
    pub start: String,
    /// `encapsulation` of ours: `always` or `auto`.
    pub encapsulation: String,
    /// Largest IKE message before it is fragmented; 0: the default.
    pub fragment_size: u32,
    /// `allow_legacy`, also where neither suite is an old one.
    pub legacy: bool,
    /// Whether strongSwan speaks MOBIKE; ours does.
    pub mobike: bool,
    /// Half-open SAs from which the gateway asks for cookies (strongSwan only).
    pub cookies: bool,
    /// Further lines for `[host]`.
    pub host: String,
    /// Further lines for `[[connection]]`.
    pub connection: String,
    /// Further lines for `[[connection.child]]`.
    pub child: String,
    /// Further lines for strongSwan's connection, and for its child; they count more than what stands before them.
    pub swanctl: (String, String),
    /// Further lines of strongSwan's `charon` section.
    pub charon: String,
    /// Further tables, such as `[[plugin]]`, for the client, and for the gateway.
    pub tables: (String, String),
    /// The program and its options before `run`.
    pub program: Program,
    /// Certificates, in the place of secrets.
    pub certificates: Option<Certificates>,
    /// How the client proves itself by EAP, beside the certificates that then are the gateway's.
    pub eap: Option<Eap>,
}

/// A client that proves itself by EAP.
#[derive(Clone, Debug)]
pub struct Eap {
    /// `mschapv2` or `tls`.
    pub method: &'static str,
    /// Whether the gateway shows no certificate in IKE.
    pub alone: bool,
    /// The name that the client says, and its password.
    pub client: (&'static str, &'static str),
}

/// The user that a gateway knows, and the password.
pub const USER: (&str, &str) = ("carol", "lab password");

/// What the ends prove themselves with where they do so by certificates.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// Where `pki.sh` made them.
    pub dir: PathBuf,
    /// The client's certificate, by the name of its file.
    pub client: String,
    /// The gateway's.
    pub gateway: String,
    /// The CA that an end of ours trusts.
    pub trusted: String,
    /// Further keys of `peer` for ours, each after a comma.
    pub demands: String,
    /// Further certificates of a client that is strongSwan: each is a connection of that name.
    pub others: Vec<String>,
    /// Whether strongSwan speaks RFC 7427.
    pub digital_signatures: bool,
    /// How signatures are made, as strongSwan demands it: `pubkey` where it does not matter.
    pub scheme: &'static str,
    /// Whether the client proves itself with the secret all the same.
    pub client_has_secret: bool,
}

impl Certificates {
    /// Returns an end's certificate.
    #[must_use]
    pub fn of(&self, end: End) -> &str {
        match end {
            End::Client => &self.client,
            End::Gateway => &self.gateway,
        }
    }
}

/// Where vpnhost lies.
#[derive(Clone, Debug)]
pub struct Program {
    /// The binary.
    pub path: PathBuf,
    /// Options of `run`.
    pub options: Vec<String>,
}

impl Tunnel {
    /// Returns a tunnel of a suite with everything else as usual.
    #[must_use]
    pub fn new(program: &std::path::Path, ike: &str, esp: &str) -> Self {
        Self {
            ike: ike.to_owned(),
            esp: esp.to_owned(),
            client_psk: SECRET.to_owned(),
            gateway_psk: SECRET.to_owned(),
            client_names: (End::Client.identity().to_owned(), End::Gateway.identity().to_owned()),
            gateway: lab::MOON.to_owned(),
            inner: vec![lab::INNER[0].to_owned()],
            client_wants: Vec::new(),
            behind_client: "dynamic".to_owned(),
            virtual_addresses: (true, false),
            start: "manual".to_owned(),
            encapsulation: "always".to_owned(),
            fragment_size: 0,
            legacy: false,
            mobike: false,
            cookies: false,
            host: String::new(),
            connection: String::new(),
            child: String::new(),
            swanctl: (String::new(), String::new()),
            charon: String::new(),
            tables: (String::new(), String::new()),
            program: Program { path: program.to_path_buf(), options: Vec::new() },
            certificates: None,
            eap: None,
        }
    }

    /// Returns what the client asks for behind the gateway.
    #[must_use]
    pub fn wants(&self) -> &[String] {
        if self.client_wants.is_empty() { &self.inner } else { &self.client_wants }
    }

    /// Returns whether `allow_legacy` is to be set.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        self.legacy || suite::is_legacy(&self.ike) || suite::is_legacy(&self.esp)
    }

    /// Returns who an end says it is, and whom it expects.
    #[must_use]
    pub fn names(&self, end: End) -> (&str, &str) {
        match end {
            End::Client => (&self.client_names.0, &self.client_names.1),
            End::Gateway => (end.identity(), end.other().identity()),
        }
    }

    /// Returns an end's secret.
    #[must_use]
    pub fn secret(&self, end: End) -> &str {
        match end {
            End::Client => &self.client_psk,
            End::Gateway => &self.gateway_psk,
        }
    }
}

/// The secret that both ends share where a story is not about that.
const SECRET: &str = "a secret of the lab 5d2f81";

/// The name of the connection and of its child, at both ends and for both players.
pub const CONNECTION: &str = "home";
/// The child's name.
pub const CHILD: &str = "net";

/// How many SAs an end has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaCount {
    /// IKE SAs.
    pub ike: usize,
    /// Child SAs, installed.
    pub child: usize,
}

impl SaCount {
    /// One of each.
    pub const ONE: Self = Self { ike: 1, child: 1 };
    /// None at all.
    pub const NONE: Self = Self { ike: 0, child: 0 };
}

/// An end that runs.
pub trait Peer: std::fmt::Debug {
    /// Takes another configuration while it runs.
    fn configure(&self, tunnel: &Tunnel) -> Result<()>;
    /// Sets the connection up, waiting for the outcome.
    fn up(&self) -> Result<()>;
    /// Takes the IKE SA down, waiting for the outcome.
    fn down(&self) -> Result<()>;
    /// Rekeys the Child SA, waiting until it is asked for.
    fn rekey_child(&self) -> Result<()>;
    /// Rekeys the IKE SA, waiting until it is asked for.
    fn rekey_ike(&self) -> Result<()>;
    /// Counts its SAs.
    fn sas(&self) -> Result<SaCount>;
    /// Returns something that changes when the Child SA is another, and when the IKE SA is.
    fn spis(&self) -> Result<(String, String)>;
    /// Ends it in order.
    fn stop(self: Box<Self>) -> Result<()>;
    /// Ends it as a crash would: nobody is told.
    fn crash(self: Box<Self>) -> Result<()>;
    /// Returns its log.
    fn log(&self) -> String;
    /// Returns the vpnhost that it is, if it is one.
    fn as_vpnhost(&self) -> Option<&Vpnhost> {
        None
    }
}

/// Starts an end.
pub fn start(player: Player, lab: &Lab, end: End, tunnel: &Tunnel) -> Result<Box<dyn Peer>> {
    Ok(match player {
        Player::Ours => Box::new(Vpnhost::start(lab, end, tunnel)?),
        Player::Strongswan => Box::new(Strongswan::start(lab, end, tunnel)?),
    })
}

/// Both ends of a tunnel, running.
#[derive(Debug)]
pub struct Pair {
    /// carol.
    pub client: Box<dyn Peer>,
    /// moon.
    pub gateway: Box<dyn Peer>,
}

impl Pair {
    /// Starts the gateway, then the client.
    pub fn start(lab: &Lab, players: (Player, Player), tunnel: &Tunnel) -> Result<Self> {
        let gateway = start(players.1, lab, End::Gateway, tunnel)?;
        let client = start(players.0, lab, End::Client, tunnel)?;
        Ok(Self { client, gateway })
    }

    /// Fails unless both ends have so many SAs within a moment.
    pub fn expect(&self, count: SaCount, limit: std::time::Duration) -> Result<()> {
        let mut last = (SaCount::NONE, SaCount::NONE);
        let waited = crate::wait::until_true("the SAs", limit, || {
            last = (self.client.sas()?, self.gateway.sas()?);
            Ok(last == (count, count))
        });
        match waited {
            Ok(()) => Ok(()),
            Err(_) => bail!("{count:?} expected at both ends; carol has {:?}, moon {:?}", last.0, last.1),
        }
    }
}
