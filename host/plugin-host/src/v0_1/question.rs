//! Any question.

use vpnhost_policy::{Answer, Question};
use wasmtime::{Result, Store};

use super::Bindings;
use crate::guest::Guest;

impl Bindings {
    /// Puts a question, of whichever kind.
    pub(crate) fn answer(&self, store: &mut Store<Guest>, question: &Question) -> Result<Option<Answer>> {
        Ok(match question {
            Question::RankProposals(menu) => self.rank_proposals(store, menu)?.map(Answer::RankProposals),
            Question::AuthorizePeer(claim) => self.authorize_peer(store, claim)?.map(Answer::AuthorizePeer),
            Question::NarrowSelectors(menu) => {
                self.narrow_selectors(store, menu)?.map(Answer::NarrowSelectors)
            }
            Question::RankPaths(menu) => self.rank_paths(store, menu)?.map(Answer::RankPaths),
            Question::PlanMaintenance(menu) => {
                self.plan_maintenance(store, menu)?.map(Answer::PlanMaintenance)
            }
            Question::AssignAddresses(menu) => {
                self.assign_addresses(store, menu)?.map(Answer::AssignAddresses)
            }
            Question::ChooseCredential(menu) => {
                self.choose_credential(store, menu)?.map(Answer::ChooseCredential)
            }
            Question::AdvertiseAddresses(menu) => {
                self.advertise_addresses(store, menu)?.map(Answer::AdvertiseAddresses)
            }
            Question::PlanLifetimes(menu) => self.plan_lifetimes(store, menu)?.map(Answer::PlanLifetimes),
        })
    }
}
