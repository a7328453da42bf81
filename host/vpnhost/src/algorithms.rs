//! `vpnhost crypto list`: every algorithm, what the RFCs ask of it, and who serves it.

use std::sync::Arc;

use serde_json::{Value, json};
use vpnhost_crypto::{Hash, Scheme, Signature};
use vpnhost_known_answers::{Algorithm, Finding, Report};
use vpnhost_model::{Integrity, PacketId, Protocol, Status};

use crate::backends::{self, NAMES};
use crate::cli::Global;
use crate::exit::{self, Outcome};
use crate::text::table;

/// `vpnhost crypto list`.
pub(crate) fn list(global: &Global) -> Outcome {
    let mut reports = Vec::new();
    for name in NAMES {
        reports.push(backends::admitted(name)?.1);
    }
    if global.json {
        let backends: Vec<_> = reports.iter().map(|report| document(report)).collect();
        return exit::print(format_args!("{}\n", json!({ "backends": backends })));
    }
    exit::print(text(&reports, global.verbose > 0))
}

/// An algorithm as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// Which list it stands in.
    kind: Kind,
    name: String,
    /// What RFC 8247 asks of it; `None` where it has no place in IKE.
    ike: Option<Status>,
    /// What RFC 8221 asks of it; `None` where it has no place in ESP.
    esp: Option<Status>,
    is_legacy: bool,
}

/// The lists, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Packet,
    Encryption,
    Integrity,
    Prf,
    KeyExchange,
    Signature,
    Hash,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Encryption => "encryption",
            Self::Integrity => "integrity",
            Self::Prf => "prf",
            Self::KeyExchange => "key exchange",
            Self::Signature => "signature",
            Self::Hash => "hash",
        }
    }
}

impl Entry {
    fn of(finding: &Finding) -> Self {
        let algorithm = finding.algorithm;
        let (kind, ike, esp, is_legacy) = match algorithm {
            Algorithm::Packet(id) => of_packet(Kind::Packet, id),
            Algorithm::Encryption(encryption, key_bits) => {
                of_packet(Kind::Encryption, PacketId { encryption, key_bits, integrity: Integrity::NONE })
            }
            Algorithm::Integrity(id) => {
                (Kind::Integrity, Some(id.status()), Some(id.status()), id.is_legacy())
            }
            Algorithm::Prf(id) => (Kind::Prf, Some(id.status()), None, id.is_legacy()),
            // RFC 8221 leaves the key exchange of Child SAs to RFC 8247: it is IKE that makes it.
            Algorithm::KeyExchange(id) => (Kind::KeyExchange, Some(id.status()), None, id.is_legacy()),
            Algorithm::Signature(id) => (Kind::Signature, Some(of_signature(id)), None, id.is_legacy()),
            // SHA-1 is also what finds NATs; only where it is part of another algorithm does the floor see it.
            Algorithm::Hash(_) => (Kind::Hash, None, None, false),
        };
        let text = algorithm.to_string();
        let name = text.strip_prefix(kind.name()).unwrap_or(&text).trim_start().to_owned();
        Self { kind, name, ike, esp, is_legacy }
    }
}

fn of_packet(kind: Kind, id: PacketId) -> (Kind, Option<Status>, Option<Status>, bool) {
    (kind, Some(id.status(Protocol::IKE)), Some(id.status(Protocol::ESP)), id.is_legacy())
}

/// Returns what RFC 8247 §3.2 asks of a signature algorithm; of DSA, §3.
fn of_signature(id: Signature) -> Status {
    match (id.scheme, id.hash) {
        (_, Hash::SHA1) => Status::MustNot,
        (Scheme::Dsa, _) => Status::ShouldNot,
        (Scheme::RsaPss, Hash::SHA2_256) => Status::Must,
        (Scheme::EcdsaP256 | Scheme::EcdsaP384 | Scheme::EcdsaP521, Hash::SHA2_256) => Status::Should,
        _ => Status::May,
    }
}

fn document(report: &Report) -> Value {
    let algorithms: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            let entry = Entry::of(finding);
            json!({
                "kind": entry.kind.name(),
                "name": entry.name,
                "admitted": finding.verdict.is_pass(),
                "known_answers": finding.verdict.to_string(),
                "ike": entry.ike.map(Status::name),
                "esp": entry.esp.map(Status::name),
                "needs_allow_legacy": entry.is_legacy,
            })
        })
        .collect();
    json!({ "name": report.backend, "version": report.version, "algorithms": algorithms })
}

fn text(reports: &[Arc<Report>], every: bool) -> String {
    let mut text = String::new();
    for report in reports {
        let Report { backend, version, findings } = &**report;
        if every {
            text += &format!("{report}\n");
            continue;
        }
        let count = (report.passed(), findings.len());
        text +=
            &format!("{backend} {version}: {} of {} algorithms gave their known answers\n", count.0, count.1);
        report.refused().for_each(|finding| text += &format!("  {finding}\n"));
    }
    format!("{text}\n{}", algorithm_table(reports))
}

/// Writes a line for each algorithm that some backend serves.
fn algorithm_table(reports: &[Arc<Report>]) -> String {
    let mut entries: Vec<(Entry, Vec<&str>)> = Vec::new();
    for report in reports {
        for finding in report.findings.iter().filter(|finding| finding.verdict.is_pass()) {
            let entry = Entry::of(finding);
            match entries.iter_mut().find(|(known, _)| *known == entry) {
                Some((_, backends)) => backends.push(&report.backend),
                None => entries.push((entry, vec![&report.backend])),
            }
        }
    }
    // Within a kind the order of the backends stands.
    entries.sort_by_key(|(entry, _)| entry.kind);
    let status = |status: Option<Status>| status.map_or("-", Status::name).to_owned();
    let rows: Vec<_> = entries
        .into_iter()
        .map(|(entry, backends)| {
            let floor = if entry.is_legacy { "allow_legacy" } else { "" };
            let kind = entry.kind.name().to_owned();
            let (ike, esp) = (status(entry.ike), status(entry.esp));
            [kind, entry.name, ike, esp, floor.to_owned(), backends.join(", ")]
        })
        .collect();
    let headings = ["kind", "algorithm", "IKE (RFC 8247)", "ESP (RFC 8221)", "floor", "backends"];
    table(headings, &rows, "no algorithms")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports() -> Vec<Arc<Report>> {
        NAMES.iter().map(|name| backends::admitted(name).unwrap().1).collect()
    }

    #[test]
    fn the_document_names_every_algorithm_its_kind_and_its_status() {
        let report = backends::admitted("rustcrypto").unwrap().1;
        let document = document(&report);
        assert_eq!(document["name"], "rustcrypto");
        let algorithms = document["algorithms"].as_array().unwrap();
        assert_eq!(algorithms.len(), report.findings.len());
        let find = |kind: &str, name: &str| {
            algorithms.iter().find(|it| it["kind"] == kind && it["name"] == name).unwrap()
        };
        let group = find("key exchange", "modp1024");
        assert_eq!(group["ike"], "SHOULD NOT");
        assert_eq!((&group["esp"], &group["needs_allow_legacy"]), (&Value::Null, &Value::Bool(true)));
        let gcm = find("packet", "aes128gcm16");
        assert_eq!((gcm["ike"].as_str(), gcm["esp"].as_str()), (Some("SHOULD"), Some("MUST")));
    }

    #[test]
    fn an_algorithm_is_a_line_with_its_status_and_its_backends() {
        let text = text(&reports(), false);
        let line = |name: &str| {
            let found = text.lines().find(|line| line.split("  ").any(|cell| cell.trim() == name));
            found.unwrap_or_else(|| panic!("{name} is missing in\n{text}"))
        };
        assert!(line("modp2048").contains("MUST  "), "{text}");
        assert!(
            line("modp1536").contains("SHOULD NOT") && line("modp1536").contains("allow_legacy"),
            "{text}"
        );
        assert!(line("aes256gcm16").ends_with(&NAMES.join(", ")), "{text}");
        assert!(text.starts_with(&format!("{} ", NAMES[0])), "{text}");
    }
}
