//! The Child SAs that the packet path carries, as control sees them: whose they are, and what they carried.

use std::collections::BTreeMap;
use std::sync::Arc;

use vpnhost_ike::input::TrafficReport;
use vpnhost_ike::output::ChildSaKeys;
use vpnhost_ipsec::SaActivity;
use vpnhost_model::{ChildSaId, IkeSaId, Instant};

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Children {
    installed: BTreeMap<ChildSaId, Installed>,
}

/// One Child SA that the packet path carries.
#[derive(Debug)]
pub(crate) struct Installed {
    /// The IKE SA that it is of now.
    pub(crate) ike_sa: IkeSaId,
    /// What it carried.
    pub(crate) activity: Arc<SaActivity>,
    /// Who serves its encryption.
    pub(crate) backend: String,
    /// How many it replaced by rekeying.
    pub(crate) rekeyed: u32,
    told_inbound: Option<Instant>,
    told_outbound: Option<Instant>,
}

impl Children {
    /// Enters one that was given to the packet path.
    pub(crate) fn enter(&mut self, keys: &ChildSaKeys, activity: Arc<SaActivity>, backend: String) {
        let replaced = keys.replaces.and_then(|old| self.installed.get(&old));
        let rekeyed = match (keys.replaces, replaced) {
            (Some(_), Some(old)) => old.rekeyed.saturating_add(1),
            (Some(_), None) => 1,
            (None, _) => 0,
        };
        let installed = Installed {
            ike_sa: keys.ike_sa,
            activity,
            backend,
            rekeyed,
            told_inbound: None,
            told_outbound: None,
        };
        self.installed.insert(keys.id, installed);
    }

    /// Strikes one out; false if it was not there.
    pub(crate) fn strike(&mut self, id: ChildSaId) -> bool {
        self.installed.remove(&id).is_some()
    }

    /// Returns one.
    pub(crate) fn find(&self, id: ChildSaId) -> Option<&Installed> {
        self.installed.get(&id)
    }

    /// Tells whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.installed.is_empty()
    }

    /// Lists those of an IKE SA.
    pub(crate) fn of(&self, ike_sa: IkeSaId) -> Vec<ChildSaId> {
        self.installed.iter().filter(|(_, child)| child.ike_sa == ike_sa).map(|(&id, _)| id).collect()
    }

    /// Gives those of an IKE SA to the one that took its place.
    pub(crate) fn rename(&mut self, old: IkeSaId, new: IkeSaId) {
        for child in self.installed.values_mut().filter(|child| child.ike_sa == old) {
            child.ike_sa = new;
        }
    }

    /// Returns since when nothing else passed either, if a Child SA was silent from `since` until `at`; nothing if something may
    /// have.
    pub(crate) fn silent_since(&self, id: ChildSaId, since: Instant, at: Instant) -> Option<Instant> {
        let others =
            self.installed.iter().filter(|(other, _)| **other != id).map(|(_, child)| &child.activity);
        let mut lasts =
            others.flat_map(|activity| [activity.inbound.last(), activity.outbound.last()]).flatten();
        let begun = lasts.try_fold(since, |since, last| (last < at).then_some(last.max(since)));
        begun.filter(|since| *since < at)
    }

    /// Tells which carried packets since the last time: proof of the peer's life, and of a NAT's memory.
    pub(crate) fn carried(&mut self) -> Vec<TrafficReport> {
        let mut reports = Vec::new();
        for (&id, child) in &mut self.installed {
            if let Some(at) = news(&mut child.told_inbound, child.activity.inbound.last()) {
                reports.push(TrafficReport::Inbound(id, at));
            }
            if let Some(at) = news(&mut child.told_outbound, child.activity.outbound.last()) {
                reports.push(TrafficReport::Outbound(id, at));
            }
        }
        reports
    }
}

fn news(told: &mut Option<Instant>, last: Option<Instant>) -> Option<Instant> {
    (std::mem::replace(told, last) != last).then_some(last).flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vpnhost_crypto::SecretBytes;
    use vpnhost_ike::output::DirectionKeys;
    use vpnhost_ipsec::{Batch, Counters, Outbound, OutboundCommand, TunnelConfig};
    use vpnhost_model::{
        ChildSpi, Encapsulation, EspSuite, Lifetime, Mode, Path, Sequence, TrafficSelector, Translation,
    };

    use super::super::esp_keys;
    use super::*;

    fn keys(id: u64, replaces: Option<u64>) -> ChildSaKeys {
        let suite = EspSuite::parse_all("aes128gcm16", &[Sequence::EXTENDED]).unwrap()[0];
        let of_direction =
            || DirectionKeys { encryption: SecretBytes::new(vec![7; 20]), integrity: SecretBytes::default() };
        let address = "192.0.2.1:4500".parse().unwrap();
        ChildSaKeys {
            id: ChildSaId(id),
            ike_sa: IkeSaId(1),
            connection: "corp".to_owned(),
            child: "net".to_owned(),
            spi_in: ChildSpi(0x1000),
            spi_out: ChildSpi(0x2000),
            suite,
            inbound: of_direction(),
            outbound: of_direction(),
            path: Path {
                local: address,
                remote: address,
                interface: None,
                encapsulation: Encapsulation::Udp,
            },
            local: vec![TrafficSelector::any_v4()],
            remote: vec![TrafficSelector::any_v4()],
            mode: Mode::Tunnel,
            translation: Translation::None,
            replay_window: 64,
            lifetime: Lifetime {
                rekey_after: None,
                rekey_bytes: None,
                rekey_packets: None,
                jitter_percent: 0,
            },
            replaces: replaces.map(ChildSaId),
        }
    }

    struct Zeros;

    impl vpnhost_crypto::SecureRandom for Zeros {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), vpnhost_crypto::CryptoError> {
            out.fill(0);
            Ok(())
        }
    }

    #[test]
    fn what_an_sa_sends_is_told_once_a_look() {
        let (keys, activity) = (keys(1, None), Arc::new(SaActivity::default()));
        let backend = vpnhost_rustcrypto::backend();
        let (_, outbound) = esp_keys::halves(backend, &keys, &activity).unwrap();
        let mut children = Children::default();
        children.enter(&keys, activity, String::new());
        assert_eq!(children.carried(), []);

        let mut sealer =
            Outbound::new(TunnelConfig::default(), Box::new(Zeros), Arc::new(Counters::default()));
        let install = OutboundCommand::Install(Box::new(outbound));
        sealer.handle_command(Instant(0), install).unwrap();
        sealer.handle_command(Instant(0), OutboundCommand::Activate(keys.id)).unwrap();
        let mut batch = Batch::new(1, 1500);
        batch.room().unwrap()[..20]
            .copy_from_slice(&[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        batch.push(20);
        sealer.seal(Instant(0) + Duration::from_secs(5), &mut batch);
        let sent = Instant(0) + Duration::from_secs(5);
        assert_eq!(children.carried(), [TrafficReport::Outbound(keys.id, sent)]);
        assert_eq!(children.carried(), []);
    }

    #[test]
    fn a_suite_that_the_backend_does_not_have_is_an_error() {
        let mut keys = keys(1, None);
        keys.suite = EspSuite::parse_all("aes256-sha512", &[Sequence::EXTENDED]).unwrap()[0];
        let activity = Arc::new(SaActivity::default());
        let error = esp_keys::halves(&Nothing, &keys, &activity).err();
        assert_eq!(error, Some(vpnhost_crypto::CryptoError::Unsupported));
    }

    /// A backend without algorithms.
    struct Nothing;

    impl vpnhost_crypto::CryptoBackend for Nothing {
        fn name(&self) -> &str {
            "nothing"
        }

        fn version(&self) -> &str {
            "0"
        }
    }

    #[test]
    fn children_follow_their_ike_sa_and_count_their_rekeys() {
        let mut children = Children::default();
        children.enter(&keys(1, None), Arc::default(), String::new());
        children.enter(&keys(2, Some(1)), Arc::default(), String::new());
        assert!(children.strike(ChildSaId(1)) && !children.strike(ChildSaId(1)));
        children.enter(&keys(3, Some(2)), Arc::default(), String::new());
        assert_eq!(children.find(ChildSaId(3)).map(|child| child.rekeyed), Some(2));
        children.rename(IkeSaId(1), IkeSaId(9));
        assert_eq!(children.of(IkeSaId(1)), []);
        assert_eq!(children.of(IkeSaId(9)), [ChildSaId(2), ChildSaId(3)]);
    }
}
