//! The client's end of EAP-TLS.

use vpnhost_ike::{EapBegin, EapFailure, EapOutcome, OwnCertificate};

use super::fragments::{Fragments, Taken};
use super::session::{Handshake, Session};
use super::{NAME, TlsPeer};
use crate::method::ClientEnd;

pub(crate) struct Client {
    identity: String,
    session: Result<Session, EapFailure>,
    fragments: Fragments,
    started: bool,
    committed: bool,
    failure: Option<EapFailure>,
}

impl Client {
    pub(crate) fn new(identity: &str, own: &OwnCertificate, server: &TlsPeer, begin: &EapBegin) -> Self {
        Self::within(identity, Session::client(own, server, begin, &Handshake::default()))
    }

    /// Makes one of a TLS session that begins.
    pub(super) fn within(identity: &str, session: Result<Session, EapFailure>) -> Self {
        Self {
            identity: identity.to_owned(),
            session,
            fragments: Fragments::default(),
            started: false,
            committed: false,
            failure: None,
        }
    }

    /// Takes the server's records, and lays out the answer. A failure is told by the alert that is sent.
    fn on_records(&mut self, records: &[u8]) -> Result<(), EapFailure> {
        let session = self.session.as_mut().map_err(|failure| failure.clone())?;
        let fed = session.feed(records).and_then(|()| {
            if session.has_commitment() && session.is_complete() {
                self.committed |= session.is_committed()?;
            } else {
                self.committed = session.is_complete();
            }
            Ok(())
        });
        self.failure = fed.err();
        self.fragments.put(session.flight()?);
        Ok(())
    }
}

impl ClientEnd for Client {
    fn answer(&mut self, request: &[u8]) -> Result<Vec<u8>, EapFailure> {
        let taken = self.fragments.take(request)?;
        match taken {
            Taken::Start if !self.started => {
                self.started = true;
                let session = self.session.as_mut().map_err(|failure| failure.clone())?;
                self.fragments.put(session.flight()?);
            }
            Taken::Empty if self.fragments.is_pending() => {}
            Taken::Part if self.started && !self.fragments.is_pending() => return Ok(vec![0]),
            Taken::Whole(records) if self.started && !self.fragments.is_pending() => {
                self.on_records(&records)?;
            }
            Taken::Start | Taken::Empty | Taken::Part | Taken::Whole(_) => {
                return Err(EapFailure::Malformed("a TLS packet at the wrong time"));
            }
        }
        Ok(self.fragments.next())
    }

    fn outcome(&mut self) -> Option<EapOutcome> {
        let session = self.session.as_ref().ok().filter(|_| self.committed && self.failure.is_none())?;
        let msk = Some(session.msk().ok()?);
        let (identity, certificate) = (self.identity.clone(), session.peer());
        Some(EapOutcome { identity, method: NAME, msk, certificate, stands_alone: true })
    }

    fn failure(&self) -> Option<EapFailure> {
        // An alert in fragments is sent to its end.
        self.failure.clone().filter(|_| !self.fragments.is_pending())
    }
}
