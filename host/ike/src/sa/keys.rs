//! SKEYSEED, SK_* and KEYMAT (RFC 7296 §2.13, §2.14, §2.17, §2.18).
//!
//! Knows PRFs and lengths; nothing of messages or of what the keys are used for.

use vpnhost_crypto::{CryptoError, PacketLayout, PrfAlgorithm, SecretBytes, prf_plus};
use vpnhost_model::{IkeSpi, Prf};

use crate::output::DirectionKeys;

/// The seven secrets of an IKE SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IkeKeys {
    pub(crate) sk_d: SecretBytes,
    pub(crate) sk_ai: SecretBytes,
    pub(crate) sk_ar: SecretBytes,
    pub(crate) sk_ei: SecretBytes,
    pub(crate) sk_er: SecretBytes,
    pub(crate) sk_pi: SecretBytes,
    pub(crate) sk_pr: SecretBytes,
}

/// Both nonces of an exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nonces<'a> {
    pub(crate) i: &'a [u8],
    pub(crate) r: &'a [u8],
}

impl IkeKeys {
    /// Derives SK_d, SK_ai, SK_ar, SK_ei, SK_er, SK_pi, SK_pr, in this order (RFC 7296 §2.14).
    pub(crate) fn derive(
        prf: &dyn PrfAlgorithm,
        layout: PacketLayout,
        skeyseed: &SecretBytes,
        nonces: Nonces<'_>,
        spis: (IkeSpi, IkeSpi),
    ) -> Result<Self, CryptoError> {
        let prf_len = prf.output_len();
        let (integrity, encryption) = (layout.integrity_key_len, layout.encryption_key_len);
        let seed = [nonces.i, nonces.r, &spis.0.0, &spis.1.0];
        let key = prf.key(skeyseed.expose())?;
        let mut all = prf_plus(&*key, &seed, 3 * prf_len + 2 * integrity + 2 * encryption)?;
        Ok(Self {
            sk_d: all.split_front(prf_len)?,
            sk_ai: all.split_front(integrity)?,
            sk_ar: all.split_front(integrity)?,
            sk_ei: all.split_front(encryption)?,
            sk_er: all.split_front(encryption)?,
            sk_pi: all.split_front(prf_len)?,
            sk_pr: all.split_front(prf_len)?,
        })
    }
}

/// SKEYSEED = prf(Ni | Nr, g^ir), of IKE_SA_INIT.
pub(crate) fn skeyseed(
    prf: &dyn PrfAlgorithm,
    nonces: Nonces<'_>,
    shared: &SecretBytes,
) -> Result<SecretBytes, CryptoError> {
    // RFC 7296, 2.14: a PRF with a key of fixed length takes the first 64 bits of each nonce.
    let take = |nonce: &[u8]| match prf.id() {
        Prf::AES128_XCBC | Prf::AES128_CMAC => nonce.get(..8).unwrap_or(nonce).to_vec(),
        _ => nonce.to_vec(),
    };
    let key = [take(nonces.i), take(nonces.r)].concat();
    prf.key(&key)?.compute(&[shared.expose()])
}

/// SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr), with the old SA's PRF (RFC 7296 §2.18).
pub(crate) fn skeyseed_of_rekey(
    old_prf: &dyn PrfAlgorithm,
    old_sk_d: &SecretBytes,
    shared: &SecretBytes,
    nonces: Nonces<'_>,
) -> Result<SecretBytes, CryptoError> {
    old_prf.key(old_sk_d.expose())?.compute(&[shared.expose(), nonces.i, nonces.r])
}

/// The keys of a Child SA by direction: from the exchange's initiator, then to it.
///
/// KEYMAT = prf+(SK_d, [g^ir (new) |] Ni | Nr) (RFC 7296 §2.17): encryption before integrity,
/// initiator to responder before responder to initiator.
pub(crate) fn child_keys(
    prf: &dyn PrfAlgorithm,
    sk_d: &SecretBytes,
    shared: Option<&SecretBytes>,
    nonces: Nonces<'_>,
    layout: PacketLayout,
) -> Result<(DirectionKeys, DirectionKeys), CryptoError> {
    let (encryption, integrity) = (layout.encryption_key_len, layout.integrity_key_len);
    let mut all = keymat(prf, sk_d, shared, nonces, 2 * (encryption + integrity))?;
    let mut direction = || -> Result<DirectionKeys, CryptoError> {
        Ok(DirectionKeys { encryption: all.split_front(encryption)?, integrity: all.split_front(integrity)? })
    };
    Ok((direction()?, direction()?))
}

fn keymat(
    prf: &dyn PrfAlgorithm,
    sk_d: &SecretBytes,
    shared: Option<&SecretBytes>,
    nonces: Nonces<'_>,
    count: usize,
) -> Result<SecretBytes, CryptoError> {
    let key = prf.key(sk_d.expose())?;
    let shared = shared.map_or(&[][..], SecretBytes::expose);
    prf_plus(&*key, &[shared, nonces.i, nonces.r], count)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use vpnhost_crypto::CryptoBackend;

    use super::*;

    /// NIST's CAVP file (CAVS 12.0), whole: `tests/vectors/README.md` says more of it.
    const CASES: &str = "../../tests/vectors/nist-cavp/ikev2-kdf/ikev2-dev.rsp";

    fn octets(digits: &str) -> Vec<u8> {
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    fn backend() -> &'static dyn CryptoBackend {
        vpnhost_rustcrypto::backend()
    }

    fn check(prf: Prf, case: &BTreeMap<&str, &str>) {
        let prf = backend().find_prf(prf).unwrap();
        let field = |name: &str| octets(case[name]);
        let (ni, nr) = (field("Ni"), field("Nr"));
        let nonces = Nonces { i: &ni, r: &nr };
        let shared = SecretBytes::new(field("g^ir"));
        let seed = skeyseed(prf, nonces, &shared).unwrap();
        assert_eq!(seed.expose(), field("SKEYSEED"));
        let dkm = field("DKM");
        let (spi_i, spi_r) = (field("SPIi"), field("SPIr"));
        let key = prf.key(seed.expose()).unwrap();
        assert_eq!(prf_plus(&*key, &[&ni, &nr, &spi_i, &spi_r], dkm.len()).unwrap().expose(), dkm);

        let sk_d = SecretBytes::copy_of(&dkm[..prf.output_len()]);
        let expected = field("DKM(Child SA)");
        assert_eq!(keymat(prf, &sk_d, None, nonces, expected.len()).unwrap().expose(), expected);
        let new = SecretBytes::new(field("g^ir (new)"));
        let expected = field("DKM(Child SA D-H)");
        assert_eq!(keymat(prf, &sk_d, Some(&new), nonces, expected.len()).unwrap().expose(), expected);
        let rekeyed = skeyseed_of_rekey(prf, &sk_d, &new, nonces).unwrap();
        assert_eq!(rekeyed.expose(), field("SKEYSEED(Rekey)"));
    }

    #[test]
    fn key_derivation_agrees_with_nist() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(CASES);
        let text = std::fs::read_to_string(path).unwrap();
        let mut prf = None;
        let mut case = BTreeMap::new();
        let (mut checked, mut skipped) = (0, 0);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            prf = match line {
                "[SHA-1]" => Some(Prf::HMAC_SHA1),
                "[SHA-256]" => Some(Prf::HMAC_SHA2_256),
                "[SHA-384]" => Some(Prf::HMAC_SHA2_384),
                "[SHA-512]" => Some(Prf::HMAC_SHA2_512),
                // IKEv2 has no number for HMAC-SHA-224.
                "[SHA-224]" => None,
                _ => prf,
            };
            if let Some((name, value)) = line.split_once(" = ").filter(|_| !line.starts_with('[')) {
                case.insert(name, value);
            }
            if line.starts_with("SKEYSEED(Rekey)") {
                match prf {
                    Some(prf) => check(prf, &case),
                    None => skipped += 1,
                }
                checked += usize::from(prf.is_some());
                case.clear();
            }
        }
        println!("{checked} cases, {skipped} skipped: IKEv2 has no number for HMAC-SHA-224");
        assert_eq!((checked, skipped), (150, 40));
    }

    #[test]
    fn the_seven_secrets_are_cut_in_the_order_of_the_rfc() {
        let prf = backend().find_prf(Prf::HMAC_SHA2_256).unwrap();
        let layout = PacketLayout {
            iv_len: 16,
            iv_kind: vpnhost_crypto::IvKind::Unpredictable,
            icv_len: 16,
            block_len: 16,
            encryption_key_len: 16,
            integrity_key_len: 32,
        };
        let nonces = Nonces { i: &[1; 32], r: &[2; 32] };
        let seed = SecretBytes::new(vec![3; 32]);
        let spis = (IkeSpi([4; 8]), IkeSpi([5; 8]));
        let keys = IkeKeys::derive(prf, layout, &seed, nonces, spis).unwrap();
        let all = prf_plus(
            &*prf.key(seed.expose()).unwrap(),
            &[nonces.i, nonces.r, &spis.0.0, &spis.1.0],
            3 * 32 + 2 * 32 + 2 * 16,
        )
        .unwrap();
        let joined =
            [&keys.sk_d, &keys.sk_ai, &keys.sk_ar, &keys.sk_ei, &keys.sk_er, &keys.sk_pi, &keys.sk_pr]
                .map(|key| key.expose().to_vec())
                .concat();
        assert_eq!(joined, all.expose());
    }
}
