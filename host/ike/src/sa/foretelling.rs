//! What can be seen at set-up of what will fail later: at the first rekey, at the next authentication, or when a
//! certificate ends.

use std::time::Duration;

use vpnhost_model::{EspSuite, KeyExchange, Now};

use crate::exchange::proposals;
use crate::host::Host;
use crate::limits;
use crate::output::Event;
use crate::reason::Foresight;
use crate::sa::IkeSa;
use crate::sa::window::Backoff;
use crate::timer::Timer;

impl IkeSa {
    /// The peers are authenticated: tells what ends before they are so again.
    pub(crate) fn foretell_login(&self, host: &mut Host, now: Now) {
        let Some(established) = self.established() else { return };
        let next = self.timers.deadline(Timer::Reauthenticate);
        let next = next.or(self.timers.deadline(Timer::AuthenticationExpires));
        let reauth = next.map(|at| at.saturating_since(now.instant));
        if let Some(facts) = established.proof.certificate() {
            let end = Duration::from_secs(u64::try_from(facts.not_after.saturating_add(1)).unwrap_or(0));
            let left = end.saturating_sub(now.unix);
            if left < reauth.unwrap_or(limits::CERTIFICATE_ENDS_SOON) {
                self.foretell(host, Foresight::CertificateEnds { left, reauth });
            }
        }
        let patience = patience(established.plan.backoff);
        let rekey = Some(established.plan.rekey_ike).filter(|rekey| !rekey.is_zero());
        let own = [("the IKE SA", rekey), ("the authentication", reauth)];
        let own = own.into_iter().filter_map(|(what, after)| Some((what.to_owned(), after?)));
        let children = established.connection.children.iter().filter_map(|child| {
            let after = child.lifetime.rekey_after?;
            Some((format!("child {}", child.name), after))
        });
        for (what, after) in own.chain(children).filter(|(_, after)| *after < patience) {
            self.foretell(host, Foresight::LifeTooShort { what, after, patience });
        }
    }

    /// The first Child SA is agreed on without a group, as IKE_AUTH has none (RFC 7296 §1.2): tells if its rekey will
    /// find none either.
    pub(crate) fn foretell_groups(
        &self,
        host: &mut Host,
        (index, suite): (usize, EspSuite),
        theirs: &[KeyExchange],
    ) {
        let Some(established) = self.established() else { return };
        let Some(config) = established.connection.children.get(index) else { return };
        let child = config.name.clone();
        let same = |other: &&EspSuite| other.packet == suite.packet;
        let configured: Vec<EspSuite> = config.esp.iter().filter(same).copied().collect();
        let usable = proposals::usable_esp(host.crypto, host.config.allow_legacy, &configured);
        let groups = |suites: &[EspSuite]| {
            let mut groups: Vec<KeyExchange> = suites.iter().map(|suite| suite.key_exchange).collect();
            groups.dedup();
            groups
        };
        let ours = groups(&usable);
        if ours.is_empty() {
            self.foretell(host, Foresight::NoUsableGroup { child, groups: groups(&configured) });
        } else if !theirs.is_empty() && !ours.iter().any(|group| theirs.contains(group)) {
            self.foretell(host, Foresight::PfsMismatch { child, theirs: theirs.to_vec(), ours });
        }
    }

    fn foretell(&self, host: &mut Host, foresight: Foresight) {
        let connection = self.connection.as_ref().map_or_else(String::new, |it| it.name.clone());
        host.event(Event::Foretold { ike_sa: self.id, connection, foresight });
    }
}

/// Returns how long a request is repeated until its peer counts as gone.
fn patience(backoff: Backoff) -> Duration {
    let mut wait = backoff.first;
    let mut all = wait;
    for _ in 0..backoff.tries {
        wait = wait.saturating_mul(u32::from(backoff.factor_percent)) / 100;
        all = all.saturating_add(wait);
    }
    all
}
