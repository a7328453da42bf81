//! `vpnhost status`: the state of a host at a glance.

use std::fmt::{self, Write as _};

use crate::cli::Global;
use crate::control::client::{self, with_code};
use crate::control::document::{Child, Connection, Foretold, IkeSa, NearRefusal, Plugin, Status};
use crate::exit::{self, Outcome};
use crate::text::{octets, span};

/// `vpnhost status [NAME]`.
pub(crate) fn show(name: Option<&str>, global: &Global) -> Outcome {
    let query: Vec<(&str, &str)> = name.map(|name| ("connection", name)).into_iter().collect();
    let status: Status = client::fetch(global, "/status", &query)?;
    if global.json {
        return client::print_json(&status);
    }
    exit::print(render(&status, global.verbose > 0))
}

/// Writes a state for people; `verbose` adds what is usually in order.
pub(crate) fn render(status: &Status, verbose: bool) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write_status(&mut text, status, verbose);
    text
}

fn write_status(out: &mut String, status: &Status, verbose: bool) -> fmt::Result {
    let Status { version, uptime_secs, tun, backend, .. } = status;
    writeln!(
        out,
        "vpnhost {version}, running for {}, inside {tun}, encrypts by {backend}",
        span(*uptime_secs)
    )?;
    for warning in &status.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    for connection in &status.connections {
        write_connection(out, connection, status)?;
    }
    if status.connections.is_empty() {
        writeln!(out, "no connection is configured")?;
    }
    for plugin in &status.plugins {
        write_plugin(out, plugin)?;
    }
    let dropped = status.counters.iter().filter(|(name, count)| name.starts_with("drop_") && **count > 0);
    let dropped: Vec<String> =
        dropped.map(|(name, count)| format!("{} {count}", name["drop_".len()..].replace('_', " "))).collect();
    if !dropped.is_empty() {
        writeln!(out, "\ndropped packets: {}", dropped.join(", "))?;
    }
    if verbose {
        write_details(out, status)?;
    }
    Ok(())
}

fn write_connection(out: &mut String, connection: &Connection, status: &Status) -> fmt::Result {
    let Connection { name, state, role, gateways, .. } = connection;
    let sas: Vec<&IkeSa> = status.ike_sas.iter().filter(|sa| sa.connection == *name).collect();
    write!(out, "\n{name}: {state}")?;
    match (sas.len(), connection.retry_in_secs) {
        (_, Some(seconds)) => write!(out, ", again in {}", span(seconds))?,
        (0 | 1, None) => {}
        (count, None) => write!(out, ", {count} peers")?,
    }
    writeln!(out)?;
    if sas.is_empty() {
        writeln!(out, "  {role}, peer at {}", gateways.join(", "))?;
    }
    if let Some(failure) = &connection.last_failure {
        let failure = with_code(failure.clone(), connection.last_reason.as_deref());
        writeln!(out, "  last failure: {failure}")?;
    }
    if let Some(NearRefusal { secs_ago, reason, text, .. }) = &connection.last_refusal {
        let refusal = with_code(text.clone(), Some(reason));
        writeln!(out, "  a stranger was refused {} ago: {refusal}", span(*secs_ago))?;
    }
    for failure in &connection.unresolved {
        writeln!(out, "  {failure}")?;
    }
    sas.into_iter().try_for_each(|sa| write_ike_sa(out, sa))
}

fn write_ike_sa(out: &mut String, sa: &IkeSa) -> fmt::Result {
    let nat = match (sa.local_behind_nat, sa.peer_behind_nat) {
        (true, true) => ", NAT before both, or UDP is asked for",
        (true, false) => ", NAT before this host",
        // A peer that wants UDP says what only a NAT would make true (RFC 7296, 2.23): the two look alike.
        (false, true) => ", NAT before the peer, or it asks for UDP",
        (false, false) => "",
    };
    writeln!(out, "  {} = {}, {} (IKE SA {})", sa.local_id, sa.peer_id, sa.role, sa.id)?;
    if let Some(certificate) = &sa.certificate {
        let left = span(u64::try_from(certificate.ends_in_secs).unwrap_or(0));
        writeln!(out, "    proved by {}, CA {}, ends in {left}", certificate.subject, certificate.ca)?;
    }
    if let Some(eap) = &sa.eap {
        writeln!(out, "    proved by EAP {}: {} ({} in IKE)", eap.method, eap.identity, eap.ike_id)?;
    }
    let encapsulation = if sa.encapsulation == "udp" { "in UDP" } else { "raw" };
    writeln!(out, "    path      {} - {}, ESP {encapsulation}{nat}", sa.local, sa.remote)?;
    writeln!(out, "    mobility  {}", mobility(sa))?;
    if let Some(nat) = nat_text(sa) {
        writeln!(out, "    NAT       {nat}")?;
    }
    write!(out, "    IKE       {} by {}, for {}", sa.suite, sa.backend, span(sa.established_secs))?;
    write_renewal(out, sa.rekeyed, sa.rekey_in_secs)?;
    if let Some(seconds) = sa.reauth_in_secs {
        let what = if sa.role == "responder" { "ends unless proved anew" } else { "proved anew" };
        writeln!(out, "    login     {what} in {}", span(seconds))?;
    }
    write!(out, "    peer      heard {} ago", span(sa.last_heard_secs))?;
    match sa.round_trip_us {
        Some(micros) => writeln!(out, ", round trip {:.1} ms", micros as f64 / 1e3)?,
        None => writeln!(out)?,
    }
    let lists = [("inside", &sa.virtual_addresses), ("DNS", &sa.dns), ("peer has", &sa.peer_addresses)];
    for (label, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        writeln!(out, "    {label:<9} {}", list.join(", "))?;
    }
    for Foretold { reason, text } in &sa.foretold {
        writeln!(out, "    ahead     {}", with_code(text.clone(), Some(reason)))?;
    }
    for decision in &sa.decisions {
        writeln!(out, "    decided   {} by {}: {}", decision.question, decision.by, decision.outcome)?;
    }
    sa.children.iter().try_for_each(|child| write_child(out, child))
}

/// Tells whether an IKE SA can move, and who decides about it.
fn mobility(sa: &IkeSa) -> String {
    let there = sa.paths.iter().filter(|path| path.standing.is_some()).count();
    match (sa.mobike, sa.chooses_path, there) {
        (false, ..) => "none: this host or the peer has no MOBIKE".to_owned(),
        (true, false, _) => "MOBIKE, the peer chooses the path".to_owned(),
        (true, true, 0) => "MOBIKE, this host chooses the path; none is left".to_owned(),
        (true, true, 1) => "MOBIKE, this host chooses; there is 1 path".to_owned(),
        (true, true, count) => format!("MOBIKE, this host chooses among {count} paths"),
    }
}

/// Tells how the NAT before this host is kept from forgetting, and what is known of it.
fn nat_text(sa: &IkeSa) -> Option<String> {
    let every = sa.keepalive_ms.map(|ms| format!("keepalive every {}", seconds(ms)));
    let known = remembers(sa.nat_remembered_ms, sa.nat_forgot_ms);
    let parts: Vec<String> = every.into_iter().chain(known).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Tells for how long a NAT was seen to remember, and in how long to forget.
pub(crate) fn remembers(remembered: Option<u64>, forgot: Option<u64>) -> Option<String> {
    let remembered = remembered.map(|ms| format!("remembered for {}", seconds(ms)));
    let forgot = forgot.map(|ms| format!("forgot within {}", seconds(ms)));
    let parts: Vec<String> = remembered.into_iter().chain(forgot).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Writes milliseconds as seconds, with a tenth where that tells more.
fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1000) || ms >= 100_000 {
        format!("{} s", ms / 1000)
    } else {
        format!("{}.{} s", ms / 1000, ms % 1000 / 100)
    }
}

fn write_renewal(out: &mut String, rekeyed: u32, rekey_in_secs: Option<u64>) -> fmt::Result {
    match rekeyed {
        0 => {}
        1 => write!(out, ", rekeyed once")?,
        _ => write!(out, ", rekeyed {rekeyed} times")?,
    }
    match rekey_in_secs {
        Some(seconds) => writeln!(out, ", rekey in {}", span(seconds)),
        None => writeln!(out),
    }
}

fn write_child(out: &mut String, child: &Child) -> fmt::Result {
    let Child { name, state, local_ts, remote_ts, inbound, outbound, .. } = child;
    let state = if state == "active" { String::new() } else { format!(" ({state})") };
    writeln!(out, "    {name}{state}: {} === {}", local_ts.join(", "), remote_ts.join(", "))?;
    write!(out, "      ESP     {} by {}, for {}", child.suite, child.backend, span(child.installed_secs))?;
    write_renewal(out, child.rekeyed, child.rekey_in_secs)?;
    for (label, flow, spi) in [("in", inbound, &child.spi_in), ("out", outbound, &child.spi_out)] {
        write!(out, "      {label:<7} {} packets, {}", flow.packets, octets(flow.bytes))?;
        match flow.idle_secs {
            Some(seconds) => writeln!(out, ", last {} ago, SPI {spi}", span(seconds))?,
            None => writeln!(out, ", SPI {spi}")?,
        }
    }
    Ok(())
}

fn write_plugin(out: &mut String, plugin: &Plugin) -> fmt::Result {
    let Plugin { name, asked, answered, .. } = plugin;
    write!(out, "\nplugin {name}")?;
    if let Some(sum) = plugin.sha256.as_deref().and_then(|sum| sum.get(..12)) {
        write!(out, " (sha256 {sum})")?;
    }
    write!(out, ": answered {answered} of {asked} ({})", plugin.questions.join(", "))?;
    for (count, what) in [
        (plugin.failed, "failed"),
        (plugin.off_the_menu, "off the menu"),
        (plugin.refused, "not asked: busy"),
    ] {
        if count > 0 {
            write!(out, ", {count} {what}")?;
        }
    }
    writeln!(out)
}

fn write_details(out: &mut String, status: &Status) -> fmt::Result {
    writeln!(out, "\nbackend versions: {}", status.backend_version)?;
    for (name, how) in &status.features {
        writeln!(out, "{name}: {how}")?;
    }
    for address in &status.addresses {
        let metered = if address.metered { ", metered" } else { "" };
        writeln!(
            out,
            "{} on {} ({}, MTU {}{metered})",
            address.address, address.interface, address.kind, address.mtu
        )?;
    }
    status
        .counters
        .iter()
        .filter(|(_, count)| **count > 0)
        .try_for_each(|(name, count)| writeln!(out, "{name} {count}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::document::{Decided, Flow};

    fn connection(name: &str, state: &str) -> Connection {
        let failed = state == "retrying";
        Connection {
            name: name.to_owned(),
            role: "initiator".to_owned(),
            gateways: vec!["home.example.org".to_owned()],
            unresolved: Vec::new(),
            state: state.to_owned(),
            retry_in_secs: failed.then_some(4),
            kept_up: true,
            last_failure: failed.then(|| "no common proposal".to_owned()),
            last_reason: failed.then(|| "no-common-proposal".to_owned()),
            last_refusal: failed.then(|| NearRefusal {
                secs_ago: 7,
                nearest: name.to_owned(),
                reason: "unknown-identity".to_owned(),
                text: "they say they are dave".to_owned(),
            }),
        }
    }

    fn child() -> Child {
        let flow = |packets| Flow { packets, bytes: packets * 100, idle_secs: Some(3) };
        Child {
            id: 2,
            name: "net".to_owned(),
            state: "active".to_owned(),
            spi_in: "c0000001".to_owned(),
            spi_out: "c0000002".to_owned(),
            suite: "aes128gcm16".to_owned(),
            backend: "aws-lc".to_owned(),
            mode: "tunnel".to_owned(),
            local_ts: vec!["10.30.0.1/32".to_owned()],
            remote_ts: vec!["10.20.0.0/24".to_owned()],
            installed_secs: 10,
            rekeyed: 1,
            rekey_in_secs: Some(3300),
            sends: true,
            inbound: flow(12),
            outbound: flow(13),
        }
    }

    fn status() -> Status {
        let sa = IkeSa {
            id: 1,
            connection: "corp".to_owned(),
            role: "initiator".to_owned(),
            spi_i: "01".to_owned(),
            spi_r: "02".to_owned(),
            suite: "aes256gcm16-prfsha384-x25519".to_owned(),
            backend: "aws-lc".to_owned(),
            local: "192.0.2.2:4500".to_owned(),
            remote: "192.0.2.1:4500".to_owned(),
            encapsulation: "udp".to_owned(),
            local_id: "carol.example.org".to_owned(),
            peer_id: "moon.example.org".to_owned(),
            local_behind_nat: true,
            certificate: None,
            eap: None,
            peer_behind_nat: false,
            established_secs: 75,
            rekeyed: 0,
            rekey_in_secs: None,
            reauth_in_secs: Some(7200),
            last_heard_secs: 3,
            round_trip_us: Some(412),
            mobike: true,
            chooses_path: false,
            keepalive_ms: Some(25_200),
            nat_remembered_ms: Some(28_000),
            nat_forgot_ms: Some(32_000),
            paths: Vec::new(),
            virtual_addresses: vec!["10.30.0.1/32".to_owned()],
            dns: Vec::new(),
            peer_addresses: Vec::new(),
            children: vec![child()],
            foretold: vec![Foretold {
                reason: "certificate-ends-first".to_owned(),
                text: "the peer's certificate ends in 2 h".to_owned(),
            }],
            decisions: vec![Decided {
                question: "authorize_peer".to_owned(),
                by: "office-hours".to_owned(),
                outcome: "allowed".to_owned(),
                secs_ago: 75,
            }],
        };
        Status {
            version: "0.1.0".to_owned(),
            uptime_secs: 90,
            tun: "vpn0".to_owned(),
            backend: "aws-lc,rustcrypto".to_owned(),
            connections: vec![connection("corp", "up"), connection("home", "retrying")],
            ike_sas: vec![sa],
            counters: [("drop_no_sa".to_owned(), 4), ("drop_replayed".to_owned(), 0)].into(),
            ..Status::default()
        }
    }

    #[test]
    fn a_person_reads_the_state_at_a_glance() {
        let expected = "\
vpnhost 0.1.0, running for 1 min 30 s, inside vpn0, encrypts by aws-lc,rustcrypto

corp: up
  carol.example.org = moon.example.org, initiator (IKE SA 1)
    path      192.0.2.2:4500 - 192.0.2.1:4500, ESP in UDP, NAT before this host
    mobility  MOBIKE, the peer chooses the path
    NAT       keepalive every 25.2 s; remembered for 28 s, forgot within 32 s
    IKE       aes256gcm16-prfsha384-x25519 by aws-lc, for 1 min 15 s
    login     proved anew in 2 h
    peer      heard 3 s ago, round trip 0.4 ms
    inside    10.30.0.1/32
    ahead     the peer's certificate ends in 2 h [certificate-ends-first]
    decided   authorize_peer by office-hours: allowed
    net: 10.30.0.1/32 === 10.20.0.0/24
      ESP     aes128gcm16 by aws-lc, for 10 s, rekeyed once, rekey in 55 min
      in      12 packets, 1.20 kB, last 3 s ago, SPI c0000001
      out     13 packets, 1.30 kB, last 3 s ago, SPI c0000002

home: retrying, again in 4 s
  initiator, peer at home.example.org
  last failure: no common proposal [no-common-proposal]
  a stranger was refused 7 s ago: they say they are dave [unknown-identity]

dropped packets: no sa 4
";
        assert_eq!(render(&status(), false), expected);
    }

    #[test]
    fn the_json_field_names_stay() {
        let json = serde_json::to_value(status()).unwrap();
        for pointer in [
            "/version",
            "/connections/0/state",
            "/ike_sas/0/spi_i",
            "/ike_sas/0/virtual_addresses/0",
            "/ike_sas/0/children/0/spi_in",
            "/ike_sas/0/children/0/inbound/packets",
            "/ike_sas/0/decisions/0/question",
            "/counters/drop_no_sa",
        ] {
            assert!(json.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
