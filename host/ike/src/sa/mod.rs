//! An IKE SA: what it is made of. What its messages say is the affair of the exchanges.

mod arriving;
pub(crate) mod child;
mod ending;
pub(crate) mod estate;
pub(crate) mod failing;
mod foretelling;
pub(crate) mod keys;
mod lifetimes;
pub(crate) mod maintenance;
pub(crate) mod mapping;
pub(crate) mod mobility;
pub(crate) mod pace;
pub(crate) mod path_mtu;
pub(crate) mod path_test;
pub(crate) mod paths;
mod planning;
pub(crate) mod queue;
mod resuming;
pub(crate) mod round_trip;
pub(crate) mod secured;
mod sending;
pub(crate) mod state;
pub(crate) mod window;
mod witness;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vpnhost_model::{ChildSpi, IkeSaId, IkeSpi, Instant, Now, Path, Role};
use vpnhost_policy::Question;

use crate::config::PeerConfig;
use crate::error::IkeError;
use crate::exchange::idle_probe::{IdleProbe, OwedAnswer};
use crate::exchange::renegotiate::Beside;
use crate::extension::nat_detection::NatFindings;
use crate::host::Host;
use crate::output::{IkeSaFacts, Job};
use crate::question::Asked;
use crate::sa::path_test::{Aim, PathTest};
use crate::sa::secured::Secured;
use crate::sa::state::{Established, State};
use crate::sa::window::Window;
use crate::timer::TimerTable;
use crate::work::{AnsweredBy, Resumed, Track, Wait};

/// An IKE SA in any state.
pub(crate) struct IkeSa {
    pub(crate) id: IkeSaId,
    /// This host's role as original initiator or responder.
    pub(crate) role: Role,
    pub(crate) spi_i: IkeSpi,
    pub(crate) spi_r: IkeSpi,
    pub(crate) path: Path,
    /// Where the request that is being decided came from (RFC 7296 §2.11).
    pub(crate) reply_path: Path,
    pub(crate) nat: NatFindings,
    pub(crate) connection: Option<Arc<PeerConfig>>,
    pub(crate) state: State,
    pub(crate) secured: Option<Secured>,
    pub(crate) window: Window,
    /// Where the outstanding request goes.
    pub(crate) test: PathTest,
    /// Where the next one goes.
    pub(crate) next_aim: Aim,
    /// The silence that is being tried.
    pub(crate) probe: Option<IdleProbe>,
    /// How often in a row one could not be tried.
    pub(crate) probes_void: u32,
    /// Before that no silence is tried.
    pub(crate) probe_after: Option<Instant>,
    /// What the peer is owed once more.
    pub(crate) owed: Option<OwedAnswer>,
    pub(crate) timers: TimerTable,
    pub(crate) waits: BTreeMap<Track, Wait>,
    /// Both sides said IKEV2_FRAGMENTATION_SUPPORTED.
    pub(crate) fragmentation: bool,
    pub(crate) begun: Instant,
    pub(crate) last_sent: Instant,
    pub(crate) last_heard: Instant,
    /// Since when packets went out and none has come in.
    pub(crate) unanswered: Option<Instant>,
    /// How often silence is still a reason to ask the peer whether it is there, because it has begun another IKE SA.
    pub(crate) rival_checks: u8,
    pub(crate) counted_half_open: Option<IpAddr>,
    /// Its failed login is held against where it comes from; once is enough.
    pub(crate) counted_failed: bool,
    /// Octets of fragments that count as those of a half-open IKE SA.
    pub(crate) counted_fragments: usize,
    /// Until then the answer to the peer's CREATE_CHILD_SA may not have arrived: what it made does not
    /// exist over there yet, and nothing is begun that may be about it.
    pub(crate) unconfirmed_until: Option<Instant>,
    /// What the peer deleted here before this IKE SA inherited it, by the SPIs that it receives on.
    pub(crate) early_deletes: Vec<ChildSpi>,
    /// Virtual addresses that this host had, and wants again.
    pub(crate) wanted_addresses: Vec<IpAddr>,
    /// IKE_AUTH was repeated from another address than it went out from.
    pub(crate) moved_early: bool,
    /// The IKE SA of a doubted peer that this one was begun beside.
    pub(crate) beside: Option<Beside>,
    /// Since when another IKE SA does the same, and stays.
    pub(crate) redundant_since: Option<Instant>,
    /// Where IKE_SA_INIT was exchanged, if this host then moved to the NAT traversal port.
    pub(crate) floated_from: Option<Path>,
    /// Whether people were told of it: a redundant IKE SA of a simultaneous rekey comes and goes untold.
    pub(crate) announced: bool,
    /// Whether it ever had a Child SA, or took the place of one that had.
    pub(crate) carried: bool,
}

impl IkeSa {
    /// Makes an IKE SA in its first state.
    pub(crate) fn new(
        now: Now,
        (id, role): (IkeSaId, Role),
        spis: (IkeSpi, IkeSpi),
        path: Path,
        state: State,
    ) -> Self {
        Self {
            id,
            role,
            spi_i: spis.0,
            spi_r: spis.1,
            path,
            reply_path: path,
            nat: NatFindings::default(),
            connection: None,
            state,
            secured: None,
            window: Window::default(),
            test: PathTest::default(),
            next_aim: Aim::Current,
            probe: None,
            probes_void: 0,
            probe_after: None,
            owed: None,
            timers: TimerTable::default(),
            waits: BTreeMap::new(),
            fragmentation: false,
            begun: now.instant,
            last_sent: now.instant,
            last_heard: now.instant,
            unanswered: None,
            rival_checks: 0,
            counted_half_open: None,
            counted_failed: false,
            counted_fragments: 0,
            unconfirmed_until: None,
            early_deletes: Vec::new(),
            wanted_addresses: Vec::new(),
            moved_early: false,
            beside: None,
            redundant_since: None,
            floated_from: None,
            announced: false,
            carried: false,
        }
    }

    /// Returns the SPI that the peer names this IKE SA by.
    pub(crate) fn our_spi(&self) -> IkeSpi {
        match self.role {
            Role::Initiator => self.spi_i,
            Role::Responder => self.spi_r,
        }
    }

    /// Returns the established state.
    pub(crate) fn established(&self) -> Option<&Established> {
        match &self.state {
            State::Established(established) => Some(established),
            State::SaInitSent(_)
            | State::SaInitAnswered(_)
            | State::AuthSent(_)
            | State::Authorizing(_)
            | State::Rekeyed
            | State::Closing(_)
            | State::Gone
            | State::Closed => None,
        }
    }

    /// Returns the established state, to change it.
    pub(crate) fn established_mut(&mut self) -> Option<&mut Established> {
        match &mut self.state {
            State::Established(established) => Some(established),
            State::SaInitSent(_)
            | State::SaInitAnswered(_)
            | State::AuthSent(_)
            | State::Authorizing(_)
            | State::Rekeyed
            | State::Closing(_)
            | State::Gone
            | State::Closed => None,
        }
    }

    /// Returns this host's role in the first of the IKE SAs that took each other's place by rekeying.
    pub(crate) fn first_role(&self) -> Option<Role> {
        self.established().map(|established| established.first_role)
    }

    /// Returns the protection of the messages.
    pub(crate) fn secured(&self) -> Result<&Secured, IkeError> {
        self.secured.as_ref().ok_or(IkeError::Local("the protection of the IKE SA"))
    }

    /// Returns what is told of an established IKE SA.
    pub(crate) fn facts(&self) -> Option<IkeSaFacts> {
        let (established, secured) = (self.established()?, self.secured.as_ref()?);
        let keys = &secured.keys;
        Some(IkeSaFacts {
            id: self.id,
            connection: established.connection.name.clone(),
            role: self.role,
            spi_i: self.spi_i,
            spi_r: self.spi_r,
            suite: secured.suite,
            path: self.path,
            local_id: established.local_id.clone(),
            peer_id: established.peer_id.clone(),
            certificate: established.proof.certificate().cloned(),
            eap: established.proof.eap().cloned(),
            local_behind_nat: self.nat.local,
            peer_behind_nat: self.nat.peer,
            keys: [keys.sk_ei.clone(), keys.sk_er.clone(), keys.sk_ai.clone(), keys.sk_ar.clone()],
        })
    }

    /// Puts a question; the exchange goes on when the answer is there, which may be at once.
    pub(crate) fn ask(&mut self, host: &mut Host, now: Now, track: Track, question: Question) {
        match host.ask(now, self.id, track, question) {
            Asked::Answered(answer) => {
                self.resume(host, now, track, Resumed::Answer(answer, AnsweredBy::Native));
            }
            Asked::Open(id) => {
                self.waits.insert(track, Wait::Question(id));
            }
        }
    }

    /// Gives a job away; the exchange goes on with its result.
    pub(crate) fn work(&mut self, host: &mut Host, track: Track, job: Job) {
        let id = host.work(self.id, track, job);
        self.waits.insert(track, Wait::Job(id));
    }

    /// What a track waited for is here; what it does not wait for is dropped.
    pub(crate) fn resume_waiting(
        &mut self,
        host: &mut Host,
        now: Now,
        (track, wait): (Track, Wait),
        resumed: Resumed,
    ) {
        if self.waits.get(&track) != Some(&wait) {
            return;
        }
        self.waits.remove(&track);
        self.resume(host, now, track, resumed);
        self.start_next(host, now);
    }

    /// Draws a time from `span` down to `percent` of it less.
    pub(crate) fn jittered(host: &mut Host, span: Duration, percent: u8) -> Duration {
        let most = span.as_nanos() * u128::from(percent.min(100)) / 100;
        let less = host.draw_up_to(u64::try_from(most).unwrap_or(u64::MAX));
        span.saturating_sub(Duration::from_nanos(less))
    }
}
