//! What either side does when addresses change: this machine's, and the peer's as it tells them (RFC 4555 §3.5, §3.6).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use vpnhost_model::{AddressPair, LocalAddress, Now, Path};
use vpnhost_policy::{PathCause, SituationCause};

use crate::config::PeerConfig;
use crate::host::Host;
use crate::limits;
use crate::output::Hindrance;
use crate::sa::IkeSa;
use crate::sa::path_test::is_same;
use crate::sa::queue::{PathTask, Task};
use crate::sa::state::State;

impl IkeSa {
    /// The machine's addresses or routes changed, or what is known of them: that one costs money, say.
    pub(crate) fn on_links(&mut self, host: &mut Host, now: Now, described_anew: bool) {
        if let State::SaInitSent(_) = self.state {
            return self.begin_elsewhere(host, now);
        }
        if let State::AuthSent(_) = self.state {
            return self.go_on_elsewhere(host, now);
        }
        if !self.mobility().is_some_and(|mobility| mobility.enabled) {
            return;
        }
        if !self.chooses_path() {
            return self.on_own_addresses(host, now);
        }
        self.expire_addresses(now);
        let change = self.gather_paths(host, now);
        if change.added {
            self.renew_doubt(now);
            self.hope_for_introductions();
            self.want_introduction(host, now);
        }
        self.want_announcement(host, now);
        if self.current_pair().is_none() {
            self.consider_paths(host, now, PathCause::REMOVED);
        } else if change.added {
            self.consider_paths(host, now, PathCause::ADDED);
        } else if described_anew {
            self.consider_paths(host, now, PathCause::REVIEW);
        }
    }

    /// The machine's links are others than `before`. Another plan may be the better one for the link in use: it costs money
    /// now, say.
    pub(crate) fn on_link_changed(&mut self, host: &mut Host, now: Now, before: &[LocalAddress]) {
        let path = self.path;
        let in_use = |links: &[LocalAddress]| {
            let mut links = links.iter().filter(|link| link.address == path.local.ip());
            links.find(|link| path.interface.is_none_or(|interface| interface == link.interface)).cloned()
        };
        let (was, is) = (in_use(before), in_use(&host.local_addresses));
        if is.is_some() && was.is_some() && is != was {
            self.plan_maintenance(host, now, SituationCause::NETWORK);
        }
    }

    /// There may be no way to the address that IKE_SA_INIT is to go to, or not any more, but one to what stands for it in
    /// a network of IPv6 alone.
    pub(crate) fn begin_elsewhere(&mut self, host: &mut Host, now: Now) {
        let remote = self.path.remote.ip();
        if host.pairs.iter().any(|pair| pair.remote == remote && host.translators.lead(pair)) {
            return;
        }
        if let Some(pair) = self.pair_to_same_host(host) {
            self.path = self.path_of(pair);
            self.repeat_now(host, now);
        }
    }

    /// Finds a pair for the peer that IKE_SA_INIT or IKE_AUTH is on its way to.
    fn pair_to_same_host(&self, host: &Host) -> Option<AddressPair> {
        let remote = self.path.remote.ip();
        let same = |pair: &AddressPair| match self.forbids_nats() {
            true => pair.remote == remote,
            false => host.translators.is_same_host(pair.remote, remote),
        };
        let leads = |pair: &&AddressPair| same(pair) && host.translators.lead(pair);
        host.pairs.iter().find(leads).copied()
    }

    /// The address that IKE_AUTH is on its way from may be gone. The peer may have the IKE SA already, and would send on it
    /// where nobody is: so it is repeated from another, and the peer told afterwards.
    fn go_on_elsewhere(&mut self, host: &mut Host, now: Now) {
        let local = self.path.local.ip();
        let is_gone = !host.local_addresses.iter().any(|link| link.address == local);
        let instead = self.pair_to_same_host(host);
        if let Some(pair) = instead.filter(|_| is_gone) {
            self.path = self.path_of(pair);
            self.moved_early = true;
            self.repeat_now(host, now);
        }
    }

    /// IKE_AUTH was answered on another path than it first went out on.
    pub(crate) fn go_on_where_answered(&mut self, path: &Path) {
        if matches!(self.state, State::AuthSent(_)) && !is_same(path, &self.path) {
            self.path = Path { encapsulation: self.path.encapsulation, ..*path };
            self.moved_early = true;
        }
    }

    /// A responder's addresses changed: if the one in use is gone it takes another, and tells the initiator.
    ///
    /// RFC 4555, 3.5: only then may a responder move by itself.
    fn on_own_addresses(&mut self, host: &mut Host, now: Now) {
        let local = self.path.local.ip();
        let is_there = |address: IpAddr| host.local_addresses.iter().any(|link| link.address == address);
        if !local.is_unspecified() && !is_there(local) && self.announced {
            let family = |address: &IpAddr| address.is_ipv4() == self.path.remote.is_ipv4();
            let instead = self.own_addresses(host).into_iter().find(family);
            if instead.is_none() {
                self.hinder(host, self.path, (Hindrance::NoPath, ""));
            }
            if let Some(instead) = instead {
                let path = Path {
                    local: SocketAddr::new(instead, self.path.local.port()),
                    interface: None,
                    ..self.path
                };
                if let Some(mobility) = self.mobility_mut() {
                    // The peer is told anew; nothing of its own began it.
                    (mobility.told, mobility.follow_octets) = (None, 0);
                }
                self.adopt_path(host, now, path, "this host's address is gone");
            }
        }
        self.want_announcement(host, now);
    }

    /// Has the peer told of this host's addresses, if it knows others. The initiator uses a responder's at once; an
    /// initiator's matter only when the responder moves.
    pub(crate) fn want_announcement(&mut self, host: &mut Host, now: Now) {
        if self.mobility().is_none_or(|mobility| !mobility.enabled) || self.consider_advertisement(host, now)
        {
            return;
        }
        let own = self.advertised(host);
        if self.mobility().is_none_or(|mobility| mobility.told.as_ref() == Some(&own)) {
            return;
        }
        if self.looks_after_path() {
            self.put_off_for(now, limits::ANNOUNCEMENT_PAUSE, Task::Path(PathTask::Announce));
        } else {
            self.want(Task::Path(PathTask::Announce));
        }
    }

    /// Has the peer asked something from each address that it never heard of this host at: it finds out that this host is
    /// there while the path in use works, and follows at once when it does not. Other implementations check an address
    /// when it is moved to, whatever they saw.
    pub(crate) fn want_introduction(&mut self, host: &Host, now: Now) {
        let is_ours = self.established().is_some_and(|established| established.estate.answers_late);
        if is_ours && self.new_pair(host).is_some() {
            self.put_off_for(now, limits::INTRODUCTION, Task::Path(PathTask::Introduce));
        }
    }

    /// Asks the peer something from an address that it never heard of this host at.
    pub(crate) fn begin_introduce(&mut self, host: &mut Host, now: Now) {
        let Some(pair) = self.new_pair(host) else { return };
        if let Some(mobility) = self.mobility_mut() {
            mobility.introduced.note(now.instant, pair.local);
        }
        self.want_introduction(host, now);
        self.begin_introduction(host, now, self.path_of(pair));
    }

    /// An address came, or the peer answered from one that is not in use: what was asked in vain before says nothing of what
    /// is asked from now on.
    pub(crate) fn hope_for_introductions(&mut self) {
        if let Some(mobility) = self.mobility_mut() {
            mobility.introduced_in_vain = 0;
        }
    }

    /// Nobody answered: it is tried again some times.
    pub(crate) fn introduce_again(&mut self, now: Now, address: IpAddr) {
        let Some(mobility) = self.mobility_mut() else { return };
        if mobility.introduced_in_vain < limits::INTRODUCTIONS {
            mobility.introduced_in_vain += 1;
            mobility.introduced.forget(address);
            self.put_off_for(now, limits::PATH_FAILED, Task::Path(PathTask::Introduce));
        }
    }

    /// Returns a pair with such an address, of those that the peer is told.
    fn new_pair(&self, host: &Host) -> Option<AddressPair> {
        let mobility = self.mobility().filter(|_| self.chooses_path())?;
        let told = self.advertised(host);
        let mut pairs = mobility.paths.all().iter().map(|candidate| candidate.pair);
        pairs.find(|pair| told.contains(&pair.local) && !mobility.introduced.contains(pair.local))
    }

    /// Tells whether the initiator does not know the address that this responder has now: only to tell it, the responder
    /// looks for it at all that it told, which nobody has checked (RFC 4555 §3.6).
    pub(super) fn is_unknown_to_initiator(&self) -> bool {
        let of_responder = self.mobility().filter(|mobility| mobility.enabled && !self.looks_after_path());
        of_responder.is_some_and(|mobility| mobility.told.is_none())
    }

    /// The configuration names other gateways: further addresses of the peer, which are checked before they are believed.
    pub(crate) fn learn_gateways(&mut self, host: &mut Host, now: Now, connection: &Arc<PeerConfig>) {
        self.connection = Some(Arc::clone(connection));
        if let Some(established) = self.established_mut() {
            established.connection = Arc::clone(connection);
        }
        if self.chooses_path() {
            host.note_remotes();
            let change = self.gather_paths(host, now);
            if change.added {
                self.consider_paths(host, now, PathCause::PEER_ADDRESSES);
            }
        }
    }

    /// The peer told its addresses, in a message that came on a path.
    pub(crate) fn on_peer_addresses(
        &mut self,
        host: &mut Host,
        now: Now,
        addresses: Vec<IpAddr>,
        source: IpAddr,
    ) {
        let chooses = self.chooses_path();
        let current = self.path.remote.ip();
        let Some(mobility) = self.mobility_mut().filter(|mobility| mobility.enabled) else { return };
        let mut all = addresses;
        let same = |one: IpAddr, other: IpAddr| host.translators.is_same_host(one, other);
        if !same(source, current) && !all.contains(&source) {
            all.push(source);
        }
        let lost = !same(source, current) && !all.iter().any(|address| same(*address, current));
        if mobility.peer_addresses == all && !lost {
            return;
        }
        tracing::debug!(ike_sa = %self.id, addresses = ?all, "the peer's addresses");
        if let Some(mobility) = self.mobility_mut() {
            mobility.peer_addresses = all;
        }
        if !chooses {
            return;
        }
        host.note_remotes();
        self.gather_paths(host, now);
        if lost
            && let Some(pair) = self.current_pair()
            && let Some(mobility) = self.mobility_mut()
        {
            // The announced set no longer has the address in use (RFC 4555 §3.5).
            mobility.paths.note_silence(now.instant, pair);
        }
        self.consider_paths(host, now, PathCause::PEER_ADDRESSES);
    }
}
