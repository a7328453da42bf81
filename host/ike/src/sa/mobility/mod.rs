//! Which path an IKE SA takes: how the original initiator chooses among those that there are (RFC 4555 §3.5), and what
//! either side does when the machine's addresses change (§3.6).
//!
//! The policy ranks; here the best is taken that works. What is said on the wire is the affair of
//! `exchange::update_addresses`.

pub(crate) mod advertising;
mod choice;
mod hearing;
mod known;
mod links;
mod orders;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use vpnhost_model::{AddressPair, IkeSaId, Instant, Now, Path, Role, TrafficSelector};
use vpnhost_policy::PathCause;

use crate::config::SelectorConfig;
use crate::exchange::renegotiate::Doubt;
use crate::exchange::return_routability::{Budget, Check};
use crate::host::Host;
use crate::limits;
use crate::output::Output;
use crate::sa::IkeSa;
use crate::sa::path_mtu::{FoundMtu, MtuSearch};
use crate::sa::path_test::Heard;
use crate::sa::paths::{Change, Paths};
use crate::sa::queue::{PathTask, Task};
use crate::sa::round_trip::RoundTrip;
use crate::sa::state::State;
use crate::translators::Translators;

use known::KnownAddresses;

/// What MOBIKE knows of an IKE SA. Its successor inherits all of it.
#[derive(Debug, Default)]
pub(crate) struct Mobility {
    /// Both sides said MOBIKE_SUPPORTED.
    pub(crate) enabled: bool,
    /// The peer's addresses beside the one in use, as it told them last.
    pub(crate) peer_addresses: Vec<IpAddr>,
    /// This host's, as the peer acknowledged last; none if it does not know the one in use.
    pub(crate) told: Option<Vec<IpAddr>>,
    /// Which addresses the peer is told.
    pub(crate) advertising: advertising::Advertising,
    /// The pairs of addresses to choose from.
    pub(crate) paths: Paths,
    /// Addresses of the peer that are known to be its own: configured, or checked lately.
    pub(crate) verified: KnownAddresses,
    /// This host's addresses at which the peer heard of it.
    introduced: KnownAddresses,
    /// How often it was not answered from such an address.
    introduced_in_vain: u8,
    /// Why the present question about the paths is asked, and what its menu has.
    asked: Option<(PathCause, Vec<AddressPair>)>,
    /// Something happened while it was asked.
    ask_again: Option<PathCause>,
    /// The move that is under way.
    pub(crate) moving: Option<Moving>,
    /// The check of the peer's new address that is under way, or waits.
    pub(crate) check: Option<Check>,
    /// How many addresses of unknown owners may be asked yet because updates came from there.
    pub(crate) update_budget: Budget,
    /// The same for ESP.
    pub(crate) traffic_budget: Budget,
    /// Where the peer was before it moved, and when it did: its last packets from there may be told of later.
    left: Option<(SocketAddr, Instant)>,
    /// Octets of IP datagrams that IKE received and sent since the last message that may have begun a move of the peer.
    pub(crate) follow_octets: u32,
    /// When the last check came to nothing.
    pub(crate) check_failed: Option<Instant>,
    /// The peer may be gone.
    pub(crate) doubt: Option<Doubt>,
    /// When somebody said in clear that the peer lost a Child SA, and the peer was asked for it.
    pub(crate) loss_hinted: Option<Instant>,
    /// What went out and was not answered by anything yet.
    pub(crate) suspicion: Suspicion,
    /// Nothing has come in since the IKE SA moved: the peer may not have followed.
    pub(crate) unconfirmed: bool,
    /// How often the peer saw a NAT where none is allowed.
    pub(crate) nat_seen: u8,
    /// The peer answered on the path in use, and too late to tell which copy of an update it took: the next goes there
    /// alone.
    pub(crate) answers_late: bool,
    /// The IKE SA that this one took the place of: the peer may not know yet that it did.
    pub(crate) predecessor: Option<IkeSaId>,
    /// The search for the path MTU that is under way.
    pub(crate) mtu: Option<MtuSearch>,
    /// What the path in use was found to carry, where that is less than what was sent there.
    pub(crate) found_mtu: Option<FoundMtu>,
    /// From request to answer on the path in use, since it is.
    pub(crate) round_trip: Option<RoundTrip>,
    /// From IKE_AUTH to its answer, until there is a better measurement: the peer had to think.
    pub(crate) set_up_took: Option<Duration>,
    /// From the last request to its answer, where it had to be repeated: the next is given that time (RFC 6298 §5.7), for the
    /// path may have become so slow.
    pub(crate) repeated_for: Option<Duration>,
    /// The round-trip time that the plan was made for.
    pub(crate) planned_for: Option<Duration>,
    /// When a packet was carried last.
    pub(crate) carried: Option<Instant>,
    /// The paths are to be measured and ranked when there is traffic again.
    review_due: bool,
    /// Since when an operator waits for what comes of it.
    ordered: Option<Instant>,
    /// What was told of paths that are not taken, since the paths were others.
    hindrances: Vec<(&'static str, Path)>,
}

/// A move from when it is decided until the peer has answered.
#[derive(Clone, Debug)]
pub(crate) struct Moving {
    pub(crate) from: Path,
    pub(crate) cause: PathCause,
    pub(crate) why: String,
    /// When it was decided.
    begun: Instant,
    /// When the peer was heard of last before; none if the old path works.
    pub(crate) silent_since: Option<Instant>,
    /// Octets of IP datagrams that IKE sent and received for it.
    pub(crate) octets: u32,
}

/// Packets that go out while none come in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Suspicion {
    /// Since when.
    pub(crate) since: Option<Instant>,
    /// Since when, when the paths were asked last.
    pub(crate) confirmed: Option<Instant>,
    /// More went out since: it was not the last word of a conversation.
    pub(crate) goes_on: bool,
    /// How often the peer answered in spite of it: the patience doubles.
    pub(crate) unfounded: u32,
    /// It is being asked.
    asks: bool,
    /// It was asked, and no packet has come in since.
    asked: bool,
}

impl Mobility {
    /// Tells whether packets went out lately, which wait for an answer.
    pub(crate) fn has_traffic_waiting(&self, now: Now) -> bool {
        self.carried.is_some_and(|at| now.instant.saturating_since(at) < limits::TRAFFIC_WAITS)
    }

    /// Notes what an answer on the path in use showed.
    pub(crate) fn note_round_trip(&mut self, heard: Heard) {
        if let Some(sample) = heard.round_trip {
            self.round_trip = Some(RoundTrip::after(self.round_trip, sample));
            (self.set_up_took, self.repeated_for) = (None, None);
        } else {
            self.repeated_for = Some(heard.since_asked).filter(|span| *span <= limits::REPEATED_FOR);
        }
    }

    /// What was measured on the path that was in use says nothing of another.
    fn forget_path(&mut self) {
        (self.round_trip, self.set_up_took, self.repeated_for, self.found_mtu) = (None, None, None, None);
    }

    /// Tells whether the peer has just left an address: what comes from there was under way.
    pub(crate) fn has_just_left(&self, now: Now, address: SocketAddr) -> bool {
        self.left
            .is_some_and(|(left, at)| left == address && now.instant.saturating_since(at) < limits::JUST_LEFT)
    }

    /// Returns what the peer has to be told or asked, until it has answered.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = PathTask> + use<> {
        let update = self.moving.as_ref().map(|_| PathTask::Update);
        let check = self.check.as_ref().map(|_| PathTask::Check);
        // Where all is told already none goes out.
        let list = self.enabled.then_some(PathTask::Announce);
        let mtu = self.mtu.as_ref().map(|_| PathTask::Mtu);
        // The last is begun first.
        mtu.into_iter().chain(list).chain(update).chain(check)
    }
}

impl IkeSa {
    /// Tells whether this host began the first of the IKE SAs that took each other's place: it decides about the path,
    /// and looks after it (RFC 4555 §1.3, §3.5).
    pub(crate) fn looks_after_path(&self) -> bool {
        self.announced && self.first_role().is_some_and(Role::is_initiator)
    }

    /// Tells whether this host may choose another path.
    pub(crate) fn chooses_path(&self) -> bool {
        self.looks_after_path() && self.mobility().is_some_and(|mobility| mobility.enabled)
    }

    /// Returns what MOBIKE knows of an established IKE SA.
    pub(crate) fn mobility(&self) -> Option<&Mobility> {
        self.established().map(|established| &established.estate.mobility)
    }

    /// Returns it, to change it.
    pub(crate) fn mobility_mut(&mut self) -> Option<&mut Mobility> {
        self.established_mut().map(|established| &mut established.estate.mobility)
    }

    /// Returns the addresses of the peer that this host might go to: the one in use, those of the configuration, those
    /// that the peer told, and what stands for each of them in a network of IPv6 alone. What lies behind the tunnel
    /// cannot carry it.
    pub(crate) fn peer_remotes(&self, translators: &Translators) -> Vec<IpAddr> {
        let current = self.path.remote.ip();
        // RFC 4555, 3.9: a NAT64 is a NAT.
        let names = |address: IpAddr| match self.forbids_nats() {
            true => vec![address],
            false => translators.names_of(address),
        };
        if let State::SaInitSent(_) | State::AuthSent(_) = self.state {
            return names(current);
        }
        let Some(established) = self.established().filter(|_| self.chooses_path()) else { return Vec::new() };
        let mut remotes = vec![current];
        for address in std::iter::once(current).chain(self.told_remotes()).flat_map(names) {
            if !remotes.contains(&address) && !established.estate.is_behind(address) {
                remotes.push(address);
            }
        }
        // What the peer only told may be reached from inside alone.
        remotes[1..].sort_by_key(|address| !self.is_verified(translators, *address));
        remotes.truncate(limits::PEER_ADDRESSES);
        remotes
    }

    /// Returns the addresses of the peer that somebody named: the configuration, or the peer.
    fn told_remotes(&self) -> impl Iterator<Item = IpAddr> {
        self.established().into_iter().flat_map(|established| {
            let configured = established.connection.gateways.iter().map(|gateway| gateway.address.ip());
            configured.chain(established.estate.mobility.peer_addresses.iter().copied())
        })
    }

    /// Tells whether an address is known to be the peer's own: configured, checked, or what stands for such a one behind
    /// a NAT64. What only an IPv6 address is taken for has to be checked: any network may name any prefix.
    pub(crate) fn is_verified(&self, translators: &Translators, address: IpAddr) -> bool {
        self.mobility().is_some_and(|mobility| {
            mobility.verified.contains(address) || mobility.verified.contains(translators.original(address))
        })
    }

    /// Takes up MOBIKE once both sides said that they can.
    pub(crate) fn begin_mobility(&mut self, host: &mut Host, now: Now, peer_addresses: Vec<IpAddr>) {
        let (remote, own) = (self.path.remote.ip(), self.advertised(host));
        let gateways = self.connection.iter().flat_map(|it| it.gateways.iter()).map(|it| it.address.ip());
        let mut verified = KnownAddresses::configured(gateways);
        verified.note(now.instant, remote);
        let Some(mobility) = self.mobility_mut() else { return };
        mobility.enabled = true;
        mobility.peer_addresses = peer_addresses;
        mobility.told = Some(own);
        mobility.verified = verified;
        host.note_remotes();
        self.gather_paths(host, now);
        if std::mem::take(&mut self.moved_early) {
            self.want(Task::Path(PathTask::Update));
        }
        self.want_announcement(host, now);
    }

    /// Forgets what is known of addresses for too long. What is in use is as good as proven: the peer is heard there.
    pub(crate) fn expire_addresses(&mut self, now: Now) {
        let (local, remote) = (self.path.local.ip(), self.path.remote.ip());
        if let Some(mobility) = self.mobility_mut() {
            mobility.verified.expire(now.instant, remote);
            mobility.introduced.note(now.instant, local);
            mobility.introduced.expire(now.instant, local);
        }
    }

    /// Binds a path that a message came on to the interface of its pair of addresses: what is sent back leaves by it. The
    /// source address alone does not choose the link.
    pub(crate) fn bound(&self, path: Path) -> Path {
        let interface = path.interface.or_else(|| self.pair_of(&path).map(|pair| pair.interface));
        Path { interface, ..path }
    }

    /// Finds the pairs that there are now; what the IKE SA's own path is known for stays.
    fn gather_paths(&mut self, host: &mut Host, now: Now) -> Change {
        let told: Vec<IpAddr> = self.told_remotes().collect();
        let leads = |pair: &&AddressPair| told.contains(&pair.remote) || host.translators.lead(pair);
        let of = |remote: IpAddr| host.pairs.iter().filter(move |pair| pair.remote == remote).filter(leads);
        let remotes = self.peer_remotes(&host.translators);
        let pairs: Vec<AddressPair> = remotes.into_iter().flat_map(of).copied().collect();
        let Some(mobility) = self.mobility_mut() else { return Change::default() };
        let change = mobility.paths.update(now.instant, &pairs);
        if change.added || change.removed {
            mobility.hindrances.clear();
        }
        self.bind_path(host);
        change
    }

    /// Binds the IKE SA's own path to its interface, once it is known which that is.
    fn bind_path(&mut self, host: &mut Host) {
        let bound = self.bound(self.path);
        if bound != self.path && self.chooses_path() {
            self.path = bound;
            host.output(Output::MoveChildSas(self.id, bound));
        }
    }

    /// Returns the pair that the IKE SA's path is of, if the machine still has it.
    pub(crate) fn current_pair(&self) -> Option<AddressPair> {
        self.pair_of(&self.path)
    }

    /// Returns the path that a pair makes, on the ports of the IKE SA.
    pub(crate) fn path_of(&self, pair: AddressPair) -> Path {
        Path {
            local: SocketAddr::new(pair.local, self.path.local.port()),
            remote: SocketAddr::new(pair.remote, self.path.remote.port()),
            interface: Some(pair.interface),
            encapsulation: self.path.encapsulation,
        }
    }
}

fn fixed(selectors: &[SelectorConfig]) -> impl Iterator<Item = TrafficSelector> {
    selectors.iter().filter_map(|selector| match selector {
        SelectorConfig::Fixed(selector) => Some(*selector),
        SelectorConfig::Dynamic => None,
    })
}
