//! The packet path: a thread a direction, each the owner of its half of ESP, beside the control side.
//!
//! Control tells the threads by commands, which they take after each receive and before the first
//! look-up in it; they tell control by bounded channels. Nothing waits for control, and nothing is locked
//! but one option of a socket, where packets are cut that this machine has no raw socket for.

mod cutting;
mod inbound;
pub(crate) mod limits;
mod outbound;
mod peers;
mod shared;
mod sockets;
mod tally;
#[cfg(test)]
mod tests;
mod wait;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use vpnhost_ike::output::TransmitKind;
use vpnhost_ipsec::{
    CommandError, Inbound, InboundCommand, InboundSa, Outbound, OutboundCommand, OutboundSa, TrafficReport,
    TunnelConfig,
};
use vpnhost_model::{ChildSaId, ChildSpi, Path, TrafficSelector};

use self::inbound::InboundThread;
use self::outbound::OutboundThread;
use self::shared::{Line, Shared};
use self::sockets::Sockets;
use self::tally::Tally;
use crate::clock::Clock;
use crate::config::{RandomSource, TunSettings};
use crate::error::DriverError;
use crate::tun::Tun;

/// What the packet path is started with.
pub(crate) struct PathSettings {
    /// The addresses that the UDP sockets are bound to.
    pub(crate) listen: Vec<IpAddr>,
    /// The ports for IKE and for NAT traversal; zero takes one that is free.
    pub(crate) ports: [u16; 2],
    /// The inside interface.
    pub(crate) tun: TunSettings,
    /// The mark of everything that is sent outside; zero is none.
    pub(crate) mark: u32,
    /// Where randomness comes from.
    pub(crate) random: RandomSource,
    /// What tells the time.
    pub(crate) clock: Clock,
}

/// What comes out of the packet path.
pub(crate) struct FromPath {
    /// IKE datagrams; what control does not take in time is dropped and counted.
    pub(crate) datagrams: mpsc::Receiver<Datagram>,
    /// What ESP tells of SAs, or of the lack of one; what control does not take in time waits in the thread.
    pub(crate) reports: mpsc::Receiver<TrafficReport>,
    /// What control must know.
    pub(crate) news: mpsc::UnboundedReceiver<News>,
}

/// An IKE datagram that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    /// From where, and to which address of ours.
    pub(crate) path: Path,
    /// Its octets, without the non-ESP marker.
    pub(crate) octets: Vec<u8>,
}

/// What control must know.
#[derive(Debug)]
pub(crate) enum News {
    /// A command was refused.
    Refused(ChildSaId, CommandError),
    /// A thread ended: nothing is carried any more.
    Failed(String),
}

/// The packet path, as control holds it. Only its end waits for anything.
pub(crate) struct DataPlane {
    shared: Arc<Shared>,
    inbound: Line<InboundCommand>,
    outbound: Line<OutboundCommand>,
    threads: Vec<JoinHandle<()>>,
}

impl DataPlane {
    /// Opens sockets and TUN, and starts both threads. An error leaves nothing behind.
    pub(crate) fn start(settings: PathSettings) -> Result<(Self, FromPath), DriverError> {
        let sockets = Sockets::open(&settings.listen, settings.ports, settings.mark)?;
        let tun = Tun::open(&settings.tun.name)?;
        Self::with(&settings, sockets, tun)
            .map_err(|source| DriverError::Io { action: "start the packet path", source })
    }

    fn with(settings: &PathSettings, sockets: Sockets, tun: Tun) -> io::Result<(Self, FromPath)> {
        let (datagrams, from_path_datagrams) = mpsc::channel(limits::DATAGRAMS);
        let (reports, from_path_reports) = mpsc::channel(limits::REPORTS);
        let (news, from_path_news) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(sockets, tun, (reports, news), settings.clock));
        let (inbound, inbound_orders) = Line::new()?;
        let (outbound, outbound_orders) = Line::new()?;
        let mut plane = Self {
            shared: Arc::clone(&shared),
            inbound: inbound.clone(),
            outbound: outbound.clone(),
            threads: Vec::with_capacity(2),
        };
        let sizes = tunnel_config(settings.tun.mtu);
        let half = Inbound::new(sizes, Arc::clone(&shared.counters));
        let of_thread = (Arc::clone(&shared), inbound_orders, outbound);
        let receive = move || InboundThread::new(of_thread, half, datagrams).run();
        plane.threads.push(shared::spawn("vpnhost-in", &shared, receive)?);

        let half = Outbound::new(sizes, (settings.random)(), Arc::clone(&shared.counters));
        let of_thread = (Arc::clone(&shared), outbound_orders, inbound);
        let (tun_mtu, mark) = (usize::from(settings.tun.mtu), settings.mark);
        let send = move || OutboundThread::new(of_thread, half, tun_mtu, mark).run();
        plane.threads.push(shared::spawn("vpnhost-out", &shared, send)?);
        let (datagrams, reports, news) = (from_path_datagrams, from_path_reports, from_path_news);
        Ok((plane, FromPath { datagrams, reports, news }))
    }

    /// Returns the TUN's name and interface index.
    pub(crate) fn tun(&self) -> (&str, u32) {
        (self.shared.tun.name(), self.shared.tun.index())
    }

    /// Returns the ports that are bound: for IKE, and for NAT traversal.
    pub(crate) fn ports(&self) -> [u16; 2] {
        self.shared.sockets.ports()
    }

    /// Returns the port that silences are tried on, if one could be bound.
    pub(crate) fn idle_port(&self) -> Option<u16> {
        self.shared.sockets.idle_port()
    }

    /// Installs a pair of SAs: it receives before anything that came after this call is looked at, and
    /// may be activated.
    pub(crate) fn install(&self, inbound: InboundSa, outbound: OutboundSa) -> Result<(), DriverError> {
        let gone = || DriverError::DataPlane("its threads have ended".to_owned());
        self.inbound.send(InboundCommand::Install(Box::new(inbound))).ok_or_else(gone)?;
        self.outbound.send(OutboundCommand::Install(Box::new(outbound))).ok_or_else(gone)
    }

    /// Has an SA used for its selectors.
    pub(crate) fn activate(&self, id: ChildSaId) {
        self.outbound.send(OutboundCommand::Activate(id));
    }

    /// Has an SA take another path.
    pub(crate) fn move_sa(&self, id: ChildSaId, path: Path) {
        self.inbound.send(InboundCommand::Move(id, path));
        self.outbound.send(OutboundCommand::Move(id, path));
    }

    /// Has packets on a path be at most so many octets long, IP's header included.
    pub(crate) fn set_path_mtu(&self, path: Path, octets: u16) {
        self.inbound.send(InboundCommand::MeasuredMtu(path, octets));
        self.outbound.send(OutboundCommand::MeasuredMtu(path, octets));
    }

    /// Removes a pair of SAs.
    pub(crate) fn remove(&self, id: ChildSaId) {
        self.inbound.send(InboundCommand::Remove(id));
        self.outbound.send(OutboundCommand::Remove(id));
    }

    /// Has what comes on an SPI wait for its SA.
    pub(crate) fn expect_early(&self, spi: ChildSpi) {
        self.inbound.send(InboundCommand::Expect(spi));
    }

    /// Lets nothing wait for an SPI any more.
    pub(crate) fn forget_early(&self, spi: ChildSpi) {
        self.inbound.send(InboundCommand::Forget(spi));
    }

    /// Has packets to these wait where there is no SA yet, and no others.
    pub(crate) fn expect(&self, awaited: Vec<TrafficSelector>) {
        self.outbound.send(OutboundCommand::Expect(awaited));
    }

    /// Has the packets to these that wait dropped: no SA comes for them.
    pub(crate) fn give_up(&self, remote: Vec<TrafficSelector>) {
        self.outbound.send(OutboundCommand::GiveUp(remote));
    }

    /// Sends an IKE datagram or a keepalive; the non-ESP marker is added where one belongs.
    pub(crate) fn transmit(&self, path: &Path, octets: &[u8], kind: TransmitKind) -> io::Result<()> {
        let sent = self.shared.sockets.transmit(path, octets, kind);
        self.shared.tallies.add(sent.as_ref().map_or_else(tally::of_send, |()| Tally::IkeOut), 1);
        sent
    }

    /// Returns the counters of ESP.
    #[cfg(test)]
    pub(crate) fn counters(&self) -> &Arc<vpnhost_ipsec::Counters> {
        &self.shared.counters
    }

    /// Returns every counter of the packet path with its stable name; drops are named `drop_…`.
    pub(crate) fn all_counters(&self) -> Vec<(String, u64)> {
        let mut all = self.shared.counters.snapshot();
        all.extend(self.shared.tallies.snapshot());
        all
    }

    /// Tells whether ESP of that family can leave without UDP.
    pub(crate) fn has_raw_esp(&self, is_v4: bool) -> bool {
        self.shared.sockets.has_raw_esp(is_v4)
    }

    /// Returns what the kernel here offers, for the log.
    pub(crate) fn features(&self) -> Vec<(&'static str, String)> {
        self.shared.features()
    }

    /// Ends both threads; the interface is gone after it.
    pub(crate) fn stop(self) {
        drop(self);
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Ordering::Release);
        self.inbound.wake();
        self.outbound.wake();
        for thread in self.threads.drain(..) {
            // What a thread panicked with was told when it did.
            let _ = thread.join();
        }
    }
}

/// Returns the sizes that the tunnel starts from.
fn tunnel_config(tun_mtu: u16) -> TunnelConfig {
    let ethernet = TunnelConfig::default().path_mtu;
    // Who makes the TUN larger has a larger path, and the kernel knows by how much.
    let path_mtu = if tun_mtu <= ethernet { ethernet } else { u16::MAX };
    TunnelConfig { tun_mtu, path_mtu }
}
