//! tshark as an independent judge of a recorded session, with the keys that vpnhost wrote.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::command::run;

/// What tshark found in a capture.
#[derive(Debug, Default)]
pub struct Verdict {
    /// ESP packets whose checksum it verified.
    pub esp: usize,
    /// Inner ICMP packets that it saw after decryption.
    pub inner_icmp: usize,
    /// Encrypted IKE messages that it decrypted.
    pub ike: usize,
    /// The kinds of payload that it saw inside of them.
    pub payloads: Vec<String>,
}

/// Decrypts a whole capture; fails at the first mark of a malformed packet or a bad checksum.
pub fn judge(capture: &Path, keylog: &Path) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let marks = tshark(
        capture,
        keylog,
        &[
            "-Y",
            "_ws.malformed || _ws.expert.severity >= 0x800000",
            "-T",
            "fields",
            "-e",
            "frame.number",
            "-e",
            "_ws.expert.message",
        ],
    )?;
    ensure!(marks.trim().is_empty(), "tshark marks packets: {}", marks.trim());
    let esp = tshark(
        capture,
        keylog,
        &[
            "-Y",
            "esp",
            "-T",
            "fields",
            "-e",
            "frame.number",
            "-e",
            "esp.icv_good",
            "-e",
            "esp.icv_bad",
            "-e",
            "icmp.type",
        ],
    )?;
    for line in esp.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let good = fields.get(1).is_some_and(|f| matches!(*f, "1" | "True"));
        ensure!(good, "frame {}: checksum not verified", fields[0]);
        verdict.esp += 1;
        verdict.inner_icmp += usize::from(fields.get(3).is_some_and(|f| matches!(*f, "0" | "8")));
    }
    let text = tshark(capture, keylog, &["-Y", "isakmp", "-O", "isakmp"])?;
    for message in text.split("\nFrame ") {
        judge_ike(message, &mut verdict)?;
    }
    ensure!(verdict.ike > 0, "tshark saw no encrypted IKE message");
    Ok(verdict)
}

fn judge_ike(message: &str, verdict: &mut Verdict) -> Result<()> {
    let frame = message.split([':', ',']).next().unwrap_or_default();
    let sealed = message.contains("Payload: Encrypted and Authenticated");
    if !sealed {
        return Ok(());
    }
    if message.contains("[incorrect") {
        bail!("frame {frame}: IKE checksum incorrect");
    }
    let opened = message.contains("Decrypted Data") || message.contains("[correct]");
    let fragment = message.contains("Encrypted and Authenticated Fragment");
    // A fragment is shown decrypted with the last one of its message.
    ensure!(opened || fragment, "frame {frame}: IKE message not decrypted");
    verdict.ike += usize::from(opened);
    let inner = message.lines().filter_map(|line| line.trim().strip_prefix("Payload: "));
    for name in inner.filter(|name| !name.starts_with("Encrypted")) {
        let name = name.split(" (").next().unwrap_or(name).to_owned();
        if !verdict.payloads.contains(&name) {
            verdict.payloads.push(name);
        }
    }
    Ok(())
}

fn tshark(capture: &Path, keylog: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).env("WIRESHARK_CONFIG_DIR", keylog);
    command.args(["-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"]);
    command.args(["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:FALSE"]);
    run(command.args(arguments))
}
