//! Revocation by lists (RFC 5280 §6.3): distribution points, reasons, indirect lists, lists that add to others.

use vpnhost_crypto::PublicKey;

use crate::crl::{Crl, Status, reason_text};
use crate::extension::{ALL_REASONS, DistributionPoint, KeyUse};
use crate::path::{Judge, Search};
use crate::{Certificate, GeneralName, Lack, Refusal, Store, limits};

/// How much a missing list matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Revocation {
    /// Lists are not looked at.
    Off,
    /// A certificate on a list is refused, on one that is old as well; where there is no valid list, any other is taken.
    #[default]
    Soft,
    /// A certificate is refused unless a valid list says that it is not revoked.
    Strict,
}

/// Everything that a list is judged with.
pub(crate) struct Inquiry<'a> {
    pub(crate) store: &'a Store,
    pub(crate) peers: &'a [Certificate],
    pub(crate) policy: Revocation,
}

/// A certificate of a validated path, of which it is asked whether it is revoked.
struct Question<'a> {
    path: &'a [Certificate],
    keys: &'a [PublicKey],
    /// Its place in the path; its issuer is in front of it.
    index: usize,
    /// Lists that are signed by others than the path's are asked for the signer in turn.
    depth: usize,
}

impl Question<'_> {
    fn certificate(&self) -> &Certificate {
        &self.path[self.index]
    }
}

impl Inquiry<'_> {
    /// Asks for every certificate of a path but the anchor, the uppermost first.
    pub(crate) fn check_path(
        &self,
        judge: &mut Judge<'_>,
        path: &[Certificate],
        keys: &[PublicKey],
        depth: usize,
    ) -> Result<(), Refusal> {
        (1..path.len()).try_for_each(|index| self.check(judge, &Question { path, keys, index, depth }))
    }

    fn check(&self, judge: &mut Judge<'_>, question: &Question<'_>) -> Result<(), Refusal> {
        let certificate = question.certificate();
        let own = DistributionPoint::default();
        // At last every list of the issuer, whatever the certificate says of where lists are.
        let points = certificate.inner().extensions.points.iter().chain([&own]);
        let mut known = 0;
        for point in points {
            for crl in self.store.crls().iter().filter(|crl| applies(crl, certificate, point)) {
                let reasons =
                    point.reasons.unwrap_or(ALL_REASONS) & crl.scope().reasons.unwrap_or(ALL_REASONS);
                let new = reasons & !known != 0 && crl.is_current(judge.now);
                if !new || !self.is_signed(judge, crl, question) {
                    continue;
                }
                if let Status::Revoked(reason) = self.status(judge, crl, question) {
                    return Err(revoked(certificate, reason));
                }
                known |= reasons;
                if known == ALL_REASONS {
                    return Ok(());
                }
            }
        }
        if let Some(reason) = self.revoked_of_old(judge, question) {
            return Err(revoked(certificate, reason));
        }
        match self.policy {
            Revocation::Strict => {
                let (subject, issuer) = (certificate.subject().to_string(), certificate.issuer().to_string());
                Err(Refusal::RevocationUnknown { subject, issuer, lack: self.lack(judge, question) })
            }
            Revocation::Soft | Revocation::Off => Ok(()),
        }
    }

    /// Finds a certificate on lists whose time is over: they cannot say that it is good, but what they revoke stays so.
    fn revoked_of_old(&self, judge: &mut Judge<'_>, question: &Question<'_>) -> Option<u8> {
        let certificate = question.certificate();
        let own = DistributionPoint::default();
        self.store.crls().iter().find_map(|crl| {
            let mut points = certificate.inner().extensions.points.iter().chain([&own]);
            let Status::Revoked(reason) = crl.status(certificate) else { return None };
            let counted =
                crl.validity().0 <= judge.now && points.any(|point| applies(crl, certificate, point));
            (counted && self.is_signed(judge, crl, question)).then_some(reason)
        })
    }

    /// Finds out why no list of a certificate's issuer counts.
    fn lack(&self, judge: &mut Judge<'_>, question: &Question<'_>) -> Lack {
        let (certificate, now) = (question.certificate(), judge.now);
        let own = DistributionPoint::default();
        let mut nearest = Lack::NoList;
        for crl in self.store.crls().iter().filter(|crl| crl.issuer() == certificate.issuer()) {
            let mut points = certificate.inner().extensions.points.iter().chain([&own]);
            let lack = match crl.validity() {
                _ if !points.any(|point| applies(crl, certificate, point)) => Lack::Scope,
                _ if !self.is_signed(judge, crl, question) => Lack::Signature,
                (begin, _) if begin > now => Lack::Early(begin - now),
                (_, None) => Lack::Endless,
                (_, Some(end)) if end < now => Lack::Late(now - end),
                _ => Lack::Scope,
            };
            if lack.nearness() > nearest.nearness() {
                nearest = lack;
            }
        }
        nearest
    }

    /// What a list says, and what valid lists say that add to it.
    fn status(&self, judge: &mut Judge<'_>, crl: &Crl, question: &Question<'_>) -> Status {
        let mut status = crl.status(question.certificate());
        let deltas = self.store.crls().iter().filter(|delta| delta.is_usable() && delta.adds_to(crl));
        for delta in deltas {
            if delta.is_current(judge.now) && self.is_signed(judge, delta, question) {
                match delta.status(question.certificate()) {
                    Status::Unlisted => {}
                    changed @ (Status::Removed | Status::Revoked(_)) => status = changed,
                }
            }
        }
        status
    }

    /// §6.3.3 (f), (g): whether somebody signed the list who may, below the same anchor.
    fn is_signed(&self, judge: &mut Judge<'_>, crl: &Crl, question: &Question<'_>) -> bool {
        let signs = |signer: &Certificate, key: &PublicKey, judge: &mut Judge<'_>| {
            let may = signer.inner().extensions.allow(KeyUse::CrlSign) && signer.subject() == crl.issuer();
            may && judge.verify(key, crl.signed(), String::new).is_ok()
        };
        // The issuer; or the certificate itself, where its list speaks of its maker too.
        let near =
            [question.index - 1, question.index].map(|index| (&question.path[index], &question.keys[index]));
        if near.iter().any(|(signer, key)| signs(signer, key, judge)) {
            return true;
        }
        if question.depth >= limits::REVOCATION_DEPTH {
            return false;
        }
        let others: Vec<&Certificate> = self.store.intermediates().iter().chain(self.peers).collect();
        let anchors = &question.path[..1];
        let makers = others.iter().copied().chain(anchors);
        let far = |maker: &&Certificate| {
            maker.subject() == crl.issuer() && near.iter().all(|(known, _)| known != maker)
        };
        for maker in makers.filter(far) {
            let found = Search::new(anchors, others.clone()).run(maker, &mut |path| {
                let keys = judge.validate(path)?;
                let key = keys.last().ok_or(Refusal::NoCertificate)?;
                if !signs(maker, key, judge) {
                    return Err(Refusal::BadSignature { subject: String::new() });
                }
                self.check_path(judge, path, &keys, question.depth + 1)
            });
            if found.is_ok() {
                return true;
            }
        }
        false
    }
}

fn revoked(certificate: &Certificate, reason: u8) -> Refusal {
    Refusal::Revoked { subject: certificate.subject().to_string(), reason: reason_text(reason) }
}

/// §6.3.3 (b): whether a list speaks of a certificate at a distribution point.
fn applies(crl: &Crl, certificate: &Certificate, point: &DistributionPoint) -> bool {
    let scope = crl.scope();
    let maker = match point.issuers.as_slice() {
        [] => crl.issuer() == certificate.issuer(),
        issuers => scope.indirect && issuers.contains(crl.issuer()),
    };
    let is_ca = certificate.is_ca();
    let kind = !(scope.only_attribute || scope.only_user && is_ca || scope.only_ca && !is_ca);
    let place = match (&scope.names, &point.names) {
        (None, _) => true,
        (Some(of_crl), Some(of_point)) => of_crl.iter().any(|name| of_point.contains(name)),
        // A point without a name stands for the lists of its makers, or of the certificate's issuer.
        (Some(of_crl), None) => {
            let mut makers =
                point.issuers.iter().chain(point.issuers.is_empty().then(|| certificate.issuer()));
            makers.any(|maker| of_crl.contains(&GeneralName::Directory(maker.clone())))
        }
    };
    maker && kind && place && crl.is_usable() && !crl.is_delta()
}
