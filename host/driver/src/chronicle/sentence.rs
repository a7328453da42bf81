//! One sentence for each event, as `explain` prints it; what tells who or where is apart from the rest.

use std::time::Duration;

use vpnhost_ike::Memory;
use vpnhost_ike::output::{CloseReason, Event, Hindrance, IkeSaFacts, Outlook};
use vpnhost_model::{IkeSaId, Path, Role};

use crate::journal::Move;

/// An event in words.
pub(super) struct Sentence {
    /// Its kind; stable.
    pub(super) kind: &'static str,
    /// The stable code of the cause, if it has one.
    pub(super) reason: Option<&'static str>,
    /// What happened.
    pub(super) text: String,
    /// With whom and where, or nothing.
    pub(super) detail: String,
}

/// Returns code and sentence of a cause, with identities and addresses; `plugin` is by whose answer a peer was refused.
pub(super) fn cause(reason: &CloseReason, plugin: Option<&str>) -> (&'static str, String) {
    match (reason, plugin) {
        (CloseReason::RefusedByPlugin(_), Some(plugin)) => {
            (reason.code(), format!("{reason} (plugin {plugin})"))
        }
        (reason, _) => (reason.code(), reason.in_full()),
    }
}

/// Puts an event into words; `plugin` is whose answer it comes of.
pub(super) fn of(event: &Event, plugin: Option<&str>) -> Sentence {
    match event {
        Event::IkeSaStarted { ike_sa, role, path, .. } => {
            let text = match role {
                Role::Initiator => format!("{ike_sa} was begun"),
                Role::Responder => format!("a peer began {ike_sa}"),
            };
            sentence("started", text).with(path.to_string())
        }
        Event::IkeSaEstablished(facts) => {
            let text = format!("{} is up as {}, {}", facts.id, role(facts.role), facts.suite);
            sentence("established", text).with(whereabouts(facts))
        }
        Event::IkeSaRekeyed { old, new } => {
            sentence("rekeyed", format!("{old} was rekeyed: {} took its place, {}", new.id, new.suite))
        }
        Event::Foretold { foresight, .. } => {
            let text = format!("it will fail later: {foresight}");
            Sentence { reason: Some(foresight.code()), ..sentence("foretold", text) }
        }
        Event::IkeRekeyFailed { ike_sa, reason, after, .. } => {
            let after = after.as_secs_f64();
            let text = format!("{ike_sa} was not rekeyed (it keeps its keys, tried again in {after:.1} s)");
            sentence("rekey_failed", text).for_reason(reason, None)
        }
        Event::IkeSaClosed { ike_sa, reason, .. } if *ike_sa == IkeSaId(0) => {
            sentence("closed", "no IKE SA could be begun".to_owned()).for_reason(reason, plugin)
        }
        Event::IkeSaClosed { ike_sa, reason, .. } => {
            sentence("closed", format!("{ike_sa} ended")).for_reason(reason, plugin)
        }
        Event::Refused { path, reason } => {
            let refused = sentence("refused", "a peer's first message was refused".to_owned());
            Sentence { detail: path.to_string(), ..refused.for_reason(reason, None) }
        }
        Event::RetryScheduled { after, .. } => {
            let after = after.as_secs_f64();
            sentence("retry", format!("the connection will be tried again in {after:.1} s"))
        }
        Event::Alive { round_trip: Some(time), .. } => {
            sentence("alive", format!("the peer answered after {:.1} ms", time.as_secs_f64() * 1000.0))
        }
        Event::Alive { round_trip: None, .. } => {
            sentence("alive", "the peer answered after a retransmission".to_owned())
        }
        Event::Moved { ike_sa, .. } => {
            let how = Move::of(event).map_or_else(String::new, |it| it.to_string());
            sentence("moved", format!("{ike_sa} moved {how}"))
        }
        Event::Stays { ike_sa, path, why } => {
            sentence("stays", format!("{ike_sa} stays on its path: {why}")).with(path.to_string())
        }
        Event::NotMoved { ike_sa, path, hindrance, why } => not_moved((*ike_sa, path), *hindrance, why),
        Event::PathMtu { path, octets, .. } => sentence("path_mtu", carries(*octets)).with(path.to_string()),
        Event::KeepaliveLearned { memory, .. } => sentence("keepalive_learned", remembers(*memory)),
        Event::Decided { question, by, outcome, .. } => decided(question, who(by, plugin), outcome),
        Event::ChildSaEstablished { child_sa, child, replaces: None, .. } => {
            sentence("child_established", format!("{child_sa} ({child}) is up"))
        }
        Event::ChildSaEstablished { child_sa, child, replaces: Some(old), .. } => {
            sentence("child_rekeyed", format!("{child_sa} ({child}) took the place of {old}"))
        }
        Event::ChildSaFailed { child, reason, outlook, .. } => {
            let text = format!("child {child} did not come up ({})", next(*outlook));
            sentence("child_failed", text).for_reason(reason, None)
        }
        Event::ChildSaClosed { child_sa, reason, .. } => {
            sentence("child_closed", format!("{child_sa} ended")).for_reason(reason, None)
        }
    }
}

fn in_brackets(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(" ({why})") }
}

/// Tells for how long a NAT remembers an idle mapping.
fn remembers(memory: Memory) -> String {
    let secs = |span: Duration| format!("{} s", span.as_secs());
    match (memory.proven, memory.failed) {
        (Some(proven), Some(failed)) => {
            format!("the NAT remembered for {} and forgot within {}", secs(proven), secs(failed))
        }
        (Some(proven), None) => format!("the NAT remembered for {}", secs(proven)),
        (None, Some(failed)) => format!("the NAT forgot within {}", secs(failed)),
        (None, None) => "the NAT is not known".to_owned(),
    }
}

fn not_moved((ike_sa, path): (IkeSaId, &Path), hindrance: Hindrance, why: &str) -> Sentence {
    let text = format!("{ike_sa} stays on its path: {hindrance}");
    let told = sentence("not_moved", text).with(format!("{path}{}", in_brackets(why)));
    Sentence { reason: Some(hindrance.code()), ..told }
}

/// Tells how large a packet may be.
fn carries(octets: u16) -> String {
    format!("the path carries packets of {octets} octets at most, and nobody on it says so")
}

/// Tells what was decided. Selectors and paths are addresses.
fn decided(question: &str, who: String, outcome: &str) -> Sentence {
    if matches!(question, "narrow_selectors" | "rank_paths") {
        sentence("decided", format!("{question}: {who} decided")).with(outcome.to_owned())
    } else {
        sentence("decided", format!("{question}: {who} decided: {outcome}"))
    }
}

/// Tells what becomes of a child that failed. Its peers are authenticated: it is no failed login.
fn next(outlook: Outlook) -> String {
    match outlook {
        Outlook::Retried(pause) => {
            format!("the IKE SA stands, tried again in {:.1} s", pause.as_secs_f64())
        }
        Outlook::Kept => "the IKE SA stands, tried again by order or for traffic".to_owned(),
        Outlook::LeftToPeer => "the IKE SA stands, the peer may try again".to_owned(),
        Outlook::Closes => "the IKE SA ends for it".to_owned(),
    }
}

fn sentence(kind: &'static str, text: String) -> Sentence {
    Sentence { kind, reason: None, text, detail: String::new() }
}

impl Sentence {
    fn with(self, detail: String) -> Self {
        Self { detail, ..self }
    }

    fn for_reason(self, reason: &CloseReason, plugin: Option<&str>) -> Self {
        let (code, _) = cause(reason, plugin);
        let by = plugin.filter(|_| code == "plugin-refused");
        let by = by.map_or_else(String::new, |plugin| format!(" (plugin {plugin})"));
        let text = format!("{}: {reason}{by}", self.text);
        Self { kind: self.kind, reason: Some(code), text, detail: reason.detail().unwrap_or_default() }
    }
}

fn who(by: &str, plugin: Option<&str>) -> String {
    match (by, plugin) {
        ("plugins", Some(plugin)) => format!("plugin {plugin}"),
        ("plugins", None) => "the plugins".to_owned(),
        _ => "the native policy".to_owned(),
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Initiator => "initiator",
        Role::Responder => "responder",
    }
}

fn whereabouts(facts: &IkeSaFacts) -> String {
    let nat = match (facts.local_behind_nat, facts.peer_behind_nat) {
        (true, true) => ", both behind NATs",
        (true, false) => ", this host behind a NAT",
        (false, true) => ", the peer behind a NAT, or asking for UDP",
        (false, false) => "",
    };
    format!("{}, {}{nat}", facts.peers(), facts.path)
}
