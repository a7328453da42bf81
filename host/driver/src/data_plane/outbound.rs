//! The thread from the TUN to the sockets: what was read together is sealed together and sent together.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use vpnhost_ipsec::{Batch, InboundCommand, Outbound, OutboundCommand, Verdict};
use vpnhost_model::{ChildSaId, Instant, Path};

use super::inbound::deliver;
use super::peers::{PathMtu, Peers};
use super::shared::{Line, Orders, Shared};
use super::tally::{self, Tally};
use super::wait::{For, Waiting};
use super::{News, limits, sockets};
use crate::messages::{Sending, Sent};
use crate::tun;
use crate::udp::Socket;

/// The thread's own things.
pub(crate) struct OutboundThread {
    shared: Arc<Shared>,
    orders: Orders<OutboundCommand>,
    inbound: Line<InboundCommand>,
    outbound: Outbound,
    peers: Peers,
    sending: Sending,
    batch: Batch,
    /// For packets that waited for their SA.
    released: Batch,
    /// Whether the kernel cuts messages; it may turn out not to.
    segmented: bool,
}

/// How far a batch was sent.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The next packet, by its place in the batch.
    next: usize,
    /// Packets before this place go singly: together they were refused.
    singly_until: usize,
    /// How often the packet at `next` was tried again.
    retried: usize,
    /// How long the packet at `next` has waited for a device's queue.
    congested: Duration,
}

impl OutboundThread {
    pub(crate) fn new(
        (shared, orders, inbound): (Arc<Shared>, Orders<OutboundCommand>, Line<InboundCommand>),
        outbound: Outbound,
        tun_mtu: usize,
        mark: u32,
    ) -> Self {
        Self {
            shared,
            orders,
            inbound,
            outbound,
            peers: Peers::new(mark),
            sending: Sending::new(),
            batch: Batch::new(limits::SEAL_SLOTS, tun_mtu.max(limits::TUN_ROOM)),
            released: Batch::new(limits::RELEASED_SLOTS, tun_mtu.max(limits::TUN_ROOM)),
            segmented: true,
        }
    }

    /// Reads, seals and sends until it is told to end.
    pub(crate) fn run(mut self) -> Result<(), String> {
        let (shared, wake) = (Arc::clone(&self.shared), Arc::clone(&self.orders.wake));
        let descriptors = [(wake.as_fd(), For::Input), (shared.tun.as_fd(), For::Input)];
        let mut waiting = Waiting::new(descriptors);
        while !shared.is_ending() {
            if self.read()? {
                self.carry()?;
                continue;
            }
            let now = shared.clock.instant();
            let deadlines = [self.peers.deadline(), self.outbound.deadline()];
            let due = deadlines.into_iter().flatten().min().map(|deadline| deadline.saturating_since(now));
            let untold = self.outbound.has_report().then_some(limits::REPORT_STEP);
            let limit = due.into_iter().chain(untold).min();
            waiting.wait(limit).map_err(|error| format!("waiting for the TUN: {error}"))?;
            if waiting.has_error(1) {
                return Err(shared.tun_is_gone());
            }
            if waiting.is_ready(0) {
                wake.clear();
            }
            let now = shared.clock.instant();
            self.obey(now);
            self.release(now)?;
            self.tell();
        }
        Ok(())
    }

    /// Reads what the TUN has into the batch; tells whether there was anything.
    fn read(&mut self) -> Result<bool, String> {
        self.batch.clear();
        for _ in 0..limits::TUN_READS {
            let Some(room) = self.batch.room() else { break };
            match self.shared.tun.read(room) {
                // No packet is empty: there is nothing behind the descriptor any more.
                Ok(0) => return Err(self.shared.tun_is_gone()),
                Ok(len) => self.batch.push(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if tun::is_gone(&error) => return Err(self.shared.tun_is_gone()),
                Err(error) => return Err(format!("reading the TUN: {error}")),
            }
        }
        Ok(!self.batch.is_empty())
    }

    /// Seals the batch and sends it.
    fn carry(&mut self) -> Result<(), String> {
        let now = self.shared.clock.instant();
        self.obey(now);
        // What waited came earlier.
        self.release(now)?;
        self.seal_and_send(now)
    }

    /// Sends the packets whose SA has come up.
    fn release(&mut self, now: Instant) -> Result<(), String> {
        loop {
            self.released.clear();
            self.outbound.release(&mut self.released);
            if self.released.is_empty() {
                return Ok(());
            }
            std::mem::swap(&mut self.batch, &mut self.released);
            let sent = self.seal_and_send(now);
            std::mem::swap(&mut self.batch, &mut self.released);
            sent?;
        }
    }

    fn seal_and_send(&mut self, now: Instant) -> Result<(), String> {
        self.outbound.seal(now, &mut self.batch);
        self.send()?;
        for (packet, octets) in self.batch.packets() {
            match packet.verdict() {
                Verdict::Reply => deliver(&self.shared, octets)?,
                // Sent above, kept for later, or counted by cause.
                Verdict::Send(_) | Verdict::Waits | Verdict::Dropped(_) => {}
                Verdict::Pending | Verdict::Deliver => {
                    debug_assert!(false, "what was sealed is sent, answered, kept or dropped");
                }
            }
        }
        self.tell();
        Ok(())
    }

    /// Tells control what there is, as long as it has room.
    fn tell(&mut self) {
        self.shared.report(|| self.outbound.poll_report());
    }

    /// Carries out what control ordered, and what is due.
    fn obey(&mut self, now: Instant) {
        while let Some(command) = self.orders.next() {
            self.carry_out(now, command);
        }
        self.outbound.expire(now);
        for learned in self.peers.refresh(now) {
            self.learn(now, learned);
        }
    }

    fn carry_out(&mut self, now: Instant, command: OutboundCommand) {
        let (id, path): (Option<ChildSaId>, Option<Path>) = match &command {
            OutboundCommand::Install(sa) => (Some(sa.id), Some(sa.path)),
            OutboundCommand::Move(id, path) => (Some(*id), Some(*path)),
            OutboundCommand::Activate(id) => (Some(*id), None),
            OutboundCommand::Remove(id) => {
                self.peers.remove(*id);
                (Some(*id), None)
            }
            OutboundCommand::PathMtu(..)
            | OutboundCommand::MeasuredMtu(..)
            | OutboundCommand::Expect(_)
            | OutboundCommand::GiveUp(_) => (None, None),
        };
        let done = self.outbound.handle_command(now, command);
        match (done, id, path) {
            (Ok(()), Some(id), Some(path)) => {
                if let Some(learned) = self.peers.insert(now, id, path) {
                    self.learn(now, learned);
                }
            }
            (Err(error), Some(id), _) => {
                self.shared.tallies.add(Tally::Refused, 1);
                self.shared.tell(News::Refused(id, error));
            }
            // What is of no SA cannot be refused.
            (Ok(()) | Err(_), _, _) => {}
        }
    }

    /// Tells both halves a path MTU.
    fn learn(&mut self, now: Instant, (remote, mtu): PathMtu) {
        // A path MTU is of no SA, so there is nothing to refuse.
        let _ = self.outbound.handle_command(now, OutboundCommand::PathMtu(remote, mtu));
        self.inbound.send(InboundCommand::PathMtu(remote, mtu));
    }

    /// Sends the sealed packets of the batch, in their order.
    fn send(&mut self) -> Result<(), String> {
        let shared = Arc::clone(&self.shared);
        let mut progress = Progress::default();
        while let Some((path, cut_to)) = self.next_path(&mut progress.next) {
            let Some(socket) = shared.sockets.for_esp(&path) else {
                shared.tallies.add(Tally::NoSocket, 1);
                progress.next += 1;
                continue;
            };
            let sent = match cut_to.and_then(|limit| self.send_cut(socket, &progress, limit)) {
                Some(sent) => sent.map(|()| 1).map_err(|error| (error, 1)),
                None => self
                    .send_run(socket, &progress)
                    .map(|sent| sent.packets)
                    .map_err(|error| (error, self.sending.first_message().max(1))),
            };
            match sent {
                Ok(packets) => {
                    progress.next += packets;
                    (progress.congested, progress.retried) = (Duration::ZERO, 0);
                }
                Err(failed) => self.recover(socket, failed, &mut progress)?,
            }
            if shared.is_ending() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Finds the next packet to send, and moves `next` to it; returns its path, and what that carries if it is less.
    fn next_path(&self, next: &mut usize) -> Option<(Path, Option<u16>)> {
        let (at, found) = self.batch.packets().enumerate().skip(*next).find_map(|(at, (packet, _))| {
            match packet.verdict() {
                Verdict::Send(path) => Some((at, (path, packet.cut_to()))),
                Verdict::Pending
                | Verdict::Deliver
                | Verdict::Reply
                | Verdict::Waits
                | Verdict::Dropped(_) => None,
            }
        })?;
        *next = at;
        Some(found)
    }

    /// Sends the packet at `next` in pieces; `None` if this machine cannot.
    fn send_cut(&self, socket: &Socket, progress: &Progress, limit: u16) -> Option<io::Result<()>> {
        let (packet, octets) = self.batch.packets().nth(progress.next)?;
        let Verdict::Send(path) = packet.verdict() else { return None };
        let sent = self.shared.sockets.send_cut(socket, (&path, packet.tos()), (octets, limit))?;
        self.shared.tallies.add(Tally::Cut, usize::from(sent.is_ok()));
        Some(sent)
    }

    /// Sends as many neighbours of one socket as it takes.
    fn send_run(&mut self, socket: &Socket, progress: &Progress) -> io::Result<Sent> {
        let Self { shared, sending, batch, segmented, .. } = self;
        let packets = batch.packets().skip(progress.next).enumerate();
        let run = packets.map_while(|(at, (packet, octets))| match packet.verdict() {
            // One that is to be cut is here at the start alone, where it cannot be.
            Verdict::Send(path) if at == 0 || packet.cut_to().is_none() => {
                let same = shared.sockets.for_esp(&path).is_some_and(|other| std::ptr::eq(other, socket));
                same.then(|| (sockets::esp_envelope(&path, packet.tos()), octets))
            }
            Verdict::Send(_)
            | Verdict::Pending
            | Verdict::Deliver
            | Verdict::Reply
            | Verdict::Waits
            | Verdict::Dropped(_) => None,
        });
        if progress.next < progress.singly_until {
            let singly = progress.singly_until - progress.next;
            sending.send(socket.fd.as_fd(), run.take(singly), false)
        } else {
            sending.send(socket.fd.as_fd(), run, *segmented && socket.segmented)
        }
    }

    /// Does what helps against an error: waits, tries again or otherwise, or counts what is dropped.
    /// `message` is how many packets were refused.
    fn recover(
        &mut self,
        socket: &Socket,
        (error, message): (io::Error, usize),
        progress: &mut Progress,
    ) -> Result<(), String> {
        match error.raw_os_error() {
            Some(libc::EINTR) => return Ok(()),
            Some(libc::EAGAIN) => return self.wait_for_room(socket),
            Some(libc::ENOBUFS | libc::ENOMEM) if progress.congested < limits::CONGESTION => {
                // Nothing tells when a device's queue has room again.
                progress.congested += limits::CONGESTION_STEP;
                self.shared.tallies.add(Tally::Wait, 1);
                std::thread::sleep(limits::CONGESTION_STEP);
                return Ok(());
            }
            Some(libc::EIO) if message > 1 && self.segmented => {
                tracing::info!("the outgoing device cannot cut UDP messages: sending packets singly");
                self.segmented = false;
                return Ok(());
            }
            // Larger than the path, or a kernel with a limit of its own: each packet alone may still go.
            Some(libc::EINVAL | libc::EMSGSIZE) if message > 1 => {
                self.peers.hasten(self.shared.clock.instant());
                progress.singly_until = progress.next + message;
                return Ok(());
            }
            Some(_) | None => {}
        }
        if sockets::may_be_hearsay(&error) && progress.retried < limits::HEARSAY {
            progress.retried += 1;
            return Ok(());
        }
        if error.raw_os_error() == Some(libc::EBADF) {
            return Err(format!("sending: {error}"));
        }
        tracing::trace!(%error, packets = message, "dropped");
        self.shared.tallies.add(tally::of_send(&error), message);
        progress.next += message;
        (progress.congested, progress.retried) = (Duration::ZERO, 0);
        Ok(())
    }

    /// Waits until a socket has room: what the TUN holds meanwhile slows its senders down.
    fn wait_for_room(&self, socket: &Socket) -> Result<(), String> {
        self.shared.tallies.add(Tally::Wait, 1);
        Waiting::new([(socket.fd.as_fd(), For::Room)])
            .wait(Some(limits::ROOM_STEP))
            .map_err(|error| format!("waiting for room in a socket: {error}"))
    }
}
