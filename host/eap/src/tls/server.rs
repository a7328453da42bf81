//! The server's end of EAP-TLS.

use std::sync::Arc;

use vpnhost_ike::{EapBegin, EapFailure, EapOutcome, OwnCertificate, Trust};
use vpnhost_model::Identity;
use vpnhost_pki::{Certificate, Name, identity};

use super::NAME;
use super::fragments::{Fragments, Taken};
use super::session::Session;
use crate::method::{ServerEnd, Turn};
use crate::server::Claim;

pub(crate) struct Server {
    claimed: Option<Identity>,
    /// Whether a name in a certificate stands for those below.
    wildcards: bool,
    session: Result<Session, EapFailure>,
    fragments: Fragments,
    /// The last records are out: what comes now is the client's consent.
    concluding: bool,
    failure: Option<EapFailure>,
}

impl Server {
    pub(crate) fn new(claim: &Claim, own: &OwnCertificate, clients: &Arc<Trust>, begin: &EapBegin) -> Self {
        let (claimed, binding) = match claim {
            Claim::Eap(octets) => (read(octets), read(octets)),
            Claim::Ike(identity) => (Some(identity.clone()), None),
        };
        Self {
            session: Session::server(own, clients, binding, begin),
            claimed,
            wildcards: clients.rules.wildcards,
            fragments: Fragments::default(),
            concluding: false,
            failure: None,
        }
    }

    fn on_records(&mut self, records: &[u8]) -> Result<(), EapFailure> {
        let session = self.session.as_mut().map_err(|failure| failure.clone())?;
        let fed = session.feed(records).and_then(|()| {
            self.concluding = session.is_complete();
            if self.concluding && session.has_commitment() { session.commit() } else { Ok(()) }
        });
        self.failure = fed.err();
        let flight = session.flight()?;
        match &self.failure {
            // Nothing is left to be told.
            Some(failure) if flight.is_empty() => return Err(failure.clone()),
            Some(_) | None => self.fragments.put(flight),
        }
        Ok(())
    }

    fn conclude(&self) -> Result<EapOutcome, EapFailure> {
        let session = self.session.as_ref().map_err(|failure| failure.clone())?;
        let judged = session.peer();
        let own = judged.as_ref().and_then(|judged| judged.certificate());
        let own = own.ok_or(EapFailure::Internal("the certificate".to_owned()))?;
        let proved = self.claimed.as_ref().filter(|it| identity::bind(own, it, self.wildcards).is_ok());
        let identity = proved.map_or_else(|| name_of(own), |claimed| name_as_certified(own, claimed));
        let msk = Some(session.msk()?);
        Ok(EapOutcome { identity, method: NAME, msk, certificate: judged, stands_alone: true })
    }

    fn turn(&mut self, response: &[u8]) -> Result<Turn, EapFailure> {
        let taken = self.fragments.take(response)?;
        let pending = self.fragments.is_pending();
        match taken {
            Taken::Empty if pending => Ok(Turn::Request(self.fragments.next())),
            _ if pending => Err(EapFailure::Malformed("a TLS packet at the wrong time")),
            _ if self.failure.is_some() => Err(self.failure.clone().expect("it is there")),
            Taken::Empty if self.concluding => self.conclude().map(Turn::Success),
            Taken::Part => Ok(Turn::Request(vec![0])),
            // After the last records only an alert can come.
            Taken::Whole(records) if !self.concluding => {
                self.on_records(&records)?;
                Ok(Turn::Request(self.fragments.next()))
            }
            Taken::Whole(records) => {
                self.on_records(&records)?;
                Err(EapFailure::Malformed("TLS records behind the handshake"))
            }
            Taken::Start | Taken::Empty => Err(EapFailure::Malformed("a TLS packet at the wrong time")),
        }
    }
}

impl ServerEnd for Server {
    fn begin(&mut self) -> Result<Vec<u8>, EapFailure> {
        self.session.as_ref().map(|_| Fragments::start()).map_err(|failure| failure.clone())
    }

    fn take(&mut self, response: &[u8]) -> Turn {
        self.turn(response).unwrap_or_else(Turn::Failure)
    }

    fn failure(&self) -> Option<EapFailure> {
        self.failure.clone()
    }
}

/// Reads who the client said it is; nobody, where it keeps that for the certificate (RFC 9190 §2.1.8).
fn read(octets: &[u8]) -> Option<Identity> {
    // A sequence of DER begins as the digit 0 does.
    if Name::from_der(octets).is_ok() {
        return Some(Identity::DistinguishedName(octets.to_vec()));
    }
    let text = std::str::from_utf8(octets).ok()?;
    let name = text.split_once('@').map_or(text, |(name, _realm)| name);
    if name.is_empty() || name.eq_ignore_ascii_case("anonymous") {
        return None;
    }
    identity::parse(text)
}

/// Writes a name that was claimed as the certificate does, so that one user has one name however it is spelled.
fn name_as_certified(certificate: &Certificate, claimed: &Identity) -> String {
    let identities = identity::identities(certificate);
    let own = identities.iter().find(|own| identity::matches(own, claimed));
    own.map_or_else(|| claimed.folded().to_string(), ToString::to_string)
}

/// A certificate's name as a user has one: an e-mail address or host name before the subject.
fn name_of(certificate: &Certificate) -> String {
    let identities = identity::identities(certificate);
    let is_name = |identity: &&Identity| matches!(identity, Identity::Email(_) | Identity::Fqdn(_));
    identities.iter().find(is_name).or(identities.first()).map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They were taken for distinguished names, which begin with that octet.
    #[test]
    fn names_that_begin_with_a_naught_are_names() {
        assert_eq!(read(b"007@lab"), Some(Identity::Email("007@lab".into())));
        let name = Name::parse("CN=carol").expect("it is one").der().to_vec();
        assert_eq!(read(&name), Some(Identity::DistinguishedName(name)));
    }
}
