//! `vpnhost list …`: a table for people, or the items as JSON under the name of the list.

use serde_json::{Value, json};

use crate::certs;
use crate::cli::{Global, What};
use crate::control::client;
use crate::control::document::{Backends, Certificate, Certs, Connection, IkeSa, Path, Plugin, Status};
use crate::exit::{self, Outcome};
use crate::text::{octets, span, table};

/// `vpnhost list WHAT`.
pub(crate) fn show(what: What, global: &Global) -> Outcome {
    let (document, text) = match what {
        What::Backends => {
            let backends: Backends = client::fetch(global, "/backends", &[])?;
            (json!(backends), backend_table(&backends))
        }
        What::Certs => {
            let status: Status = client::fetch(global, "/status", &[])?;
            let held: Certs = client::fetch(global, "/certs", &[])?;
            certificates(&status.ike_sas, &held)
        }
        What::Conns | What::Sas | What::Paths | What::Plugins => {
            let status: Status = client::fetch(global, "/status", &[])?;
            of_status(what, &status)
        }
    };
    if global.json { client::print_json(&document) } else { exit::print(text) }
}

fn of_status(what: What, status: &Status) -> (Value, String) {
    match what {
        What::Conns => (json!({ "connections": status.connections }), connection_table(&status.connections)),
        What::Sas => (json!({ "ike_sas": status.ike_sas }), sa_table(&status.ike_sas)),
        What::Paths => (paths(status), path_table(status)),
        What::Plugins => (json!({ "plugins": status.plugins }), plugin_table(&status.plugins)),
        What::Backends | What::Certs => (Value::Null, String::new()),
    }
}

/// The certificates of the peers that are up, and what this host has.
fn certificates(ike_sas: &[IkeSa], held: &Certs) -> (Value, String) {
    let proved = ike_sas.iter().filter_map(|sa| Some((sa, sa.certificate.as_ref()?)));
    let document = |(sa, certificate): (&IkeSa, &Certificate)| json!({ "connection": sa.connection, "ike_sa": sa.id, "peer_id": sa.peer_id, "certificate": certificate });
    let row = |(sa, certificate): (&IkeSa, &Certificate)| {
        let left = span(u64::try_from(certificate.ends_in_secs).unwrap_or(0));
        [
            sa.connection.clone(),
            certificate.subject.clone(),
            certificate.ca.clone(),
            certificate.serial.clone(),
            left,
        ]
    };
    let documents: Vec<Value> = proved.clone().map(document).collect();
    let rows: Vec<_> = proved.map(row).collect();
    let heads = ["connection", "certificate", "CA", "serial", "ends in"];
    let text = match rows.is_empty() {
        true if held.own.is_empty() && held.cas.is_empty() => "no certificates\n".to_owned(),
        true => certs::text(held),
        false => format!("{}\n{}", table(heads, &rows, ""), certs::text(held)),
    };
    (
        json!({ "certs": documents, "own": held.own, "cas": held.cas, "crls": held.crls }),
        text.trim_end().to_owned() + "\n",
    )
}

fn connection_table(connections: &[Connection]) -> String {
    let row = |it: &Connection| {
        let state = match it.retry_in_secs {
            Some(seconds) => format!("{}, again in {}", it.state, span(seconds)),
            None => it.state.clone(),
        };
        let failure = it.last_reason.clone().or_else(|| it.last_failure.clone()).unwrap_or_default();
        [it.name.clone(), state, it.role.clone(), it.gateways.join(", "), failure]
    };
    let rows: Vec<_> = connections.iter().map(row).collect();
    table(["connection", "state", "role", "peer", "last failure"], &rows, "no connections")
}

fn sa_table(ike_sas: &[IkeSa]) -> String {
    let mut rows = Vec::new();
    for sa in ike_sas {
        let spis = format!("{} {}", sa.spi_i, sa.spi_r);
        rows.push([
            sa.connection.clone(),
            format!("IKE {}", sa.id),
            spis,
            sa.suite.clone(),
            span(sa.established_secs),
            sa.peer_id.clone(),
        ]);
        for child in &sa.children {
            let traffic = format!("{} in, {} out", octets(child.inbound.bytes), octets(child.outbound.bytes));
            rows.push([
                format!("  {}", child.name),
                format!("ESP {}", child.id),
                format!("{} {}", child.spi_in, child.spi_out),
                child.suite.clone(),
                span(child.installed_secs),
                traffic,
            ]);
        }
    }
    table(["connection", "SA", "SPIs", "suite", "age", "peer, traffic"], &rows, "no SAs")
}

/// What is told of a path; the first column marks the one in use.
const PATHS: [&str; 13] = [
    "",
    "connection",
    "local",
    "remote",
    "interface",
    "kind",
    "MTU",
    "probe",
    "round trip",
    "loss",
    "heard",
    "there for",
    "NAT",
];

fn paths(status: &Status) -> Value {
    let paths: Vec<&Path> = status.ike_sas.iter().flat_map(|sa| &sa.paths).collect();
    json!({ "paths": paths, "addresses": status.addresses })
}

fn path_row(chooses: bool, path: &Path) -> [String; 13] {
    let metered = if path.metered { ", metered" } else { "" };
    let since = |seconds: Option<u64>| seconds.map_or_else(String::new, span);
    [
        if path.in_use { "*" } else { "" }.to_owned(),
        path.connection.clone(),
        path.local.clone(),
        path.remote.clone(),
        path.interface.clone(),
        format!("{}{metered}", path.kind),
        if path.mtu == 0 { String::new() } else { path.mtu.to_string() },
        standing(chooses, path).to_owned(),
        path.round_trip_us.map_or_else(String::new, |us| format!("{:.1} ms", us as f64 / 1e3)),
        path.loss_permille.map_or_else(String::new, |share| format!("{:.1} %", f64::from(share) / 10.0)),
        path.last_heard_secs.map_or_else(String::new, |seconds| format!("{} ago", span(seconds))),
        match path.flaps {
            0 => since(path.up_secs),
            1 => format!("{}, went once", since(path.up_secs)),
            flaps => format!("{}, went {flaps} times", since(path.up_secs)),
        },
        crate::status::remembers(path.nat_remembered_ms, path.nat_forgot_ms).unwrap_or_default(),
    ]
}

fn standing(chooses: bool, path: &Path) -> &'static str {
    match path.standing.as_deref() {
        Some("works") => "works",
        Some("failed") => "no answer",
        Some(_) => "untested",
        // The machine does not have it any more.
        None if chooses => "gone",
        None => "",
    }
}

fn path_table(status: &Status) -> String {
    let rows =
        status.ike_sas.iter().flat_map(|sa| sa.paths.iter().map(|path| path_row(sa.chooses_path, path)));
    let paths: Vec<_> = rows.collect();
    let addresses: Vec<_> = status
        .addresses
        .iter()
        .map(|it| {
            let metered = if it.metered { "metered" } else { "" };
            [
                it.address.clone(),
                it.interface.clone(),
                it.kind.clone(),
                it.mtu.to_string(),
                metered.to_owned(),
            ]
        })
        .collect();
    format!(
        "{}\n{}",
        table(PATHS, &paths, "no SA has a path"),
        table(["address", "interface", "kind", "MTU", ""], &addresses, "no addresses"),
    )
}

fn plugin_table(plugins: &[Plugin]) -> String {
    let row = |it: &Plugin| {
        [
            it.name.clone(),
            it.sha256.as_deref().map_or("-", |sum| sum.get(..12).unwrap_or(sum)).to_owned(),
            it.questions.join(" "),
            it.asked.to_string(),
            it.answered.to_string(),
            it.abstained.to_string(),
            it.failed.to_string(),
            it.off_the_menu.to_string(),
            it.refused.to_string(),
        ]
    };
    let rows: Vec<_> = plugins.iter().map(row).collect();
    let headings =
        ["plugin", "sha256", "questions", "asked", "answered", "abstained", "failed", "off the menu", "busy"];
    let mut text = table(headings, &rows, "no plugins: the native policy decides");
    let numbers: Vec<_> = plugins
        .iter()
        .flat_map(|it| {
            it.metrics.iter().map(|(name, value)| [it.name.clone(), name.clone(), value.to_string()])
        })
        .collect();
    if !numbers.is_empty() {
        text = format!("{text}\n{}", table(["plugin", "counts or measures", ""], &numbers, ""));
    }
    text
}

fn backend_table(backends: &Backends) -> String {
    let rows: Vec<_> = backends
        .backends
        .iter()
        .map(|it| {
            let refused = if it.refused.is_empty() { "-".to_owned() } else { it.refused.join("; ") };
            [it.name.clone(), it.version.clone(), it.admitted.to_string(), refused]
        })
        .collect();
    table(["backend", "version", "algorithms", "not offered"], &rows, "no backends")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_says_so_and_is_an_empty_list_in_json() {
        let status = Status::default();
        for (what, name, text) in [
            (What::Conns, "connections", "no connections\n"),
            (What::Sas, "ike_sas", "no SAs\n"),
            (What::Plugins, "plugins", "no plugins: the native policy decides\n"),
        ] {
            let (document, lines) = of_status(what, &status);
            assert_eq!(document, json!({ name: [] }));
            assert_eq!(lines, text);
        }
    }

    fn path(local: &str, standing: Option<&str>) -> Path {
        Path {
            connection: "corp".to_owned(),
            local: format!("{local}:4500"),
            remote: "192.0.2.1:4500".to_owned(),
            standing: standing.map(str::to_owned),
            ..Path::default()
        }
    }

    #[test]
    fn every_path_is_a_line_with_what_is_known_of_it() {
        let wired = Path {
            in_use: true,
            interface: "eth0".to_owned(),
            kind: "ethernet".to_owned(),
            mtu: 1500,
            round_trip_us: Some(12_340),
            loss_permille: Some(125),
            last_heard_secs: Some(3),
            up_secs: Some(7200),
            nat_remembered_ms: Some(28_000),
            nat_forgot_ms: Some(32_000),
            ..path("10.10.0.10", Some("works"))
        };
        let mobile = Path {
            interface: "wwan0".to_owned(),
            kind: "cellular".to_owned(),
            metered: true,
            mtu: 1428,
            up_secs: Some(5),
            flaps: 2,
            ..path("100.64.0.7", Some("failed"))
        };
        let row = |path| path_row(true, path).join("|");
        assert_eq!(
            row(&wired),
            "*|corp|10.10.0.10:4500|192.0.2.1:4500|eth0|ethernet|1500|works|12.3 ms|12.5 %|3 s ago|2 h|remembered for 28 s, forgot within 32 s"
        );
        assert_eq!(
            row(&mobile),
            "|corp|100.64.0.7:4500|192.0.2.1:4500|wwan0|cellular, metered|1428|no answer||||5 s, went 2 times|"
        );
    }

    #[test]
    fn a_path_that_nobody_probes_has_no_standing_and_one_that_is_gone_says_so() {
        let probe = |chooses, standing| path_row(chooses, &path("10.10.0.10", standing))[7].clone();
        let shown = [probe(false, None), probe(true, None), probe(true, Some("unproven"))];
        assert_eq!(shown, ["", "gone", "untested"]);
        assert_eq!(paths(&Status::default()), json!({ "paths": [], "addresses": [] }));
    }

    #[test]
    fn without_a_certificate_every_list_of_them_is_empty() {
        let (document, lines) = certificates(&[], &Certs::default());
        assert_eq!(document, json!({ "certs": [], "own": [], "cas": [], "crls": [] }));
        assert_eq!(lines, "no certificates\n");
    }

    #[test]
    fn a_connection_is_a_line() {
        let connection = Connection {
            name: "corp".to_owned(),
            role: "initiator".to_owned(),
            gateways: vec!["moon.example.org".to_owned()],
            unresolved: Vec::new(),
            state: "retrying".to_owned(),
            retry_in_secs: Some(3),
            kept_up: true,
            last_failure: Some("no common proposal".to_owned()),
            last_reason: Some("no-common-proposal".to_owned()),
            last_refusal: None,
        };
        assert_eq!(
            connection_table(&[connection]),
            "connection  state                   role       peer              last failure\n\
             corp        retrying, again in 3 s  initiator  moon.example.org  no-common-proposal\n"
        );
    }
}
