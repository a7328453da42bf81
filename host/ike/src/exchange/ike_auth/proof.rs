//! The steps of IKE_AUTH that prove something (RFC 7296 §2.15): this host's AUTH is made, the peer's is verified.
//!
//! A shared key takes no time: its step is done at once. A signature is a job, and the exchange waits for it.

use std::sync::Arc;

use vpnhost_crypto::{DrawnRandom, Hash, PublicKey, SecretBytes};
use vpnhost_model::{Identity, Now, Role};

use crate::auth::judged::Court;
use crate::auth::octets::SignedOctets;
use crate::auth::signature::{self, Leave, SignJob, Signed};
use crate::auth::verified::{self, AuthVerified, VerifyJob};
use crate::auth::{certificates, shared_key};
use crate::config::{LocalAuth, OwnCertificate, PeerAuth, PeerConfig, PeerIdentity, Secrets};
use crate::error::IkeError;
use crate::exchange::ike_sa_init::InitRecord;
use crate::host::Host;
use crate::output::{AuthenticationFailure, Job};
use crate::question::{self, choose_credential};
use crate::sa::IkeSa;
use crate::sa::secured::Secured;
use crate::wire::payload::{AuthMethod, Authentication, Identification};
use crate::wire::{Message, Payload};

/// A step of a proof: done, or to be done on another thread.
pub(crate) enum Step<T> {
    /// Done at once.
    Done(T),
    /// Begun; the job's result says how it went.
    Job(Job),
}

/// What this host is to prove, and to whom.
pub(crate) struct OwnClaim<'a> {
    pub(crate) connection: &'a PeerConfig,
    /// This host's role in the IKE SA.
    pub(crate) role: Role,
    pub(crate) id: &'a Identification,
    /// The peer, once known.
    pub(crate) peer: Option<&'a Identity>,
    pub(crate) init: &'a InitRecord,
    /// The CAs that the peer's CERTREQ names.
    pub(crate) authorities: Option<&'a [u8]>,
    /// The certificate to show, where one was chosen; otherwise the native policy chooses.
    pub(crate) credential: Option<&'a Arc<OwnCertificate>>,
}

/// What the peer claims, and its proof.
pub(crate) struct PeerClaim<'a> {
    pub(crate) connection: &'a PeerConfig,
    /// The peer's role in the IKE SA.
    pub(crate) role: Role,
    pub(crate) id: &'a Identification,
    pub(crate) authentication: &'a Authentication,
    /// The message with its CERT payloads.
    pub(crate) message: &'a Message,
    pub(crate) init: &'a InitRecord,
}

impl IkeSa {
    /// Makes this host's AUTH payload and what goes with it.
    pub(crate) fn sign_own(
        &self,
        host: &mut Host,
        now: Now,
        claim: &OwnClaim<'_>,
    ) -> Result<Step<Signed>, AuthError> {
        let secured = self.secured()?;
        let body = claim.id.signed_octets();
        let octets = signed_octets(claim.role, secured, claim.init, &body);
        match &claim.connection.local_auth {
            LocalAuth::SharedKey => {
                let secret = match claim.peer {
                    Some(peer) => secret_for(&claim.connection.secrets, peer),
                    None => secret_for_expected(claim.connection),
                };
                let secret = secret.ok_or(AuthenticationFailure::NoSecret)?;
                let data = shared_key::compute(secured.prf, secret, &octets).map_err(IkeError::from)?;
                let authentication =
                    Authentication { method: AuthMethod::SHARED_KEY, data: data.into_public() };
                let authentication = Payload::Authentication(authentication);
                Ok(Step::Done(Signed { certificates: Vec::new(), authentication }))
            }
            LocalAuth::Certificate(_) => {
                let own = claim.credential.cloned();
                let own = own.or_else(|| self.choose_natively(host, now, claim));
                let own = own.ok_or(AuthenticationFailure::OwnKey)?;
                if let Err(refusal) = own.check_validity(now.unix) {
                    // An initiator does not begin. A responder's peer is to know the cause.
                    tracing::warn!(connection = claim.connection.name, %refusal, "{}", refusal.sentence_of_own());
                }
                let key = own.credential().public();
                let leave = Leave { legacy: host.config.allow_legacy, sha1: claim.connection.sha1_auth };
                let ways = signature::ways(key, &claim.init.hashes, leave);
                let found = ways
                    .into_iter()
                    .find_map(|(method, id)| Some((method, host.crypto.find_signature(id, key.kind())?)));
                let (method, algorithm) = found.ok_or_else(|| no_common(key, &claim.init.hashes))?;
                let octets = octets.owned(secured.prf).map_err(IkeError::from)?;
                let random = host.draw_signature().map_err(IkeError::from)?;
                tracing::debug!(ike_sa = %self.id, %method, algorithm = %algorithm.id(), "AUTH is being signed");
                let certificates = certificates::payloads(&own);
                let job = SignJob { own, algorithm, method, octets, random, certificates };
                Ok(Step::Job(Job::Sign(Box::new(job))))
            }
            // The conversation makes the key of its AUTH.
            LocalAuth::Eap(_) | LocalAuth::EapAlone => Err(AuthenticationFailure::NoSecret.into()),
        }
    }

    /// Has the native policy choose a certificate, where there is a choice.
    fn choose_natively(&self, host: &Host, now: Now, claim: &OwnClaim<'_>) -> Option<Arc<OwnCertificate>> {
        let candidates = certificates::candidates(claim.connection, now);
        if candidates.len() < 2 {
            return candidates.into_iter().next();
        }
        let about = (claim.connection, &*candidates);
        let question = choose_credential::question(host.crypto, now, self, about, claim.authorities);
        let answer = question::answer_natively(&*host.policy, &question);
        choose_credential::chosen(answer, &candidates).map(|(own, _)| own)
    }

    /// Verifies the peer's proof.
    pub(crate) fn verify_peer(
        &self,
        host: &Host,
        now: Now,
        claim: &PeerClaim<'_>,
    ) -> Result<Step<AuthVerified>, AuthenticationFailure> {
        let (connection, peer) = (claim.connection, &claim.id.identity);
        if !connection.peer_id.admits(peer) {
            return Err(not_expected(&connection.peer_id, peer));
        }
        if !admits_method(&connection.peer_auth, Some(claim.authentication.method)) {
            return Err(another_method(Some(claim.authentication.method), &connection.peer_auth));
        }
        let broken = AuthenticationFailure::WrongSecret;
        let secured = self.secured.as_ref().ok_or(broken.clone())?;
        let body = claim.id.signed_octets();
        let octets = signed_octets(claim.role, secured, claim.init, &body);
        match &connection.peer_auth {
            PeerAuth::SharedKey => {
                let secret = secret_for(&connection.secrets, peer).ok_or(AuthenticationFailure::NoSecret)?;
                let data = &claim.authentication.data;
                verified::verify_shared_key(secured.prf, secret, &octets, data).map(Step::Done)
            }
            PeerAuth::Certificate(trust) => {
                let crypto = host.crypto;
                let court = Court { crypto, trust: trust.clone(), crls: host.crls(), now: now.unix };
                let job = VerifyJob {
                    court,
                    sent: certificates::sent(claim.message),
                    peer: peer.clone(),
                    authentication: claim.authentication.clone(),
                    octets: octets.owned(secured.prf).map_err(|_| broken)?,
                    sha1: connection.sha1_auth,
                };
                Ok(Step::Job(Job::VerifyPeer(Box::new(job))))
            }
            // Its AUTH follows the conversation, or comes with none.
            PeerAuth::Eap(_) | PeerAuth::EapAlone => {
                Err(another_method(Some(claim.authentication.method), &connection.peer_auth))
            }
        }
    }
}

/// What AUTH of a role covers.
pub(super) fn signed_octets<'a>(
    role: Role,
    secured: &'a Secured,
    init: &'a InitRecord,
    id_body: &'a [u8],
) -> SignedOctets<'a> {
    match role {
        Role::Initiator => {
            SignedOctets { message: &init.request, nonce: &init.nonce_r, sk_p: &secured.keys.sk_pi, id_body }
        }
        Role::Responder => {
            SignedOctets { message: &init.response, nonce: &init.nonce_i, sk_p: &secured.keys.sk_pr, id_body }
        }
    }
}

fn no_common(key: &PublicKey, hashes: &[Hash]) -> AuthenticationFailure {
    let hashes: Vec<String> = hashes.iter().map(ToString::to_string).collect();
    let hashes = if hashes.is_empty() { "it names none".to_owned() } else { hashes.join(", ") };
    AuthenticationFailure::NoCommonSignature { key: key.kind().to_string(), hashes }
}

/// Tells whether a connection is for peers that prove themselves so; without AUTH a peer wants EAP (RFC 7296 §2.16).
pub(crate) fn admits_method(wanted: &PeerAuth, used: Option<AuthMethod>) -> bool {
    match wanted {
        PeerAuth::SharedKey => used == Some(AuthMethod::SHARED_KEY),
        PeerAuth::Certificate(_) => used.is_some_and(signature::is_signature),
        PeerAuth::Eap(_) => used.is_none(),
        PeerAuth::EapAlone => false,
    }
}

/// The peer proves itself in a way that the connection does not want.
pub(crate) fn another_method(used: Option<AuthMethod>, wanted: &PeerAuth) -> AuthenticationFailure {
    let used = match used {
        None => "EAP".to_owned(),
        Some(AuthMethod::SHARED_KEY) => "a pre-shared key".to_owned(),
        Some(method) if signature::is_signature(method) => "a certificate".to_owned(),
        Some(method) => method.to_string(),
    };
    AuthenticationFailure::Method { used, wanted: wanted.name() }
}

/// Says that a responder is not whom the connection asks for.
pub(crate) fn not_expected(expected: &PeerIdentity, peer: &Identity) -> AuthenticationFailure {
    match expected {
        PeerIdentity::Is(_) | PeerIdentity::Like(_) => AuthenticationFailure::UnexpectedIdentity {
            said: peer.to_string(),
            expected: expected.to_string(),
        },
        PeerIdentity::Any => AuthenticationFailure::UnknownIdentity,
    }
}

pub(crate) fn secret_for<'a>(secrets: &'a Secrets, peer: &Identity) -> Option<&'a SecretBytes> {
    secrets.of(peer).or(secrets.default.as_ref())
}

/// Returns the secret to begin with: the expected peer's, or the only one there is.
fn secret_for_expected(connection: &PeerConfig) -> Option<&SecretBytes> {
    let secrets = &connection.secrets;
    match connection.peer_id.exact() {
        Some(peer) => secret_for(secrets, peer),
        None => {
            let mut all = secrets.by_peer.values().chain(&secrets.default);
            all.next().filter(|_| all.next().is_none())
        }
    }
}

/// Why a proof could not be made.
pub(crate) enum AuthError {
    /// Something else failed on the way.
    Ike(IkeError),
    /// There is nothing to prove it with.
    Failed(AuthenticationFailure),
}

impl From<IkeError> for AuthError {
    fn from(error: IkeError) -> Self {
        Self::Ike(error)
    }
}

impl From<AuthenticationFailure> for AuthError {
    fn from(failure: AuthenticationFailure) -> Self {
        Self::Failed(failure)
    }
}

impl Host {
    /// Draws octets for one signature.
    fn draw_signature(&mut self) -> Result<DrawnRandom, vpnhost_crypto::CryptoError> {
        DrawnRandom::draw(&mut *self.random, DrawnRandom::SIGNATURE)
    }
}
