//! Where peers are: the names that a configuration gives, and the addresses behind them.
//!
//! A name that cannot be resolved keeps the addresses that it had last.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use vpnhost_ike::config::Gateway;

use crate::config::{Configuration, Connection, GatewayName};
use crate::limits;

/// Names and addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gateways {
    addresses: BTreeMap<String, Vec<IpAddr>>,
    failures: BTreeMap<String, String>,
}

impl Gateways {
    /// Looks names up, each for a limited time; forgets all but those that are known to the configuration.
    pub(crate) async fn look_up(&mut self, known: &BTreeSet<String>, hosts: BTreeSet<String>) {
        self.addresses.retain(|host, _| known.contains(host));
        self.failures.retain(|host, _| known.contains(host));
        let slots = Arc::new(Semaphore::new(limits::LOOKUPS));
        let mut lookups = JoinSet::new();
        for host in hosts {
            let slots = Arc::clone(&slots);
            lookups.spawn(async move {
                let _slot = slots.acquire_owned().await;
                let found = resolve(&host).await;
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

    fn learn(&mut self, host: String, found: Result<Vec<IpAddr>, String>) {
        match found {
            Ok(addresses) => {
                self.failures.remove(&host);
                let set = |addresses: &[IpAddr]| addresses.iter().copied().collect::<BTreeSet<_>>();
                // Name servers turn the order round for each who asks: that is no change.
                if self.addresses.get(&host).is_none_or(|known| set(known) != set(&addresses)) {
                    self.addresses.insert(host, addresses);
                }
            }
            Err(why) => {
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

async fn resolve(host: &str) -> Result<Vec<IpAddr>, String> {
    let name = host.to_owned();
    // It blocks: a thread of its own, which nobody waits for longer than this.
    let found = tokio::task::spawn_blocking(move || vpnhost_driver::look_up(&name));
    match timeout(limits::LOOKUP, found).await {
        Ok(Ok(Ok(found))) => {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found {
                if !addresses.contains(&address) && addresses.len() < limits::ADDRESSES_OF_A_NAME {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses) }
        }
        Ok(Ok(Err(error))) => Err(plainly(&error)),
        Ok(Err(_)) => Err("looking it up failed".to_owned()),
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
    use super::*;

    const HOST: &str = "moon.example.org";

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn known(texts: &[&str]) -> Gateways {
        let mut gateways = Gateways::default();
        gateways.learn(HOST.to_owned(), Ok(addresses(texts)));
        gateways
    }

    #[test]
    fn another_order_is_no_change() {
        let mut gateways = known(&["192.0.2.1", "192.0.2.2"]);
        gateways.learn(HOST.to_owned(), Ok(addresses(&["192.0.2.2", "192.0.2.1"])));
        assert_eq!(gateways, known(&["192.0.2.1", "192.0.2.2"]));
        gateways.learn(HOST.to_owned(), Ok(addresses(&["192.0.2.3"])));
        assert_eq!(gateways, known(&["192.0.2.3"]));
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
        gateways.learn(HOST.to_owned(), Ok(addresses(&["192.0.2.2"])));
        assert!(!gateways.leads_where(&before));
    }

    #[tokio::test]
    async fn what_no_configuration_names_any_more_is_forgotten() {
        let mut gateways = known(&["192.0.2.1"]);
        let names = BTreeSet::from(["localhost".to_owned()]);
        gateways.look_up(&names, names.clone()).await;
        assert!(!gateways.addresses.contains_key(HOST));
        assert!(gateways.addresses["localhost"].iter().all(IpAddr::is_loopback));
    }
}
