//! A peer's certificate while its IKE SA lives, whether it was shown in IKE or within EAP-TLS: judged again when it ends, when newer revocation lists are there, with
//! every rekey and once a day; when it is no longer good, the IKE SA ends (RFC 4945 §5: a policy of this host).

use std::time::Duration;

use vpnhost_crypto::CryptoBackend;
use vpnhost_model::{IkeSaId, Now};
use vpnhost_pki::Crl;

use crate::auth::verified::{AuthVerified, RejudgeJob};
use crate::config::LocalAuth;
use crate::endpoint::IkeEndpoint;
use crate::host::Host;
use crate::limits;
use crate::output::{AuthenticationFailure, CloseReason, Job};
use crate::sa::IkeSa;
use crate::sa::queue::Task;
use crate::timer::Timer;
use crate::work::Track;

impl IkeEndpoint {
    /// Takes revocation lists that were fetched.
    pub(crate) fn use_crls(&mut self, now: Now, crls: Vec<Crl>) {
        self.host.use_crls(crls);
        self.rejudge_all(now);
    }

    /// Has the certificates of all peers that are up judged again, not all at once.
    pub(crate) fn rejudge_all(&mut self, now: Now) {
        let all: Vec<IkeSaId> = self.sas.keys().copied().collect();
        for &id in &all {
            self.visit(now, id, |sa, host| sa.rejudge_soon(host, now, all.len()));
        }
    }

    /// Takes algorithms for new SAs from another backend.
    pub(crate) fn use_crypto(&mut self, crypto: &'static dyn CryptoBackend) {
        self.host.crypto = crypto;
        for connection in &self.host.config.connections {
            if let LocalAuth::Certificate(own) = &connection.local_auth {
                own.iter().for_each(|own| own.forget_ready());
            }
        }
    }
}

impl IkeSa {
    /// Sets the timer by which the peer's certificate is judged again.
    pub(crate) fn watch_certificate(&mut self, now: Now) {
        let Some(facts) = self.established().and_then(|established| established.proof.certificate()) else {
            return self.timers.stop(Timer::CertificateEnds);
        };
        // RFC 5280, 4.1.2.5: the last second is part of the validity.
        let end = Duration::from_secs(u64::try_from(facts.not_after.saturating_add(1)).unwrap_or(0));
        let left = end.saturating_sub(now.unix).min(limits::CERTIFICATE_JUDGED_AGAIN);
        self.timers.set(Timer::CertificateEnds, now.instant + left);
    }

    /// Has the peer's certificate judged again soon: one of a thousand waits a little longer than one of two.
    pub(crate) fn rejudge_soon(&mut self, host: &mut Host, now: Now, among: usize) {
        if self.established().is_some_and(|established| established.proof.certificate().is_some()) {
            let span = limits::JUDGEMENT_PAUSE * u32::try_from(among).unwrap_or(u32::MAX);
            let later = Self::jittered(host, span, 100);
            self.timers.set_earlier(Timer::CertificateEnds, now.instant + later);
        }
    }

    /// Has the peer's certificate judged again.
    pub(crate) fn rejudge_certificate(&mut self, host: &mut Host, now: Now) {
        let Some(established) = self.established() else { return };
        if established.proof.certificate().is_none() {
            return;
        }
        let (crypto, crls, now_unix) = (host.crypto, host.crls(), now.unix);
        let proof = established.proof.clone();
        let job = Job::RejudgePeer(Box::new(RejudgeJob { crypto, crls, now: now_unix, proof }));
        // In case that the job gets lost.
        self.timers.set(Timer::CertificateEnds, now.instant + limits::CERTIFICATE_JUDGED_AGAIN);
        self.work(host, Track::Certificate, job);
    }

    /// Takes the new judgement.
    pub(crate) fn on_rejudged(&mut self, now: Now, judgement: Result<AuthVerified, AuthenticationFailure>) {
        let Some(established) = self.established_mut() else { return };
        match judgement {
            Ok(proof) => {
                established.proof = proof;
                self.watch_certificate(now);
            }
            Err(AuthenticationFailure::Certificate(refusal)) => {
                tracing::warn!(ike_sa = %self.id, %refusal, "the peer's certificate is no longer good");
                self.want(Task::DeleteIkeSa(CloseReason::CertificateEnded(refusal)));
            }
            Err(failure) => {
                self.want(Task::DeleteIkeSa(CloseReason::AuthenticationFailed(failure)));
            }
        }
    }
}
