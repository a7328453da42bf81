//! How revocation lists that were fetched take the place of earlier ones. They come unprotected: whoever stands
//! between may send an old one, or one of his own making, and must not push a good one out by it.

use vpnhost_crypto::CryptoBackend;

use crate::extension::KeyUse;
use crate::path::Judge;
use crate::{Certificate, Crl};

/// Returns what is known after a fetch. A list that one of the authorities signed stays until a newer one of its kind is
/// signed, too. What nobody here is known to have signed (its maker may be an intermediate CA that only peers send) stands
/// beside, until the next fetch; whoever judges a certificate asks who signed it.
pub fn renew(
    crypto: &dyn CryptoBackend,
    authorities: &[Certificate],
    there: &[Crl],
    fetched: Vec<Crl>,
) -> Vec<Crl> {
    let is_signed = |crl: &Crl| signer(crypto, crl, authorities).is_some();
    let mut kept: Vec<Crl> = there.iter().filter(|crl| is_signed(crl)).cloned().collect();
    for crl in fetched {
        if is_signed(&crl) {
            if kept.iter().any(|old| old.is_newer_than(&crl)) {
                continue;
            }
            kept.retain(|old| !old.is_same_kind(&crl));
        }
        if !kept.contains(&crl) {
            kept.push(crl);
        }
    }
    kept
}

/// Returns which of some certificates signed a list.
pub fn signer<'a>(
    crypto: &dyn CryptoBackend,
    crl: &Crl,
    authorities: impl IntoIterator<Item = &'a Certificate>,
) -> Option<&'a Certificate> {
    authorities.into_iter().find(|maker| is_signed_by(crypto, crl, maker))
}

/// Tells whether a certificate's key signed a list, and may. Legacy algorithms count: what they are worth is for whoever
/// judges a certificate by the list.
fn is_signed_by(crypto: &dyn CryptoBackend, crl: &Crl, maker: &Certificate) -> bool {
    let may = maker.subject() == crl.issuer() && maker.inner().extensions.allow(KeyUse::CrlSign);
    let mut judge = Judge { crypto, now: 0, allow_legacy: true, verifications: 1 };
    may && maker.public_key().is_ok_and(|key| judge.verify(&key, crl.signed(), String::new).is_ok())
}
