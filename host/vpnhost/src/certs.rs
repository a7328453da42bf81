//! What this host shows, whom it trusts and what it knows to be revoked: told for `list certs`, and written as tables.

use std::time::{SystemTime, UNIX_EPOCH};

use vpnhost_crypto::CryptoBackend;
use vpnhost_pki::{Certificate, Crl, identity};

use crate::config::Connection;
use crate::control::document::{Certs, Held, RevocationList};
use crate::lists::Lists;
use crate::text::{span, table};

/// Tells what the connections of a configuration have, and the lists that were fetched for them.
pub(crate) fn of(connections: &[Connection], lists: &Lists, crypto: &dyn CryptoBackend) -> Certs {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let mut certs = Certs::default();
    let (mut own, mut cas, mut crls) = (Vec::new(), Vec::new(), Vec::new());
    for connection in connections {
        let name = connection.peer.name.as_str();
        for certificate in connection.own.iter().filter_map(|own| own.credential().certificates().first()) {
            add(&mut own, certificate, name);
        }
        connection.trusted.iter().for_each(|certificate| add(&mut cas, certificate, name));
        for (file, crl) in &connection.crls {
            add(&mut crls, &(file.as_str(), Some(crl)), name);
        }
        for url in &connection.crl_urls {
            let (fetched, ..) = lists.of(url);
            fetched.iter().for_each(|crl| add(&mut crls, &(url.as_str(), Some(crl)), name));
            if fetched.is_empty() {
                add(&mut crls, &(url.as_str(), None), name);
            }
        }
    }
    certs.own = own.into_iter().map(|(it, names)| held(&it, names, now)).collect();
    certs.cas = cas.into_iter().map(|(it, names)| held(&it, names, now)).collect();
    let authorities = || connections.iter().flat_map(Connection::authorities);
    let list = |((source, crl), connections): ((&str, Option<&Crl>), Vec<String>)| {
        let (_, fetched, error) = lists.of(source);
        let (made, due) = crl.map_or((None, None), |crl| (Some(crl.validity().0), crl.validity().1));
        RevocationList {
            connections,
            source: source.to_owned(),
            issuer: crl.map(|crl| crl.issuer().to_string()),
            signed_by_known_ca: crl
                .is_some_and(|crl| vpnhost_pki::signer(crypto, crl, authorities()).is_some()),
            revoked: crl.map_or(0, Crl::entries),
            age_secs: made.map(|made| now - made),
            next_update_in_secs: due.map(|due| due - now),
            fetched_secs: fetched.map(|ago| ago.as_secs()),
            error: error.map(str::to_owned),
        }
    };
    certs.crls = crls.into_iter().map(list).collect();
    certs
}

/// Adds what a connection has to what others have.
fn add<T: PartialEq + Clone>(all: &mut Vec<(T, Vec<String>)>, item: &T, connection: &str) {
    match all.iter_mut().find(|(known, _)| known == item) {
        Some((_, names)) if names.iter().any(|name| name == connection) => {}
        Some((_, names)) => names.push(connection.to_owned()),
        None => all.push((item.clone(), vec![connection.to_owned()])),
    }
}

fn held(certificate: &Certificate, connections: Vec<String>, now: i64) -> Held {
    let (begin, end) = certificate.validity();
    let subject = certificate.subject().to_string();
    let names = identity::identities(certificate);
    Held {
        connections,
        names: names.iter().map(ToString::to_string).filter(|name| *name != subject).collect(),
        subject,
        issuer: certificate.issuer().to_string(),
        serial: certificate.serial().iter().map(|octet| format!("{octet:02x}")).collect(),
        key: certificate.public_key().map(|key| key.kind().to_string()).unwrap_or_default(),
        begins_in_secs: begin - now,
        ends_in_secs: end - now,
    }
}

/// Writes the tables.
pub(crate) fn text(certs: &Certs) -> String {
    let row = |it: &Held| {
        let named = it.names.first().filter(|_| it.subject.is_empty()).unwrap_or(&it.subject);
        [
            named.clone(),
            it.issuer.clone(),
            it.serial.clone(),
            it.key.clone(),
            validity(it),
            it.connections.join(", "),
        ]
    };
    let rows = |all: &[Held]| all.iter().map(row).collect::<Vec<_>>();
    let heads = |what| [what, "issuer", "serial", "key", "ends in", "connections"];
    let lists: Vec<_> = certs.crls.iter().map(list_row).collect();
    let list_heads = ["revocation list", "from", "age", "next update", "revoked", "fetched", "connections"];
    format!(
        "{}\n{}\n{}",
        table(heads("own certificate"), &rows(&certs.own), "no certificate of this host"),
        table(heads("CA"), &rows(&certs.cas), "no CAs"),
        table(list_heads, &lists, "no revocation lists"),
    )
}

fn validity(it: &Held) -> String {
    match (u64::try_from(it.begins_in_secs), u64::try_from(it.ends_in_secs)) {
        (Ok(begins), _) if begins > 0 => format!("valid in {}", span(begins)),
        (_, Ok(left)) => span(left),
        (_, Err(_)) => format!("ended {} ago", span(it.ends_in_secs.unsigned_abs())),
    }
}

fn list_row(it: &RevocationList) -> [String; 7] {
    let ago = |seconds: i64| match u64::try_from(seconds) {
        Ok(seconds) => span(seconds),
        Err(_) => format!("made in {}", span(seconds.unsigned_abs())),
    };
    let issuer = match &it.issuer {
        Some(issuer) if it.signed_by_known_ca => issuer.clone(),
        Some(issuer) => format!("{issuer} (signed by no CA known here)"),
        None => "none".to_owned(),
    };
    let due = it.next_update_in_secs.map(|seconds| match u64::try_from(seconds) {
        Ok(seconds) => format!("in {}", span(seconds)),
        Err(_) => format!("due {} ago: counts no longer", span(seconds.unsigned_abs())),
    });
    let unknown = if it.issuer.is_some() { "not told: counts for nothing" } else { "-" };
    let fetched = match (it.fetched_secs, &it.error) {
        (Some(seconds), None) => format!("{} ago", span(seconds)),
        (Some(seconds), Some(error)) => format!("{} ago; since then: {error}", span(seconds)),
        (None, Some(error)) => format!("never: {error}"),
        (None, None) => "-".to_owned(),
    };
    [
        issuer,
        it.source.clone(),
        it.age_secs.map_or_else(|| "-".to_owned(), ago),
        due.unwrap_or_else(|| unknown.to_owned()),
        it.revoked.to_string(),
        fetched,
        it.connections.join(", "),
    ]
}
