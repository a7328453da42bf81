//! Which interfaces NetworkManager, where it is, holds for metered: somebody said so, or the network looks like it (a phone
//! that shares its connection).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use vpnhost_model::LocalAddress;

use crate::{limits, program};

/// What is asked: a modem's interface has another name than its device.
const FIELDS: &str = "GENERAL.DEVICE,GENERAL.IP-IFACE,GENERAL.METERED";

/// What NetworkManager says, asked by its own program.
pub(crate) struct Metered {
    /// Its program, if it is installed.
    program: Option<PathBuf>,
    /// The addresses that it was asked for last.
    addresses: BTreeSet<(u32, IpAddr)>,
    /// When it is to be asked.
    due: Vec<Instant>,
    asked: JoinSet<Option<BTreeSet<String>>>,
    held: BTreeSet<String>,
}

impl Metered {
    /// Nothing is known yet; without the program nothing ever is.
    pub(crate) fn new(program: Option<PathBuf>) -> Self {
        Self {
            program,
            addresses: BTreeSet::new(),
            due: Vec::new(),
            asked: JoinSet::new(),
            held: BTreeSet::new(),
        }
    }

    /// Returns the names of the interfaces.
    pub(crate) fn interfaces(&self) -> BTreeSet<String> {
        self.held.clone()
    }

    /// Takes the machine's addresses: other ones are a reason to ask, at once and once more when NetworkManager has made up
    /// its mind.
    pub(crate) fn look(&mut self, addresses: &[LocalAddress]) {
        let addresses = addresses.iter().map(|link| (link.interface, link.address)).collect();
        if self.program.is_some() && self.addresses != addresses {
            self.addresses = addresses;
            let now = Instant::now();
            self.due = vec![now, now + limits::METERED_SETTLE];
        }
    }

    /// Waits until it holds other interfaces for metered than before. Nothing is lost with a waiter who goes.
    pub(crate) async fn news(&mut self) {
        loop {
            let due = self.due.first().copied().filter(|_| self.asked.is_empty());
            let due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(answered) = self.asked.join_next() => {
                    // Whoever does not answer is not known to have changed his mind.
                    if let Ok(Some(held)) = answered && held != self.held {
                        self.held = held;
                        return;
                    }
                }
                () = due => self.ask(),
            }
        }
    }

    fn ask(&mut self) {
        let now = Instant::now();
        self.due.retain(|due| *due > now);
        let Some(path) = self.program.clone() else { return };
        let arguments = ["--terse", "--fields", FIELDS, "device", "show"].map(str::to_owned).to_vec();
        self.asked.spawn(async move {
            match program::run("nmcli", path, arguments, String::new()).await {
                Ok(said) if said.success => Some(metered(&said.output)),
                // It is installed and does not run: then nothing is managed.
                Ok(_) => Some(BTreeSet::new()),
                Err(error) => {
                    tracing::debug!(%error, "NetworkManager does not say what is metered");
                    None
                }
            }
        });
    }
}

/// Reads what `nmcli --terse` says of each device.
fn metered(said: &str) -> BTreeSet<String> {
    let mut metered = BTreeSet::new();
    let mut names = Vec::new();
    for line in said.lines() {
        let Some((field, value)) = line.split_once(':') else { continue };
        match field {
            "GENERAL.DEVICE" => names = vec![unescaped(value)],
            "GENERAL.IP-IFACE" => names.push(unescaped(value)),
            "GENERAL.METERED" if matches!(value, "yes" | "yes (guessed)") => metered.append(
                &mut names.drain(..).filter(|name| !name.is_empty()).take(limits::ADDRESSES).collect(),
            ),
            _ => {}
        }
    }
    metered
}

/// In terse output a backslash stands before a colon or a backslash.
fn unescaped(value: &str) -> String {
    let mut plain = String::new();
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        plain.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    use vpnhost_model::LinkKind;

    use super::*;

    /// A laptop at a phone's hotspot, with a modem and a bridge of containers.
    const SAID: &str = "GENERAL.DEVICE:wlp2s0\nGENERAL.IP-IFACE:wlp2s0\nGENERAL.METERED:yes (guessed)\n\n\
        GENERAL.DEVICE:cdc-wdm0\nGENERAL.IP-IFACE:wwan0\nGENERAL.METERED:yes\n\n\
        GENERAL.DEVICE:enp0s25\nGENERAL.IP-IFACE:\nGENERAL.METERED:unknown\n\n\
        GENERAL.DEVICE:docker0\nGENERAL.IP-IFACE:docker0\nGENERAL.METERED:no (guessed)\n\n\
        GENERAL.DEVICE:eth0\\:1\nGENERAL.IP-IFACE:\nGENERAL.METERED:yes\n\n\
        GENERAL.DEVICE:eno1\nGENERAL.IP-IFACE:eno1\nGENERAL.METERED:no\n";

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_metered_for_certain_or_by_its_looks_is_read_with_the_modems_interface() {
        assert_eq!(metered(SAID), names(&["cdc-wdm0", "eth0:1", "wlp2s0", "wwan0"]));
        assert_eq!(metered("GENERAL.METERED:yes\nnonsense\n:\n\\"), names(&[]));
        assert_eq!(metered(""), names(&[]));
    }

    fn address(last: u8) -> Vec<LocalAddress> {
        vec![LocalAddress {
            address: IpAddr::from([10, 0, 0, last]),
            interface: 2,
            name: "wlan0".to_owned(),
            kind: LinkKind::WIFI,
            mtu: 1500,
            metered: false,
        }]
    }

    fn write(directory: &Path, script: &str) -> PathBuf {
        let program = directory.join("nmcli");
        // Written by another process: a child that another thread is just starting would hold it open for writing, and a
        // program that is, cannot be run (ETXTBSY).
        let mut shell = Command::new("sh");
        shell.args(["-c", "printf %s \"$1\" > \"$0\" && chmod 700 \"$0\""]).arg(&program).arg(script);
        assert!(shell.status().expect("a shell").success());
        program
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(test);
    }

    async fn news(metered: &mut Metered) -> bool {
        tokio::time::timeout(Duration::from_secs(8), metered.news()).await.is_ok()
    }

    #[test]
    fn it_is_asked_when_addresses_change_and_only_another_answer_is_news() {
        let directory = std::env::temp_dir().join(format!("vpnhost-nmcli-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let script = "#!/bin/sh\n[ \"$*\" = '--terse --fields GENERAL.DEVICE,GENERAL.IP-IFACE,GENERAL.METERED device show' ] || exit 2\n\
            echo x >> \"${0%/*}/asked\"; cat \"${0%/*}/said\"\n";
        let program = write(&directory, script);
        let say = |value: &str| {
            let said = format!("GENERAL.DEVICE:wlan0\nGENERAL.IP-IFACE:wlan0\nGENERAL.METERED:{value}\n");
            std::fs::write(directory.join("said"), said).expect("written");
        };
        run(async {
            let mut metered = Metered::new(Some(program));
            say("yes (guessed)");
            metered.look(&address(1));
            assert!(news(&mut metered).await);
            assert_eq!(metered.interfaces(), names(&["wlan0"]));
            // It made up its mind later, without another change of addresses.
            say("no");
            assert!(news(&mut metered).await);
            assert_eq!(metered.interfaces(), names(&[]));
            for _ in 0..50 {
                metered.look(&address(1));
            }
            tokio::time::timeout(Duration::from_secs(1), metered.news()).await.unwrap_err();
            let asked = std::fs::read_to_string(directory.join("asked")).expect("it was asked");
            assert_eq!(asked.lines().count(), 2, "the same addresses are no reason to ask");
            say("yes");
            metered.look(&address(2));
            assert!(news(&mut metered).await);
        });
        std::fs::remove_dir_all(&directory).expect("removed");
    }

    #[test]
    fn where_there_is_no_networkmanager_nothing_is_asked_and_nothing_told() {
        run(async {
            let mut metered = Metered::new(None);
            metered.look(&address(1));
            assert!(metered.due.is_empty());
            tokio::time::timeout(Duration::from_millis(50), metered.news()).await.unwrap_err();
        });
    }
}
