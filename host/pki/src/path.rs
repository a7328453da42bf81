//! Validation of one path (RFC 5280 §6.1), from the trust anchor down.

use vpnhost_crypto::{CryptoBackend, CryptoError, KeyError, PublicKey, Signature};

use crate::certificate::Inner;
use crate::extension::KeyUse;
use crate::general_name::{GeneralName, NameConstraints};
use crate::policy::Policies;
use crate::{Certificate, Refusal, limits};

/// What validation needs besides the certificates.
pub(crate) struct Judge<'a> {
    pub(crate) crypto: &'a dyn CryptoBackend,
    pub(crate) now: i64,
    pub(crate) allow_legacy: bool,
    /// Signatures that may still be verified.
    pub(crate) verifications: usize,
}

impl Judge<'_> {
    /// Verifies one signature, as long as there were not too many.
    pub(crate) fn verify(
        &mut self,
        key: &PublicKey,
        signed: (&[u8], &[u8], &[u8]),
        subject: impl Fn() -> String,
    ) -> Result<(), Refusal> {
        let (algorithm, octets, signature) = signed;
        self.verifications = self.verifications.checked_sub(1).ok_or(Refusal::TooManyPaths)?;
        let id = Signature::from_algorithm_identifier(algorithm, key.kind());
        let id = id.filter(|id| id.fits(key.kind()) && (self.allow_legacy || !id.is_legacy()));
        let id = id.ok_or_else(|| Refusal::Algorithm { subject: subject() })?;
        self.admit(key).map_err(|reason| Refusal::Key { subject: subject(), reason })?;
        let outcome = self.crypto.verify_signature(id, key, &[octets], signature);
        outcome.map_err(|error| match error {
            CryptoError::Unsupported => Refusal::Algorithm { subject: subject() },
            CryptoError::AuthenticationFailed
            | CryptoError::BadKey
            | CryptoError::BadPeerKey
            | CryptoError::BadLength
            | CryptoError::Backend => Refusal::BadSignature { subject: subject() },
        })
    }

    pub(crate) fn admit(&self, key: &PublicKey) -> Result<(), KeyError> {
        key.kind().admit(self.allow_legacy)
    }

    /// Validates a path, the anchor first and the peer's certificate last, and returns the keys in this order.
    pub(crate) fn validate(&mut self, path: &[Certificate]) -> Result<Vec<PublicKey>, Refusal> {
        let (anchor, rest) = path.split_first().ok_or(Refusal::NoCertificate)?;
        let key = anchor.public_key().map_err(|reason| key_refusal(anchor, reason))?;
        self.check_validity(anchor)?;
        if !rest.is_empty() && !may_issue(anchor.inner()) {
            return Err(Refusal::NotCa { subject: anchor.subject().to_string() });
        }
        let mut state = State {
            constraints: anchor.inner().extensions.constraints.iter().cloned().collect(),
            policies: Policies::new(rest.len()),
            path_len: anchor.inner().extensions.path_len.unwrap_or(u32::MAX),
        };
        let mut keys = vec![key];
        for (index, certificate) in rest.iter().enumerate() {
            let last = index + 1 == rest.len();
            let issuer_key = keys.last().expect("the anchor's is there");
            keys.push(self.step(certificate, issuer_key, &mut state, last)?);
        }
        if let Some(last) = rest.last() {
            state.policies.finish(last.inner())?;
        }
        Ok(keys)
    }

    fn step(
        &mut self,
        certificate: &Certificate,
        issuer_key: &PublicKey,
        state: &mut State,
        last: bool,
    ) -> Result<PublicKey, Refusal> {
        let inner = certificate.inner();
        let subject = || inner.subject.to_string();
        self.verify(issuer_key, certificate.signed(), subject)?;
        self.check_validity(certificate)?;
        if last || !certificate.is_self_issued() {
            state.check_names(inner)?;
        }
        state.policies.take(inner, last)?;
        // RFC 3279, 2.3.2: a DSA key may lack its parameters.
        let key = PublicKey::inheriting(&inner.spki, issuer_key)
            .map_err(|reason| key_refusal(certificate, reason))?;
        self.admit(&key).map_err(|reason| key_refusal(certificate, reason))?;
        if !last {
            state.prepare(certificate)?;
        }
        match &inner.extensions.unknown {
            Some(oid) => Err(Refusal::CriticalExtension { subject: subject(), oid: oid.clone() }),
            None => Ok(key),
        }
    }

    pub(crate) fn check_validity(&self, certificate: &Certificate) -> Result<(), Refusal> {
        certificate.check_validity(self.now)
    }
}

/// Tells whether a trust anchor may have issued another certificate. One that is trusted as a peer's own must not
/// make others trusted; roots of version 1 cannot say that they are CAs, and issue themselves.
fn may_issue(anchor: &Inner) -> bool {
    let old_root = anchor.version < 3 && anchor.subject == anchor.issuer;
    old_root || (anchor.extensions.is_ca && anchor.extensions.allow(KeyUse::CertSign))
}

fn key_refusal(certificate: &Certificate, reason: KeyError) -> Refusal {
    Refusal::Key { subject: certificate.subject().to_string(), reason }
}

/// What changes from one certificate to the next.
struct State {
    constraints: Vec<NameConstraints>,
    policies: Policies,
    path_len: u32,
}

impl State {
    /// §6.1.3 (b), (c): subject, e-mail addresses in it where there are no others, and the other names.
    fn check_names(&self, certificate: &Inner) -> Result<(), Refusal> {
        let directory =
            (!certificate.subject.is_empty()).then(|| GeneralName::Directory(certificate.subject.clone()));
        let other = &certificate.extensions.names;
        let with_email = other.iter().any(|name| matches!(name, GeneralName::Email(_)));
        let emails =
            certificate.subject.emails().filter(|_| !with_email).map(|e| GeneralName::Email(e.to_owned()));
        let names: Vec<GeneralName> =
            directory.into_iter().chain(emails).chain(other.iter().cloned()).collect();
        let good =
            names.iter().all(|name| self.constraints.iter().all(|constraints| constraints.allow(name)));
        if good { Ok(()) } else { Err(Refusal::NameConstraints { subject: certificate.subject.to_string() }) }
    }

    /// §6.1.4: what must be so for a certificate below this one.
    fn prepare(&mut self, certificate: &Certificate) -> Result<(), Refusal> {
        let inner = certificate.inner();
        let subject = || inner.subject.to_string();
        self.policies.prepare(inner)?;
        self.constraints.extend(inner.extensions.constraints.clone());
        let extensions = &inner.extensions;
        if inner.version != 3 || !extensions.is_ca || !extensions.allow(KeyUse::CertSign) {
            return Err(Refusal::NotCa { subject: subject() });
        }
        if !certificate.is_self_issued() {
            self.path_len =
                self.path_len.checked_sub(1).ok_or_else(|| Refusal::PathTooLong { subject: subject() })?;
        }
        self.path_len = self.path_len.min(extensions.path_len.unwrap_or(u32::MAX));
        Ok(())
    }
}

/// Walks all paths from a certificate up to the trust anchors.
pub(crate) struct Search<'a> {
    pub(crate) anchors: &'a [Certificate],
    pub(crate) others: Vec<&'a Certificate>,
    steps: usize,
}

impl<'a> Search<'a> {
    pub(crate) fn new(anchors: &'a [Certificate], others: Vec<&'a Certificate>) -> Self {
        Self { anchors, others, steps: limits::SEARCH_STEPS }
    }

    /// Offers every path, the anchor first, to `judge`, until one is accepted. Returns the refusal that says
    /// most if none is.
    pub(crate) fn run<T>(
        &mut self,
        leaf: &Certificate,
        judge: &mut dyn FnMut(&[Certificate]) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if self.anchors.contains(leaf) {
            return judge(std::slice::from_ref(leaf));
        }
        let mut told = None;
        let found = self.climb(&mut vec![leaf.clone()], &mut told, judge);
        found.ok_or_else(|| told.expect("a path that is not found leaves its reason").1)
    }

    fn climb<T>(
        &mut self,
        up: &mut Vec<Certificate>,
        told: &mut Option<(usize, Refusal)>,
        judge: &mut dyn FnMut(&[Certificate]) -> Result<T, Refusal>,
    ) -> Option<T> {
        let top = up.last().expect("the leaf is there").clone();
        let issued = |issuer: &Certificate| issuer.subject() == top.issuer();
        let height = up.len();
        let refuse = |told: &mut Option<(usize, Refusal)>, refusal: Refusal| {
            // The first path that reaches an anchor says more than one that does not; of these the highest.
            let is_better = match told {
                None => true,
                Some((other, Refusal::WrongCa { .. })) => {
                    !matches!(refusal, Refusal::WrongCa { .. }) || height > *other
                }
                Some(_) => false,
            };
            if is_better {
                *told = Some((height, refusal));
            }
        };
        for anchor in self.anchors.iter().filter(|anchor| issued(anchor)) {
            let Some(left) = self.steps.checked_sub(1) else {
                refuse(told, Refusal::TooManyPaths);
                return None;
            };
            self.steps = left;
            let path: Vec<Certificate> = std::iter::once(anchor).chain(up.iter().rev()).cloned().collect();
            match judge(&path) {
                Ok(accepted) => return Some(accepted),
                Err(refusal) => refuse(told, refusal),
            }
        }
        let key_id = top.inner().extensions.authority_key.clone();
        let mut issuers: Vec<&'a Certificate> =
            self.others.iter().copied().filter(|other| issued(other) && !up.contains(other)).collect();
        // Those that name the same key first.
        issuers.sort_by_key(|issuer| issuer.inner().extensions.subject_key != key_id);
        if issuers.is_empty() {
            let [subject, top, issuer] =
                [up[0].subject(), top.subject(), top.issuer()].map(ToString::to_string);
            refuse(told, Refusal::WrongCa { subject, top, issuer });
        }
        for issuer in issuers {
            let Some(left) = self.steps.checked_sub(1).filter(|_| up.len() + 1 < limits::PATH_LENGTH) else {
                refuse(told, Refusal::TooManyPaths);
                return None;
            };
            self.steps = left;
            up.push(issuer.clone());
            if let Some(accepted) = self.climb(up, told, judge) {
                return Some(accepted);
            }
            up.pop();
        }
        None
    }
}
