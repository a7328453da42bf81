//! The proof that a peer's AUTH payload was right: nothing but this file can make one.

use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::{CryptoBackend, KeyKind, PrfAlgorithm, SecretBytes};
use vpnhost_model::Identity;
use vpnhost_pki::{Certificate, Crl, Refusal, identity};

use crate::auth::eap::{EapFacts, EapFailure};
use crate::auth::judged::{CertificateFacts, Court, JudgedCertificate};
use crate::auth::octets::{OwnedOctets, SignedOctets};
use crate::auth::signature::Leave;
use crate::auth::{shared_key, signature};
use crate::output::AuthenticationFailure;
use crate::wire::payload::{AuthMethod, Authentication};

/// The AUTH payload was verified. An established IKE SA holds one; a rekeyed IKE SA inherits it.
#[derive(Clone, Debug)]
pub struct AuthVerified {
    method: AuthMethod,
    certificate: Option<Arc<JudgedCertificate>>,
    eap: Option<Arc<EapFacts>>,
    /// What key it was made with, where one was.
    key: Option<KeyKind>,
}

impl AuthVerified {
    /// Returns how the peer proved itself.
    pub(crate) fn method(&self) -> AuthMethod {
        self.method
    }

    /// Returns the kind of the key that the peer proved itself by, if it did by one.
    pub(crate) fn key(&self) -> Option<KeyKind> {
        self.key
    }

    /// Returns who the peer is as EAP has proved it, if it is a client that proved itself so.
    pub(crate) fn eap(&self) -> Option<&EapFacts> {
        self.eap.as_deref()
    }

    /// Returns what is known of the peer's certificate, if it proved itself with one.
    pub(crate) fn certificate(&self) -> Option<&CertificateFacts> {
        self.certificate.as_ref().map(|certificate| certificate.facts())
    }
}

/// Verifies a peer's AUTH data made with a pre-shared key.
///
/// # Errors
/// [`AuthenticationFailure::WrongSecret`] if they are others.
pub(crate) fn verify_shared_key(
    prf: &dyn PrfAlgorithm,
    secret: &SecretBytes,
    octets: &SignedOctets<'_>,
    auth_data: &[u8],
) -> Result<AuthVerified, AuthenticationFailure> {
    let expected =
        shared_key::compute(prf, secret, octets).map_err(|_| AuthenticationFailure::WrongSecret)?;
    // `SecretBytes` compares in constant time.
    if expected == SecretBytes::copy_of(auth_data) {
        Ok(AuthVerified { method: AuthMethod::SHARED_KEY, certificate: None, eap: None, key: None })
    } else {
        Err(AuthenticationFailure::WrongSecret)
    }
}

/// Verifies the AUTH data that follow an EAP conversation (RFC 7296 §2.16).
///
/// `key` is the conversation's, or SK_p where it made none; `shown` is the certificate that the method has judged;
/// `gateway` is the certificate's proof of a server that showed one in IKE, which is then how it is known.
///
/// # Errors
/// [`EapFailure::WrongKey`] if the peer has another key.
pub(crate) fn verify_eap(
    prf: &dyn PrfAlgorithm,
    key: &SecretBytes,
    octets: &SignedOctets<'_>,
    auth_data: &[u8],
    known: EapKnown,
) -> Result<AuthVerified, AuthenticationFailure> {
    let proof = verify_shared_key(prf, key, octets, auth_data)
        .map_err(|_| AuthenticationFailure::Eap(EapFailure::WrongKey))?;
    let EapKnown { client, shown, gateway } = known;
    let proof = gateway.unwrap_or(AuthVerified { certificate: shown, ..proof });
    Ok(AuthVerified { eap: client.map(Arc::new), ..proof })
}

/// What is known of a peer once an EAP conversation is over.
pub(crate) struct EapKnown {
    /// Who the client is, of a client.
    pub(crate) client: Option<EapFacts>,
    /// The certificate that the method has judged.
    pub(crate) shown: Option<Arc<JudgedCertificate>>,
    /// What the gateway proved before.
    pub(crate) gateway: Option<AuthVerified>,
}

/// Verifies a peer's certificates and the AUTH payload signed with them, on whatever thread the driver chooses.
pub struct VerifyJob {
    pub(crate) court: Court,
    /// The certificates of the peer's CERT payloads, its own first.
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) peer: Identity,
    pub(crate) authentication: Authentication,
    pub(crate) octets: OwnedOctets,
    /// Whether the connection admits SHA-1.
    pub(crate) sha1: bool,
}

impl VerifyJob {
    /// Does the work.
    pub(crate) fn run(self) -> Result<AuthVerified, AuthenticationFailure> {
        let trust = &self.court.trust;
        if !trust.keys.is_empty() && trust.anchors.is_empty() {
            return self.by_raw_key();
        }
        let refused = AuthenticationFailure::Certificate;
        let sent = self.certificates().map_err(refused)?;
        let crypto = self.court.crypto;
        let leave = Leave { legacy: self.court.trust.rules.allow_legacy, sha1: self.sha1 };
        let judged = self.court.judge(sent, Some(self.peer)).map_err(refused)?;
        let proof = &self.authentication;
        signature::verify(crypto, judged.key(), proof, &self.octets, leave)?;
        let key = Some(judged.key().kind());
        Ok(AuthVerified { method: proof.method, certificate: Some(Arc::new(judged)), eap: None, key })
    }

    /// RFC 7670: the key itself is who the peer is, whatever it sends of it.
    fn by_raw_key(self) -> Result<AuthVerified, AuthenticationFailure> {
        let trust = &self.court.trust;
        let leave = Leave { legacy: trust.rules.allow_legacy, sha1: self.sha1 };
        let proof = &self.authentication;
        let mut failure = AuthenticationFailure::WrongSignature;
        for key in trust.keys.iter().filter(|key| key.kind().admit(leave.legacy).is_ok()) {
            match signature::verify(self.court.crypto, key, proof, &self.octets, leave) {
                Ok(()) => {
                    let (method, key) = (proof.method, Some(key.kind()));
                    return Ok(AuthVerified { method, certificate: None, eap: None, key });
                }
                Err(other) => failure = other,
            }
        }
        Err(failure)
    }

    /// Returns the peer's certificate and those that help; one that sends none may be known by its identity.
    fn certificates(&self) -> Result<Vec<Certificate>, Refusal> {
        let Some((own, others)) = self.sent.split_first() else {
            let trust = &self.court.trust;
            let of_peer =
                |known: &&Certificate| identity::bind(known, &self.peer, trust.rules.wildcards).is_ok();
            let known = trust.known.iter().find(of_peer).ok_or(Refusal::NoCertificate)?;
            return Ok(vec![known.clone()]);
        };
        let own = Certificate::from_der(own).map_err(|_| Refusal::Unreadable)?;
        let others = others.iter().filter_map(|octets| Certificate::from_der(octets).ok());
        Ok(std::iter::once(own).chain(others).collect())
    }
}

/// Judges the certificate of an authenticated peer again: time has passed, or there are newer revocation lists.
pub struct RejudgeJob {
    pub(crate) crypto: &'static dyn CryptoBackend,
    pub(crate) crls: Arc<[Crl]>,
    /// Since 1970.
    pub(crate) now: Duration,
    pub(crate) proof: AuthVerified,
}

impl RejudgeJob {
    /// Does the work.
    pub(crate) fn run(self) -> Result<AuthVerified, AuthenticationFailure> {
        let Some(certificate) = &self.proof.certificate else { return Ok(self.proof) };
        let judged = certificate.again(self.crypto, self.crls, self.now);
        let certificate = Some(Arc::new(judged.map_err(AuthenticationFailure::Certificate)?));
        Ok(AuthVerified { certificate, ..self.proof })
    }
}

#[cfg(test)]
mod tests {
    use vpnhost_model::Prf;

    use super::*;

    #[test]
    fn only_the_same_secret_and_octets_verify() {
        let backend: &dyn vpnhost_crypto::CryptoBackend = vpnhost_rustcrypto::backend();
        let prf = backend.find_prf(Prf::HMAC_SHA2_256).unwrap();
        let sk_p = SecretBytes::new(vec![1; 32]);
        let secret = SecretBytes::new(b"secret".to_vec());
        let octets =
            SignedOctets { message: b"message", nonce: &[2; 32], sk_p: &sk_p, id_body: b"\x02\0\0\0moon" };
        let auth = shared_key::compute(prf, &secret, &octets).unwrap().into_public();
        assert!(verify_shared_key(prf, &secret, &octets, &auth).is_ok());
        let other = SecretBytes::new(b"Secret".to_vec());
        assert!(verify_shared_key(prf, &other, &octets, &auth).is_err());
        let moved = SignedOctets { nonce: &[3; 32], ..octets };
        assert!(verify_shared_key(prf, &secret, &moved, &auth).is_err());
        assert!(verify_shared_key(prf, &secret, &octets, &auth[..31]).is_err());
        assert!(verify_shared_key(prf, &secret, &octets, &[]).is_err());
    }
}
