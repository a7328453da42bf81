//! By which of several certificates this host proves who it is: those that may be shown as the menu, and the one that was
//! chosen.

use std::sync::Arc;

use vpnhost_crypto::CryptoBackend;
use vpnhost_model::Now;
use vpnhost_policy::limits::CREDENTIALS;
use vpnhost_policy::{Answer, CredentialFacts, CredentialMenu, Question};

use crate::auth::certificates;
use crate::auth::judged::{fingerprint, hexadecimal};
use crate::config::{OwnCertificate, PeerConfig};
use crate::sa::IkeSa;

/// Builds the menu of these certificates; `requested` is what the peer's CERTREQ payloads name, if it sent some.
pub(crate) fn question(
    crypto: &dyn CryptoBackend,
    now: Now,
    sa: &IkeSa,
    (connection, candidates): (&PeerConfig, &[Arc<OwnCertificate>]),
    requested: Option<&[u8]>,
) -> Question {
    let anchors = certificates::anchors(connection);
    let facts = |own: &Arc<OwnCertificate>| {
        let credential = own.credential();
        let certificate = credential.certificates().first();
        let text =
            |text: &dyn Fn(&vpnhost_pki::Certificate) -> String| certificate.map(text).unwrap_or_default();
        CredentialFacts {
            subject: text(&|it| it.subject().to_string()),
            issuer: text(&|it| it.issuer().to_string()),
            serial: text(&|it| hexadecimal(it.serial())),
            sha256: text(&|it| fingerprint(crypto, it)),
            expires_unix_secs: certificate.map(|it| it.validity().1),
            is_requested: requested.is_some_and(|hashes| credential.answers(crypto, hashes, anchors)),
            key: credential.public().kind().to_string(),
            hints: Vec::new(),
        }
    };
    Question::ChooseCredential(CredentialMenu {
        connection: connection.name.clone(),
        local_id: connection.local_id.clone(),
        remote: sa.path.remote,
        unix_secs: now.unix.as_secs(),
        requested: requested.is_some_and(|hashes| !hashes.is_empty()),
        credentials: candidates.iter().take(CREDENTIALS).map(facts).collect(),
        hints: Vec::new(),
    })
}

/// Reads the answer, and why it is so.
pub(crate) fn chosen(
    answer: Option<Answer>,
    candidates: &[Arc<OwnCertificate>],
) -> Option<(Arc<OwnCertificate>, Option<String>)> {
    let Some(Answer::ChooseCredential(choice)) = answer else { return None };
    let own = candidates.get(usize::try_from(choice.index).ok()?)?;
    Some((Arc::clone(own), choice.why))
}
