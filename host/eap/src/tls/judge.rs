//! The other end's certificates as rustls asks about them, judged as IKE's own are.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use vpnhost_crypto::CryptoBackend;
use vpnhost_ike::{Court, EapBegin, JudgedCertificate, Trust};
use vpnhost_model::Identity;
use vpnhost_pki::{Certificate, Crl, Refusal};

/// Judges certificates at one time.
pub(crate) struct Judge {
    crypto: &'static dyn CryptoBackend,
    trust: Arc<Trust>,
    crls: Arc<[Crl]>,
    /// Whose the certificate must be.
    identity: Option<Identity>,
    now: Duration,
    judged: OnceLock<Arc<JudgedCertificate>>,
    algorithms: WebPkiSupportedAlgorithms,
    hints: Vec<DistinguishedName>,
}

impl Judge {
    pub(crate) fn new(
        trust: &Arc<Trust>,
        identity: Option<Identity>,
        begin: &EapBegin,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let anchors = trust.anchors.iter();
        let hints = anchors.map(|anchor| DistinguishedName::from(anchor.subject().der().to_vec())).collect();
        Self {
            crypto: begin.crypto,
            trust: Arc::clone(trust),
            crls: Arc::clone(&begin.crls),
            identity,
            now: begin.unix,
            judged: OnceLock::new(),
            algorithms,
            hints,
        }
    }

    /// Returns the certificate that was judged good, if one was.
    pub(crate) fn judged(&self) -> Option<Arc<JudgedCertificate>> {
        self.judged.get().cloned()
    }

    fn judge(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Error> {
        self.verdict(leaf, others).map_err(|refusal| {
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
        })
    }

    fn verdict(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Refusal> {
        let all = [leaf].into_iter().chain(others).take(vpnhost_pki::limits::PEER_CERTIFICATES);
        let chain: Result<Vec<_>, _> = all.map(|der| Certificate::from_der(der)).collect();
        let chain = chain.map_err(|_| Refusal::Unreadable)?;
        let (crypto, trust, crls) = (self.crypto, Arc::clone(&self.trust), Arc::clone(&self.crls));
        let court = Court { crypto, trust, crls, now: self.now };
        let judged = court.judge(chain, self.identity.clone())?;
        // A handshake asks once: a second certificate would not be the one that signs.
        self.judged.set(Arc::new(judged)).map_err(|_| Refusal::Unreadable)
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").field("identity", &self.identity).field("rules", &self.trust.rules).finish()
    }
}

/// How signatures within the handshake are verified, which both of rustls' traits ask in the same words.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, signed, &self.algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, signed, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(leaf, others).map(|()| ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for Judge {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(leaf, others).map(|()| ClientCertVerified::assertion())
    }

    signatures!();
}
