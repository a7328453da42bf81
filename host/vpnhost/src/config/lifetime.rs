//! Lifetimes that do not go together: each is good by itself, and their sum will not work as meant.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vpnhost_ike::config::{ChildConfig, LocalAuth, OwnCertificate, Timing};
use vpnhost_model::{Encryption, Lifetime, Sequence};

use super::document::Section;
use super::item::Item;
use super::value::{self, Wrong, written};
use crate::limits;

/// Tells what is odd about the lifetimes of a connection and its children.
pub(super) fn warn(connection: &Section<'_>, timing: &Timing, children: &[ChildConfig]) {
    let ike = timing.rekey_ike;
    of_reauth(connection, timing);
    of_keepalive(connection, timing);
    if let Some(item) = connection.item("rekey")
        && let Some(wrong) = too_short(ike, timing)
    {
        item.warn(wrong);
    }
    let sections = connection.sections("child");
    let of =
        |child: &ChildConfig| sections.iter().find(|section| name_of(section) == Some(child.name.as_str()));
    for (child, section) in children.iter().filter_map(|child| Some((child, of(child)?))) {
        of_child(connection, section, child, timing);
    }
}

fn name_of<'a>(section: &Section<'a>) -> Option<&'a str> {
    section.item("name")?.value().as_str()
}

fn of_child(connection: &Section<'_>, section: &Section<'_>, child: &ChildConfig, timing: &Timing) {
    let Lifetime { rekey_after, rekey_bytes, rekey_packets, .. } = child.lifetime;
    let own = section.item("rekey");
    let ike = timing.rekey_ike;
    if let Some(after) = rekey_after.filter(|&after| !ike.is_zero() && after > ike) {
        let what = format!(
            "the Child SA \"{}\" lives for {}, longer than the IKE SA, which lives for {}",
            child.name,
            written(after),
            written(ike)
        );
        let wrong = Wrong::new(what).hint("give the IKE SA the longer life: it costs more to renew");
        // The key that the operator wrote is the one that surprises.
        match section.item("rekey").or_else(|| connection.item("rekey")) {
            Some(item) => item.warn(wrong),
            None => section.warn("rekey", wrong),
        }
    }
    of_amounts(section, child);
    let Some(after) = rekey_after else {
        if let (Some(item), None, None) = (own, rekey_bytes, rekey_packets) {
            item.warn(
                Wrong::new("the Child SA's keys are renewed only when its sequence numbers end")
                    .hint("write rekey = \"1h\""),
            );
        }
        return;
    };
    if let (Some(item), Some(wrong)) = (own, too_short(after, timing)) {
        item.warn(wrong);
    }
}

/// Warns of amounts that are carried within moments, and of blocks that repeat.
fn of_amounts(section: &Section<'_>, child: &ChildConfig) {
    let Lifetime { rekey_bytes, rekey_packets, .. } = child.lifetime;
    let soon = |what: &str| {
        Wrong::new(format!("{what} are carried within moments: the SA would be rekeyed without end"))
    };
    if let (Some(item), Some(bytes)) = (section.item("rekey_bytes"), rekey_bytes)
        && bytes < limits::ODD_REKEY_BYTES
    {
        item.warn(soon(&format!("{bytes} octets")).hint("write rekey_bytes = \"1GiB\" or more"));
    }
    if let (Some(item), Some(packets)) = (section.item("rekey_packets"), rekey_packets)
        && packets < limits::ODD_REKEY_PACKETS
    {
        item.warn(soon(&format!("{packets} packets")).hint("write rekey_packets = 1000000 or more"));
    }
    let is_short = child.esp.iter().all(|suite| suite.sequence == Sequence::SHORT);
    if let (Some(item), Some(packets)) = (section.item("rekey_packets"), rekey_packets)
        && is_short
        && packets >= 1 << 32
    {
        let what = format!("{packets} packets are never reached: sequence numbers of 32 bits end before");
        item.warn(Wrong::new(what).hint("write rekey_packets = 4000000000, or esn = \"offer\""));
    }
    // Sweet32: after 2^32 blocks of 64 bits two are likely to be the same, which gives plaintext away. Who says nothing
    // gets a limit that is far below.
    let repeats = child.esp.iter().any(|suite| suite.packet.encryption == Encryption::TRIPLE_DES);
    if repeats
        && rekey_bytes.is_some_and(|bytes| bytes > limits::TRIPLE_DES_BYTES)
        && let Some(item) = section.item("rekey_bytes")
    {
        let wrong = Wrong::new("3des: an SA that carries gigabytes gives plaintext away (Sweet32)");
        item.warn(wrong.hint("write rekey_bytes = \"1GiB\", or leave it out"));
    }
}

/// A lost message is repeated for longer than the SA lives.
fn too_short(after: Duration, timing: &Timing) -> Option<Wrong> {
    let patience = patience(timing);
    if after.is_zero() || after >= patience {
        return None;
    }
    let what = format!(
        "{} is shorter than the {} s after which a silent peer is given up",
        written(after),
        patience.as_secs()
    );
    Some(Wrong::new(what).hint("a longer rekey, or fewer tries in retransmit"))
}

/// Returns how long a request is repeated until its peer counts as gone.
fn patience(timing: &Timing) -> Duration {
    let factor = f64::from(timing.retransmit_factor_percent) / 100.0;
    let waits = (0..=i32::from(timing.retransmit_tries)).map(|at| factor.powi(at)).sum::<f64>();
    let seconds = timing.retransmit_first.as_secs_f64() * waits;
    Duration::from_secs_f64(seconds.min(limits::LONGEST_INTERVAL.as_secs_f64()))
}

/// A peer that is authenticated anew before a rekey comes makes the rekey a dead letter.
fn of_reauth(connection: &Section<'_>, timing: &Timing) {
    let ike = timing.rekey_ike;
    let Some((item, reauth)) = reauth(connection) else { return };
    if let Some(wrong) = too_short(reauth, timing) {
        item.warn(wrong);
    }
    for child in connection.sections("child") {
        let Some(own) = child.item("rekey") else { continue };
        if let Some(Ok(Some(rekey))) = own.value().as_str().map(value::interval)
            && rekey > reauth
        {
            let what = format!(
                "{} comes never: after {} all Child SAs are made anew (reauth)",
                written(rekey),
                written(reauth)
            );
            own.warn(Wrong::new(what).hint("a rekey that is shorter than reauth, or rekey = \"never\""));
        }
    }
    if !ike.is_zero() && ike > reauth {
        let what =
            format!("{} comes before the rekey of {}, which never happens", written(reauth), written(ike));
        item.warn(Wrong::new(what).hint("a rekey that is shorter than reauth, or rekey = \"never\""));
    }
}

fn reauth<'a>(connection: &Section<'a>) -> Option<(Item<'a>, Duration)> {
    let item = connection.item("reauth")?;
    let reauth = value::interval(item.value().as_str()?).ok()??;
    Some((item, reauth))
}

/// Whoever authenticates anew shows its certificate again: one that has ended by then is refused.
pub(super) fn warn_of_certificates(connection: &Section<'_>, own: &LocalAuth) {
    let (LocalAuth::Certificate(own), Some((_, reauth))) = (own, reauth(connection)) else { return };
    let first = |own: &Arc<OwnCertificate>| own.credential().certificates().first().cloned();
    let Some(item) = connection.section("local").item("cert") else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    for certificate in own.iter().filter_map(first) {
        let left = u64::try_from(certificate.validity().1).unwrap_or_default().saturating_sub(now);
        // One that has ended is told of already.
        if left > 0 && left < reauth.as_secs() {
            let (hours, reauth) = (left / 3600, written(reauth));
            let what = format!(
                "the certificate of {} ends in {hours} h, before the next re-authentication ({reauth})",
                certificate.subject()
            );
            item.warn(Wrong::new(what).hint("have a new one issued before, or shorten reauth"));
        }
    }
}

fn of_keepalive(connection: &Section<'_>, timing: &Timing) {
    if let Some(item) = connection.item("keepalive")
        && timing.keepalive > limits::NAT_MEMORY
    {
        let memory = written(limits::NAT_MEMORY);
        let what = format!("NATs may forget a mapping after {memory} (RFC 4787, REQ-5), many do sooner");
        item.warn(Wrong::new(what).hint("write keepalive = \"20s\""));
    }
}
