//! Network namespaces of our own, which need root.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::{Command, Output};

use super::super::{DataPlane, FromPath, PathSettings};
use crate::error::DriverError;

/// A network namespace, for as long as its value lives.
pub(super) struct Space {
    name: String,
}

impl Space {
    /// Makes some, of which no other test has the names; `None` where that is not permitted, which is said.
    pub(super) fn some<const N: usize>(test: &str) -> Option<[Self; N]> {
        let name = |index| format!("vhdp{}{test}{index}", std::process::id());
        let made: Vec<Self> = (0..N).map(name).map_while(Self::create).collect();
        made.try_into().ok()
    }

    fn create(name: String) -> Option<Self> {
        let Ok(output) = Command::new("ip").args(["netns", "add", &name]).output() else {
            eprintln!("skipped: there is no program ip");
            return None;
        };
        if !output.status.success() {
            eprintln!("skipped: no network namespace: {}", String::from_utf8_lossy(&output.stderr).trim());
            return None;
        }
        let space = Self { name };
        space.ip("link set lo up");
        // An address may be used at once.
        space.run("sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0");
        Some(space)
    }

    /// Makes a cable between an interface here and one there, each with its addresses.
    pub(super) fn connect(&self, other: &Self, ends: [(&str, &str); 2]) {
        let [(here, _), (there, _)] = ends;
        self.ip(&format!("link add {here} type veth peer name {there} netns {}", other.name));
        for (space, (interface, addresses)) in [(self, ends[0]), (other, ends[1])] {
            for address in addresses.split(' ') {
                space.ip(&format!("address add {address} dev {interface}"));
            }
            space.ip(&format!("link set {interface} up"));
        }
    }

    /// Runs `ip` in it.
    pub(super) fn ip(&self, line: &str) {
        self.run(&format!("ip {line}"));
    }

    /// Runs a line of words in it, which must succeed; returns what it said.
    pub(super) fn run(&self, line: &str) -> String {
        let output = self.output(line);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}{error}");
        said
    }

    /// Runs a line of words in it; returns all that came of it.
    pub(super) fn output(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Returns a command that will run in it.
    pub(super) fn command(&self, line: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).args(line.split_whitespace());
        command
    }

    /// Starts a packet path in it.
    pub(super) fn start(&self, settings: PathSettings) -> Result<(DataPlane, FromPath), DriverError> {
        let space = File::open(format!("/run/netns/{}", self.name)).unwrap();
        let inside = move || {
            // SAFETY: no pointers; it concerns this thread, and those that it starts.
            assert_eq!(unsafe { libc::setns(space.as_raw_fd(), libc::CLONE_NEWNET) }, 0);
            DataPlane::start(settings)
        };
        std::thread::scope(|scope| scope.spawn(inside).join()).unwrap()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).output();
    }
}
