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

    /// Tells which carried packets since the last time: proof of the peer's life, and of a NAT's memory.
    pub(crate) fn carried(&mut self) -> Vec<TrafficReport> {
        let mut reports = Vec::new();
        for (&id, child) in &mut self.installed {
            if is_news(&mut child.told_inbound, child.activity.inbound.last()) {
                reports.push(TrafficReport::Inbound(id));
            }
            if is_news(&mut child.told_outbound, child.activity.outbound.last()) {
                reports.push(TrafficReport::Outbound(id));
            }
        }
        reports
    }
}

fn is_news(told: &mut Option<Instant>, last: Option<Instant>) -> bool {
    std::mem::replace(told, last) != last
}
