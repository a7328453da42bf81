//! What goes wrong: each case ends in one clear line with the right exit code, and nothing half-made stays.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::certificate::expect_code;
use super::leak::{expect_traces, traces};
use crate::command::said;
use crate::peers::{CONNECTION, End, Peer as _, Player, SaCount, Tunnel, start};
use crate::story::{Ground, Story};
use crate::vpnhost::{Files, expect_error, fails_to_start};
use crate::{Lab, Running, Topology, Vpnhost, suite, wait};

const SOON: Duration = Duration::from_secs(15);

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let mut stories = vec![
        Story::new("bad-configuration", bad_configuration),
        Story::new("bad-plugin", bad_plugin),
        Story::new("bad-port-busy", busy_port),
        Story::new("bad-tun-permission", no_tun),
        Story::new("bad-no-daemon", no_daemon),
        Story::new("bad-psk-responder", refused_by_ours),
    ];
    for gateway in [Player::Strongswan, Player::Ours] {
        let who = match gateway {
            Player::Strongswan => "strongswan",
            Player::Ours => "ours",
        };
        for (name, change, code) in REFUSALS {
            stories.push(Story::new(format!("bad-{name}-{who}"), move |g: &Ground| {
                refused(g, gateway, *change, code)
            }));
        }
    }
    stories
}

type Change = fn(&mut Tunnel);

/// What the client gets wrong, and the code that its error must have.
const REFUSALS: &[(&str, Change, &str)] = &[
    ("psk", |t| "not the secret".clone_into(&mut t.client_psk), "authentication-refused"),
    ("ike-proposal", |t| "aes256-sha512-modp2048".clone_into(&mut t.ike), "no-common-proposal"),
    ("esp-proposal", |t| "aes128gcm16".clone_into(&mut t.esp), "no-common-proposal"),
    ("selectors", |t| t.client_wants = vec!["10.99.0.0/24".to_owned()], "no-common-selector"),
];

/// The client of ours tries and is refused; `up` says why; neither SAs nor addresses nor routes stay.
fn refused(ground: &Ground, gateway: Player, change: Change, code: &str) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let usual = Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes256-sha256");
    let mut wrong = usual.clone();
    change(&mut wrong);
    // Nothing is to stay.
    "on_child_failed = \"close\"".clone_into(&mut wrong.connection);
    let gateway = start(gateway, &lab, End::Gateway, &usual)?;
    let fresh = traces(&lab.carol)?;
    let client = Vpnhost::start(&lab, End::Client, &wrong)?;
    let ready = traces(&lab.carol)?;
    let output = client.files().verb(&["up", CONNECTION])?;
    let code = format!("[{code}]");
    expect_error(&output, 1, &[&code])?;
    let none = |count: SaCount| count == SaCount::NONE;
    wait::until_true("no SA at the client", SOON, || Ok(none(crate::peers::Peer::sas(&client)?)))?;
    wait::until_true("no SA at the gateway", SOON, || Ok(none(gateway.sas()?)))?;
    expect_traces(&lab.carol, &ready).context("after the refusal")?;
    let explained = client.verb(&["explain", CONNECTION])?;
    ensure!(explained.contains(&code), "explain does not name {code}: {explained}");
    client.end()?;
    expect_traces(&lab.carol, &fresh).context("after the end")?;
    gateway.stop()
}

/// strongSwan with a wrong secret against our gateway: it is told AUTHENTICATION_FAILED, and ours says so too.
fn refused_by_ours(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes256-sha256");
    "not the secret".clone_into(&mut tunnel.client_psk);
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    let client = start(Player::Strongswan, &lab, End::Client, &tunnel)?;
    ensure!(client.up().is_err(), "a wrong secret is accepted");
    ensure!(client.log().contains("AUTHENTICATION_FAILED"), "the client is not told why");
    expect_code(&gateway, &["explain", CONNECTION], "wrong-psk")?;
    let log = gateway.log();
    ensure!(
        log.lines().any(|line| line.contains("INFO") && line.contains("the pre-shared key does not match")),
        "the log does not name the cause: {log}"
    );
    ensure!(crate::peers::Peer::sas(&gateway)? == SaCount::NONE, "an SA stays");
    client.stop()?;
    gateway.end().map(drop)
}

/// Each mistake in a file: the line and the key are named, by `check` and by `run`, with exit code 2.
fn bad_configuration(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let before = traces(&lab.carol)?;
    let good = Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes128gcm16");
    let cases: &[(&str, Change, &[&str])] = &[
        (
            "an unknown key",
            |t| "mobile = true".clone_into(&mut t.connection),
            &["mobile", "mobike", "vpnhost.toml:"],
        ),
        (
            "an unknown suite",
            |t| "aes129-sha256-modp2048".clone_into(&mut t.ike),
            &["aes129", "vpnhost.toml:"],
        ),
        ("a bad address", |t| "10.10.0.256".clone_into(&mut t.gateway), &["10.10.0.256", "vpnhost.toml:"]),
        (
            "a bad prefix",
            |t| t.client_wants = vec!["10.20.0.0/33".to_owned()],
            &["10.20.0.0/33", "vpnhost.toml:"],
        ),
        ("no TOML", |t| "[host".clone_into(&mut t.host), &["vpnhost.toml:"]),
        (
            "3DES unasked",
            |t| "3des-sha256-modp2048".clone_into(&mut t.ike),
            &["allow_legacy", "vpnhost.toml:"],
        ),
    ];
    for (name, change, words) in cases {
        let mut tunnel = good.clone();
        change(&mut tunnel);
        let files = Files::write(&lab, End::Client, &tunnel)?;
        if *name == "3DES unasked" {
            let text = std::fs::read_to_string(files.config())?
                .replace("allow_legacy = true", "allow_legacy = false");
            std::fs::write(files.config(), text)?;
        }
        let config = files.config().display().to_string();
        for output in [files.verb(&["check", &config])?, fails_to_start(&files)?] {
            let text = said(&output);
            ensure!(
                output.status.code() == Some(2),
                "{name}: exit code 2 expected, {}: {text}",
                output.status
            );
            ensure!(text.contains("error: ") && !text.contains("panicked"), "{name}: no error line: {text}");
            for word in *words {
                ensure!(text.contains(word), "{name}: {word:?} is missing in: {text}");
            }
        }
    }
    let files = Files::write(&lab, End::Client, &good)?;
    let output = files.verb(&["check", &files.config().display().to_string()])?;
    ensure!(output.status.success(), "check refuses a good file: {}", said(&output));
    std::fs::remove_file(files.config())?;
    expect_error(&fails_to_start(&files)?, 2, &["vpnhost.toml"]).context("a missing file")?;
    expect_traces(&lab.carol, &before)
}

/// A plugin that is not there, is no WebAssembly, is no component, or answers nothing.
fn bad_plugin(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let before = traces(&lab.carol)?;
    let write = |name: &str, octets: &[u8]| -> Result<String> {
        let path = lab.dir().join(name);
        std::fs::write(&path, octets)?;
        Ok(path.display().to_string())
    };
    let cases = [
        ("a missing file", "/nonexistent/policy.wasm".to_owned(), "/nonexistent/policy.wasm"),
        ("no WebAssembly", write("text.wasm", b"this is a text")?, "text.wasm"),
        // The preambles of a core module and of a component, both empty.
        ("a core module", write("module.wasm", b"\0asm\x01\0\0\0")?, "module.wasm"),
        ("a component without a known interface", write("empty.wasm", b"\0asm\x0d\0\x01\0")?, "empty.wasm"),
    ];
    for (name, path, word) in cases {
        let mut tunnel = Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes128gcm16");
        tunnel.program.options = vec!["--plugin".to_owned(), path];
        let files = Files::write(&lab, End::Client, &tunnel)?;
        expect_error(&fails_to_start(&files)?, 2, &[word]).context(name)?;
    }
    expect_traces(&lab.carol, &before)
}

fn busy_port(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let before = traces(&lab.carol)?;
    let mut command = lab.carol.command(std::env::current_exe()?);
    command.args(["traffic", "occupy", "0.0.0.0:4500"]);
    let mut occupier = Running::start(&mut command, &lab.dir().join("occupier.log"))?;
    occupier.wait_log("listening", SOON)?;
    let files = Files::write(&lab, End::Client, &Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes128gcm16"))?;
    expect_error(&fails_to_start(&files)?, 1, &["4500"])?;
    expect_traces(&lab.carol, &before)?;
    occupier.stop("TERM")?;
    files.start()?.end().context("once the port is free")?;
    expect_traces(&lab.carol, &before)
}

/// Without CAP_NET_ADMIN there is no TUN device.
fn no_tun(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let before = traces(&lab.carol)?;
    let files = Files::write(&lab, End::Client, &Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes128gcm16"))?;
    let config = files.config().display().to_string();
    let mut command = lab.carol.command("setpriv");
    command.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin"]).arg(&ground.vpnhost);
    command.args(["run", "--config", &config]);
    let mut child = Running::start(&mut command, &lab.dir().join("daemon.log"))?;
    let status = child.wait(SOON)?;
    let text = child.log();
    ensure!(status.code() == Some(1), "exit code 1 expected, {status}: {text}");
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    let [error] = errors[..] else { bail!("one line `error: …` expected: {text}") };
    ensure!(
        error.to_lowercase().contains("tun") || error.contains("vpn0"),
        "the error does not name the TUN: {error}"
    );
    expect_traces(&lab.carol, &before)
}

fn no_daemon(ground: &Ground) -> Result<()> {
    let lab: Lab = ground.lab(Topology::Direct)?;
    let files = Files::write(&lab, End::Client, &Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes128gcm16"))?;
    for verb in [&["status"][..], &["up", CONNECTION], &["list", "sas"]] {
        expect_error(&files.verb(verb)?, 3, &["control.sock"])?;
    }
    expect_error(&files.verb(&["stauts"])?, 2, &["status"])
}
