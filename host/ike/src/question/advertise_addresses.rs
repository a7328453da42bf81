//! Which of its addresses this host tells the peer: those that the machine has as the menu, and what was chosen of them.

use std::net::IpAddr;

use vpnhost_model::{LocalAddress, Now};
use vpnhost_pki::identity::folded;
use vpnhost_policy::{AddressFacts, AdvertisementMenu, Answer, CheckTime, Question};

use crate::config::ReturnRoutability;
use crate::host::Host;
use crate::sa::IkeSa;

/// What was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) return_routability: ReturnRoutability,
    pub(crate) why: Option<String>,
}

/// Builds the menu of these addresses.
pub(crate) fn question(now: Now, sa: &IkeSa, host: &Host, addresses: &[&LocalAddress]) -> Option<Question> {
    let established = sa.established()?;
    let facts = |link: &&LocalAddress| AddressFacts {
        address: link.address,
        interface: link.name.clone(),
        kind: link.kind,
        metered: link.metered,
        roaming: host.config.roaming.contains(&link.name),
        hints: Vec::new(),
    };
    Some(Question::AdvertiseAddresses(AdvertisementMenu {
        connection: established.connection.name.clone(),
        role: sa.role,
        peer_id: folded(&established.peer_id),
        labels: established.labels.clone(),
        unix_secs: now.unix.as_secs(),
        local: sa.path.local,
        remote: sa.path.remote,
        peer_behind_nat: sa.nat.peer,
        addresses: addresses.iter().map(facts).collect(),
        return_routability: number(established.connection.return_routability),
        hints: Vec::new(),
    }))
}

/// Reads the answer.
pub(crate) fn chosen(answer: Option<Answer>, addresses: &[IpAddr]) -> Option<Chosen> {
    let Some(Answer::AdvertiseAddresses(answer)) = answer else { return None };
    Some(Chosen {
        addresses: answer.pick(addresses).into_iter().copied().collect(),
        return_routability: match answer.return_routability {
            CheckTime::NEVER => ReturnRoutability::Never,
            CheckTime::AFTER => ReturnRoutability::After,
            _ => ReturnRoutability::Before,
        },
        why: answer.why,
    })
}

fn number(time: ReturnRoutability) -> CheckTime {
    match time {
        ReturnRoutability::Never => CheckTime::NEVER,
        ReturnRoutability::After => CheckTime::AFTER,
        ReturnRoutability::Before => CheckTime::BEFORE,
    }
}
