//! The tunnel's DNS servers: given to systemd-resolved or to resolvconf, and taken back.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::DnsMode;
use crate::error::DriverError;
use crate::program;

/// What our entries of resolvconf end with.
const SUFFIX: &str = ".vpnhost";
/// There where Debian's resolvconf is, whose entries are sorted by their name; openresolv sorts by a number.
const DEBIAN: &str = "/etc/resolvconf/interface-order";
/// Where resolvconf's implementations keep their entries, a file each.
const ENTRIES: [&str; 4] = [
    "/run/resolvconf/interface",
    "/run/resolvconf/interfaces",
    "/run/resolvconf/keys",
    "/var/run/resolvconf/interfaces",
];

/// Who takes DNS servers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Taker {
    /// systemd-resolved, by the program resolvectl.
    Resolved(PathBuf),
    /// The program resolvconf.
    Resolvconf(PathBuf),
}

/// The DNS servers of a TUN.
#[derive(Debug)]
pub(crate) struct Dns {
    tun_name: String,
    taker: Option<Taker>,
    /// `None` after a failure: nobody knows what is there.
    given: Option<Vec<IpAddr>>,
}

impl Dns {
    /// Finds out who takes DNS servers.
    ///
    /// # Errors
    /// Says which program is missing that the operator asked for by name.
    pub(crate) fn new(mode: DnsMode, tun_name: &str) -> Result<Self, DriverError> {
        let taker = match mode {
            DnsMode::Auto => automatic(),
            DnsMode::Resolved => Some(Taker::Resolved(required("resolvectl")?)),
            DnsMode::Resolvconf => Some(Taker::Resolvconf(required("resolvconf")?)),
            DnsMode::Off => None,
        };
        tracing::debug!(?mode, ?taker, "DNS");
        Ok(Self { tun_name: tun_name.to_owned(), taker, given: Some(Vec::new()) })
    }

    /// Gives servers in the place of those given before; with none, takes those back. A refusal is only told:
    /// without it the tunnel still carries. What was half given is taken back.
    pub(crate) async fn give(&mut self, servers: Vec<IpAddr>) {
        if self.given.as_ref() == Some(&servers) {
            return;
        }
        let done = self.set(&servers).await;
        let Err(error) = done else {
            self.given = Some(servers);
            return;
        };
        tracing::warn!(%error, "the tunnel's DNS servers could not be set");
        let is_nothing_left = !servers.is_empty() && self.set(&[]).await.is_ok();
        self.given = is_nothing_left.then(Vec::new);
    }

    async fn set(&self, servers: &[IpAddr]) -> Result<(), DriverError> {
        match (&self.taker, servers) {
            (None, []) => Ok(()),
            (None, _) => {
                tracing::info!("the tunnel's DNS servers are not used: DNS is left alone here");
                Ok(())
            }
            (Some(Taker::Resolved(path)), []) => {
                call("resolvectl", path, &["revert", &self.tun_name], "").await
            }
            (Some(Taker::Resolved(path)), _) => self.resolved(path, servers).await,
            (Some(Taker::Resolvconf(path)), []) => {
                call("resolvconf", path, &["-d", &entry(&self.tun_name)], "").await
            }
            (Some(Taker::Resolvconf(path)), _) => resolvconf_add(path, &self.tun_name, servers).await,
        }
    }

    async fn resolved(&self, path: &Path, servers: &[IpAddr]) -> Result<(), DriverError> {
        let servers: Vec<String> = servers.iter().map(IpAddr::to_string).collect();
        let mut arguments = vec!["dns", self.tun_name.as_str()];
        arguments.extend(servers.iter().map(String::as_str));
        call("resolvectl", path, &arguments, "").await?;
        // Every name is asked there: names of the network behind the peer are known nowhere else.
        call("resolvectl", path, &["domain", &self.tun_name, "~."], "").await
    }
}

/// Takes back what killed daemons gave to resolvconf, of the TUNs that a condition holds for; systemd-resolved forgets
/// by itself with the interface. Returns the TUNs.
pub(crate) async fn take_back(is_ours: impl Fn(&str) -> bool) -> Result<Vec<String>, DriverError> {
    let Some(path) = program::find("resolvconf").filter(|_| in_own_namespace()) else {
        return Ok(Vec::new());
    };
    let mut taken = Vec::new();
    for file in ENTRIES.iter().filter_map(|directory| std::fs::read_dir(directory).ok()).flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let Some(tun) = name.strip_suffix(SUFFIX).map(|rest| rest.strip_prefix("tun.").unwrap_or(rest))
        else {
            continue;
        };
        if is_ours(tun) && !taken.iter().any(|known| known == tun) {
            call("resolvconf", &path, &["-d", &name], "").await?;
            taken.push(tun.to_owned());
        }
    }
    Ok(taken)
}

fn automatic() -> Option<Taker> {
    if !in_own_namespace() {
        return None;
    }
    let resolved = Path::new("/run/systemd/resolve").is_dir().then(|| program::find("resolvectl")).flatten();
    resolved.map(Taker::Resolved).or_else(|| program::find("resolvconf").map(Taker::Resolvconf))
}

/// Tells whether this is the machine's own network namespace: others share its `/etc/resolv.conf` and its D-Bus, and
/// must not change them. The first process's is not shown to a service of a few capabilities (that takes
/// CAP_SYS_PTRACE): whom systemd itself started is in the machine's own, unless that has a name. What else cannot be
/// read is another one.
fn in_own_namespace() -> bool {
    let read = |path: &str| std::fs::read_link(path).ok();
    let Some(ours) = read("/proc/thread-self/ns/net") else { return false };
    match read("/proc/1/ns/net") {
        Some(first) => first == ours,
        None => is_started_by_systemd() && !is_named(),
    }
}

/// systemd tells each process that it starts its number (systemd.exec(5)); what that starts in turn has another one.
fn is_started_by_systemd() -> bool {
    std::env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == std::process::id().to_string())
}

/// Tells whether this network namespace is one that `ip netns` shows, as for a unit with NetworkNamespacePath=.
fn is_named() -> bool {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let ours = identity(Path::new("/proc/thread-self/ns/net"));
    let mut names = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    names.any(|name| identity(&name.path()) == ours)
}

fn required(program: &'static str) -> Result<PathBuf, DriverError> {
    let missing = || DriverError::Program {
        program,
        message: "it is not installed, but the setting dns asks for it".to_owned(),
    };
    program::find(program).ok_or_else(missing)
}

async fn resolvconf_add(path: &Path, tun_name: &str, servers: &[IpAddr]) -> Result<(), DriverError> {
    let lines: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    let name = entry(tun_name);
    let mut arguments = vec!["-a", name.as_str()];
    if !Path::new(DEBIAN).exists() {
        // openresolv: first of all, and no other beside it.
        arguments.extend(["-m", "0", "-x"]);
    }
    call("resolvconf", path, &arguments, &lines).await
}

fn entry(tun_name: &str) -> String {
    let order = if Path::new(DEBIAN).exists() { "tun." } else { "" };
    format!("{order}{tun_name}{SUFFIX}")
}

async fn call(
    program: &'static str,
    path: &Path,
    arguments: &[&str],
    input: &str,
) -> Result<(), DriverError> {
    let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
    let said = program::run(program, path.to_path_buf(), arguments, input.to_owned()).await?;
    if said.success { Ok(()) } else { Err(DriverError::Program { program, message: said.complaint() }) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A program that writes down how it is called, and fails where its arguments begin with a word.
    fn recorder(directory: &Path, fails_at: &str) -> PathBuf {
        let (program, log) = (directory.join("program"), directory.join("log"));
        let script =
            format!("#!/bin/sh\necho \"$@\" >> {0}\ncat >> {0}\ntest \"$1\" != {fails_at}\n", log.display());
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    /// Gives servers twice, then none twice, and returns how the program was called.
    async fn calls(taker: impl Fn(PathBuf) -> Taker, fails_at: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let taker = Some(taker(recorder(directory.path(), fails_at)));
        let mut dns = Dns { tun_name: "vpn0".to_owned(), taker, given: Some(Vec::new()) };
        let servers = vec!["10.20.0.53".parse().unwrap(), "fd20::53".parse().unwrap()];
        dns.give(servers.clone()).await;
        dns.give(servers).await;
        dns.give(Vec::new()).await;
        dns.give(Vec::new()).await;
        let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
        log.lines().map(str::to_owned).collect()
    }

    fn within<F: Future<Output = ()>>(test: F) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn systemd_resolved_gets_servers_for_every_name_once_and_loses_them() {
        within(async {
            let expected = ["dns vpn0 10.20.0.53 fd20::53", "domain vpn0 ~.", "revert vpn0"];
            assert_eq!(calls(Taker::Resolved, "nowhere").await, expected);
        });
    }

    #[test]
    fn what_was_half_given_is_taken_back_and_what_could_not_be_taken_back_is_tried_again() {
        within(async {
            let half = ["dns vpn0 10.20.0.53 fd20::53", "domain vpn0 ~.", "revert vpn0"];
            // Nothing is left after a failure, so there is nothing to take back at the end.
            assert_eq!(calls(Taker::Resolved, "domain").await, [half, half].concat());
            let again = ["dns vpn0 10.20.0.53 fd20::53", "domain vpn0 ~.", "revert vpn0", "revert vpn0"];
            assert_eq!(calls(Taker::Resolved, "revert").await, again);
            let none = ["dns vpn0 10.20.0.53 fd20::53", "revert vpn0"];
            assert_eq!(calls(Taker::Resolved, "dns").await, [none, none].concat());
        });
    }

    #[test]
    fn resolvconf_gets_an_entry_once_and_loses_it() {
        within(async {
            let calls = calls(Taker::Resolvconf, "nowhere").await;
            assert!(calls[0].starts_with("-a ") && calls[0].contains("vpn0.vpnhost"), "{calls:?}");
            assert_eq!(calls[1..3], ["nameserver 10.20.0.53", "nameserver fd20::53"]);
            assert!(calls[3].starts_with("-d ") && calls[3].ends_with("vpn0.vpnhost"), "{calls:?}");
            assert_eq!(calls.len(), 4);
        });
    }

    #[test]
    fn a_namespace_of_its_own_leaves_dns_alone() {
        crate::machine::ground::Ground::run(|_| async {
            assert!(!in_own_namespace());
            assert_eq!(automatic(), None);
            let mut dns = Dns::new(DnsMode::Auto, "vpn0").unwrap();
            dns.give(vec!["10.20.0.53".parse().unwrap()]).await;
            assert_eq!(take_back(|_| true).await.unwrap(), Vec::<String>::new());
        });
    }
}
