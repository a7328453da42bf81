//! The judgement of a peer's certificates.

use std::time::Duration;

use vpnhost_crypto::{CryptoBackend, PublicKey};
use vpnhost_model::Identity;

use crate::path::{Judge, Search};
use crate::revocation::Inquiry;
use crate::{Certificate, Refusal, Revocation, Store, identity, limits};

const ANY_PURPOSE: &[u8] = b"\x55\x1d\x25\x00";
const KEY_PURPOSE: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03";
const TLS_SERVER: u8 = 1;
const TLS_CLIENT: u8 = 2;
/// ipsecEndSystem, ipsecTunnel, ipsecUser, which RFC 4945 knows as deprecated, and ipsecIKE.
const IPSEC: [u8; 4] = [5, 6, 7, 17];

/// What the operator demands of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// SHA-1, DSA and short RSA keys are taken.
    pub allow_legacy: bool,
    /// How much a missing revocation list matters.
    pub revocation: Revocation,
    /// The extended key usage must be there, and for servers and clients name the purpose itself; otherwise it must only allow
    /// it if it is there.
    pub require_eku: bool,
    /// What the certificate must be for.
    pub purpose: Purpose,
    /// `*.example.org` in a certificate stands for names below.
    pub wildcards: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            allow_legacy: false,
            revocation: Revocation::Soft,
            require_eku: false,
            purpose: Purpose::IkeOrTls,
            wildcards: false,
        }
    }
}

/// What a certificate must be for, by its extended key usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// IKE; the purposes of TLS count as IKE's (RFC 4945 §5.1.3.12 lets a policy say so).
    IkeOrTls,
    /// IKE alone.
    Ike,
    /// A server of TLS (RFC 5216 §5.3): what an EAP-TLS server shows, and what tells a gateway from its users.
    Server,
    /// A client of TLS (RFC 5216 §5.3).
    Client,
}

/// A peer's certificate that is valid, and what it rests on.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The key that must have signed the AUTH payload.
    pub key: PublicKey,
    /// The path, the trust anchor first and the peer's certificate last.
    pub path: Vec<Certificate>,
    /// When the first certificate of the path expires, in seconds since 1970.
    pub not_after: i64,
}

/// Judges a peer's certificates: the first is its own, the others may help to find a path.
///
/// This verifies up to some dozens of signatures, so it belongs on a thread of its own. It is asked again when
/// newer revocation lists are there.
///
/// # Errors
/// [`Refusal`] says why.
pub fn verify(
    crypto: &dyn CryptoBackend,
    store: &Store,
    certificates: &[Certificate],
    now: Duration,
    rules: &Rules,
) -> Result<Verified, Refusal> {
    let leaf = certificates.first().ok_or(Refusal::NoCertificate)?;
    let others = &certificates[..certificates.len().min(limits::PEER_CERTIFICATES)];
    let mut judge = Judge {
        crypto,
        now: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        allow_legacy: rules.allow_legacy,
        verifications: limits::VERIFICATIONS,
    };
    let inquiry = Inquiry { store, peers: others, policy: rules.revocation };
    let known = store.intermediates().iter().chain(others).collect();
    let (key, path) = Search::new(store.anchors(), known).run(leaf, &mut |path| {
        let keys = judge.validate(path)?;
        if rules.revocation != Revocation::Off {
            inquiry.check_path(&mut judge, path, &keys, 0)?;
        }
        let key = keys.last().ok_or(Refusal::NoCertificate)?.clone();
        judge.admit(&key).map_err(|reason| Refusal::Key { subject: leaf.subject().to_string(), reason })?;
        Ok((key, path.to_vec()))
    })?;
    check_purpose(leaf, rules)?;
    let ends = path.iter().map(|certificate| certificate.validity().1);
    Ok(Verified { key, not_after: ends.min().unwrap_or(i64::MIN), path })
}

/// Does the same, and demands that the certificate is an identity's.
///
/// # Errors
/// [`Refusal`] says why.
pub fn verify_for(
    crypto: &dyn CryptoBackend,
    store: &Store,
    peer: (&[Certificate], &Identity),
    now: Duration,
    rules: &Rules,
) -> Result<Verified, Refusal> {
    let (certificates, identity) = peer;
    let verified = verify(crypto, store, certificates, now, rules)?;
    identity::bind(&certificates[0], identity, rules.wildcards)?;
    Ok(verified)
}

/// RFC 4945, 5.1.3.2 and 5.1.3.12.
fn check_purpose(leaf: &Certificate, rules: &Rules) -> Result<(), Refusal> {
    let extensions = &leaf.inner().extensions;
    let subject = || leaf.subject().to_string();
    if !leaf.may_sign() {
        return Err(Refusal::KeyUsage { subject: subject() });
    }
    let allows = |purpose: &Vec<u8>| match (purpose.strip_prefix(KEY_PURPOSE), rules.purpose) {
        (Some([TLS_SERVER]), wanted) => matches!(wanted, Purpose::IkeOrTls | Purpose::Server),
        (Some([TLS_CLIENT]), wanted) => matches!(wanted, Purpose::IkeOrTls | Purpose::Client),
        (Some([number]), Purpose::IkeOrTls | Purpose::Ike) => IPSEC.contains(number),
        // RFC 5280, 4.2.1.12: an application that demands a purpose may refuse any.
        (None, Purpose::Server | Purpose::Client) => purpose == ANY_PURPOSE && !rules.require_eku,
        (None, Purpose::IkeOrTls | Purpose::Ike) => purpose == ANY_PURPOSE,
        (Some(_), _) => false,
    };
    let good = match &extensions.extended_key_usage {
        Some(purposes) => purposes.iter().any(allows),
        None => !rules.require_eku,
    };
    let wanted = match rules.purpose {
        Purpose::IkeOrTls | Purpose::Ike => "IKE",
        Purpose::Server => "serverAuth",
        Purpose::Client => "clientAuth",
    };
    let is_there = extensions.extended_key_usage.is_some();
    if good { Ok(()) } else { Err(Refusal::MissingEku { subject: subject(), wanted, is_there }) }
}
