//! What `up`, `down`, `rekey`, `reauth`, `terminate`, `roam` and `ping` wait for: a goal, held against the events of the
//! host.

use std::collections::BTreeSet;

use vpnhost_driver::{Phase, Snapshot};
use vpnhost_ike::input::Command;
use vpnhost_ike::output::{CloseReason, Event, Outlook};
use vpnhost_ike::reason::{Asked, Proof};
use vpnhost_model::{ChildSaId, IkeSaId, Role};

use super::document::Line;
use super::ends::Ends;
use super::roaming::{self, Errand};

/// Which part of a connection is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What the verb does without an option.
    All,
    /// The IKE SA.
    Ike,
    /// One child by name.
    Child(String),
}

/// An order with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Sets a connection up.
    Up,
    /// Takes it down, and leaves it down.
    Down,
    /// Renews keys.
    Rekey(Part),
    /// Has both sides authenticated anew.
    Reauth,
    /// Deletes SAs.
    Terminate(Part),
    /// Takes another path: the best, or one that is named.
    Roam(Option<Ends>),
    /// Checks that the peer is there, on the path in use or on another.
    Ping(Option<Ends>),
}

/// What is to happen before an operation is done.
#[derive(Debug)]
pub(crate) struct Goal {
    connection: String,
    kind: Kind,
    /// What is said when it is reached.
    done: String,
    /// IKE SAs that peers began meanwhile and that are not up: what becomes of them says nothing of this goal.
    strangers: BTreeSet<IkeSaId>,
}

#[derive(Debug)]
enum Kind {
    /// These children of the configuration are to come up.
    Up(BTreeSet<String>),
    /// A further IKE SA is to come up, and these children on it.
    Anew { begun: bool, left: BTreeSet<String> },
    /// These SAs are to be gone.
    Gone(Sas),
    /// These SAs are to be replaced.
    Replaced(Sas),
    /// An IKE SA is to take another path.
    Moved(Errand),
    /// The peer is to answer on an IKE SA.
    Alive(Errand),
}

/// SAs that are waited for.
#[derive(Debug, Default)]
struct Sas {
    ike: BTreeSet<IkeSaId>,
    children: BTreeSet<ChildSaId>,
}

impl Sas {
    fn is_empty(&self) -> bool {
        self.ike.is_empty() && self.children.is_empty()
    }
}

/// How an operation begins.
#[derive(Debug)]
pub(crate) enum Beginning {
    /// There is nothing to do, or nothing that can be done.
    Over(Line),
    /// These commands go to the host; the goal tells when it is done.
    Wait(Vec<Order>, Goal),
}

/// A command; values of their own, since `Command` holds what cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Of a connection.
    Initiate(String),
    /// Of a connection.
    Terminate(String),
    /// Of one IKE SA.
    TerminateIkeSa(IkeSaId),
    /// Of one Child SA.
    TerminateChildSa(ChildSaId),
    /// Of one IKE SA.
    RekeyIkeSa(IkeSaId),
    /// Of one Child SA.
    RekeyChildSa(ChildSaId),
    /// Of one IKE SA.
    Reauthenticate(IkeSaId),
    /// Of one IKE SA.
    CheckLiveness(IkeSaId),
    /// Of one IKE SA and a path.
    TestPath(IkeSaId, Ends),
    /// Of one IKE SA and maybe a path.
    Roam(IkeSaId, Option<Ends>),
}

impl From<Order> for Command {
    fn from(order: Order) -> Self {
        let pair = |ends: Ends| (ends.local, ends.remote);
        match order {
            Order::Initiate(name) => Self::Initiate(name),
            Order::Terminate(name) => Self::Terminate(name),
            Order::TerminateIkeSa(id) => Self::TerminateIkeSa(id),
            Order::TerminateChildSa(id) => Self::TerminateChildSa(id),
            Order::RekeyIkeSa(id) => Self::RekeyIkeSa(id),
            Order::RekeyChildSa(id) => Self::RekeyChildSa(id),
            Order::Reauthenticate(id) => Self::Reauthenticate(id),
            Order::CheckLiveness(id) => Self::CheckLiveness(id),
            Order::TestPath(id, ends) => Self::TestPath(id, pair(ends)),
            Order::Roam(id, ends) => Self::Roam(id, ends.map(pair)),
        }
    }
}

impl Operation {
    /// Plans the operation for a connection, whose configured children are named.
    pub(crate) fn begin(&self, connection: &str, children: &[String], snapshot: &Snapshot) -> Beginning {
        match self {
            Self::Up => {
                // What is up already is not told of again.
                let there = up_children(connection, snapshot);
                let missing: BTreeSet<String> =
                    children.iter().filter(|name| !there.contains(*name)).cloned().collect();
                let is_up = phase(connection, snapshot) == Phase::Up && missing.is_empty();
                let done = if is_up { "is up already" } else { "is up" };
                // A connection without children is up when its IKE SA is.
                let goal = if children.is_empty() && phase(connection, snapshot) != Phase::Up {
                    Kind::Anew { begun: false, left: missing }
                } else {
                    Kind::Up(missing)
                };
                wait(connection, vec![Order::Initiate(connection.to_owned())], goal, done)
            }
            Self::Down => {
                let is_down = phase(connection, snapshot) == Phase::Down;
                let done = if is_down { "is down already" } else { "is down" };
                let goal = Kind::Gone(ike_sas(connection, snapshot));
                wait(connection, vec![Order::Terminate(connection.to_owned())], goal, done)
            }
            Self::Rekey(part) => on_part(connection, part, snapshot, true),
            Self::Reauth => reauth(connection, snapshot),
            Self::Terminate(part) => on_part(connection, part, snapshot, false),
            Self::Roam(ends) => of_path(connection, roaming::roam(connection, *ends, snapshot), Kind::Moved),
            Self::Ping(ends) => of_path(connection, roaming::ping(connection, *ends, snapshot), Kind::Alive),
        }
    }
}

fn wait(connection: &str, orders: Vec<Order>, kind: Kind, done: &str) -> Beginning {
    let done = format!("{connection} {done}");
    Beginning::Wait(orders, Goal::new(connection, kind, done))
}

fn of_path(connection: &str, planned: Result<(Order, Errand), Line>, kind: fn(Errand) -> Kind) -> Beginning {
    match planned {
        // What is said at the end comes of what happened.
        Ok((order, errand)) => wait(connection, vec![order], kind(errand), ""),
        Err(line) => Beginning::Over(line),
    }
}

fn phase(connection: &str, snapshot: &Snapshot) -> Phase {
    let state = snapshot.connections.iter().find(|state| state.name == connection);
    state.map_or(Phase::Down, |state| state.phase)
}

fn up_children(connection: &str, snapshot: &Snapshot) -> BTreeSet<String> {
    let own = snapshot.ike_sas.iter().filter(|sa| sa.connection == connection);
    let active = own.flat_map(|sa| &sa.children).filter(|child| child.state == "active");
    active.map(|child| child.child.clone()).collect()
}

fn ike_sas(connection: &str, snapshot: &Snapshot) -> Sas {
    let sas = snapshot.ike_sas.iter().filter(|sa| sa.connection == connection);
    Sas { ike: sas.map(|sa| sa.id).collect(), children: BTreeSet::new() }
}

/// Says that a connection is not up.
pub(super) fn not_up(connection: &str) -> Line {
    Line::failed(format!("{connection} is not up"))
}

pub(super) fn not_yet_up(connection: &str) -> Line {
    not_up(connection).hint(format!("vpnhost up {connection}"))
}

/// What is up comes up once more, on an IKE SA of its own; then the old one goes by itself.
fn reauth(connection: &str, snapshot: &Snapshot) -> Beginning {
    let own = snapshot.ike_sas.iter().filter(|sa| sa.connection == connection);
    let children = own.flat_map(|sa| &sa.children).map(|child| child.child.clone()).collect();
    let orders: Vec<Order> =
        ike_sas(connection, snapshot).ike.into_iter().map(Order::Reauthenticate).collect();
    if orders.is_empty() {
        return Beginning::Over(not_yet_up(connection));
    }
    wait(connection, orders, Kind::Anew { begun: false, left: children }, "is authenticated anew")
}

fn on_part(connection: &str, part: &Part, snapshot: &Snapshot, rekey: bool) -> Beginning {
    let mut sas = ike_sas(connection, snapshot);
    if sas.is_empty() {
        return Beginning::Over(not_yet_up(connection));
    }
    let whole_ike_sa = match part {
        Part::Ike => true,
        Part::All => !rekey,
        Part::Child(_) => false,
    };
    if !whole_ike_sa {
        let own = snapshot.ike_sas.iter().filter(|sa| sas.ike.contains(&sa.id));
        let wanted = own.flat_map(|sa| &sa.children).filter(|child| match part {
            Part::Child(name) => *name == child.child,
            Part::All | Part::Ike => true,
        });
        // One that was replaced already goes by itself.
        let wanted = wanted.filter(|child| child.state == "active");
        sas = Sas { ike: BTreeSet::new(), children: wanted.map(|child| child.id).collect() };
        if sas.is_empty() {
            let name = if let Part::Child(name) = part { format!(" {name}") } else { String::new() };
            return Beginning::Over(Line::failed(format!("{connection} has no child{name} that is up")));
        }
    }
    let of_ike = if rekey { Order::RekeyIkeSa } else { Order::TerminateIkeSa };
    let of_child = if rekey { Order::RekeyChildSa } else { Order::TerminateChildSa };
    let children = sas.children.iter().copied().map(of_child);
    let orders = sas.ike.iter().copied().map(of_ike).chain(children).collect();
    let subject = match part {
        Part::Child(name) => format!(": child {name} "),
        Part::Ike if rekey => ": the IKE SA ".to_owned(),
        Part::All | Part::Ike => " ".to_owned(),
    };
    let done = if rekey { "has new keys" } else { "is down" };
    let kind = if rekey { Kind::Replaced(sas) } else { Kind::Gone(sas) };
    Beginning::Wait(orders, Goal::new(connection, kind, format!("{connection}{subject}{done}")))
}

impl Goal {
    fn new(connection: &str, kind: Kind, done: String) -> Self {
        Self { connection: connection.to_owned(), kind, done, strangers: BTreeSet::new() }
    }

    /// Returns the outcome if nothing is left to wait for.
    pub(crate) fn outcome(&self) -> Option<Line> {
        let reached = match &self.kind {
            Kind::Up(left) => left.is_empty(),
            Kind::Gone(left) | Kind::Replaced(left) => left.is_empty(),
            Kind::Anew { begun, left } => *begun && left.is_empty(),
            Kind::Moved(_) | Kind::Alive(_) => false,
        };
        reached.then(|| Line::done(self.done.clone()))
    }

    /// Holds an event against the goal; returns the outcome once it is known.
    pub(crate) fn observe(&mut self, event: &Event) -> Option<Line> {
        if let Event::IkeSaStarted { ike_sa, role: Role::Responder, .. } = event {
            self.strangers.insert(*ike_sa);
        } else if let Event::IkeSaEstablished(facts) = event {
            self.strangers.remove(&facts.id);
        } else if let Event::IkeSaClosed { ike_sa, .. } = event
            && self.strangers.remove(ike_sa)
        {
            return None;
        }
        let over = match &mut self.kind {
            Kind::Up(left) => observe_up(&self.connection, left, event),
            Kind::Anew { begun, left } => observe_anew(&self.connection, (begun, left), event),
            Kind::Gone(left) => {
                observe_gone(left, event);
                None
            }
            Kind::Replaced(left) => observe_replaced(&self.connection, left, event),
            Kind::Moved(errand) => errand.observe_roam(event),
            Kind::Alive(errand) => errand.observe_ping(event),
        };
        over.or_else(|| self.outcome())
    }
}

fn observe_up(connection: &str, left: &mut BTreeSet<String>, event: &Event) -> Option<Line> {
    if event.connection() != Some(connection) {
        return None;
    }
    if let Event::ChildSaEstablished { child, .. } = event {
        left.remove(child);
    } else if let Event::ChildSaFailed { child, reason, outlook, .. } = event {
        // Whose IKE SA stands has logged in.
        let stands = if *outlook == Outlook::Closes { "" } else { ", its IKE SA is" };
        let failed = Line::failed(format!("child {child} of {connection} is not up{stands}"));
        return Some(failed.for_reason(reason).hint(advice(connection, reason)));
    } else if let Event::IkeSaClosed { reason, .. } = event
        // The loser of a simultaneous rekey, or an old one that the new one replaces.
        && *reason != CloseReason::Replaced
    {
        return Some(not_up(connection).for_reason(reason).hint(advice(connection, reason)));
    }
    None
}

fn observe_anew(
    connection: &str,
    (begun, left): (&mut bool, &mut BTreeSet<String>),
    event: &Event,
) -> Option<Line> {
    let is_ours = event.connection() == Some(connection);
    *begun |= is_ours && matches!(event, Event::IkeSaEstablished(_));
    // One that is rekeyed meanwhile belongs to the old IKE SA.
    if matches!(event, Event::ChildSaEstablished { replaces: Some(_), .. }) {
        return None;
    }
    observe_up(connection, left, event)
}

fn observe_gone(left: &mut Sas, event: &Event) {
    if let Event::IkeSaClosed { ike_sa, .. } = event {
        left.ike.remove(ike_sa);
    } else if let Event::ChildSaClosed { child_sa, .. } = event {
        left.children.remove(child_sa);
    } else if let Event::IkeSaRekeyed { old, new } = event
        && left.ike.remove(old)
    {
        // Its heir goes instead.
        left.ike.insert(new.id);
    }
}

fn observe_replaced(connection: &str, left: &mut Sas, event: &Event) -> Option<Line> {
    match event {
        Event::IkeSaRekeyed { old, .. } => {
            left.ike.remove(old);
            None
        }
        Event::ChildSaEstablished { replaces: Some(old), .. } => {
            left.children.remove(old);
            None
        }
        Event::ChildSaFailed { connection: of, child, reason, .. } if of == connection => {
            Some(Line::failed(format!("child {child} of {connection} keeps its keys")).for_reason(reason))
        }
        Event::IkeRekeyFailed { ike_sa, reason, .. } if left.ike.contains(ike_sa) => {
            Some(Line::failed(format!("{connection} keeps its keys")).for_reason(reason))
        }
        // Whoever replaced it, it has been replaced.
        Event::ChildSaClosed { child_sa, reason, .. } => match (left.children.remove(child_sa), reason) {
            (true, CloseReason::Replaced) | (false, _) => None,
            (true, reason) => Some(not_rekeyed(connection, reason)),
        },
        Event::IkeSaClosed { ike_sa, reason: CloseReason::Replaced, .. } => {
            left.ike.remove(ike_sa);
            None
        }
        Event::IkeSaClosed { ike_sa, connection: of, reason } => {
            let is_meant = left.ike.remove(ike_sa) || of.as_deref() == Some(connection);
            is_meant.then(|| not_rekeyed(connection, reason))
        }
        Event::IkeSaStarted { .. }
        | Event::IkeSaEstablished(_)
        | Event::ChildSaEstablished { replaces: None, .. }
        | Event::ChildSaFailed { .. }
        | Event::IkeRekeyFailed { .. }
        | Event::Foretold { .. }
        | Event::Refused { .. }
        | Event::RetryScheduled { .. }
        | Event::Alive { .. }
        | Event::Moved { .. }
        | Event::Stays { .. }
        | Event::NotMoved { .. }
        | Event::PathMtu { .. }
        | Event::KeepaliveLearned { .. }
        | Event::Decided { .. } => None,
    }
}

/// Returns what an operator may do about a connection that does not come up.
fn advice(connection: &str, reason: &CloseReason) -> String {
    match reason.code() {
        "peer-silent" | "half-open-timeout" => {
            "is the peer's address right, and does a firewall let UDP 500 and 4500 through?".to_owned()
        }
        "nat-t-blocked" => "have UDP 4500 let through, on both sides and on the way".to_owned(),
        "wrong-psk" | "no-secret" => "compare the identities and the secret with the peer's".to_owned(),
        "unknown-identity" | "unexpected-identity" => "compare the identities with the peer's".to_owned(),
        "authentication-refused" => {
            let CloseReason::RefusedByPeer { asked: Asked::Login { by, .. }, .. } = reason else {
                return "compare the identities with the peer's; its log says why".to_owned();
            };
            match by {
                Proof::Secret => "compare the identities and the secret with the peer's".to_owned(),
                Proof::Certificate => {
                    "does the peer trust the certificate's CA, and is it for `local.id`? vpnhost list certs"
                        .to_owned()
                }
                Proof::PublicKey => {
                    "compare the public key of `local.key` with the one that the peer has of this host"
                        .to_owned()
                }
                Proof::Eap => "compare the user and what EAP proves it by with the peer's".to_owned(),
            }
        }
        "own-certificate-expired" | "own-certificate-not-yet-valid" => {
            "get a new certificate, or set this host's clock right; vpnhost list certs".to_owned()
        }
        "missing-eku" => "write require_eku or eku in `peer` as the peer's certificate is; a peer.id that names the gateway \
                          demands no serverAuth"
            .to_owned(),
        "wrong-ca" => "is the missing CA's certificate to be trusted? then add it to `ca`".to_owned(),
        "no-common-proposal" | "wrong-group" => {
            "compare the proposals `ike` and `esp` with the peer's".to_owned()
        }
        "pfs-mismatch" => "compare the groups in `esp` with the peer's".to_owned(),
        "nothing-to-offer" => "vpnhost crypto list; vpnhost check".to_owned(),
        "no-common-selector" => "compare `local_ts` and `remote_ts` with the peer's".to_owned(),
        "pool-empty" => "the gateway's pool needs more addresses".to_owned(),
        "address-required" => "set `request_address = true`".to_owned(),
        _ => format!("vpnhost explain {connection}"),
    }
}

fn not_rekeyed(connection: &str, reason: &CloseReason) -> Line {
    Line::failed(format!("{connection} was not rekeyed")).for_reason(reason)
}

#[cfg(test)]
mod tests {
    use vpnhost_model::{Encapsulation, Identity, Path};

    use super::*;

    fn goal(kind: Kind) -> Goal {
        Goal::new("corp", kind, "done".to_owned())
    }

    fn established(child: &str) -> Event {
        Event::ChildSaEstablished {
            child_sa: ChildSaId(7),
            ike_sa: IkeSaId(1),
            connection: "corp".to_owned(),
            child: child.to_owned(),
            replaces: Some(ChildSaId(3)),
        }
    }

    fn closed(connection: &str, reason: CloseReason) -> Event {
        Event::IkeSaClosed { ike_sa: IkeSaId(1), connection: Some(connection.to_owned()), reason }
    }

    #[test]
    fn up_waits_for_every_child() {
        let mut goal = goal(Kind::Up(["a", "b"].map(str::to_owned).into()));
        assert!(goal.observe(&established("a")).is_none());
        assert!(goal.observe(&closed("home", CloseReason::Local)).is_none());
        assert!(matches!(goal.observe(&established("b")), Some(Line::Done { .. })));
    }

    #[test]
    fn a_stranger_who_names_the_connection_ends_no_order() {
        let mut goal = goal(Kind::Up(["a".to_owned()].into()));
        let path = Path {
            local: "192.0.2.1:500".parse().unwrap(),
            remote: "203.0.113.9:500".parse().unwrap(),
            interface: None,
            encapsulation: Encapsulation::Raw,
        };
        let started =
            Event::IkeSaStarted { ike_sa: IkeSaId(1), connection: None, role: Role::Responder, path };
        assert!(goal.observe(&started).is_none());
        assert!(goal.observe(&closed("corp", CloseReason::HalfOpenTimeout)).is_none());
        assert!(goal.observe(&closed("corp", CloseReason::HalfOpenTimeout)).is_some(), "another is meant");
    }

    #[test]
    fn up_fails_with_the_cause() {
        let mut goal = goal(Kind::Up(["a".to_owned()].into()));
        let notify = "AUTHENTICATION_FAILED".to_owned();
        let asked = Asked::Login { local: Identity::Fqdn("carol".into()), remote: None, by: Proof::Secret };
        let reason = CloseReason::RefusedByPeer { notify, asked };
        let Some(Line::Failed { what, why, reason, hint, .. }) = goal.observe(&closed("corp", reason)) else {
            panic!()
        };
        assert_eq!(what, "corp is not up");
        assert!(why.is_some_and(|why| why.contains("Usually the pre-shared key")));
        assert_eq!(reason.as_deref(), Some("authentication-refused"));
        assert_eq!(hint.as_deref(), Some("compare the identities and the secret with the peer's"));
    }

    #[test]
    fn the_hint_follows_how_this_host_proves_itself() {
        let hint = |by| {
            let asked = Asked::Login { local: Identity::Fqdn("carol".into()), remote: None, by };
            let notify = "AUTHENTICATION_FAILED".to_owned();
            advice("corp", &CloseReason::RefusedByPeer { notify, asked })
        };
        assert!(hint(Proof::Secret).contains("secret"));
        assert!(
            hint(Proof::Certificate).contains("certificate") && !hint(Proof::Certificate).contains("secret")
        );
        assert!(hint(Proof::Eap).contains("EAP") && !hint(Proof::Eap).contains("secret"));
    }

    #[test]
    fn reauth_waits_for_the_new_ike_sa_and_every_child_on_it() {
        let kind = Kind::Anew { begun: true, left: ["a".to_owned()].into() };
        let mut rekeyed = goal(kind);
        assert!(rekeyed.observe(&established("a")).is_none(), "it was only rekeyed");
        let mut new = established("a");
        if let Event::ChildSaEstablished { replaces, .. } = &mut new {
            *replaces = None;
        }
        assert!(matches!(rekeyed.observe(&new), Some(Line::Done { .. })));
        let over = Operation::Reauth.begin("corp", &[], &Snapshot::default());
        assert!(matches!(over, Beginning::Over(Line::Failed { .. })), "nothing is up");
    }

    #[test]
    fn a_rekey_is_done_whoever_did_it() {
        let mut goal =
            goal(Kind::Replaced(Sas { ike: [IkeSaId(1)].into(), children: [ChildSaId(3)].into() }));
        assert!(goal.observe(&established("a")).is_none());
        assert!(matches!(goal.observe(&closed("corp", CloseReason::Replaced)), Some(Line::Done { .. })));
    }

    #[test]
    fn a_rekey_fails_when_its_sa_ends() {
        let mut goal = goal(Kind::Replaced(Sas { ike: [IkeSaId(1)].into(), children: BTreeSet::new() }));
        assert!(matches!(
            goal.observe(&closed("corp", CloseReason::HalfOpenTimeout)),
            Some(Line::Failed { .. })
        ));
    }

    #[test]
    fn down_with_nothing_up_gives_a_retry_up() {
        let Beginning::Wait(orders, goal) = Operation::Down.begin("corp", &[], &Snapshot::default()) else {
            panic!()
        };
        assert_eq!(orders, [Order::Terminate("corp".to_owned())]);
        assert!(matches!(goal.outcome(), Some(Line::Done { .. })));
        let over = Operation::Rekey(Part::All).begin("corp", &[], &Snapshot::default());
        assert!(matches!(over, Beginning::Over(Line::Failed { .. })));
    }
}
