//! A TLS handshake that is fed with flights of records and yields flights; rustls does the work.

use std::io::{Cursor, ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, Error, KeyLog, NoKeyLog, OtherError,
    ProtocolVersion, ServerConfig, ServerConnection, SupportedProtocolVersion,
};
use vpnhost_crypto::SecretBytes;
use vpnhost_ike::{EapBegin, EapFailure, JudgedCertificate, OwnCertificate, Trust};
use vpnhost_model::Identity;
use vpnhost_pki::Refusal;

use super::TlsPeer;
use super::judge::Judge;
use crate::limits;

/// What the server says last with TLS 1.3 (RFC 9190 §2.5).
const COMMITMENT: u8 = 0;

/// Octets of a Master Session Key and of an Extended one, which the exporter gives at once (RFC 5216 §2.3).
const KEYS: usize = 128;
const MSK: usize = 64;

/// EAP-TLS's type, which is the exporter's context with TLS 1.3 (RFC 9190 §2.3).
const CONTEXT: [u8; 1] = [crate::packet::TLS];

/// What a client's handshake is held to.
pub(crate) struct Handshake {
    /// Versions of TLS.
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
    /// Who sees the secrets: nobody, outside of tests.
    pub(crate) key_log: Arc<dyn KeyLog>,
}

impl Default for Handshake {
    fn default() -> Self {
        Self { versions: vec![&TLS13, &TLS12], key_log: Arc::new(NoKeyLog {}) }
    }
}

pub(crate) struct Session {
    tls: Connection,
    judge: Arc<Judge>,
}

impl Session {
    pub(crate) fn client(
        own: &OwnCertificate,
        server: &TlsPeer,
        begin: &EapBegin,
        handshake: &Handshake,
    ) -> Result<Self, EapFailure> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let identity = server.identity.clone().unwrap_or_else(|| begin.peer.clone());
        let judge = judge(&server.trust, Some(identity), begin, &provider);
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&handshake.versions)
            .map_err(internal)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&judge) as _)
            .with_client_cert_resolver(certified(own, begin)?);
        // A new certificate is seen each time, and each time judged.
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        config.key_log = Arc::clone(&handshake.key_log);
        let unused =
            ServerName::try_from("eap-tls").map_err(|_| EapFailure::Internal("the name".to_owned()))?;
        let connection = ClientConnection::new(Arc::new(config), unused).map_err(internal)?;
        Ok(Self { tls: connection.into(), judge })
    }

    pub(crate) fn server(
        own: &OwnCertificate,
        clients: &Arc<Trust>,
        identity: Option<Identity>,
        begin: &EapBegin,
    ) -> Result<Self, EapFailure> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let judge = judge(clients, identity, begin, &provider);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(internal)?
            .with_client_cert_verifier(Arc::clone(&judge) as _)
            .with_cert_resolver(certified(own, begin)?);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let connection = ServerConnection::new(Arc::new(config)).map_err(internal)?;
        Ok(Self { tls: connection.into(), judge })
    }

    /// Takes the other end's flight.
    ///
    /// # Errors
    /// Why the handshake failed; the next flight is the alert that says so.
    pub(crate) fn feed(&mut self, records: &[u8]) -> Result<(), EapFailure> {
        let mut rest = Cursor::new(records);
        let whole = u64::try_from(records.len()).unwrap_or(u64::MAX);
        while rest.position() < whole {
            let read = self.tls.read_tls(&mut rest).map_err(|error| EapFailure::Tls(error.to_string()))?;
            self.tls.process_new_packets().map_err(failure)?;
            if read == 0 {
                return Err(EapFailure::Tls("records behind the end".to_owned()));
            }
        }
        Ok(())
    }

    /// Returns the flight that is to be sent now; nothing if it is the other end's turn.
    pub(crate) fn flight(&mut self) -> Result<Vec<u8>, EapFailure> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).map_err(|error| EapFailure::Tls(error.to_string()))?;
            if records.len() > limits::TLS_FLIGHT {
                return Err(EapFailure::TooMuch("this host's certificates are too long"));
            }
        }
        Ok(records)
    }

    pub(crate) fn is_complete(&self) -> bool {
        !self.tls.is_handshaking()
    }

    /// Tells whether the server says when it takes the handshake for complete (RFC 9190 §2.5).
    pub(crate) fn has_commitment(&self) -> bool {
        self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    pub(crate) fn commit(&mut self) -> Result<(), EapFailure> {
        self.tls.writer().write_all(&[COMMITMENT]).map_err(|error| EapFailure::Tls(error.to_string()))
    }

    /// Reads the server's commitment, if it is there.
    pub(crate) fn is_committed(&mut self) -> Result<bool, EapFailure> {
        let mut octets = [0xff; 2];
        match self.tls.reader().read(&mut octets) {
            Ok(1) if octets[0] == COMMITMENT => Ok(true),
            Ok(_) => Err(EapFailure::Malformed("application data in EAP-TLS")),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(EapFailure::Tls(error.to_string())),
        }
    }

    /// Returns the certificate that the other end has proved to have the key of, once the handshake is complete.
    pub(crate) fn peer(&self) -> Option<Arc<JudgedCertificate>> {
        self.judge.judged().filter(|_| self.is_complete())
    }

    /// Returns the Master Session Key (RFC 5216 §2.3, RFC 9190 §2.3).
    pub(crate) fn msk(&self) -> Result<SecretBytes, EapFailure> {
        let (label, context): (&[u8], _) = if self.has_commitment() {
            (b"EXPORTER_EAP_TLS_Key_Material", Some(&CONTEXT[..]))
        } else {
            (b"client EAP encryption", None)
        };
        let mut keys = SecretBytes::new(vec![0; KEYS]);
        self.tls.export_keying_material(keys.expose_mut(), label, context).map_err(internal)?;
        keys.split_front(MSK).map_err(|error| EapFailure::Internal(error.to_string()))
    }
}

fn judge(
    trust: &Arc<Trust>,
    identity: Option<Identity>,
    begin: &EapBegin,
    provider: &CryptoProvider,
) -> Arc<Judge> {
    Arc::new(Judge::new(trust, identity, begin, provider.signature_verification_algorithms))
}

fn certified(own: &OwnCertificate, begin: &EapBegin) -> Result<Arc<SingleCertAndKey>, EapFailure> {
    own.check_validity(begin.unix).map_err(EapFailure::OwnCertificate)?;
    let chain = own.credential().certificates().iter();
    let chain = chain.map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.credential().key().pkcs8()));
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(internal)?;
    Ok(Arc::new(CertifiedKey::new(chain, key).into()))
}

fn internal(error: Error) -> EapFailure {
    EapFailure::Internal(error.to_string())
}

/// A refused certificate keeps its reason on the way through rustls.
fn failure(error: Error) -> EapFailure {
    if let Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = &error
        && let Some(refusal) = inner.downcast_ref::<Refusal>()
    {
        return EapFailure::Certificate(refusal.clone());
    }
    if let Error::AlertReceived(alert) = error {
        return EapFailure::Refused(format!("TLS alert {alert:?}"));
    }
    if error == Error::NoCertificatesPresented {
        return EapFailure::Certificate(Refusal::NoCertificate);
    }
    EapFailure::Tls(error.to_string())
}
