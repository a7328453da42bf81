//! Which of this host's addresses the peer is told (RFC 4555 §3.3, §3.6): asked when the IKE SA is up and when the machine
//! has others. What nobody has judged yet is not told, unless the native policy judges, which tells all.

use std::net::IpAddr;

use vpnhost_model::{LinkKind, LocalAddress, Now, TrafficSelector};
use vpnhost_policy::{Answer, QuestionKind};

use super::fixed;
use crate::config::ReturnRoutability;
use crate::host::Host;
use crate::limits;
use crate::question::advertise_addresses::{self, Chosen};
use crate::sa::{IkeSa, estate};
use crate::work::{AnsweredBy, Track};

/// What was asked of the machine's addresses, and what was said.
#[derive(Debug, Default)]
pub(crate) struct Advertising {
    /// The menu of the last question.
    asked: Vec<IpAddr>,
    /// The menu that was answered last, and the answer.
    decided: Option<(Vec<IpAddr>, Chosen)>,
    /// Another policy may choose others; until it has, the last choice holds.
    is_doubted: bool,
}

impl Advertising {
    /// Has it asked anew at the next occasion.
    pub(crate) fn doubt(&mut self) {
        self.is_doubted = true;
    }
}

impl IkeSa {
    /// Returns the machine's addresses that may carry the tunnel. Those in a network that it protects cannot.
    fn outer_addresses<'a>(&self, host: &'a Host) -> Vec<&'a LocalAddress> {
        let children = self.connection.iter().flat_map(|connection| &connection.children);
        let protected: Vec<TrafficSelector> = children.flat_map(|child| fixed(&child.local)).collect();
        let mut outer: Vec<&LocalAddress> = Vec::new();
        for link in &host.local_addresses {
            let outside = link.kind != LinkKind::LOOPBACK && link.kind != LinkKind::TUNNEL;
            let is_new = !outer.iter().any(|other| other.address == link.address);
            if outside && is_new && !estate::holds(&protected, link.address) {
                outer.push(link);
            }
        }
        outer
    }

    /// Returns this host's addresses beside the one in use.
    pub(crate) fn own_addresses(&self, host: &Host) -> Vec<IpAddr> {
        let outer = self.outer_addresses(host).into_iter().map(|link| link.address);
        outer.filter(|address| *address != self.path.local.ip()).take(limits::OWN_ADDRESSES).collect()
    }

    /// Returns those of them that the peer is told.
    pub(crate) fn advertised(&self, host: &Host) -> Vec<IpAddr> {
        let own = self.own_addresses(host);
        let decided = self.mobility().and_then(|mobility| mobility.advertising.decided.as_ref());
        match decided {
            Some((_, chosen)) => {
                chosen.addresses.iter().copied().filter(|address| own.contains(address)).collect()
            }
            None if host.delegates(QuestionKind::AdvertiseAddresses) => Vec::new(),
            None => own,
        }
    }

    /// Returns how carefully a new address of the peer's is believed.
    pub(crate) fn return_routability(&self) -> ReturnRoutability {
        let decided = self.mobility().and_then(|mobility| mobility.advertising.decided.as_ref());
        let configured = self.connection.as_ref().map(|connection| connection.return_routability);
        decided.map(|(_, chosen)| chosen.return_routability).or(configured).unwrap_or_default()
    }

    /// Has it decided which addresses the peer is told, where the machine has others than when it was decided last.
    /// Tells whether that was asked, and what follows from the answer is done.
    pub(super) fn consider_advertisement(&mut self, host: &mut Host, now: Now) -> bool {
        if self.waits.contains_key(&Track::Advertisement) {
            return true;
        }
        let outer = self.outer_addresses(host);
        let outer = &outer[..outer.len().min(limits::OWN_ADDRESSES)];
        let addresses: Vec<IpAddr> = outer.iter().map(|link| link.address).collect();
        let question = advertise_addresses::question(now, self, host, outer);
        let Some(mobility) = self.mobility_mut() else { return false };
        let Advertising { decided, is_doubted, .. } = &mobility.advertising;
        let is_decided = !is_doubted && decided.as_ref().is_some_and(|(of, _)| *of == addresses);
        let Some(question) = question.filter(|_| !is_decided) else { return false };
        mobility.advertising.asked = addresses;
        mobility.advertising.is_doubted = false;
        self.ask(host, now, Track::Advertisement, question);
        true
    }

    /// Takes the decision; the peer is told what is new to it.
    pub(crate) fn apply_advertisement(
        &mut self,
        host: &mut Host,
        now: Now,
        answer: Option<Answer>,
        by: AnsweredBy,
    ) {
        let careful = self.return_routability();
        let Some(mobility) = self.mobility_mut() else { return };
        let asked = std::mem::take(&mut mobility.advertising.asked);
        let Some(chosen) = advertise_addresses::chosen(answer, &asked) else { return };
        let text = describe(&asked, &chosen, careful);
        mobility.advertising.decided = Some((asked, chosen));
        if let Some(text) = text {
            self.decided(host, "advertise_addresses", by, text);
        }
        self.want_announcement(host, now);
        self.want_introduction(host, now);
    }
}

/// Tells people what is not as it would be without a policy.
fn describe(asked: &[IpAddr], chosen: &Chosen, careful: ReturnRoutability) -> Option<String> {
    let left_out: Vec<String> =
        asked.iter().filter(|it| !chosen.addresses.contains(it)).map(IpAddr::to_string).collect();
    let mut parts = Vec::new();
    if !left_out.is_empty() {
        parts.push(format!("the peer is not told {}", left_out.join(", ")));
    }
    if chosen.return_routability != careful {
        let time = match chosen.return_routability {
            ReturnRoutability::Never => "never",
            ReturnRoutability::After => "after a move",
            ReturnRoutability::Before => "before a move",
        };
        parts.push(format!("the peer's new addresses are checked {time}"));
    }
    let why = chosen.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    (!parts.is_empty()).then(|| parts.join("; ") + &why)
}
