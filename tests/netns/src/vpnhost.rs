//! vpnhost in a namespace: its configuration, its daemon, its control socket.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::command::{output, run, said};
use crate::peers::{CHILD, CONNECTION, Eap, End, Peer, SaCount, Tunnel, USER};
use crate::{Lab, Running, wait};

/// The pools of a gateway of ours: the same as strongSwan's, so that stories need not know who it is.
const POOLS: &str = "[[pool]]\nname = \"road4\"\naddresses = \"10.30.0.0/24\"\ndns = [\"10.20.0.10\"]\n\n\
     [[pool]]\nname = \"road6\"\naddresses = \"fd30::/112\"\n";

/// How long a daemon may take until it is ready on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A vpnhost daemon.
#[derive(Debug)]
pub struct Vpnhost {
    daemon: Option<Running>,
    files: Files,
}

/// The files of a host: enough to run verbs against it, also while no daemon runs.
#[derive(Clone, Debug)]
pub struct Files {
    program: PathBuf,
    options: Vec<String>,
    dir: PathBuf,
    control: PathBuf,
    space: String,
    end: End,
}

impl Files {
    /// Writes the configuration of an end.
    pub fn write(lab: &Lab, end: End, tunnel: &Tunnel) -> Result<Self> {
        let dir = lab.dir().join(format!("vpnhost-{}", end.name()));
        std::fs::create_dir_all(&dir)?;
        let files = Self {
            program: tunnel.program.path.clone(),
            options: tunnel.program.options.clone(),
            dir,
            control: lab.socket(&format!("{}-control.sock", end.name())),
            space: end.space(lab).name().to_owned(),
            end,
        };
        let secret = files.dir.join("lab.psk");
        std::fs::write(&secret, tunnel.secret(end))?;
        run(Command::new("chmod").arg("600").arg(&secret))?;
        if let Some(eap) = &tunnel.eap {
            let (user, password) = USER;
            let texts =
                [("password", format!("{}\n", eap.client.1)), ("users", format!("{user} {password}\n"))];
            for (name, text) in texts {
                std::fs::write(files.dir.join(name), text)?;
                run(Command::new("chmod").arg("600").arg(files.dir.join(name)))?;
            }
        }
        std::fs::write(files.config(), configuration(&files, end, tunnel))?;
        Ok(files)
    }

    /// Returns where its configuration lies.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("vpnhost.toml")
    }

    /// Returns where its control socket lies.
    #[must_use]
    pub fn control(&self) -> &std::path::Path {
        &self.control
    }

    /// Returns where it writes keys for Wireshark.
    #[must_use]
    pub fn keylog(&self) -> PathBuf {
        self.dir.join("keylog")
    }

    /// Returns where it keeps what survives a restart.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Returns a command of vpnhost in the namespace, with its control socket.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space]).arg(&self.program);
        command.arg("--control").arg(&self.control).args(arguments);
        command
    }

    /// Returns the command that runs the daemon.
    #[must_use]
    pub fn run(&self) -> Command {
        let mut command = self.command(&["run", "--config"]);
        command.arg(self.config()).args(&self.options);
        command
    }

    /// Returns where programs lie that the daemon finds before the machine's own.
    #[must_use]
    pub fn programs(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// Runs a verb and returns all that came of it.
    pub fn verb(&self, arguments: &[&str]) -> Result<Output> {
        output(&mut self.command(arguments))
    }

    /// Starts the daemon and waits until it says that it is ready.
    pub fn start(self) -> Result<Vpnhost> {
        let log = self.dir.join("daemon.log");
        let mut command = self.run();
        // The environment of the test must not reach into what it tests.
        command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.programs().display()));
        let mut daemon = Running::start(&mut command, &log)?;
        daemon.wait_log("vpnhost is ready", START)?;
        Ok(Vpnhost { daemon: Some(daemon), files: self })
    }
}

impl Vpnhost {
    /// Writes its files and starts it.
    pub fn start(lab: &Lab, end: End, tunnel: &Tunnel) -> Result<Self> {
        Files::write(lab, end, tunnel)?.start()
    }

    /// Returns its files.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Running::pid)
    }

    /// Runs a verb that must succeed and returns what it printed.
    pub fn verb(&self, arguments: &[&str]) -> Result<String> {
        let output = self.files.verb(arguments)?;
        ensure!(
            output.status.success(),
            "vpnhost {}: {}: {}",
            arguments.join(" "),
            output.status,
            said(&output)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a verb with `--json` and returns the document.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let text = self.verb(&all)?;
        serde_json::from_str(&text).with_context(|| format!("vpnhost {} is no JSON: {text}", all.join(" ")))
    }

    /// Ends it as a crash would.
    pub fn kill(mut self) -> Result<Files> {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill()?;
        }
        Ok(self.files)
    }

    /// Ends it in order and returns its files; its exit code must be 0.
    pub fn end(mut self) -> Result<Files> {
        if let Some(daemon) = self.daemon.take() {
            let status = daemon.stop("TERM")?;
            ensure!(status.success(), "vpnhost ended with {status}");
        }
        Ok(self.files)
    }
}

impl Peer for Vpnhost {
    fn configure(&self, tunnel: &Tunnel) -> Result<()> {
        std::fs::write(self.files.config(), configuration(&self.files, self.files.end, tunnel))?;
        self.verb(&["reload"]).map(drop)
    }

    fn up(&self) -> Result<()> {
        self.verb(&["up", CONNECTION]).map(drop)
    }

    fn down(&self) -> Result<()> {
        self.verb(&["terminate", CONNECTION]).map(drop)
    }

    fn rekey_child(&self) -> Result<()> {
        self.verb(&["rekey", CONNECTION, "--child", CHILD]).map(drop)
    }

    fn rekey_ike(&self) -> Result<()> {
        self.verb(&["rekey", CONNECTION, "--ike"]).map(drop)
    }

    fn sas(&self) -> Result<SaCount> {
        let status = self.json(&["status"])?;
        Ok(SaCount { ike: found(&status, "ike_sas").len(), child: found(&status, "children").len() })
    }

    fn spis(&self) -> Result<(String, String)> {
        let status = self.json(&["status"])?;
        let text =
            |items: Vec<&Value>, key: &str| items.last().map_or(String::new(), |item| item[key].to_string());
        let ike = found(&status, "ike_sas");
        let both = format!("{} {}", text(ike.clone(), "spi_i"), text(ike, "spi_r"));
        Ok((text(found(&status, "children"), "spi_in"), both))
    }

    fn stop(self: Box<Self>) -> Result<()> {
        self.end().map(drop)
    }

    fn crash(self: Box<Self>) -> Result<()> {
        self.kill().map(drop)
    }

    fn as_vpnhost(&self) -> Option<&Vpnhost> {
        Some(self)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.files.dir.join("daemon.log")).unwrap_or_default()
    }
}

/// Returns the items of all arrays of that name, however deep they stand.
#[must_use]
pub fn found<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    if let Value::Array(items) = value {
        return items.iter().flat_map(|item| found(item, name)).collect();
    }
    let Value::Object(map) = value else { return Vec::new() };
    let mut all = Vec::new();
    for (key, inner) in map {
        if key == name
            && let Value::Array(items) = inner
        {
            all.extend(items);
        } else {
            all.extend(found(inner, name));
        }
    }
    all
}

/// Fails unless a program that was to fail did so as the contract says: this exit code, on standard error one line
/// `error: …`, each of the words, at most a hint after it, and no trace of a panic.
pub fn expect_error(output: &Output, code: i32, words: &[&str]) -> Result<()> {
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure!(output.status.code() == Some(code), "exit code {code} expected, {}: {text}", output.status);
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    ensure!(errors.len() == 1, "one line `error: …` expected: {text}");
    for word in words {
        ensure!(text.contains(word), "{word:?} is missing in: {text}");
    }
    if text.contains("panicked") || text.contains("backtrace") {
        bail!("a panic: {text}");
    }
    Ok(())
}

/// Waits until a daemon that cannot start has ended, and returns what came of it.
pub fn fails_to_start(files: &Files) -> Result<Output> {
    let mut child = files
        .run()
        .env_remove("RUST_LOG")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    let ended = wait::until("the end of a daemon that cannot start", START, || Ok(child.try_wait()?));
    if ended.is_err() {
        child.kill()?;
    }
    let output = child.wait_with_output()?;
    ended.with_context(|| said(&output))?;
    Ok(output)
}

fn quoted<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("{:?}", item.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

/// Returns what an end proves itself with, and what it demands of the other.
fn proofs(files: &Files, end: End, tunnel: &Tunnel) -> (String, String) {
    let Some(certificates) = &tunnel.certificates else {
        let secret = format!("psk_file = \"{}/lab.psk\"", files.dir.display());
        return (secret.clone(), secret);
    };
    let (dir, name) = (certificates.dir.display(), certificates.of(end));
    let own = format!("cert = [\"{dir}/{name}.pem\", \"{dir}/middle.pem\"], key = \"{dir}/{name}.key\"");
    let its = format!("ca = \"{dir}/{}.pem\"{}", certificates.trusted, certificates.demands);
    let secret = format!("psk_file = \"{}/lab.psk\"", files.dir.display());
    match &tunnel.eap {
        None if certificates.client_has_secret && end == End::Client => (secret, its),
        None if certificates.client_has_secret => (own, secret),
        Some(eap) => with_eap(&files.dir.display().to_string(), end, eap, (own, its)),
        None => (own, its),
    }
}

fn with_eap(dir: &str, end: End, eap: &Eap, (own, its): (String, String)) -> (String, String) {
    let only = if eap.alone { ", eap_only = true" } else { "" };
    let password = eap.method == "mschapv2";
    match end {
        End::Client if password => {
            let user = eap.client.0;
            let own = format!("eap = \"mschapv2\", eap_id = \"{user}\", password_file = \"{dir}/password\"");
            (own, its)
        }
        End::Client => (format!("{own}, eap = \"tls\""), its + only),
        // It would rather have certificates, so that a client with a password says so.
        End::Gateway if password => {
            (own, format!("{its}, eap = [\"tls\", \"mschapv2\"], users_file = \"{dir}/users\""))
        }
        End::Gateway => (own + only, format!("{its}, eap = [\"tls\"]")),
    }
}

fn configuration(files: &Files, end: End, tunnel: &Tunnel) -> String {
    let dir = files.dir.display();
    let (local, mut remote) = tunnel.names(end);
    if end == End::Gateway && tunnel.eap.as_ref().is_some_and(|eap| eap.method == "mschapv2") {
        // The user that EAP proves has another name than the one that IKE is told.
        remote = "%any";
    }
    let (role, gateway, address, selectors, tables) = match end {
        End::Client => (
            "initiator",
            tunnel.gateway.as_str(),
            // One word asks for what the tunnel carries: an IPv4 or an IPv6 address, or both.
            tunnel.virtual_addresses != (false, false),
            format!("local_ts = [{:?}]\nremote_ts = {}", tunnel.behind_client, quoted(tunnel.wants())),
            &tunnel.tables.0,
        ),
        End::Gateway => (
            "responder",
            "%any",
            false,
            format!("local_ts = {}\nremote_ts = [{:?}]", quoted(&tunnel.inner), tunnel.behind_client),
            &tunnel.tables.1,
        ),
    };
    let request = if address { "request_address = true\n" } else { "" };
    let pools = match end {
        End::Gateway => POOLS,
        End::Client => "",
    };
    let start = if end == End::Client { tunnel.start.as_str() } else { "manual" };
    let fragments = match tunnel.fragment_size {
        0 => String::new(),
        octets => format!("fragment_size = {octets}\n"),
    };
    let (own, its) = proofs(files, end, tunnel);
    // RFC 7296, 3.8: method 1 of strongSwan is SHA-1.
    let is_older = tunnel.certificates.as_ref().is_some_and(|it| !it.digital_signatures);
    let sha1 = if is_older && tunnel.legacy { "sha1_auth = true\n" } else { "" };
    format!(
        "[host]\n{fragments}control = \"{control}\"\ntun = {{ name = \"vpn0\", mtu = 1400 }}\n\
         keylog = \"{dir}/keylog\"\nstate = \"{dir}/state\"\n{host}\n\
         [floor]\nallow_legacy = {legacy}\n\n\
         [[connection]]\nname = \"{CONNECTION}\"\nrole = \"{role}\"\ngateway = [\"{gateway}\"]\n\
         local = {{ id = \"{local}\", {own} }}\npeer = {{ id = \"{remote}\", {its} }}\n\
         ike = {ike}\nstart = {start:?}\n{request}{sha1}encapsulation = {encapsulation:?}\n{connection}\n\
         [[connection.child]]\nname = \"{CHILD}\"\n{selectors}\nesp = {esp}\n{child}\n{pools}\n{tables}\n",
        host = tunnel.host,
        control = files.control.display(),
        legacy = tunnel.is_legacy(),
        ike = quoted(tunnel.ike.split(',')),
        encapsulation = tunnel.encapsulation,
        connection = tunnel.connection,
        esp = quoted(tunnel.esp.split(',')),
        child = tunnel.child,
    )
}
