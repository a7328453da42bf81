//! What is odd about certificates and revocation lists: they can be read, and will be refused or count for nothing.

use std::time::{SystemTime, UNIX_EPOCH};

use vpnhost_pki::{Certificate, Crl};

use super::item::Item;
use super::value::Wrong;

/// A certificate that ends sooner is warned of.
const SOON: i64 = 14 * 86_400;

/// Tells of a certificate that is not valid now, or not for long: a peer will refuse it, while other connections go on.
pub(super) fn warn_of_time(item: &Item<'_>, certificate: &Certificate) {
    let now = now();
    let (begin, end) = certificate.validity();
    let subject = certificate.subject();
    if now > end {
        let wrong = Wrong::new(format!("the certificate of {subject} expired {} ago", span(now - end)));
        item.warn(wrong.hint("peers refuse it: have a new one issued"));
    } else if now < begin {
        let what = format!("the certificate of {subject} becomes valid in {}", span(begin - now));
        item.warn(Wrong::new(what).hint("is this machine's clock right?"));
    } else if end - now < SOON {
        let wrong = Wrong::new(format!("the certificate of {subject} expires in {}", span(end - now)));
        item.warn(wrong.hint("have a new one issued"));
    }
}

/// Warns of a certificate by which this host will be refused.
pub(super) fn warn_of_use(item: &Item<'_>, own: &Certificate) {
    let subject = own.subject();
    if !own.may_sign() {
        let wrong =
            Wrong::new(format!("the certificate of {subject} may not sign (key usage): peers refuse it"));
        item.warn(wrong.hint("have one issued with digitalSignature"));
    } else if own.is_ca() {
        let wrong = Wrong::new(format!(
            "the certificate of {subject} is a CA's: whoever has this host's key can make peers"
        ));
        item.warn(wrong.hint("have one issued for this host alone"));
    }
}

/// Warns of a list that nothing is judged by now.
pub(super) fn warn_of_list(item: &Item<'_>, list: &Crl) {
    let (now, (begin, end), issuer) = (now(), list.validity(), list.issuer());
    let what = match end {
        None => {
            format!("the revocation list of {issuer} says not until when it counts: it counts for nothing")
        }
        Some(end) if end < now => {
            format!(
                "the revocation list of {issuer} counts no longer: a newer one was due {} ago",
                span(now - end)
            )
        }
        Some(_) if now < begin => {
            format!("the revocation list of {issuer} counts only in {}", span(begin - now))
        }
        Some(_) => return,
    };
    item.warn(Wrong::new(what).hint("get the CA's list of today"));
}

/// Warns of a list that nobody who is known here has signed: what it says counts for nothing.
pub(super) fn warn_of_signer(item: &Item<'_>, list: &Crl, authorities: &[&Certificate]) {
    let crypto = vpnhost_rustcrypto::backend();
    if vpnhost_pki::signer(crypto, list, authorities.iter().copied()).is_some() {
        return;
    }
    let issuer = list.issuer();
    let wrong = if authorities.iter().any(|ca| ca.subject() == issuer) {
        Wrong::new(format!(
            "the revocation list of {issuer} is not signed by the CA of that name: it counts for nothing"
        ))
        .hint("get the CA's list anew")
    } else {
        Wrong::new(format!("the revocation list of {issuer} is of no CA that is known here"))
            .hint("it counts only for peers that send that CA's certificate")
    };
    item.warn(wrong);
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(now).unwrap_or(i64::MAX)
}

/// Returns some seconds in words.
fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
