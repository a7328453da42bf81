//! The thread from the sockets to the TUN: datagrams are told apart, ESP is opened and delivered, IKE is
//! handed to control (RFC 3948 §2, RFC 7296 §2.23).

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use tokio::sync::mpsc;
use vpnhost_ipsec::{Arrival, Batch, Inbound, InboundCommand, OutboundCommand, Verdict};
use vpnhost_model::{ChildSaId, Encapsulation, Path};

use super::shared::{Line, Orders, Shared};
use super::tally::Tally;
use super::wait::{For, Waiting};
use super::{Datagram, News, limits, sockets};
use crate::messages::{Received, Receiving};
use crate::pmtu::{self, Trouble};
use crate::udp::{Carries, Kind};
use crate::{raw_esp, tun, udp};

/// The thread's own things.
pub(crate) struct InboundThread {
    shared: Arc<Shared>,
    orders: Orders<InboundCommand>,
    outbound: Line<OutboundCommand>,
    inbound: Inbound,
    datagrams: mpsc::Sender<Datagram>,
    receiving: Receiving,
    /// What a receive is written into.
    arena: Vec<u8>,
    batch: Batch,
    /// What each socket has lost so far.
    lost: Vec<u32>,
}

impl InboundThread {
    pub(crate) fn new(
        (shared, orders, outbound): (Arc<Shared>, Orders<InboundCommand>, Line<OutboundCommand>),
        inbound: Inbound,
        datagrams: mpsc::Sender<Datagram>,
    ) -> Self {
        let lost = vec![0; shared.sockets.all().len()];
        Self {
            lost,
            shared,
            orders,
            outbound,
            inbound,
            datagrams,
            receiving: Receiving::new(limits::RECEIVES),
            arena: vec![0; limits::RECEIVES * limits::DATAGRAM_ROOM],
            batch: Batch::new(limits::OPEN_SLOTS, limits::ESP_ROOM),
        }
    }

    /// Receives until it is told to end.
    pub(crate) fn run(mut self) -> Result<(), String> {
        let (shared, wake) = (Arc::clone(&self.shared), Arc::clone(&self.orders.wake));
        let sockets = shared.sockets.all();
        let descriptors = sockets.iter().map(|socket| (socket.fd.as_fd(), For::Input));
        let mut waiting = Waiting::new(descriptors.chain([(wake.as_fd(), For::Input)]));
        loop {
            let untold = self.inbound.has_report().then_some(limits::REPORT_STEP);
            waiting.wait(untold).map_err(|error| format!("waiting for sockets: {error}"))?;
            if shared.is_ending() {
                return Ok(());
            }
            if waiting.is_ready(sockets.len()) {
                wake.clear();
                self.obey()?;
            }
            for socket in 0..sockets.len() {
                if waiting.has_error(socket) {
                    self.take_errors(socket)?;
                }
                if waiting.is_ready(socket) {
                    self.receive(socket)?;
                }
            }
            self.tell();
        }
    }

    /// Carries out what control ordered; then packets that came before their SA may go on. The batch is empty.
    fn obey(&mut self) -> Result<(), String> {
        while let Some(command) = self.orders.next() {
            let id = match &command {
                InboundCommand::Install(sa) => Some(sa.id),
                InboundCommand::Move(id, _) | InboundCommand::Remove(id) => Some(*id),
                InboundCommand::Expect(_)
                | InboundCommand::Forget(_)
                | InboundCommand::PathMtu(..)
                | InboundCommand::MeasuredMtu(..) => None,
            };
            self.carry_out(id, command);
        }
        loop {
            self.inbound.release(&mut self.batch);
            if self.batch.is_empty() {
                return Ok(());
            }
            self.flush()?;
        }
    }

    fn carry_out(&mut self, id: Option<ChildSaId>, command: InboundCommand) {
        let done = self.inbound.handle_command(self.shared.clock.instant(), command);
        if let (Err(error), Some(id)) = (done, id) {
            self.shared.tallies.add(Tally::Refused, 1);
            self.shared.tell(News::Refused(id, error));
        }
    }

    /// Takes what waits in a socket, for some turns.
    fn receive(&mut self, socket: usize) -> Result<(), String> {
        for _ in 0..limits::TURNS {
            let rooms = self.arena.chunks_exact_mut(limits::DATAGRAM_ROOM);
            let fd = self.shared.sockets.all()[socket].fd.as_fd();
            let count = match self.receiving.receive(fd, rooms, 0) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_fatal(&error) => return Err(format!("receiving: {error}")),
                Err(error) => {
                    // An ICMP error is told in place of a datagram, which is still there.
                    if !sockets::may_be_hearsay(&error) {
                        tracing::debug!(%error, "receiving");
                        self.shared.tallies.add(Tally::ReceiveFailed, 1);
                    }
                    continue;
                }
            };
            // An SA whose reply is on its way to the peer must be known before the peer's first packet.
            self.obey()?;
            for message in 0..count {
                self.count_lost(socket, message);
                self.take(socket, message)?;
            }
            self.flush()?;
            if count < limits::RECEIVES {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Counts what the kernel had no room for; it tells the sum so far.
    fn count_lost(&mut self, socket: usize, message: usize) {
        if let Some(lost) = self.receiving.message(message).beside.lost {
            let before = std::mem::replace(&mut self.lost[socket], lost);
            self.shared.tallies.add(Tally::QueueFull, lost.wrapping_sub(before) as usize);
        }
    }

    /// Tells one message's datagrams apart.
    fn take(&mut self, socket: usize, message: usize) -> Result<(), String> {
        let received = self.receiving.message(message);
        let from = message * limits::DATAGRAM_ROOM;
        let (shared, end) = (Arc::clone(&self.shared), from + received.len.min(limits::DATAGRAM_ROOM));
        let socket = &shared.sockets.all()[socket];
        let Some(path) = path_of(&received, socket.local, socket.carries) else {
            return self.drop_for(Tally::Runt);
        };
        if received.is_truncated {
            return self.drop_for(Tally::Oversize);
        }
        if from == end {
            return self.drop_for(Tally::Runt);
        }
        let tos = received.beside.tos;
        match socket.carries {
            Carries::Ike => self.hand_over(path, from..end),
            Carries::Esp => match raw_esp::header_len(path.remote.is_ipv4(), &self.arena[from..end]) {
                Some(skip) => self.add(Arrival { path, tos }, from + skip..end),
                None => self.drop_for(Tally::Runt),
            },
            // ESP has no place there.
            Carries::Idle => match udp::kind(&self.arena[from..end]) {
                Kind::Ike => self.hand_over(path, from + udp::NON_ESP_MARKER.len()..end),
                Kind::Esp | Kind::Keepalive | Kind::Runt => self.drop_for(Tally::Runt),
            },
            Carries::Both => {
                let segment = received.beside.segment.unwrap_or(end - from);
                let mut at = from;
                while at < end {
                    let next = end.min(at + segment);
                    match udp::kind(&self.arena[at..next]) {
                        Kind::Esp => self.add(Arrival { path, tos }, at..next)?,
                        Kind::Ike => self.hand_over(path, at + udp::NON_ESP_MARKER.len()..next)?,
                        Kind::Keepalive => shared.tallies.add(Tally::Keepalive, 1),
                        Kind::Runt => self.drop_for(Tally::Runt)?,
                    }
                    at = next;
                }
                Ok(())
            }
        }
    }

    fn drop_for(&self, tally: Tally) -> Result<(), String> {
        self.shared.tallies.add(tally, 1);
        Ok(())
    }

    /// Adds an ESP packet to the batch.
    fn add(&mut self, arrival: Arrival, octets: std::ops::Range<usize>) -> Result<(), String> {
        if self.batch.len() == self.batch.capacity() {
            self.flush()?;
        }
        let octets = &self.arena[octets];
        let Some(room) = self.batch.room().and_then(|room| room.get_mut(..octets.len())) else {
            return self.drop_for(Tally::Oversize);
        };
        room.copy_from_slice(octets);
        self.batch.push_arrival(0, octets.len(), arrival);
        Ok(())
    }

    /// Hands an IKE datagram to control.
    fn hand_over(&mut self, path: Path, octets: std::ops::Range<usize>) -> Result<(), String> {
        let datagram = Datagram { path, octets: self.arena[octets].to_vec() };
        let is_taken = self.datagrams.try_send(datagram).is_ok();
        self.drop_for(if is_taken { Tally::IkeIn } else { Tally::ControlFull })
    }

    /// Opens the batch and writes what is in it to the TUN.
    fn flush(&mut self) -> Result<(), String> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.inbound.open(self.shared.clock.instant(), &mut self.batch);
        for (packet, octets) in self.batch.packets() {
            match packet.verdict() {
                Verdict::Deliver => deliver(&self.shared, octets)?,
                // What was dropped was counted by cause; what waits comes back with its SA.
                Verdict::Dropped(_) | Verdict::Waits => {}
                Verdict::Pending | Verdict::Send(_) | Verdict::Reply => {
                    debug_assert!(false, "what was opened is delivered or dropped, or waits");
                }
            }
        }
        self.batch.clear();
        self.tell();
        Ok(())
    }

    /// Tells control what there is, as long as it has room.
    fn tell(&mut self) {
        self.shared.report(|| self.inbound.poll_report());
    }

    /// Takes what ICMP told about what was sent.
    fn take_errors(&mut self, socket: usize) -> Result<(), String> {
        for _ in 0..limits::ERRORS.div_ceil(limits::RECEIVES) {
            let rooms = self.arena.chunks_exact_mut(limits::DATAGRAM_ROOM);
            let fd = self.shared.sockets.all()[socket].fd.as_fd();
            let count = match pmtu::take(fd, &mut self.receiving, rooms) {
                Ok(count) => count,
                Err(error) if is_fatal(&error) => return Err(format!("receiving errors: {error}")),
                Err(_) => return Ok(()),
            };
            for entry in 0..count {
                let Some(trouble) = pmtu::trouble(&self.receiving.message(entry)) else { continue };
                self.shared.tallies.add(Tally::IcmpIn, 1);
                // Anyone can forge one; about nobody it is not even remembered.
                if let Trouble::TooBig(remote, mtu) = trouble
                    && self.inbound.has_peer(remote.ip())
                {
                    tracing::debug!(mtu, "a path MTU was learned");
                    self.carry_out(None, InboundCommand::PathMtu(remote.ip(), mtu));
                    self.outbound.send(OutboundCommand::PathMtu(remote.ip(), mtu));
                }
            }
        }
        Ok(())
    }
}

/// Writes a packet to the TUN, and counts if that fails; an interface that is no more is an error.
pub(crate) fn deliver(shared: &Shared, octets: &[u8]) -> Result<(), String> {
    let Err(error) = shared.tun.write(octets) else { return Ok(()) };
    if tun::is_gone(&error) {
        return Err(shared.tun_is_gone());
    }
    let tally = if error.raw_os_error() == Some(libc::EIO) { Tally::TunDown } else { Tally::TunFailed };
    shared.tallies.add(tally, 1);
    Ok(())
}

/// Returns the path that a message came on; its local address is concrete, and its interface the one that it came in by.
fn path_of(received: &Received, bound: SocketAddr, carries: Carries) -> Option<Path> {
    let remote = received.remote?;
    let (ip, interface) = received.beside.destination.unwrap_or((bound.ip(), 0));
    Some(Path {
        local: SocketAddr::new(ip, bound.port()),
        remote,
        interface: Some(interface).filter(|index| *index != 0),
        encapsulation: match carries {
            Carries::Ike | Carries::Esp => Encapsulation::Raw,
            Carries::Both | Carries::Idle => Encapsulation::Udp,
        },
    })
}

/// Tells whether no later call can do better.
fn is_fatal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EINVAL))
}
