//! Which of several certificates an initiator shows: a policy chooses, before the proof is made.

use std::sync::Arc;

use vpnhost_model::Now;
use vpnhost_policy::Answer;

use crate::auth::certificates;
use crate::config::OwnCertificate;
use crate::host::Host;
use crate::output::AuthenticationFailure;
use crate::question::choose_credential;
use crate::sa::IkeSa;
use crate::sa::state::State;
use crate::work::{AnsweredBy, Track};

use super::proof::AuthError;

/// Which of several certificates this host shows.
#[derive(Default)]
pub(super) enum Credential {
    /// Nobody was asked.
    #[default]
    Undecided,
    /// A policy is asked for one of these.
    Asked(Vec<Arc<OwnCertificate>>),
    /// It is this one.
    Chosen(Arc<OwnCertificate>),
}

impl Credential {
    /// Returns the certificate, once it is chosen.
    pub(super) fn chosen(&self) -> Option<&Arc<OwnCertificate>> {
        match self {
            Self::Chosen(own) => Some(own),
            Self::Undecided | Self::Asked(_) => None,
        }
    }
}

impl IkeSa {
    /// Has a policy choose among several certificates, once. Tells whether it was asked: then the answer goes on.
    pub(super) fn ask_for_credential(&mut self, host: &mut Host, now: Now) -> bool {
        let (State::AuthSent(auth), Some(connection)) = (&self.state, &self.connection) else { return false };
        let candidates = certificates::candidates(connection, now);
        if candidates.len() < 2 || !matches!(auth.credential, Credential::Undecided) {
            return false;
        }
        let about = (&**connection, &*candidates);
        let authorities = auth.init.authorities.as_deref();
        let question = choose_credential::question(host.crypto, now, self, about, authorities);
        if let State::AuthSent(auth) = &mut self.state {
            auth.credential = Credential::Asked(candidates);
        }
        self.ask(host, now, Track::Local, question);
        true
    }

    /// Tells whether an answer is to that question.
    pub(super) fn is_choosing(&self) -> bool {
        matches!(&self.state, State::AuthSent(auth) if matches!(auth.credential, Credential::Asked(_)))
    }

    /// Takes the certificate that was chosen, and goes on.
    pub(super) fn on_credential(
        &mut self,
        host: &mut Host,
        now: Now,
        answer: Option<Answer>,
        by: AnsweredBy,
    ) -> Result<(), AuthError> {
        let State::AuthSent(auth) = &mut self.state else { return Ok(()) };
        let Credential::Asked(candidates) = std::mem::take(&mut auth.credential) else { return Ok(()) };
        let (own, why) =
            choose_credential::chosen(answer, &candidates).ok_or(AuthenticationFailure::OwnKey)?;
        let certificate = own.credential().certificates().first();
        let name = certificate
            .map_or_else(|| "a raw key".to_owned(), |it| format!("{} of {}", it.subject(), it.issuer()));
        auth.credential = Credential::Chosen(own);
        let why = why.map_or_else(String::new, |why| format!(" ({why})"));
        self.decided(host, "choose_credential", by, name + &why);
        self.prove(host, now)
    }
}
