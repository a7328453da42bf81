//! The exchanges: what is said when. Each file holds one exchange, both sides of it, and ends with the
//! table of the forms that its messages may have.

pub(crate) mod create_child_sa;
pub(crate) mod delete;
pub(crate) mod idle_probe;
pub(crate) mod ike_auth;
pub(crate) mod ike_sa_init;
pub(crate) mod liveness;
pub(crate) mod path_mtu;
pub(crate) mod proposals;
pub(crate) mod reauthenticate;
pub(crate) mod rekey_child_sa;
pub(crate) mod rekey_ike_sa;
pub(crate) mod renegotiate;
pub(crate) mod return_routability;
pub(crate) mod selectors;
pub(crate) mod shape;
pub(crate) mod update_addresses;

use std::time::Duration;

use vpnhost_model::{ChildSaId, ChildSpi, IkeSpi, Now, Path};

use crate::exchange::create_child_sa::{ChildDecision, LocalChild};
use crate::exchange::ike_auth::RemoteAuth;
use crate::exchange::rekey_ike_sa::{IkeRekeyDecision, LocalIkeRekey};
use crate::exchange::return_routability::LocalCheck;
use crate::exchange::update_addresses::{LocalAnnouncement, LocalUpdate};
use crate::host::Host;
use crate::input::JobResult;
use crate::output::CloseReason;
use crate::sa::IkeSa;
use crate::sa::path_test::{Heard, is_same};
use crate::sa::queue::{PathTask, Task};
use crate::sa::state::State;
use crate::wire::Message;
use crate::work::{Resumed, Track};

/// An exchange that this host began on an established IKE SA.
pub(crate) enum LocalExchange {
    /// An empty INFORMATIONAL.
    Liveness,
    /// CREATE_CHILD_SA for a further Child SA, or for one in the place of another.
    CreateChild(Box<LocalChild>),
    /// CREATE_CHILD_SA for an IKE SA in the place of this one.
    RekeyIkeSa(Box<LocalIkeRekey>),
    /// INFORMATIONAL with the Delete of Child SAs.
    DeleteChild(ChildSaId, CloseReason),
    /// INFORMATIONAL about the path (RFC 4555).
    Path(Box<PathExchange>),
}

/// An INFORMATIONAL about the path.
pub(crate) enum PathExchange {
    /// Empty, on a path that is not in use.
    Test(Path),
    /// Empty, from an address that the peer has not heard of this host at.
    Introduce(Path),
    /// Empty, on every path.
    TestAll,
    /// On a port of its own, for an answer after a silence.
    TryIdle,
    /// With UPDATE_SA_ADDRESSES.
    Update(LocalUpdate),
    /// With the list of this host's addresses.
    Announce(LocalAnnouncement),
    /// With COOKIE2, to the peer's new address.
    Check(LocalCheck),
    /// Of a certain size, on the path in use.
    Mtu((Path, u16)),
}

/// An exchange that the peer began on an established IKE SA, and whose answer is being decided.
pub(crate) enum RemoteExchange {
    /// The rest of IKE_AUTH: the first Child SA.
    Auth(Box<RemoteAuth>),
    /// CREATE_CHILD_SA for a Child SA.
    CreateChild(Box<ChildDecision>),
    /// CREATE_CHILD_SA for an IKE SA in the place of this one.
    RekeyIkeSa(Box<IkeRekeyDecision>),
}

impl IkeSa {
    /// Begins an exchange; one that has lost its sense is not begun.
    pub(crate) fn begin(&mut self, host: &mut Host, now: Now, task: Task) {
        match task {
            Task::Liveness => self.begin_liveness(host, now),
            Task::CreateChild(index) => self.begin_create_child(host, now, index, None),
            Task::RekeyChild(id) => self.begin_rekey_child(host, now, id),
            Task::DeleteChild(id, reason) => self.begin_delete_child(host, now, id, reason),
            Task::RekeyIkeSa => self.begin_rekey_ike_sa(host, now),
            Task::Reauthenticate => self.begin_reauthenticate(host, now),
            Task::AskReauthentication => self.begin_ask_reauthentication(host, now),
            Task::GiveToken => self.begin_give_token(host, now),
            Task::Path(PathTask::Update) => self.begin_update_addresses(host, now),
            Task::Path(PathTask::Announce) => self.begin_announce_addresses(host, now),
            Task::Path(PathTask::Check) => self.begin_check_route(host, now),
            Task::Path(PathTask::Test(path)) => self.begin_test_path(host, now, path),
            Task::Path(PathTask::Introduce) => self.begin_introduce(host, now),
            Task::Path(PathTask::TestAll) => self.begin_test_paths(host, now),
            Task::Path(PathTask::Mtu) => self.begin_test_mtu(host, now),
            Task::Path(PathTask::TryIdle) => self.begin_idle_probe(host, now),
            Task::DeleteIkeSa(reason) => self.begin_delete_ike_sa(host, now, reason),
        }
    }

    /// Goes on with an exchange whose answer or job's result is there.
    pub(crate) fn resume(&mut self, host: &mut Host, now: Now, track: Track, resumed: Resumed) {
        if track == Track::Plan {
            if let Resumed::Answer(answer, by) = resumed {
                self.apply_plan(host, now, answer, by);
            }
            return;
        }
        if track == Track::Paths {
            if let Resumed::Answer(answer, by) = resumed {
                self.apply_ranking(host, now, answer, by);
            }
            return;
        }
        if track == Track::Advertisement {
            if let Resumed::Answer(answer, by) = resumed {
                self.apply_advertisement(host, now, answer, by);
            }
            return;
        }
        if track == Track::Lifetimes {
            if let Resumed::Answer(answer, by) = resumed {
                self.apply_lifetimes(host, now, answer, by);
            }
            return;
        }
        if track == Track::Certificate {
            if let Resumed::Work(JobResult::PeerVerified(judgement)) = resumed {
                self.on_rejudged(now, judgement);
            }
            return;
        }
        match (&self.state, track) {
            (State::SaInitSent(_), _) => self.resume_init_sent(host, now, resumed),
            (State::SaInitAnswered(_), _) => match resumed {
                Resumed::Work(JobResult::PeerVerified(result)) => {
                    self.on_initiator_verified(host, now, result)
                }
                Resumed::Work(JobResult::Signed(signed)) => self.on_gateway_signed(host, now, signed),
                Resumed::Work(JobResult::Eap(method, step)) => self.on_server_step(host, now, method, step),
                resumed @ (Resumed::Answer(..) | Resumed::Work(_)) => {
                    self.resume_init_answered(host, now, resumed)
                }
            },
            (State::AuthSent(_), _) => self.resume_auth_sent(host, now, resumed),
            (State::Authorizing(_), _) => self.resume_authorizing(host, now, resumed),
            (State::Established(_), Track::Local) => self.resume_local(host, now, resumed),
            (State::Established(_), _) => self.resume_remote(host, now, resumed),
            (State::Rekeyed | State::Closing(_) | State::Gone | State::Closed, _) => {}
        }
    }

    fn resume_local(&mut self, host: &mut Host, now: Now, resumed: Resumed) {
        let Some(established) = self.established_mut() else { return };
        match established.local.take() {
            Some(LocalExchange::CreateChild(child)) => self.resume_local_child(host, now, child, resumed),
            Some(LocalExchange::RekeyIkeSa(rekey)) => self.resume_local_ike_rekey(host, now, rekey, resumed),
            other @ (Some(
                LocalExchange::Liveness | LocalExchange::DeleteChild(..) | LocalExchange::Path(_),
            )
            | None) => {
                established.local = other;
            }
        }
    }

    fn resume_remote(&mut self, host: &mut Host, now: Now, resumed: Resumed) {
        let Some(established) = self.established_mut() else { return };
        match established.remote.take() {
            Some(RemoteExchange::Auth(auth)) => self.resume_remote_auth(host, now, *auth, resumed),
            Some(RemoteExchange::CreateChild(decision)) => {
                self.resume_child_decision(host, now, decision, resumed);
            }
            Some(RemoteExchange::RekeyIkeSa(decision)) => {
                self.resume_ike_rekey_decision(host, now, decision, resumed);
            }
            None => {}
        }
    }

    /// Takes the response to an exchange that this host began.
    pub(crate) fn on_local_response(
        &mut self,
        host: &mut Host,
        now: Now,
        message: &Message,
        (round_trip, heard): (Option<Duration>, Option<Heard>),
    ) {
        if let State::Closing(reason) = &self.state {
            let reason = reason.clone();
            return self.end(host, now, reason);
        }
        // Another path has a time of its own.
        let here = heard.filter(|heard| is_same(&heard.path, &self.path));
        if let Some((mobility, here)) = self.mobility_mut().zip(here) {
            mobility.note_round_trip(here);
        }
        let Some(established) = self.established_mut() else { return };
        match established.local.take() {
            Some(LocalExchange::Liveness) => self.on_liveness_response(host, round_trip),
            Some(LocalExchange::CreateChild(child)) => {
                self.on_create_child_response(host, now, message, child)
            }
            Some(LocalExchange::RekeyIkeSa(rekey)) => self.on_rekey_ike_response(host, now, message, rekey),
            Some(LocalExchange::DeleteChild(id, reason)) => self.remove_child(host, now, id, reason),
            Some(LocalExchange::Path(exchange)) => {
                self.on_path_response(host, now, message, (*exchange, heard))
            }
            None => {}
        }
        self.plan_for_round_trip(host, now);
    }

    fn on_path_response(
        &mut self,
        host: &mut Host,
        now: Now,
        message: &Message,
        (exchange, heard): (PathExchange, Option<Heard>),
    ) {
        match exchange {
            PathExchange::Test(path) => {
                self.on_path_tested(host, now, path, heard.and_then(|heard| heard.round_trip));
            }
            PathExchange::Introduce(path) => self.on_introduced(now, path),
            // Which paths work was noted with each answer.
            PathExchange::TestAll => {}
            PathExchange::TryIdle => self.on_idle_response(host, now, message, heard),
            PathExchange::Update(update) => self.on_update_response(host, now, message, update),
            PathExchange::Announce(local) => self.on_announcement_response(host, now, message, local),
            PathExchange::Check(check) => self.on_check_response(host, now, message, (check, heard)),
            // The path may be another by now, and the test be of no use.
            PathExchange::Mtu((path, tested)) => {
                self.on_mtu_tested(host, heard.filter(|heard| is_same(&heard.path, &path)), tested);
            }
        }
    }

    /// Forgets an exchange that was begun and has not gone out yet, to make way for the peer's; what
    /// it was for waits again.
    pub(crate) fn recall_unsent(&mut self, host: &mut Host) {
        if self.window.is_busy() {
            return;
        }
        let Some(established) = self.established_mut() else { return };
        let (task, spi, ike_spi) = match &established.local {
            Some(LocalExchange::CreateChild(child)) if child.is_unsent() => {
                (child.task(), Some(child.spi_in), None)
            }
            Some(LocalExchange::RekeyIkeSa(rekey)) if rekey.is_unsent() => {
                (Task::RekeyIkeSa, None, Some(rekey.spi))
            }
            Some(
                LocalExchange::Liveness
                | LocalExchange::DeleteChild(..)
                | LocalExchange::Path(_)
                | LocalExchange::CreateChild(_)
                | LocalExchange::RekeyIkeSa(_),
            )
            | None => return,
        };
        established.local = None;
        established.queue.push(task);
        self.waits.remove(&Track::Local);
        if let Some(spi) = spi {
            host.free_child_spi(spi);
        }
        if let Some(spi) = ike_spi {
            host.directory.ike_spis.remove(&spi);
        }
    }

    /// Returns SPIs that were drawn for Child SAs which do not exist yet.
    pub(crate) fn reserved_spis(&self) -> Vec<ChildSpi> {
        match &self.state {
            State::AuthSent(auth) => auth.child.iter().map(|child| child.spi_in).collect(),
            State::Authorizing(authorizing) => {
                authorizing.offered_child().into_iter().map(|child| child.spi_in).collect()
            }
            State::Established(established) => match &established.local {
                Some(LocalExchange::CreateChild(child)) => vec![child.spi_in],
                Some(
                    LocalExchange::Liveness
                    | LocalExchange::RekeyIkeSa(_)
                    | LocalExchange::Path(_)
                    | LocalExchange::DeleteChild(..),
                )
                | None => Vec::new(),
            },
            State::SaInitSent(_)
            | State::SaInitAnswered(_)
            | State::Rekeyed
            | State::Closing(_)
            | State::Gone
            | State::Closed => Vec::new(),
        }
    }

    /// Returns the SPI that was drawn for an IKE SA which does not exist yet.
    pub(crate) fn reserved_ike_spi(&self) -> Option<IkeSpi> {
        match self.established()?.local.as_ref()? {
            LocalExchange::RekeyIkeSa(rekey) => Some(rekey.spi),
            LocalExchange::Liveness
            | LocalExchange::CreateChild(_)
            | LocalExchange::Path(_)
            | LocalExchange::DeleteChild(..) => None,
        }
    }
}
