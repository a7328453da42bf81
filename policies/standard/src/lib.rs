//! The built-in policy: the last of every chain, and the one that never abstains.
//!
//! It does what an operator expects who configured nothing but the connection. The same source is
//! compiled into `plugins/standard`.

mod advertise_addresses;
mod assign_addresses;
mod authorize_peer;
mod choose_credential;
mod narrow_selectors;
mod plan_lifetimes;
mod plan_maintenance;
mod rank_paths;
mod rank_proposals;

use vpnhost_policy::{
    AddressMenu, Advertisement, AdvertisementMenu, Assignment, Authorization, CredentialChoice,
    CredentialMenu, LifetimeMenu, Lifetimes, MaintenancePlan, Narrowing, PathMenu, PathRanking, PeerClaim,
    Policy, ProposalMenu, Ranking, SelectorMenu, Situation,
};

/// The built-in policy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standard;

impl Policy for Standard {
    fn name(&self) -> &str {
        "standard"
    }

    fn rank_proposals(&self, menu: &ProposalMenu) -> Option<Ranking> {
        Some(rank_proposals::rank(menu))
    }

    fn authorize_peer(&self, claim: &PeerClaim) -> Option<Authorization> {
        Some(authorize_peer::authorize(claim))
    }

    fn narrow_selectors(&self, menu: &SelectorMenu) -> Option<Narrowing> {
        Some(narrow_selectors::narrow(menu))
    }

    fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
        Some(rank_paths::rank(menu))
    }

    fn plan_maintenance(&self, situation: &Situation) -> Option<MaintenancePlan> {
        Some(plan_maintenance::plan(situation))
    }

    fn assign_addresses(&self, menu: &AddressMenu) -> Option<Assignment> {
        Some(assign_addresses::assign(menu))
    }

    fn choose_credential(&self, menu: &CredentialMenu) -> Option<CredentialChoice> {
        choose_credential::choose(menu)
    }

    fn advertise_addresses(&self, menu: &AdvertisementMenu) -> Option<Advertisement> {
        Some(advertise_addresses::advertise(menu))
    }

    fn plan_lifetimes(&self, menu: &LifetimeMenu) -> Option<Lifetimes> {
        Some(plan_lifetimes::plan(menu))
    }
}
