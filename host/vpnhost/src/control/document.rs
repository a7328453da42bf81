//! What the control socket tells, as JSON with stable field names: times are seconds, traffic is octets.
//!
//! Fields are only ever added. Identities, suites, selectors and addresses are text as operators write them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vpnhost_driver::{Entry, legible};
use vpnhost_ike::output::CloseReason;

use crate::exit::{Code, Failure};

/// The state of a host: `GET /status`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The program's version.
    pub(crate) version: String,
    /// How long it has been running.
    pub(crate) uptime_secs: u64,
    /// The wall clock since 1970.
    pub(crate) unix_secs: u64,
    /// The inside interface.
    pub(crate) tun: String,
    /// The crypto backend, layers from the top joined by commas.
    pub(crate) backend: String,
    /// Its version.
    pub(crate) backend_version: String,
    /// Every connection of the configuration, or the one that was asked for.
    pub(crate) connections: Vec<Connection>,
    /// Every IKE SA that is up.
    pub(crate) ike_sas: Vec<IkeSa>,
    /// Plugins in the order in which they are asked.
    pub(crate) plugins: Vec<Plugin>,
    /// The machine's addresses.
    pub(crate) addresses: Vec<Address>,
    /// Counters of the packet path, and of what strangers were refused (`ike_half_open`, `ike_cookies_asked`, …).
    pub(crate) counters: BTreeMap<String, u64>,
    /// What the packet path makes use of.
    pub(crate) features: BTreeMap<String, String>,
    /// What the operator should know, in sentences.
    pub(crate) warnings: Vec<String>,
}

/// One configured connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Connection {
    /// Its name.
    pub(crate) name: String,
    /// `initiator`, `responder` or `either`.
    #[serde(default)]
    pub(crate) role: String,
    /// The peer's addresses and names, as they are written; `%any` for any.
    #[serde(default)]
    pub(crate) gateways: Vec<String>,
    /// Which of these names lead nowhere, in sentences.
    #[serde(default)]
    pub(crate) unresolved: Vec<String>,
    /// `down`, `connecting`, `up` or `retrying`.
    pub(crate) state: String,
    /// Until the next try, while `retrying`.
    pub(crate) retry_in_secs: Option<u64>,
    /// Whether it is tried again after an end.
    pub(crate) kept_up: bool,
    /// How the last try ended, while there is no IKE SA; or which child failed, while its IKE SA stands.
    pub(crate) last_failure: Option<String>,
    /// The stable code of its cause, such as `no-common-proposal`.
    #[serde(default)]
    pub(crate) last_reason: Option<String>,
    /// The last refusal of a peer that did not prove who it is, and that named this connection or came nearest to it,
    /// while the connection did not come up since.
    #[serde(default)]
    pub(crate) last_refusal: Option<NearRefusal>,
}

/// A refusal of a peer that did not prove who it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NearRefusal {
    /// How long ago.
    pub(crate) secs_ago: u64,
    /// The connection that the peer named, or that comes nearest to what it wanted.
    pub(crate) nearest: String,
    /// The stable code of the cause.
    pub(crate) reason: String,
    /// What happened, as a sentence.
    pub(crate) text: String,
}

/// One IKE SA.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IkeSa {
    /// This host's name of it.
    pub(crate) id: u64,
    /// Its connection.
    pub(crate) connection: String,
    /// `initiator` or `responder`.
    pub(crate) role: String,
    /// The initiator's SPI, in hexadecimal.
    pub(crate) spi_i: String,
    /// The responder's SPI.
    pub(crate) spi_r: String,
    /// What protects it, in the syntax of proposals.
    pub(crate) suite: String,
    /// Who serves its encryption.
    pub(crate) backend: String,
    /// This host's address and port.
    pub(crate) local: String,
    /// The peer's address and port.
    pub(crate) remote: String,
    /// `udp` or `raw`.
    pub(crate) encapsulation: String,
    /// Who this host is to the peer.
    pub(crate) local_id: String,
    /// Who the peer is.
    pub(crate) peer_id: String,
    /// The certificate that the peer proved itself with.
    pub(crate) certificate: Option<Certificate>,
    /// What EAP has proved of the peer.
    pub(crate) eap: Option<Eap>,
    /// Whether a NAT is before this host.
    pub(crate) local_behind_nat: bool,
    /// Whether a NAT is before the peer, or it pretends so.
    pub(crate) peer_behind_nat: bool,
    /// Since it came up or was rekeyed.
    pub(crate) established_secs: u64,
    /// How many IKE SAs it replaced by rekeying.
    pub(crate) rekeyed: u32,
    /// Until it is rekeyed.
    pub(crate) rekey_in_secs: Option<u64>,
    /// Until its peers are authenticated anew; of a responder, until it ends unless that was done.
    #[serde(default)]
    pub(crate) reauth_in_secs: Option<u64>,
    /// Since the peer was heard of.
    pub(crate) last_heard_secs: u64,
    /// Of the last liveness check.
    pub(crate) round_trip_us: Option<u64>,
    /// Whether it may move to other addresses (MOBIKE).
    #[serde(default)]
    pub(crate) mobike: bool,
    /// Whether it is this host that chooses its path; otherwise the peer does.
    #[serde(default)]
    pub(crate) chooses_path: bool,
    /// How often a keepalive goes to the NAT before this host; null where none does.
    #[serde(default)]
    pub(crate) keepalive_ms: Option<u64>,
    /// The longest silence that the NAT of the path in use was seen to remember.
    #[serde(default)]
    pub(crate) nat_remembered_ms: Option<u64>,
    /// The shortest silence that it was seen to forget in.
    #[serde(default)]
    pub(crate) nat_forgot_ms: Option<u64>,
    /// The path that it takes, and those that it could take.
    #[serde(default)]
    pub(crate) paths: Vec<Path>,
    /// Virtual addresses that this host was given, with prefix length.
    pub(crate) virtual_addresses: Vec<String>,
    /// DNS servers that this host was given.
    pub(crate) dns: Vec<String>,
    /// Virtual addresses that this host gave to the peer.
    pub(crate) peer_addresses: Vec<String>,
    /// Its Child SAs.
    pub(crate) children: Vec<Child>,
    /// What will fail later.
    #[serde(default)]
    pub(crate) foretold: Vec<Foretold>,
    /// The last decision of each question.
    pub(crate) decisions: Vec<Decided>,
}

/// A path that an IKE SA takes, or could take: `list paths`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Path {
    /// The connection.
    pub(crate) connection: String,
    /// The IKE SA.
    pub(crate) ike_sa: u64,
    /// Whether the IKE SA takes it now.
    pub(crate) in_use: bool,
    /// This host's address and port.
    pub(crate) local: String,
    /// The peer's address and port.
    pub(crate) remote: String,
    /// `udp` or `raw`.
    pub(crate) encapsulation: String,
    /// The interface's name; empty where the machine has no such address any more.
    pub(crate) interface: String,
    /// `ethernet`, `wifi`, `cellular`, `tunnel`, `loopback` or `other`.
    pub(crate) kind: String,
    /// Whether traffic on it costs money.
    pub(crate) metered: bool,
    /// Of the interface, in octets.
    pub(crate) mtu: u32,
    /// `unproven`, `works` or `failed`: what the last probe showed; null where this host does not choose the path.
    pub(crate) standing: Option<String>,
    /// The round-trip time, of several measurements; where this host does not choose, of the last liveness check.
    pub(crate) round_trip_us: Option<u64>,
    /// The share of probes that were lost, in thousandths.
    pub(crate) loss_permille: Option<u16>,
    /// Since the peer was heard on it, which is the age of the measurements.
    pub(crate) last_heard_secs: Option<u64>,
    /// How long it has been there without interruption.
    pub(crate) up_secs: Option<u64>,
    /// How often it went away in the last ten minutes.
    pub(crate) flaps: u16,
    /// The longest silence that the NAT of its network was seen to remember.
    #[serde(default)]
    pub(crate) nat_remembered_ms: Option<u64>,
    /// The shortest silence that it was seen to forget in.
    #[serde(default)]
    pub(crate) nat_forgot_ms: Option<u64>,
}

/// Something that works now and will fail later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Foretold {
    /// The stable code.
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) text: String,
}

/// The certificate of a peer that is up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Certificate {
    /// Whose it is.
    pub(crate) subject: String,
    /// Who issued it.
    pub(crate) issuer: String,
    /// The trust anchor.
    pub(crate) ca: String,
    /// In hexadecimal.
    pub(crate) serial: String,
    /// Until it, or a CA above it, ends; negative afterwards.
    pub(crate) ends_in_secs: i64,
}

/// What this host shows, whom it trusts and what it knows to be revoked: `list certs`, beside the peers' certificates.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Certs {
    /// This host's own certificates.
    pub(crate) own: Vec<Held>,
    /// CAs, and peers' own certificates, that are trusted.
    pub(crate) cas: Vec<Held>,
    /// Revocation lists, from files and by HTTP.
    pub(crate) crls: Vec<RevocationList>,
}

/// A certificate that this host has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The connections that have it.
    pub(crate) connections: Vec<String>,
    /// Whose it is.
    pub(crate) subject: String,
    /// The subject's other names.
    pub(crate) names: Vec<String>,
    /// Who issued it.
    pub(crate) issuer: String,
    /// In hexadecimal.
    pub(crate) serial: String,
    /// Its key, such as `rsa-2048`; empty where it cannot be read.
    pub(crate) key: String,
    /// Until it becomes valid; negative afterwards.
    pub(crate) begins_in_secs: i64,
    /// Until it ends; negative afterwards.
    pub(crate) ends_in_secs: i64,
}

/// A revocation list, or a place where there should be one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RevocationList {
    /// The connections that look at it.
    pub(crate) connections: Vec<String>,
    /// The file or the URL, as it is written.
    pub(crate) source: String,
    /// Who made it; none, where nothing could be fetched yet.
    pub(crate) issuer: Option<String>,
    /// Whether a CA that is known here signed it; one that only peers send is not known before.
    pub(crate) signed_by_known_ca: bool,
    /// How many certificates are on it.
    pub(crate) revoked: usize,
    /// Since it was made.
    pub(crate) age_secs: Option<i64>,
    /// Until a newer one is due; negative afterwards, when it counts no longer.
    pub(crate) next_update_in_secs: Option<i64>,
    /// Since it was fetched last; none of a file.
    pub(crate) fetched_secs: Option<u64>,
    /// Why the last fetch failed.
    pub(crate) error: Option<String>,
}

/// A peer that proved itself by EAP.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Eap {
    /// The user, as the method has proved it.
    pub(crate) identity: String,
    /// `mschapv2` or `tls`.
    pub(crate) method: String,
    /// Who the peer says it is in IKE, which nothing proves.
    pub(crate) ike_id: String,
}

/// One Child SA.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Child {
    /// This host's name of it.
    pub(crate) id: u64,
    /// The child's name in the configuration.
    pub(crate) name: String,
    /// `active`, `replaced` or `closing`.
    pub(crate) state: String,
    /// What this host receives on, in hexadecimal.
    pub(crate) spi_in: String,
    /// What this host sends on.
    pub(crate) spi_out: String,
    /// What protects it, in the syntax of proposals.
    pub(crate) suite: String,
    /// Who serves its encryption.
    pub(crate) backend: String,
    /// `tunnel` or `transport`.
    #[serde(default)]
    pub(crate) mode: String,
    /// What is behind this host.
    pub(crate) local_ts: Vec<String>,
    /// What is behind the peer.
    pub(crate) remote_ts: Vec<String>,
    /// Since it was installed.
    pub(crate) installed_secs: u64,
    /// How many Child SAs it replaced by rekeying.
    pub(crate) rekeyed: u32,
    /// Until it is rekeyed by its age.
    pub(crate) rekey_in_secs: Option<u64>,
    /// Whether this host sends on it.
    pub(crate) sends: bool,
    /// What came in.
    pub(crate) inbound: Flow,
    /// What went out.
    pub(crate) outbound: Flow,
}

/// Traffic of one direction.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Flow {
    /// Packets.
    pub(crate) packets: u64,
    /// Octets of inner packets.
    pub(crate) bytes: u64,
    /// Since the last packet; null if there was none.
    pub(crate) idle_secs: Option<u64>,
}

/// The last decision of a question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Decided {
    /// The question, such as `authorize_peer`.
    pub(crate) question: String,
    /// The plugin whose answer stands, or `native`.
    pub(crate) by: String,
    /// What was decided, in a few words.
    pub(crate) outcome: String,
    /// Since then.
    pub(crate) secs_ago: u64,
}

/// One plugin of the chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plugin {
    /// Its name.
    pub(crate) name: String,
    /// The SHA-256 of its component.
    #[serde(default)]
    pub(crate) sha256: Option<String>,
    /// The questions that it is asked.
    pub(crate) questions: Vec<String>,
    /// `deny` or `native`: what counts when it fails to answer `authorize_peer`.
    pub(crate) on_failure: String,
    /// How often it was asked,
    pub(crate) asked: u64,
    /// answered,
    pub(crate) answered: u64,
    /// left the answer to the others,
    pub(crate) abstained: u64,
    /// crashed, or ran out of time or memory,
    pub(crate) failed: u64,
    /// answered what it may not,
    pub(crate) off_the_menu: u64,
    /// and was not asked because its queue was full.
    pub(crate) refused: u64,
    /// The numbers that it counts and measures itself, by name.
    #[serde(default)]
    pub(crate) metrics: BTreeMap<String, f64>,
    /// Its version, as it says itself.
    #[serde(default)]
    pub(crate) version: Option<String>,
    /// The component's file.
    #[serde(default)]
    pub(crate) file: Option<String>,
    /// `active`, or `disabled` while it is not asked some question since it failed too often.
    #[serde(default)]
    pub(crate) state: Option<String>,
    /// The SHA-256 of the component that answered before.
    #[serde(default)]
    pub(crate) previous: Option<String>,
    /// How the trial of another component beside it goes.
    #[serde(default)]
    pub(crate) trial: Option<Trial>,
}

/// A component on trial.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// `shadow`, or `canary` and its share.
    pub(crate) kind: String,
    /// The SHA-256 of the component.
    pub(crate) sha256: String,
    /// Its version, as it says itself.
    pub(crate) version: String,
    /// How often it was asked,
    pub(crate) asked: u64,
    /// decided as the other did,
    pub(crate) alike: u64,
    /// would have decided otherwise,
    pub(crate) differs: u64,
    /// failed, or answered what it may not,
    pub(crate) failed: u64,
    /// and was not asked because too many questions waited.
    pub(crate) missed: u64,
    /// The last that it would have decided otherwise, in a sentence.
    pub(crate) last: Option<String>,
}

/// One address of the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Address {
    /// The address.
    pub(crate) address: String,
    /// The interface's name.
    pub(crate) interface: String,
    /// `ethernet`, `wifi`, `cellular`, `tunnel`, `loopback` or `other`.
    pub(crate) kind: String,
    /// In octets.
    pub(crate) mtu: u32,
    /// Whether traffic on it costs money.
    pub(crate) metered: bool,
}

/// One entry of the journal: `GET /explain`, `GET /events`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Counts from the start: a reader sees what it missed.
    pub(crate) number: u64,
    /// Since 1970.
    pub(crate) unix_ms: u64,
    /// The connection, if it is known.
    pub(crate) connection: Option<String>,
    /// The connection that comes nearest, of a refusal of a peer that belongs to none.
    #[serde(default)]
    pub(crate) nearest: Option<String>,
    /// The IKE SA, if there is one.
    pub(crate) ike_sa: Option<u64>,
    /// What kind of thing, such as `established` or `decided`.
    pub(crate) kind: String,
    /// The question, of a decision.
    pub(crate) question: Option<String>,
    /// Who decided: `plugins` or `native`.
    pub(crate) by: Option<String>,
    /// The plugin, of a decision, of a failure of one, or of a refusal by one.
    pub(crate) plugin: Option<String>,
    /// The SHA-256 of that plugin's component.
    #[serde(default)]
    pub(crate) plugin_sha256: Option<String>,
    /// The stable code of the cause, of an end, a failure or a refusal; or of `not_moved` what keeps an IKE SA from a path:
    /// `path-settling`, `path-untested`, `path-unanswered`, `path-not-returned`, `path-refused`, `path-translated`,
    /// `no-path`.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// The numbers of a move, of `moved`.
    #[serde(default)]
    pub(crate) moved: Option<Moved>,
    /// What happened, as a sentence.
    pub(crate) text: String,
}

/// How an IKE SA moved from one path to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moved {
    /// This host's address and port before.
    pub(crate) from_local: String,
    /// The peer's before.
    pub(crate) from_remote: String,
    /// This host's now.
    pub(crate) to_local: String,
    /// The peer's now.
    pub(crate) to_remote: String,
    /// Why, in a few words.
    pub(crate) why: String,
    /// How long nothing came in, until the peer answered; 0 of a move from a path that worked.
    pub(crate) gap_ms: u64,
    /// Octets of IP datagrams that IKE sent and received for it, as far as they came before it was made.
    pub(crate) octets: u32,
}

/// A line that tells of an operation under way, or of its outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum Line {
    /// It goes on.
    Progress {
        /// What just happened.
        text: String,
    },
    /// It is done.
    Done {
        /// What was done.
        text: String,
        /// The round-trip time, of a liveness exchange.
        round_trip_us: Option<u64>,
        /// How the IKE SA moved, of `roam`.
        #[serde(default)]
        moved: Option<Box<Moved>>,
    },
    /// It failed.
    Failed {
        /// What failed.
        what: String,
        /// Why.
        why: Option<String>,
        /// The stable code of the cause, if an SA failed.
        #[serde(default)]
        reason: Option<String>,
        /// What the operator may do.
        hint: Option<String>,
        /// The exit code.
        code: u8,
    },
}

impl Line {
    /// It is done.
    pub(crate) fn done(text: impl Into<String>) -> Self {
        Self::Done { text: text.into(), round_trip_us: None, moved: None }
    }

    /// It is done: an IKE SA moved.
    pub(crate) fn moved(text: String, moved: Moved) -> Self {
        Self::Done { text, round_trip_us: None, moved: Some(Box::new(moved)) }
    }

    /// It failed.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::Failed { what: what.into(), why: None, reason: None, hint: None, code: Code::Failed as u8 }
    }

    /// Adds the cause.
    pub(crate) fn because(mut self, cause: impl ToString) -> Self {
        if let Self::Failed { why, .. } = &mut self {
            *why = Some(cause.to_string());
        }
        self
    }

    /// Adds why an SA ended or did not come up.
    pub(crate) fn for_reason(mut self, cause: &CloseReason) -> Self {
        if let Self::Failed { why, reason, .. } = &mut self {
            *why = Some(legible(&cause.in_full()));
            *reason = Some(cause.code().to_owned());
        }
        self
    }

    /// Adds the plugin by whose answer the peer was refused, if one was.
    pub(crate) fn by_plugin_of(mut self, entry: &Entry) -> Self {
        if let (Self::Failed { why: Some(why), reason, .. }, Some(code), Some(plugin)) =
            (&mut self, entry.reason, &entry.plugin)
        {
            *why = format!("{why} (plugin {plugin})");
            *reason = Some(code.to_owned());
        }
        self
    }

    /// A failure of a verb as a document.
    pub(crate) fn of(failure: &Failure) -> Self {
        let mut line = Self::failed(failure.what()).code(failure.code());
        if let Some(why) = failure.why() {
            line = line.because(why);
        }
        match failure.hint_text() {
            Some(hint) => line.hint(hint),
            None => line,
        }
    }

    /// Adds what the operator may do about it.
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Failed { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// Changes the exit code.
    pub(crate) fn code(mut self, other: Code) -> Self {
        if let Self::Failed { code, .. } = &mut self {
            *code = other as u8;
        }
        self
    }
}

/// One backend in use: `GET /backends`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Backend {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// How many algorithms gave their known answers.
    pub(crate) admitted: usize,
    /// What is not offered, and why.
    pub(crate) refused: Vec<String>,
}

/// The backends in use, the top layer first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Backends {
    /// Each of them.
    pub(crate) backends: Vec<Backend>,
}
