//! `[[connection.child]]`.

use std::time::Duration;

use vpnhost_ike::config::{ChildConfig, Childless, SelectorConfig, Timing};
use vpnhost_model::{EspSuite, Lifetime, Mode, Sequence, Suite};

use super::document::Section;
use super::value::{self, Wrong};
use super::{Proposals, proposal, selector};
use crate::limits;

/// How old a Child SA becomes unless the operator says otherwise.
const REKEY: Duration = Duration::from_secs(3600);
/// The anti-replay window unless the operator says otherwise.
const REPLAY_WINDOW: u32 = 1024;

/// Reads every child of a connection, and where its proposals stand.
pub(super) fn read(
    connection: &Section<'_>,
    allow_legacy: bool,
    childless: Childless,
) -> (Vec<ChildConfig>, Vec<Proposals>) {
    let mut children: Vec<ChildConfig> = Vec::new();
    let mut proposals = Vec::new();
    let sections = connection.sections("child");
    for section in &sections {
        let (child, mut own) = one(section, allow_legacy);
        if let Some(child) = child.as_ref().filter(|child| child.mode == Mode::Transport) {
            fit_transport(connection, section, child);
        }
        section.finish();
        proposals.append(&mut own);
        let Some(child) = child else { continue };
        if children.iter().any(|other| other.name == child.name) {
            section.report("name", Wrong::new(format!("another child is named \"{}\"", child.name)));
        }
        children.push(child);
    }
    let most = vpnhost_ike::limits::CHILDREN_PER_IKE_SA;
    let is_without = sections.is_empty() && connection.item("child").is_none();
    if is_without && childless != Childless::Force {
        let wrong = Wrong::new("is missing: no traffic would be protected");
        let hint = "write [[connection.child]] with name and remote_ts, or childless = \"force\" for an IKE SA alone";
        connection.report("child", wrong.hint(hint));
    } else if sections.len() > most {
        connection.report("child", Wrong::new(format!("there are {}, {most} are the most", sections.len())));
    }
    (children, proposals)
}

fn one(section: &Section<'_>, allow_legacy: bool) -> (Option<ChildConfig>, Vec<Proposals>) {
    let name = section.required("name", "\"net\"").and_then(|item| item.read(value::name));
    let sequences = section.word("esn", &ESN, SEQUENCES);
    let parse = |text: &str| {
        let suites = EspSuite::parse_all(text, sequences)?;
        Ok(suites.into_iter().map(Suite::Esp).collect())
    };
    let proposals = proposal::read(section, "esp", &proposal::ESP, allow_legacy, parse);
    let mode =
        section.word("mode", &[("tunnel", Mode::Tunnel), ("transport", Mode::Transport)], Mode::Tunnel);
    let window = section.integer("replay_window", limits::REPLAY_WINDOW, i64::from(REPLAY_WINDOW));
    let child = ChildConfig {
        name: name.clone().unwrap_or_default(),
        local: selectors(section, "local_ts"),
        remote: selectors(section, "remote_ts"),
        esp: proposals.iter().flat_map(|own| &own.suites).filter_map(esp).collect(),
        mode,
        lifetime: lifetime(section),
        replay_window: u32::try_from(window).unwrap_or(REPLAY_WINDOW),
    };
    (name.map(|_| child), proposals)
}

/// Transport mode is between two hosts, whose own addresses it carries (RFC 4301 §4.1).
fn fit_transport(connection: &Section<'_>, section: &Section<'_>, child: &ChildConfig) {
    let is_host = |selector: &SelectorConfig| match selector {
        SelectorConfig::Fixed(selector) => selector.start == selector.end,
        SelectorConfig::Dynamic => true,
    };
    for (key, selectors) in [("local_ts", &child.local), ("remote_ts", &child.remote)] {
        if !selectors.iter().all(is_host)
            && let Some(item) = section.item(key)
        {
            let wrong = Wrong::new("transport mode carries what two hosts say to each other, not networks");
            item.error(wrong.hint(format!("write {key} = [\"dynamic\"], or mode = \"tunnel\"")));
        }
    }
    if let Some(item) = connection.item("request_address")
        && item.value().as_bool() == Some(true)
    {
        let wrong = Wrong::new(format!("does not go with transport mode of the child \"{}\"", child.name));
        item.error(wrong.hint("a virtual address needs mode = \"tunnel\""));
    }
}

/// What `esn` means: which sequence numbers a proposal stands for that says nothing of them.
const ESN: [(&str, &[Sequence]); 3] =
    [("offer", SEQUENCES), ("require", &[Sequence::EXTENDED]), ("no", &[Sequence::SHORT])];
const SEQUENCES: &[Sequence] = &[Sequence::EXTENDED, Sequence::SHORT];

fn esp(suite: &Suite) -> Option<EspSuite> {
    match suite {
        Suite::Esp(suite) => Some(*suite),
        Suite::Ike(_) => None,
    }
}

fn selectors(section: &Section<'_>, key: &'static str) -> Vec<SelectorConfig> {
    let Some(item) = section.item(key) else { return vec![SelectorConfig::Dynamic] };
    let mut selectors = Vec::new();
    for item in item.list() {
        let Some(read) = item.read(selector::read) else { continue };
        if let Some(odd) = read.odd {
            item.warn(odd);
        }
        if selectors.contains(&read.selector) {
            item.warn(Wrong::new("stands here twice"));
        } else {
            selectors.push(read.selector);
        }
    }
    let most = vpnhost_ike::limits::SELECTORS;
    if item.list().is_empty() {
        item.error(Wrong::new("is empty").hint(format!("write {key} = [\"dynamic\"], or leave it out")));
    } else if selectors.len() > most {
        item.error(Wrong::new(format!("holds {} selectors, {most} are the most", selectors.len())));
    }
    selectors
}

fn lifetime(section: &Section<'_>) -> Lifetime {
    let after = section.interval("rekey", limits::SHORTEST_INTERVAL, REKEY);
    let packets = section.item("rekey_packets").and_then(|item| item.integer(1..=i64::MAX));
    Lifetime {
        rekey_after: (!after.is_zero()).then_some(after),
        rekey_bytes: section.item("rekey_bytes").and_then(|item| item.size(1..=u64::MAX)),
        rekey_packets: packets.and_then(|packets| u64::try_from(packets).ok()),
        jitter_percent: Timing::default().rekey_jitter_percent,
    }
}
