//! A network namespace, for as long as its value lives.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::command::{run, words};
use crate::wait;

/// A network namespace; dropping it ends the processes in it and removes it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Creates a namespace with its loopback up, without reverse-path filter and duplicate address detection.
    pub fn create(name: String) -> Result<Self> {
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let space = Self { name };
        // Its own file is bound over /etc/resolv.conf by `ip netns exec`: the machine's stays untouched. Who is
        // root in a user namespace only may not write there, and needs it for nothing.
        if let Err(error) = std::fs::create_dir_all(space.etc()) {
            ensure!(
                error.kind() == ErrorKind::PermissionDenied,
                "cannot make {}: {error}",
                space.etc().display()
            );
        } else {
            std::fs::write(space.resolv_conf(), "# of a lab\n")?;
        }
        space.run(
            "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
             net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0",
        )?;
        space.run("ip link set lo up")?;
        Ok(space)
    }

    /// Returns the namespace's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file that programs in it see as `/etc/resolv.conf`.
    #[must_use]
    pub fn resolv_conf(&self) -> PathBuf {
        self.etc().join("resolv.conf")
    }

    /// Returns a command that will run in it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a line of words in it and returns what it printed.
    pub fn run(&self, line: &str) -> Result<String> {
        let inner = words(line);
        let mut command = self.command(inner.get_program());
        command.args(inner.get_args());
        run(&mut command)
    }

    /// Returns whether a line of words succeeds in it.
    #[must_use]
    pub fn succeeds(&self, line: &str) -> bool {
        self.run(line).is_ok()
    }

    /// Loads a rule set.
    pub fn nft(&self, rules: &str) -> Result<()> {
        // Not below /etc/netns: `ip netns exec` binds every file there over one of /etc.
        let file = std::env::temp_dir().join(format!("{}.nft", self.name));
        std::fs::write(&file, rules)?;
        let done = self.run(&format!("nft -f {}", file.display()));
        std::fs::remove_file(&file)?;
        done.map(drop)
    }

    /// Forwards packets, like a router.
    pub fn forward(&self) -> Result<()> {
        self.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1").map(drop)
    }

    fn etc(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.name) {
            eprintln!("could not remove the namespace {}: {error:#}", self.name);
        }
    }
}

/// Ends the processes in a namespace and removes it.
pub fn remove(name: &str) -> Result<()> {
    let pids = || run(Command::new("ip").args(["netns", "pids", name]));
    for signal in ["-TERM", "-KILL"] {
        for pid in pids()?.split_whitespace() {
            // One that has ended meanwhile is what we want.
            drop(run(Command::new("kill").args([signal, pid])));
        }
        if wait::until_true("its processes end", Duration::from_secs(2), || Ok(pids()?.trim().is_empty()))
            .is_ok()
        {
            break;
        }
    }
    run(Command::new("ip").args(["netns", "del", name]))?;
    let etc = PathBuf::from("/etc/netns").join(name);
    if etc.exists() {
        std::fs::remove_dir_all(&etc).with_context(|| format!("cannot remove {}", etc.display()))?;
    }
    Ok(())
}

/// Returns the names of all namespaces that begin so.
pub fn named(prefix: &str) -> Result<Vec<String>> {
    let list = run(Command::new("ip").args(["netns", "list"]))?;
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect())
}
