//! Where peers are: the names that a configuration gives, and the addresses behind them.
//!
//! A name that cannot be resolved keeps the addresses that it had last, and an answer counts as long as its TTL says.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use vpnhost_driver::Found;
use vpnhost_ike::config::Gateway;

use crate::config::{Configuration, Connection, GatewayName};
use crate::limits;

/// Names and addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gateways {
    addresses: BTreeMap<String, Vec<IpAddr>>,
    failures: BTreeMap<String, String>,
    /// Until when a name's addresses count.
    until: BTreeMap<String, Instant>,
}

/// Whom names are asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The system; where it has no answer, its DNS servers.
    System,
    /// DNS servers outside of the tunnels alone: the tunnel itself may be what does not work.
    Outside,
}

impl Gateways {
    /// Looks names up, each for a limited time; forgets all but those that are known to the configuration.
    pub(crate) async fn look_up(&mut self, known: &BTreeSet<String>, hosts: BTreeSet<String>, asked: Asked) {
        self.addresses.retain(|host, _| known.contains(host));
        self.failures.retain(|host, _| known.contains(host));
        self.until.retain(|host, _| known.contains(host));
        let slots = Arc::new(Semaphore::new(limits::LOOKUPS));
        let mut lookups = JoinSet::new();
        for host in hosts {
            let slots = Arc::clone(&slots);
            lookups.spawn(async move {
                let _slot = slots.acquire_owned().await;
                let found = match asked {
                    Asked::System => resolve(&host).await,
                    Asked::Outside => resolve_outside(&host).await,
                };
                (host, found)
            });
        }
        while let Some(result) = lookups.join_next().await {
            if let Ok((host, found)) = result {
                self.learn(host, found);
            }
        }
    }

    /// Tells whether every name leads where it led before, whatever is said of those that lead nowhere.
    pub(crate) fn leads_where(&self, before: &Self) -> bool {
        self.addresses == before.addresses
    }

    /// Tells whether a name has no answer that still counts.
    pub(crate) fn is_due(&self, host: &str) -> bool {
        self.until.get(host).is_none_or(|until| *until <= Instant::now())
    }

    /// Has every name asked for again when it is wanted; until then its addresses stay.
    pub(crate) fn forget_lifetimes(&mut self) {
        self.until.clear();
    }

    /// Tells whether a name could not be resolved at last.
    pub(crate) fn has_failed(&self, host: &str) -> bool {
        self.failures.contains_key(host)
    }

    fn learn(&mut self, host: String, found: Result<Found, String>) {
        match found {
            Ok(Found { addresses, lifetime }) if addresses.is_empty() => {
                // Nobody knows of another.
                self.until.insert(host, Instant::now() + lifetime);
            }
            Ok(Found { addresses, lifetime }) => {
                self.failures.remove(&host);
                self.until.insert(host.clone(), Instant::now() + lifetime);
                let set = |addresses: &[IpAddr]| addresses.iter().copied().collect::<BTreeSet<_>>();
                // Name servers turn the order round for each who asks: that is no change.
                if self.addresses.get(&host).is_none_or(|known| set(known) != set(&addresses)) {
                    self.addresses.insert(host, addresses);
                }
            }
            Err(why) => {
                self.until.remove(&host);
                self.failures.insert(host, why);
            }
        }
    }

    /// Returns a connection's gateways, in the order of the file.
    pub(crate) fn of(&self, connection: &Connection, listen: &[IpAddr]) -> Vec<Gateway> {
        // An address of a family that no socket has would never be reached.
        let reachable = |address: &IpAddr| listen.iter().any(|own| own.is_ipv4() == address.is_ipv4());
        let mut gateways = Vec::new();
        for GatewayName { host, port } in &connection.gateways {
            let known = match host.parse() {
                Ok(address) => vec![address],
                Err(_) => self.addresses.get(host).cloned().unwrap_or_default(),
            };
            let addresses = known.into_iter().filter(reachable);
            gateways.extend(addresses.map(|ip| Gateway { address: SocketAddr::new(ip, *port) }));
        }
        gateways
    }

    /// Says which of a connection's names are not resolved, and why; one whose last addresses are used is told too.
    pub(crate) fn failures(&self, connection: &Connection) -> Vec<String> {
        let say = |GatewayName { host, .. }: &GatewayName| {
            let why = self.failures.get(host)?;
            let known = self.addresses.get(host).is_some_and(|known| !known.is_empty());
            let then = if known { "; its last addresses are used" } else { "" };
            Some(format!("{host} cannot be resolved ({why}){then}"))
        };
        connection.gateways.iter().filter_map(say).collect()
    }
}

/// Returns the names, other than addresses, of all connections that a filter wants.
pub(crate) fn names(configuration: &Configuration, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let connections = configuration.connections.iter().filter(|it| wanted(&it.peer.name));
    let hosts = connections.flat_map(|it| &it.gateways).map(|gateway| &gateway.host);
    hosts.filter(|host| host.parse::<IpAddr>().is_err()).cloned().collect()
}

async fn resolve_outside(host: &str) -> Result<Found, String> {
    let found = timeout(limits::LOOKUP, vpnhost_driver::look_up_outside(host)).await;
    // Its addresses count as before: that nobody answers out there is no failure of a name that leads somewhere.
    let nothing = Found { addresses: Vec::new(), lifetime: limits::LOOKUP_AGAIN };
    Ok(found.ok().flatten().map_or(nothing, within_bounds))
}

/// Takes each address once, and not too many.
fn within_bounds(found: Found) -> Found {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.addresses {
        if !addresses.contains(&address) && addresses.len() < limits::ADDRESSES_OF_A_NAME {
            addresses.push(address);
        }
    }
    Found { addresses, ..found }
}

async fn resolve(host: &str) -> Result<Found, String> {
    match timeout(limits::LOOKUP, vpnhost_driver::look_up(host)).await {
        Ok(Ok(found)) => {
            let found = within_bounds(found);
            if found.addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(found) }
        }
        Ok(Err(error)) => Err(plainly(&error)),
        Err(_) => Err(format!("no answer within {} s", limits::LOOKUP.as_secs())),
    }
}

/// Leaves out what the library says before the cause.
fn plainly(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOST: &str = "moon.example.org";

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn found(texts: &[&str]) -> Result<Found, String> {
        Ok(Found { addresses: addresses(texts), lifetime: Duration::from_secs(60) })
    }

    fn known(texts: &[&str]) -> Gateways {
        let mut gateways = Gateways::default();
        gateways.learn(HOST.to_owned(), found(texts));
        gateways
    }

    #[test]
    fn another_order_is_no_change() {
        let mut gateways = known(&["192.0.2.1", "192.0.2.2"]);
        gateways.learn(HOST.to_owned(), found(&["192.0.2.2", "192.0.2.1"]));
        assert_eq!(gateways.addresses, known(&["192.0.2.1", "192.0.2.2"]).addresses);
        gateways.learn(HOST.to_owned(), found(&["192.0.2.3"]));
        assert_eq!(gateways.addresses, known(&["192.0.2.3"]).addresses);
    }

    #[test]
    fn a_failure_takes_no_address_away() {
        let mut gateways = known(&["192.0.2.1"]);
        gateways.learn(HOST.to_owned(), Err("no answer".to_owned()));
        assert_eq!(gateways.addresses, known(&["192.0.2.1"]).addresses);
        assert_eq!(gateways.failures[HOST], "no answer");
    }

    #[test]
    fn another_reason_why_a_name_leads_nowhere_is_news_but_leads_nowhere_else() {
        let mut gateways = known(&["192.0.2.1"]);
        gateways.learn(HOST.to_owned(), Err("no answer within 8 s".to_owned()));
        let before = gateways.clone();
        gateways.learn(HOST.to_owned(), Err("name or service not known".to_owned()));
        assert!(gateways != before && gateways.leads_where(&before));
        gateways.learn(HOST.to_owned(), found(&["192.0.2.2"]));
        assert!(!gateways.leads_where(&before));
    }

    #[test]
    fn an_answer_counts_as_long_as_it_says_and_a_failure_not_at_all() {
        let mut gateways = known(&["192.0.2.1"]);
        assert!(!gateways.is_due(HOST) && gateways.is_due("sun.example.org"));
        let over = Found { addresses: addresses(&["192.0.2.1"]), lifetime: Duration::ZERO };
        gateways.learn(HOST.to_owned(), Ok(over));
        assert!(gateways.is_due(HOST));
        // Nobody answers outside of the tunnel: what was known stays, and is not asked for at once again.
        gateways.learn(HOST.to_owned(), found(&[]));
        assert!(!gateways.is_due(HOST) && !gateways.has_failed(HOST));
        assert_eq!(gateways.addresses[HOST], addresses(&["192.0.2.1"]));
        gateways.learn(HOST.to_owned(), Err("no answer".to_owned()));
        assert!(gateways.is_due(HOST) && gateways.has_failed(HOST));
    }

    #[test]
    fn after_a_sleep_no_answer_counts_and_every_address_stays() {
        let mut gateways = known(&["192.0.2.1"]);
        assert!(!gateways.is_due(HOST));
        gateways.forget_lifetimes();
        assert!(gateways.is_due(HOST) && !gateways.has_failed(HOST));
        assert_eq!(gateways.addresses[HOST], addresses(&["192.0.2.1"]));
    }

    #[tokio::test]
    async fn what_no_configuration_names_any_more_is_forgotten() {
        let mut gateways = known(&["192.0.2.1"]);
        let names = BTreeSet::from(["localhost".to_owned()]);
        gateways.look_up(&names, names.clone(), Asked::System).await;
        assert!(!gateways.addresses.contains_key(HOST));
        assert!(gateways.addresses["localhost"].iter().all(IpAddr::is_loopback));
    }
}
