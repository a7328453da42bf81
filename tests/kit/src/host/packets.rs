//! What comes from the network and from the TUN, and what the packet path tells.

use vpnhost_ike::{Resumption, TrafficReport};
use vpnhost_ipsec::{Arrival, Verdict};
use vpnhost_model::{Encapsulation, Now, Path};

use super::{ACTIVITY_INTERVAL, HostUnderTest, IDLE_PORT, Pending};
use crate::network::{Carrier, Datagram};

impl HostUnderTest {
    /// Takes a datagram from the network; one that is for another host is dropped.
    pub fn receive(&mut self, now: Now, datagram: Datagram) {
        let Datagram { source, destination, carrier, tos, link, mut octets } = datagram;
        if !self.has(destination.ip()) {
            return;
        }
        let encapsulation = if carrier == Carrier::Udp { Encapsulation::Udp } else { Encapsulation::Raw };
        let path = Path { local: destination, remote: source, interface: link, encapsulation };
        match (carrier, destination.port()) {
            (Carrier::Udp, 500) => self.endpoint.handle_datagram(now, path, &mut octets),
            (Carrier::Udp, 4500) if octets == [0xff] => {}
            (Carrier::Udp, 4500 | IDLE_PORT) if octets.starts_with(&[0; 4]) => {
                self.endpoint.handle_datagram(now, path, &mut octets[4..]);
            }
            (Carrier::Udp, 4500) | (Carrier::Esp, _) => self.open(now, path, tos, &octets),
            (Carrier::Udp, _) => {}
        }
        self.drain(now);
    }

    /// Takes an inner packet from the TUN, and tells whether it went out as ESP.
    pub fn send_inner(&mut self, now: Now, octets: &[u8]) -> bool {
        self.batch.clear();
        self.batch.room().expect("the batch is empty")[..octets.len()].copy_from_slice(octets);
        self.batch.push(octets.len());
        self.outbound.seal(now.instant, &mut self.batch);
        let mut sent = Vec::new();
        for (packet, octets) in self.batch.packets() {
            match packet.verdict() {
                Verdict::Send(path) => sent.push((path, packet.tos(), octets.to_vec())),
                Verdict::Reply => self.delivered.push(octets.to_vec()),
                Verdict::Pending | Verdict::Deliver | Verdict::Waits | Verdict::Dropped(_) => {}
            }
        }
        let any = !sent.is_empty();
        if any {
            self.note_activity(now);
        }
        for (path, tos, sealed) in sent {
            self.in_clear += u64::from(sealed.windows(octets.len()).any(|part| part == octets));
            let carrier = match path.encapsulation {
                Encapsulation::Udp => Carrier::Udp,
                Encapsulation::Raw => Carrier::Esp,
            };
            self.post(path, carrier, tos, sealed);
        }
        self.take_reports(now);
        any
    }

    fn open(&mut self, now: Now, path: Path, tos: u8, octets: &[u8]) {
        self.batch.clear();
        let room = self.batch.room().expect("the batch is empty");
        let len = octets.len().min(room.len());
        room[..len].copy_from_slice(&octets[..len]);
        self.batch.push_arrival(0, len, Arrival { path, tos });
        self.open_batch(now);
    }

    /// Opens what came before its SA, which is there now.
    pub(super) fn open_early(&mut self, now: Now) {
        loop {
            self.batch.clear();
            self.inbound.release(&mut self.batch);
            if self.batch.is_empty() {
                return;
            }
            self.open_batch(now);
        }
    }

    fn open_batch(&mut self, now: Now) {
        self.inbound.open(now.instant, &mut self.batch);
        let before = self.delivered.len();
        for (packet, octets) in self.batch.packets() {
            if packet.verdict() == Verdict::Deliver {
                self.delivered.push(octets.to_vec());
            }
        }
        if self.delivered.len() > before {
            self.note_activity(now);
        }
        self.take_reports(now);
    }

    /// What the packet path tells travels to control for a while.
    fn take_reports(&mut self, now: Now) {
        let mut reports = Vec::new();
        reports.extend(std::iter::from_fn(|| self.outbound.poll_report()));
        reports.extend(std::iter::from_fn(|| self.inbound.poll_report()));
        for report in reports.into_iter().map(for_ike) {
            let at = now.instant + self.chance.between(self.delays.report);
            self.pend(at, Pending::Report(report));
        }
    }

    /// Packets passed: control will ask which.
    fn note_activity(&mut self, now: Now) {
        let attention = self.endpoint.attention().unwrap_or(ACTIVITY_INTERVAL);
        self.activity_due.get_or_insert(now.instant + attention.min(ACTIVITY_INTERVAL));
    }
}

fn for_ike(report: vpnhost_ipsec::TrafficReport) -> TrafficReport {
    use vpnhost_ipsec::TrafficReport as Esp;
    match report {
        Esp::FirstInbound(id) => TrafficReport::FirstInbound(id),
        Esp::Resumed { id, since, spoke, at, missing } => {
            TrafficReport::Resumed(id, Resumption { since, spoke, at, missing })
        }
        Esp::Moved(id, path) => TrafficReport::Moved(id, path),
        Esp::SoftLimit(id) => TrafficReport::SoftLimit(id),
        Esp::Exhausted(id) => TrafficReport::Exhausted(id),
        Esp::Large(id, octets) => TrafficReport::Large(id, octets),
        Esp::Acquire { source, destination } => TrafficReport::Acquire { source, destination },
        Esp::UnknownSpi { spi, path, octets } => TrafficReport::UnknownSpi { spi, path, octets },
    }
}
