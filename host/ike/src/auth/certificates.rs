//! CERT and CERTREQ payloads (RFC 7296 §3.6, §3.7): whom the peer is asked to be certified by, and which of this
//! host's certificates answers the peer.

use std::sync::Arc;

use vpnhost_crypto::CryptoBackend;
use vpnhost_model::Now;

use crate::config::{LocalAuth, OwnCertificate, PeerAuth, PeerConfig, Trust};
use crate::limits;
use crate::output::AuthenticationFailure;
use crate::wire::payload::{Certificate, CertificateEncoding, CertificateRequest};
use crate::wire::{Message, Payload, PayloadType};

/// Returns the CERTREQ payloads for the connections that a peer may belong to, if any wants a certificate or a raw public
/// key.
///
/// One without hashes asks for any certificate: so do connections with more CAs than fit.
pub(crate) fn request<'a>(
    crypto: &dyn CryptoBackend,
    connections: impl Iterator<Item = &'a PeerConfig>,
) -> Vec<Payload> {
    let (raw, x509): (Vec<_>, Vec<_>) = connections
        .filter_map(|connection| match &connection.peer_auth {
            PeerAuth::Certificate(trust) => Some(trust),
            PeerAuth::SharedKey | PeerAuth::Eap(_) | PeerAuth::EapAlone => None,
        })
        .partition(|trust| trust.anchors.is_empty() && !trust.keys.is_empty());
    // RFC 7670, 3: it names no authority.
    let raw = (!raw.is_empty()).then(|| request_of(CertificateEncoding::RAW_PUBLIC_KEY, Vec::new()));
    raw.into_iter().chain(request_x509(crypto, &x509)).collect()
}

fn request_of(encoding: CertificateEncoding, authorities: Vec<u8>) -> Payload {
    Payload::CertificateRequest(CertificateRequest { encoding, authorities })
}

fn request_x509(crypto: &dyn CryptoBackend, trusts: &[&Arc<Trust>]) -> Option<Payload> {
    if trusts.is_empty() {
        return None;
    }
    let mut hashes: Vec<[u8; 20]> = Vec::new();
    for anchor in trusts.iter().flat_map(|trust| &trust.anchors) {
        let hash = anchor.key_hash(crypto).ok()?;
        if !hashes.contains(&hash) {
            hashes.push(hash);
        }
        if hashes.len() > limits::AUTHORITIES {
            hashes.clear();
            break;
        }
    }
    Some(request_of(CertificateEncoding::X509_SIGNATURE, hashes.concat()))
}

/// Returns the hashes of a message's CERTREQ payloads for X.509; none if it has no such payload.
pub(crate) fn requested(message: &Message) -> Option<Vec<u8>> {
    let requests = message.payloads.iter().filter_map(|payload| {
        let Payload::CertificateRequest(request) = payload else { return None };
        (request.encoding == CertificateEncoding::X509_SIGNATURE).then_some(request.authorities.as_slice())
    });
    let requests: Vec<&[u8]> = requests.collect();
    (!requests.is_empty()).then(|| requests.concat())
}

/// Returns the X.509 certificates of a message, the peer's own first; what is beyond the bound is left out.
pub(crate) fn sent(message: &Message) -> Vec<Vec<u8>> {
    let certificates = message.payloads.iter().filter_map(|payload| {
        let Payload::Certificate(certificate) = payload else { return None };
        (certificate.encoding == CertificateEncoding::X509_SIGNATURE).then(|| certificate.data.clone())
    });
    certificates.take(vpnhost_pki::limits::PEER_CERTIFICATES).collect()
}

/// Returns how many certificates of a message [`sent`] leaves out.
pub(crate) fn left_out(message: &Message) -> u64 {
    let all = message.count(PayloadType::CERTIFICATE);
    all.saturating_sub(vpnhost_pki::limits::PEER_CERTIFICATES) as u64
}

/// Returns the certificates that this host may show: those within their validity, if any is, else all.
pub(crate) fn candidates(connection: &PeerConfig, now: Now) -> Vec<Arc<OwnCertificate>> {
    let LocalAuth::Certificate(own) = &connection.local_auth else { return Vec::new() };
    let is_good = |certificate: &&Arc<OwnCertificate>| certificate.check_validity(now.unix).is_ok();
    let is_any_good = own.iter().any(|certificate| is_good(&certificate));
    own.iter().filter(|certificate| !is_any_good || is_good(certificate)).cloned().collect()
}

/// Returns the CAs that a connection's peer may be certified by: certificates that it knows itself.
pub(crate) fn anchors(connection: &PeerConfig) -> &[vpnhost_pki::Certificate] {
    match &connection.peer_auth {
        PeerAuth::Certificate(trust) => trust.anchors.as_slice(),
        PeerAuth::SharedKey | PeerAuth::Eap(_) | PeerAuth::EapAlone => &[],
    }
}

/// Demands that a connection has a certificate of this host within its validity, if it has any.
///
/// # Errors
/// [`AuthenticationFailure::OwnCertificate`] if all are out of time: what is wrong with the first.
pub(crate) fn in_time(connection: &PeerConfig, now: Now) -> Result<(), AuthenticationFailure> {
    let LocalAuth::Certificate(own) = &connection.local_auth else { return Ok(()) };
    let mut judged = own.iter().map(|certificate| certificate.check_validity(now.unix));
    match judged.next() {
        Some(Err(refusal)) if judged.all(|other| other.is_err()) => {
            Err(AuthenticationFailure::OwnCertificate(refusal))
        }
        Some(_) | None => Ok(()),
    }
}

/// Returns the CERT payloads of a certificate of this host: its own first, then those up to a CA; or that of its key.
pub(crate) fn payloads(own: &OwnCertificate) -> Vec<Payload> {
    let of = |encoding, data: &[u8]| Payload::Certificate(Certificate { encoding, data: data.to_vec() });
    let credential = own.credential();
    let certificates = credential.certificates().iter();
    let raw = || of(CertificateEncoding::RAW_PUBLIC_KEY, credential.public().spki());
    let raw = credential.certificates().is_empty().then(raw);
    certificates.map(|it| of(CertificateEncoding::X509_SIGNATURE, it.der())).chain(raw).collect()
}
