//! What was learned of the NATs of networks, kept in the state directory over a restart.
//!
//! The endpoint knows a network by this host's address and the interface's index, which the next boot gives to another. The
//! file names the interface instead: an address on an interface, as long as another network does not give the same address to
//! the same interface. Where one does, what is known is wrong at first, and found out like a NAT that changed.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vpnhost_ike::{IkeEndpoint, Memory, Network};
use vpnhost_model::{Instant, LocalAddress, Now};

use crate::limits;
use crate::state_directory::StateDirectory;

const FILE: &str = "networks";

/// A network in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    interface: String,
    address: IpAddr,
    memory: Memory,
    /// When it was learned, since 1970, in seconds.
    since: u64,
}

/// The file, and what it is to say.
#[derive(Debug)]
pub(crate) struct Networks {
    state: Option<Arc<StateDirectory>>,
    entries: Vec<Entry>,
    written: Vec<Entry>,
    /// What was to be written last was not.
    failed: Arc<AtomicBool>,
    due: Instant,
}

impl Networks {
    /// Reads what was kept; what is damaged is told, and counts as nothing.
    ///
    /// It waits for the disk.
    pub(crate) fn read(state: Option<Arc<StateDirectory>>, now: Now) -> Self {
        let kept = state.as_ref().map(|state| state.read(FILE)).transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "what was learned of NATs is learned anew");
            None
        });
        let text = kept.flatten().map(|kept| String::from_utf8_lossy(kept.expose()).into_owned());
        let entries = text.as_deref().map_or_else(Vec::new, |text| parse(text, now.unix.as_secs()));
        Self { state, written: entries.clone(), entries, failed: Arc::default(), due: now.instant }
    }

    /// Tells the endpoint what is known of the networks that the machine is in; what it learned itself stays.
    pub(crate) fn recall(&self, addresses: &[LocalAddress], endpoint: &mut IkeEndpoint) {
        for link in addresses {
            let is_it = |entry: &&Entry| entry.interface == link.name && entry.address == link.address;
            if let Some(entry) = self.entries.iter().find(is_it) {
                let network = Network { local: link.address, interface: Some(link.interface) };
                endpoint.recall_network(network, entry.memory);
            }
        }
    }

    /// Takes what the endpoint knows, not too often, and has it written if it is news.
    pub(crate) fn take(&mut self, now: Now, addresses: &[LocalAddress], endpoint: &IkeEndpoint) {
        let Some(state) = self.state.clone().filter(|_| self.due <= now.instant) else { return };
        self.due = now.instant + limits::NETWORKS_WRITTEN;
        if let Some(text) = self.news(now, addresses, endpoint) {
            let failed = Arc::clone(&self.failed);
            tokio::task::spawn_blocking(move || write(&state, &text, &failed));
        }
    }

    /// Takes and writes it at the end.
    ///
    /// It waits for the disk.
    pub(crate) fn finish(&mut self, now: Now, addresses: &[LocalAddress], endpoint: &IkeEndpoint) {
        let text = self.news(now, addresses, endpoint);
        if let Some((state, text)) = self.state.as_ref().zip(text) {
            write(state, &text, &self.failed);
        }
    }

    /// Returns what the file is to say, if it says something else.
    fn news(&mut self, now: Now, addresses: &[LocalAddress], endpoint: &IkeEndpoint) -> Option<String> {
        for (network, memory) in endpoint.networks().filter(|(_, memory)| *memory != Memory::default()) {
            let is_it = |link: &&LocalAddress| {
                link.address == network.local && network.interface.is_none_or(|it| it == link.interface)
            };
            if let Some(link) = addresses.iter().find(is_it) {
                self.enter(&link.name, link.address, memory, now.unix.as_secs());
            }
        }
        let is_written = !self.failed.swap(false, Ordering::Relaxed);
        if self.entries == self.written && is_written {
            return None;
        }
        self.written.clone_from(&self.entries);
        Some(format(&self.entries))
    }

    /// Enters what is known of a network; beyond the bound the one that was learned first goes.
    fn enter(&mut self, interface: &str, address: IpAddr, memory: Memory, now: u64) {
        let found =
            self.entries.iter().position(|entry| entry.interface == interface && entry.address == address);
        if let Some(at) = found {
            let known = &self.entries[at];
            let is_fresh = now.saturating_sub(known.since) < limits::NETWORK_REFRESHED.as_secs();
            if known.memory == memory && is_fresh {
                return;
            }
            self.entries.remove(at);
        }
        self.entries.push(Entry { interface: interface.to_owned(), address, memory, since: now });
        let over = self.entries.len().saturating_sub(limits::NETWORKS_KEPT);
        self.entries.drain(..over);
    }
}

fn write(state: &StateDirectory, text: &str, failed: &AtomicBool) {
    if let Err(error) = state.replace(FILE, text.as_bytes()) {
        failed.store(true, Ordering::Relaxed);
        tracing::warn!(%error, "what was learned of NATs does not survive a restart");
    }
}

/// Writes a network a line: interface, address, milliseconds survived and not survived, seconds since 1970.
fn format(entries: &[Entry]) -> String {
    let millis =
        |span: Option<Duration>| span.map_or_else(|| "-".to_owned(), |it| it.as_millis().to_string());
    let mut text = String::new();
    for Entry { interface, address, memory, since } in entries {
        let (proven, failed) = (millis(memory.proven), millis(memory.failed));
        // A string takes everything.
        let _ = writeln!(text, "{interface} {address} {proven} {failed} {since}");
    }
    text
}

/// Reads the lines; those that are no such lines are told, and those that are too old are forgotten. What is said to have been
/// learned later than now was learned before: a machine without a clock of its own starts before it knows the time.
fn parse(text: &str, now: u64) -> Vec<Entry> {
    let lines = text.lines().take(limits::NETWORKS_KEPT);
    let (known, odd): (Vec<_>, Vec<_>) = lines.map(parse_line).partition(Option::is_some);
    if !odd.is_empty() {
        tracing::warn!(
            lines = odd.len(),
            "the state directory's file of networks has lines that say nothing"
        );
    }
    let is_young = |entry: &Entry| now.saturating_sub(entry.since) <= limits::NETWORK_KEPT_FOR.as_secs();
    let dated = |entry: Entry| Entry { since: entry.since.min(now), ..entry };
    known.into_iter().flatten().filter(is_young).map(dated).collect()
}

fn parse_line(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let mut word = || words.next();
    let (interface, address) = (word()?.to_owned(), word()?.parse().ok()?);
    let millis = |word: &str| match word {
        "-" => Some(None),
        word => word.parse().ok().map(|millis| Some(Duration::from_millis(millis))),
    };
    let memory = Memory { proven: millis(word()?)?, failed: millis(word()?)? };
    let since = word()?.parse().ok()?;
    (words.next().is_none() && !interface.is_empty()).then_some(Entry { interface, address, memory, since })
}

#[cfg(test)]
mod tests {
    use vpnhost_ike::EndpointConfig;
    use vpnhost_model::LinkKind;

    use super::*;
    use crate::clock::Clock;
    use crate::state_directory::open_again;

    const DAY: u64 = 86_400;

    fn link(name: &str, interface: u32, last: u8) -> LocalAddress {
        LocalAddress {
            address: [192, 0, 2, last].into(),
            interface,
            name: name.to_owned(),
            kind: LinkKind::WIFI,
            mtu: 1500,
            metered: false,
        }
    }

    fn memory(proven: u64, failed: u64) -> Memory {
        Memory { proven: Some(Duration::from_secs(proven)), failed: Some(Duration::from_secs(failed)) }
    }

    fn endpoint(now: Now) -> IkeEndpoint {
        struct Zero;
        impl vpnhost_crypto::SecureRandom for Zero {
            fn fill(&mut self, out: &mut [u8]) -> Result<(), vpnhost_crypto::CryptoError> {
                out.fill(0);
                Ok(())
            }
        }
        let policy = Arc::new(vpnhost_policy::Chain::new(Vec::new()));
        IkeEndpoint::new(EndpointConfig::default(), vpnhost_null::backend(), Box::new(Zero), policy, now)
    }

    #[test]
    fn what_was_learned_is_known_after_a_restart_by_the_name_of_the_interface() {
        let ground = tempfile::tempdir().unwrap();
        let open = || Arc::new(open_again(&ground.path().join("state")));
        let now = Clock.now();
        let mut first = endpoint(now);
        first.recall_network(Network { local: [192, 0, 2, 7].into(), interface: Some(3) }, memory(28, 32));
        let mut networks = Networks::read(Some(open()), now);
        networks.finish(now, &[link("wlan0", 3, 7)], &first);
        drop(networks);

        let networks = Networks::read(Some(open()), now);
        let mut second = endpoint(now);
        networks.recall(&[link("wlan0", 9, 7), link("eth0", 3, 8)], &mut second);
        let known: Vec<_> = second.networks().collect();
        let network = Network { local: [192, 0, 2, 7].into(), interface: Some(9) };
        assert_eq!(known, [(network, memory(28, 32))]);
    }

    #[test]
    fn a_damaged_file_counts_as_nothing_and_is_written_anew() {
        let ground = tempfile::tempdir().unwrap();
        let path = ground.path().join("state");
        let state = Arc::new(open_again(&path));
        let now = Clock.now();
        let mut of_now = endpoint(now);
        of_now.recall_network(Network { local: [192, 0, 2, 7].into(), interface: Some(3) }, memory(28, 32));
        for damage in [&b"vpnhost-state 00000000\nwlan0"[..], b"\xff\xff", b""] {
            std::fs::write(path.join(FILE), damage).unwrap();
            let mut networks = Networks::read(Some(Arc::clone(&state)), now);
            assert_eq!(networks.entries, []);
            networks.finish(now, &[link("wlan0", 3, 7)], &of_now);
            assert_eq!(Networks::read(Some(Arc::clone(&state)), now).entries.len(), 1, "{damage:?}");
        }
    }

    #[test]
    fn lines_that_say_nothing_and_what_is_old_are_left_out() {
        let now = 100 * DAY;
        let fresh = format!("wlan0 192.0.2.7 28000 - {now}\n");
        let odd = [
            "wlan0 192.0.2.7 28000 -",
            "wlan0 192.0.2 28000 - 8640000",
            " 192.0.2.7 1 2 3",
            "wlan0 192.0.2.7 x - 8640000",
            "wlan0 192.0.2.7 1 2 3 4",
            "wlan0 192.0.2.7 99999999999999999999999 - 8640000",
        ];
        let old = format!("eth0 192.0.2.8 1000 2000 {}\n", now - 91 * DAY);
        let all = parse(&format!("{}\n{old}{fresh}", odd.join("\n")), now);
        assert_eq!(format(&all), fresh);
    }

    #[test]
    fn what_a_machine_learned_is_known_also_before_it_knows_the_time() {
        let line = |since: u64| format!("eth0 192.0.2.9 1000 2000 {since}\n");
        assert_eq!(format(&parse(&line(20_000 * DAY), 30)), line(30));
    }

    #[test]
    fn what_could_not_be_written_is_written_the_next_time() {
        let ground = tempfile::tempdir().unwrap();
        let path = ground.path().join("state");
        let state = Arc::new(open_again(&path));
        let now = Clock.now();
        let mut of_now = endpoint(now);
        of_now.recall_network(Network { local: [192, 0, 2, 7].into(), interface: Some(3) }, memory(28, 32));
        let mut networks = Networks::read(Some(Arc::clone(&state)), now);
        // A directory of that name is in the way.
        std::fs::create_dir(path.join(FILE)).unwrap();
        networks.finish(now, &[link("wlan0", 3, 7)], &of_now);
        std::fs::remove_dir(path.join(FILE)).unwrap();
        networks.finish(now, &[link("wlan0", 3, 7)], &of_now);
        assert_eq!(Networks::read(Some(state), now).entries.len(), 1);
    }

    #[test]
    fn networks_are_kept_up_to_a_bound_and_the_one_that_was_learned_first_goes() {
        let mut networks = Networks::read(None, Clock.now());
        for number in 0..limits::NETWORKS_KEPT as u64 + 2 {
            networks.enter(&format!("eth{number}"), [192, 0, 2, 7].into(), memory(1, 2), number);
        }
        networks.enter("eth5", [192, 0, 2, 7].into(), memory(1, 2), 6);
        assert_eq!(networks.entries.len(), limits::NETWORKS_KEPT);
        assert_eq!(networks.entries[0].interface, "eth2");
        networks.enter("eth2", [192, 0, 2, 7].into(), memory(1, 3), 1);
        assert_eq!(networks.entries.last().map(|it| it.interface.as_str()), Some("eth2"));
    }
}
