//! strongSwan in a namespace: its files, its daemon, its control. ESP runs in user space (kernel-libipsec).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::run;
use crate::peers::{CHILD, CONNECTION, Certificates, Eap, End, Peer, SaCount, Tunnel, USER};
use crate::{Lab, Running, wait};

/// What charon loads; kernel-libipsec comes before kernel-netlink and takes SAs and policies.
const PLUGINS: &str = "random nonce openssl aes des sha1 sha2 md5 hmac xcbc cmac kdf gcm ctr ccm chapoly curve25519 \
     x509 revocation constraints pubkey pem pkcs1 pkcs8 eap-identity eap-mschapv2 eap-tls \
     kernel-libipsec kernel-netlink socket-default vici updown";

/// A strongSwan daemon.
#[derive(Debug)]
pub struct Strongswan {
    daemon: Option<Running>,
    dir: PathBuf,
    socket: PathBuf,
    space: String,
    end: End,
}

impl Strongswan {
    /// Writes its files, starts it, loads its connection.
    pub fn start(lab: &Lab, end: End, tunnel: &Tunnel) -> Result<Self> {
        Self::start_with(lab, end, tunnel, &swanctl_conf(end, tunnel))
    }

    /// Starts it with connections, pools and secrets of one's own.
    pub fn start_with(lab: &Lab, end: End, tunnel: &Tunnel, swanctl_conf: &str) -> Result<Self> {
        let dir = lab.dir().join(format!("strongswan-{}", end.name()));
        // What lay there for another tunnel would be loaded, too.
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        // swanctl looks into each of these and complains where one is absent.
        for sub in [
            "x509", "x509ca", "x509aa", "x509ac", "x509ocsp", "x509crl", "private", "pubkey", "rsa", "ecdsa",
            "bliss", "pkcs8", "pkcs12",
        ] {
            std::fs::create_dir_all(dir.join("swanctl").join(sub))?;
        }
        let socket = lab.socket(&format!("{}.vici", end.name()));
        std::fs::write(dir.join("strongswan.conf"), strongswan_conf(&dir, &socket, tunnel))?;
        std::fs::write(dir.join("swanctl/swanctl.conf"), swanctl_conf)?;
        if let Some(certificates) = &tunnel.certificates {
            copy(certificates, end, &dir.join("swanctl"))?;
        }
        if socket.exists() {
            std::fs::remove_file(&socket)?;
        }
        let space = end.space(lab);
        let mut command = space.command("charon-systemd");
        command.env("STRONGSWAN_CONF", dir.join("strongswan.conf"));
        let mut daemon = Running::start(&mut command, &dir.join("stdout.log"))?;
        wait::until("charon's control socket", Duration::from_secs(15), || match daemon.ended()? {
            Some(status) => anyhow::bail!("charon ended ({status}): {}", daemon.log()),
            None => Ok(socket.exists().then_some(())),
        })?;
        let host = Self { daemon: Some(daemon), dir, socket, space: space.name().to_owned(), end };
        host.control(&["--load-all"]).context("swanctl --load-all")?;
        // Its TUN device drops what does not fit into a short queue: that is not what the tests are about.
        space.run("ip link set ipsec0 txqueuelen 5000")?;
        Ok(host)
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Running::pid)
    }

    /// Runs swanctl against it.
    pub fn control(&self, arguments: &[&str]) -> Result<String> {
        let mut command = std::process::Command::new("ip");
        command.args(["netns", "exec", &self.space, "swanctl"]).args(arguments);
        command.args(["--uri", &format!("unix://{}", self.socket.display())]);
        command.env("STRONGSWAN_CONF", self.dir.join("strongswan.conf"));
        command.env("SWANCTL_DIR", self.dir.join("swanctl"));
        run(&mut command)
    }
}

impl Peer for Strongswan {
    fn configure(&self, tunnel: &Tunnel) -> Result<()> {
        std::fs::write(self.dir.join("swanctl/swanctl.conf"), swanctl_conf(self.end, tunnel))?;
        self.control(&["--load-conns"]).map(drop)
    }

    fn up(&self) -> Result<()> {
        self.control(&["--initiate", "--child", CHILD, "--timeout", "20"]).map(drop)
    }

    fn down(&self) -> Result<()> {
        self.control(&["--terminate", "--ike", CONNECTION, "--timeout", "20"]).map(drop)
    }

    fn rekey_child(&self) -> Result<()> {
        self.control(&["--rekey", "--child", CHILD]).map(drop)
    }

    fn rekey_ike(&self) -> Result<()> {
        self.control(&["--rekey", "--ike", CONNECTION]).map(drop)
    }

    fn sas(&self) -> Result<SaCount> {
        let text = self.control(&["--list-sas"])?;
        let count = |word: &str| text.lines().filter(|line| line.contains(word)).count();
        Ok(SaCount { ike: count(", ESTABLISHED, IKEv2"), child: count(", INSTALLED, TUNNEL") })
    }

    fn spis(&self) -> Result<(String, String)> {
        let text = self.control(&["--list-sas"])?;
        let children: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.contains(", INSTALLED, TUNNEL"))
            .filter(|line| line.trim_start().starts_with("in "))
            .filter_map(|line| line.split_whitespace().nth(1))
            .collect();
        let ike = text.lines().find(|line| line.contains(", ESTABLISHED, IKEv2")).unwrap_or_default();
        let ike = ike.split_whitespace().filter(|word| word.contains("_i") || word.contains("_r"));
        let ike: Vec<&str> = ike.map(|word| word.trim_end_matches('*')).collect();
        Ok((children.first().copied().unwrap_or_default().to_owned(), ike.join(" ")))
    }

    fn stop(mut self: Box<Self>) -> Result<()> {
        match self.daemon.take() {
            Some(daemon) => daemon.stop("TERM").map(drop),
            None => Ok(()),
        }
    }

    fn crash(mut self: Box<Self>) -> Result<()> {
        self.daemon.take().map_or(Ok(()), Running::kill)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("charon.log")).unwrap_or_default()
    }
}

/// Puts certificates and keys where strongSwan looks for them.
fn copy(certificates: &Certificates, end: End, into: &Path) -> Result<()> {
    let of_client = || certificates.others.iter().filter(|_| end == End::Client);
    let own = std::iter::once(certificates.of(end)).chain(of_client().map(String::as_str));
    let copy = |file: String, sub: &str| {
        let from = certificates.dir.join(&file);
        std::fs::copy(&from, into.join(sub).join(&file)).with_context(|| from.display().to_string()).map(drop)
    };
    for name in own {
        copy(format!("{name}.pem"), "x509")?;
        copy(format!("{name}.key"), "private")?;
    }
    // The intermediate CA is one that strongSwan sends, and trusts only below the root.
    ["root.pem", "middle.pem"].into_iter().try_for_each(|ca| copy(ca.to_owned(), "x509ca"))
}

fn strongswan_conf(dir: &Path, socket: &Path, tunnel: &Tunnel) -> String {
    let mut options = String::from("  retransmit_timeout = 1\n  close_ike_on_child_failure = no\n");
    if tunnel.fragment_size > 0 {
        options += &format!("  fragment_size = {}\n", tunnel.fragment_size);
    }
    if tunnel.certificates.as_ref().is_some_and(|certificates| !certificates.digital_signatures) {
        options += "  signature_authentication = no\n";
    }
    if tunnel.certificates.as_ref().is_some_and(|certificates| certificates.scheme.contains("pss")) {
        options += "  rsa_pss = yes\n";
    }
    options += &tunnel.charon;
    if tunnel.cookies {
        options += "  cookie_threshold_ip = 1\n  cookie_threshold = 1\n  block_threshold = 0\n";
    }
    format!(
        "charon-systemd {{\n  journal {{\n    default = -1\n  }}\n}}\n\
         charon {{\n  load_modular = no\n  load = {PLUGINS}\n{options}\
         \x20 plugins {{\n    vici {{\n      socket = unix://{socket}\n    }}\n    kernel-libipsec {{\n      load = yes\n    }}\n  }}\n\
         \x20 filelog {{\n    main {{\n      path = {dir}/charon.log\n      time_format = %H:%M:%S\n      time_add_ms = yes\n\
         \x20     flush_line = yes\n      append = no\n      default = 1\n      ike = 2\n      cfg = 2\n    }}\n  }}\n}}\n\
         swanctl {{\n  load = random nonce openssl pubkey pem pkcs1 pkcs8\n}}\n",
        dir = dir.display(),
        socket = socket.display(),
    )
}

/// Writes the connection, pools and secrets of an end.
pub(crate) fn swanctl_conf(end: End, tunnel: &Tunnel) -> String {
    let (local, remote) = tunnel.names(end);
    let mut connection =
        format!("    version = 2\n    proposals = {}\n    fragmentation = yes\n", tunnel.ike);
    // Nothing happens by time: a story says when.
    connection += "    rekey_time = 0\n    dpd_delay = 0\n";
    connection += if tunnel.mobike { "    mobike = yes\n" } else { "    mobike = no\n" };
    let child = match end {
        End::Client => {
            connection += &format!("    remote_addrs = {}\n", tunnel.gateway);
            let wanted = match tunnel.virtual_addresses {
                (true, true) => "0.0.0.0, ::",
                (true, false) => "0.0.0.0",
                (false, true) => "::",
                (false, false) => "",
            };
            if !wanted.is_empty() {
                connection += &format!("    vips = {wanted}\n");
            }
            format!("local_ts = {}\n        remote_ts = {}", tunnel.behind_client, tunnel.wants().join(", "))
        }
        End::Gateway => {
            // With pools it wants every client to ask for an address.
            if tunnel.virtual_addresses != (false, false) {
                connection += "    pools = vip4, vip6\n";
            }
            format!("local_ts = {}\n        remote_ts = {}", tunnel.inner.join(", "), tunnel.behind_client)
        }
    };
    connection += &tunnel.swanctl.0;
    let body = |own: &str, trusted: &str| {
        format!(
            "{connection}\x20   local {{\n      {own}\n      id = {local}\n    }}\n\
             \x20   remote {{\n      {trusted}\n      id = {remote}\n    }}\n\
             \x20   children {{\n      {CHILD} {{\n        {child}\n        esp_proposals = {esp}\n        rekey_time = 0\n{further}      }}\n    }}\n",
            further = tunnel.swanctl.1,
            esp = tunnel.esp,
        )
    };
    let (own, trusted) = match &tunnel.certificates {
        Some(certificates) => {
            let scheme = certificates.scheme;
            let own = format!("auth = {scheme}\n      certs = {}.pem", certificates.of(end));
            let trusted = format!("auth = {scheme}\n      cacerts = root.pem");
            match (certificates.client_has_secret, end) {
                (false, _) => (own, trusted),
                (true, End::Client) => ("auth = psk".to_owned(), trusted),
                (true, End::Gateway) => (own, "auth = psk".to_owned()),
            }
        }
        None => ("auth = psk".to_owned(), "auth = psk".to_owned()),
    };
    let (own, trusted) = match &tunnel.eap {
        Some(eap) => with_eap(end, eap, (own, trusted)),
        None => (own, trusted),
    };
    let others = tunnel.certificates.iter().flat_map(|certificates| &certificates.others);
    let others: String = others
        .filter(|_| end == End::Client)
        .map(|name| {
            let own = format!("auth = pubkey\n      certs = {name}.pem");
            format!("  {name} {{\n{}  }}\n", body(&own, &trusted))
        })
        .collect();
    format!(
        "connections {{\n  {CONNECTION} {{\n{body}  }}\n{others}}}\n\
         pools {{\n  vip4 {{\n    addrs = 10.30.0.0/24\n    dns = 10.20.0.10\n  }}\n  vip6 {{\n    addrs = fd30::/112\n  }}\n}}\n\
         secrets {{\n  ike-lab {{\n    id-1 = {local}\n    id-2 = {remote}\n    secret = \"{secret}\"\n  }}\n{password}}}\n",
        body = body(&own, &trusted),
        secret = tunnel.secret(end),
        password = password(end, tunnel.eap.as_ref()),
    )
}

/// Returns lines of `local` and `remote` where the client proves itself by EAP.
fn with_eap(end: End, eap: &Eap, (own, trusted): (String, String)) -> (String, String) {
    let method = format!("auth = eap-{}", eap.method);
    let within = |lines: String| lines.replace("auth = pubkey", &method);
    match (end, eap.method) {
        (End::Client, "mschapv2") => (format!("{method}\n      eap_id = {}", eap.client.0), trusted),
        // What EAP-TLS finds out of the CA does not reach strongSwan's constraints.
        (End::Client, _) => (within(own), if eap.alone { method } else { trusted }),
        (End::Gateway, "mschapv2") => (own, format!("{method}\n      eap_id = %any")),
        (End::Gateway, _) => (if eap.alone { within(own) } else { own }, method),
    }
}

/// Returns the secret of a password: the client's, or that of the user whom the gateway knows.
fn password(end: End, eap: Option<&Eap>) -> String {
    let Some(eap) = eap else { return String::new() };
    let (user, password) = if end == End::Client { eap.client } else { USER };
    format!("  eap-lab {{\n    id = {user}\n    secret = \"{password}\"\n  }}\n")
}
