//! What an outsider sees: tcpdump on an interface, and what a capture holds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::command::run;
use crate::{Namespace, Running};

/// The most octets of a frame that are recorded: all of it but for a batch (UDP segmentation offload), of which nobody reads
/// more. Without a bound each frame takes 64 KiB of the kernel's buffer, and a burst of a few hundred overflows it.
const WHOLE: &str = "2048";

/// A capture under way.
#[derive(Debug)]
pub struct Capture {
    dump: Running,
    file: PathBuf,
}

impl Capture {
    /// Starts recording an interface.
    pub fn start(space: &Namespace, interface: &str, file: &Path) -> Result<Self> {
        Self::of(space, interface, file, WHOLE)
    }

    /// Starts recording the headers of what passes an interface.
    pub fn start_short(space: &Namespace, interface: &str, file: &Path) -> Result<Self> {
        Self::of(space, interface, file, "96")
    }

    fn of(space: &Namespace, interface: &str, file: &Path, octets: &str) -> Result<Self> {
        let mut command = space.command("tcpdump");
        command
            .args(["-n", "-U", "--immediate-mode", "-s", octets, "-B", "16384", "-i", interface, "-w"])
            .arg(file)
            .args(["-Z", "root"]);
        let mut dump = Running::start(&mut command, &file.with_extension("log"))?;
        dump.wait_log("listening on", Duration::from_secs(10))?;
        Ok(Self { dump, file: file.to_path_buf() })
    }

    /// Ends the recording once all that was seen is written, and returns the file.
    pub fn finish(self) -> Result<PathBuf> {
        let log = self.file.with_extension("log");
        // What has arrived already is still on its way through the capture's buffer.
        std::thread::sleep(Duration::from_millis(300));
        self.dump.stop("INT")?;
        let said = std::fs::read_to_string(&log)?;
        let dropped = said.lines().find(|line| line.contains("dropped by kernel"));
        ensure!(dropped.is_none_or(|line| line.starts_with("0 ")), "the capture is incomplete: {said}");
        Ok(self.file)
    }
}

/// Returns a line for each packet of a capture that a filter of tcpdump selects.
pub fn packets(file: &Path, filter: &str) -> Result<Vec<String>> {
    let text = run(Command::new("tcpdump").args(["-n", "-r"]).arg(file).arg(filter))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Returns a line for each TCP segment that a filter of tcpdump selects: its time in seconds, and its sequence numbers as
/// they are.
pub fn segments(file: &Path, filter: &str) -> Result<Vec<String>> {
    let text = run(Command::new("tcpdump").args(["-n", "-tt", "-S", "-r"]).arg(file).arg(filter))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Returns the length of the UDP payload of each packet that a filter of tcpdump selects.
pub fn lengths(file: &Path, filter: &str) -> Result<Vec<usize>> {
    let text = run(Command::new("tcpdump").args(["-n", "-q", "-r"]).arg(file).arg(filter))?;
    Ok(text.lines().filter_map(|line| line.rsplit("UDP, length ").next()?.trim().parse().ok()).collect())
}
