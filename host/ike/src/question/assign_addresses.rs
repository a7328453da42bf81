//! Which pools a peer's virtual addresses come from: those that have one for it as the menu, and the order that was given.

use std::fmt;
use std::net::IpAddr;

use vpnhost_model::Now;
use vpnhost_pki::identity::folded;
use vpnhost_policy::{AddressMenu, Answer, Question};

use crate::extension::configuration::Wanted;
use crate::host::Host;
use crate::sa::IkeSa;

/// The pools that were chosen, best first, and the DNS servers, where others than the pools' own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) pools: Vec<String>,
    pub(crate) dns: Option<Vec<IpAddr>>,
    pub(crate) why: Option<String>,
}

/// Builds the menu, with the names of its pools; `None` if no pool has an address for the peer.
pub(crate) fn question(
    now: Now,
    sa: &IkeSa,
    host: &Host,
    wanted: &Wanted,
) -> Option<(Question, Vec<String>)> {
    let established = sa.established()?;
    let pools = host.pools.menu(&established.connection.pools, wanted, &established.peer_id);
    if pools.is_empty() {
        return None;
    }
    let names = pools.iter().map(|pool| pool.name.clone()).collect();
    let question = Question::AssignAddresses(AddressMenu {
        connection: established.connection.name.clone(),
        peer_id: folded(&established.peer_id),
        labels: established.labels.clone(),
        remote: sa.path.remote,
        unix_secs: now.unix.as_secs(),
        wants_ipv4: wanted.v4,
        wants_ipv6: wanted.v6,
        preferred: wanted.preferred().collect(),
        pools,
        hints: Vec::new(),
    });
    Some((question, names))
}

/// Reads the answer; without one no pool gives anything.
pub(crate) fn chosen(answer: Option<Answer>, pools: &[String]) -> Chosen {
    match answer {
        Some(Answer::AssignAddresses(assignment)) => Chosen {
            pools: assignment.pick(pools).into_iter().cloned().collect(),
            dns: assignment.dns,
            why: assignment.why,
        },
        _ => Chosen::default(),
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pools.as_slice() {
            [] => f.write_str("no pool")?,
            pools => f.write_str(&pools.join(", "))?,
        }
        if let Some(dns) = &self.dns {
            let dns: Vec<String> = dns.iter().map(IpAddr::to_string).collect();
            write!(f, ", DNS {}", if dns.is_empty() { "none".to_owned() } else { dns.join(", ") })?;
        }
        self.why.iter().try_for_each(|why| write!(f, " ({why})"))
    }
}
