//! When a Child SA is replaced: what is configured as the menu, and what was planned.

use std::time::Duration;

use vpnhost_model::{Lifetime, Now};
use vpnhost_pki::identity::folded;
use vpnhost_policy::{Answer, Bounds, LifetimeMenu, Lifetimes, LifetimesBounds, Question, Strength};

use crate::sa::IkeSa;
use crate::sa::child;
use crate::sa::estate::ChildSa;

const MIB: u64 = 1 << 20;

/// Builds the menu of a Child SA.
pub(crate) fn question(now: Now, sa: &IkeSa, child: &ChildSa) -> Option<Question> {
    let established = sa.established()?;
    let config = established.connection.children.get(child.index)?;
    let suite = child.suite.transforms();
    let native = native(&child.configured);
    let safe = LifetimesBounds::SAFE;
    let rekey_mib = match child::most_octets(child.suite) {
        // An algorithm's limit is no matter of taste.
        Some(octets) => Bounds::new(1, mib(octets)),
        None => safe.rekey_mib,
    };
    Some(Question::PlanLifetimes(LifetimeMenu {
        connection: established.connection.name.clone(),
        child: config.name.clone(),
        role: sa.role,
        peer_id: folded(&established.peer_id),
        labels: established.labels.clone(),
        unix_secs: now.unix.as_secs(),
        rekeys: child.rekeys,
        strength: Strength::of(&suite),
        suite,
        local: child.local.iter().take(vpnhost_policy::limits::SELECTORS).copied().collect(),
        remote: child.remote.iter().take(vpnhost_policy::limits::SELECTORS).copied().collect(),
        bounds: LifetimesBounds {
            rekey_secs: safe.rekey_secs.including(native.rekey_secs),
            rekey_mib: rekey_mib.including(native.rekey_mib),
            rekey_packets: safe.rekey_packets.including(native.rekey_packets),
        },
        native,
        hints: Vec::new(),
    }))
}

/// Reads the answer; a number that it leaves as configured stays as precise as the configuration.
pub(crate) fn planned(answer: Option<Answer>, configured: Lifetime) -> Option<Lifetime> {
    let Some(Answer::PlanLifetimes(answer)) = answer else { return None };
    let (native, mut planned) = (native(&configured), configured);
    if answer.rekey_secs != native.rekey_secs {
        let age = Duration::from_secs(answer.rekey_secs.into());
        planned.rekey_after = (!age.is_zero()).then_some(age);
    }
    if answer.rekey_mib != native.rekey_mib {
        planned.rekey_bytes = (answer.rekey_mib > 0).then(|| u64::from(answer.rekey_mib) * MIB);
    }
    if answer.rekey_packets != native.rekey_packets {
        planned.rekey_packets = (answer.rekey_packets > 0).then(|| answer.rekey_packets.into());
    }
    Some(planned)
}

fn native(lifetime: &Lifetime) -> Lifetimes {
    let secs = lifetime.rekey_after.filter(|age| !age.is_zero()).map(|age| age.as_secs().max(1));
    Lifetimes {
        rekey_secs: secs.map_or(0, |secs| u32::try_from(secs).unwrap_or(u32::MAX)),
        rekey_mib: lifetime.rekey_bytes.map_or(0, mib),
        rekey_packets: lifetime.rekey_packets.map_or(0, |it| u32::try_from(it).unwrap_or(u32::MAX).max(1)),
        why: None,
    }
}

/// Whole MiB, but never zero for what is limited.
fn mib(octets: u64) -> u32 {
    u32::try_from(octets / MIB).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_as_configured_stays_as_precise() {
        let configured = Lifetime {
            rekey_after: Some(Duration::from_millis(90_500)),
            rekey_bytes: Some(5 * MIB + 7),
            rekey_packets: Some(9),
            jitter_percent: 10,
        };
        let answer = |rekey_secs, rekey_mib| {
            Some(Answer::PlanLifetimes(Lifetimes { rekey_secs, rekey_mib, rekey_packets: 9, why: None }))
        };
        assert_eq!(planned(answer(90, 5), configured), Some(configured));
        let other = Lifetime { rekey_after: None, rekey_bytes: Some(MIB), ..configured };
        assert_eq!(planned(answer(0, 1), configured), Some(other));
        assert_eq!(planned(None, configured), None);
    }
}
