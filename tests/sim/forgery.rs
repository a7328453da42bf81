//! Octets without a valid ICV change no state of an SA, whatever their header says: a story with thousands of
//! forgeries in it goes on, octet by octet, as the same story without.

use std::collections::BTreeSet;

use vpnhost_ike::wire::Header;
use vpnhost_kit::configuration::{A_ADDRESS, B_ADDRESS, address, initiator};
use vpnhost_kit::{A, B, Carrier, Datagram, Random, Simulation, seeds};
use vpnhost_model::IkeSuite;

use crate::handshake::real_pair;
use crate::world::{children, millis, secs};

/// Forgeries at each step of a story.
const AT_A_TIME: u32 = 12;

#[test]
fn a_story_full_of_forgeries_is_the_same_story() {
    seeds::run(0..24, |seed| {
        let (with, without) = (story(seed, true), story(seed, false));
        assert_eq!(with.len(), without.len());
        for (step, (with, without)) in with.iter().zip(&without).enumerate() {
            assert_eq!(with, without, "step {step}");
        }
    });
}

/// Everything that is known of both hosts after each step, and everything that was sent.
fn story(seed: u64, forged: bool) -> Vec<String> {
    let mut a = initiator(children());
    // AEAD, and a cipher with a MAC beside it.
    let suite = ["aes128gcm16-prfsha256-x25519", "aes256-sha512-x25519"][(seed % 2) as usize];
    a.ike = IkeSuite::parse_all(suite).unwrap();
    let mut simulation = real_pair(a, seed);
    simulation.network.capture.keep_all();
    simulation.run_for(secs(2));
    simulation.assert_agreed(A, B);
    let (mut random, mut forger) = (Random::new(seed), Forger::new(seed));
    let mut told = Vec::new();
    for _ in 0..40 {
        // A third of the time an answer is on its way.
        simulation.run_for(millis(random.below(30)));
        let side = random.below(2) as usize;
        crate::loss::order(&mut simulation, &mut random, side);
        if forged {
            forger.forge(&mut simulation);
        }
        told.push(state(&simulation));
        simulation.run_for(millis(random.below(2000)));
        if forged {
            forger.forge(&mut simulation);
        }
        told.push(state(&simulation));
    }
    simulation.run_for(secs(60));
    simulation.assert_agreed(A, B);
    simulation.assert_passes(A, B);
    let sent = simulation.network.capture.records().filter(|record| !is_hint(&record.datagram));
    told.push(sent.map(|record| format!("{record:?}\n")).collect());
    told
}

/// RFC 7296, 1.5: INVALID_SPI in clear, in a request of no exchange, says who got ESP that is of no SA.
fn is_hint(datagram: &Datagram) -> bool {
    let is_it = |message: &[u8]| message[16] == 41 && message[18] == 37 && message[19] & 0x20 == 0;
    let message = datagram.ike().filter(|message| message.len() >= 36);
    message.is_some_and(|message| is_it(message) && message[34..36] == [0, 11])
}

fn state(simulation: &Simulation) -> String {
    let now = simulation.now();
    let of = |host: usize| {
        let host = &simulation.hosts[host];
        let (sas, due) = (host.endpoint.ike_sas(now), host.endpoint.poll_timeout());
        format!("{sas:#?} {due:?} {:#?} {:#?} {}", host.installed, host.configured, host.events.len())
    };
    format!("{} {}", of(A), of(B))
}

/// Makes octets that look like the peer's.
struct Forger {
    random: Random,
}

impl Forger {
    fn new(seed: u64) -> Self {
        Self { random: Random::new(seed ^ 0xf0) }
    }

    fn forge(&mut self, simulation: &mut Simulation) {
        let true_ones: Vec<Datagram> = simulation
            .network
            .capture
            .records()
            .rev()
            .take(40)
            .map(|record| record.datagram.clone())
            .collect();
        let known: BTreeSet<Vec<u8>> =
            simulation.network.capture.records().map(|record| record.datagram.octets.clone()).collect();
        for _ in 0..AT_A_TIME {
            let host = self.random.below(2) as usize;
            let mut datagram = self.random.pick(&true_ones).clone();
            if self.random.percent(40) {
                datagram.octets = self.message(simulation, host);
            }
            for _ in 0..self.random.below(3) {
                self.mutate(&mut datagram.octets);
            }
            if self.random.percent(50) {
                fit(&mut datagram.octets);
            }
            let begins = is_first_message(&datagram);
            // Who hears that an SPI of his is unknown asks, which changes nothing but what is sent.
            if known.contains(&datagram.octets) || begins || is_hint(&datagram) {
                continue;
            }
            self.send(simulation, host, datagram);
        }
    }

    fn send(&mut self, simulation: &mut Simulation, host: usize, mut datagram: Datagram) {
        let addresses = [A_ADDRESS, B_ADDRESS].map(address);
        let from = if self.random.percent(70) { addresses[1 - host] } else { address("203.0.113.66") };
        datagram.source.set_ip(from);
        datagram.destination.set_ip(addresses[host]);
        if self.random.percent(10) {
            datagram.carrier = Carrier::Esp;
        }
        for answer in simulation.provoke(host, datagram) {
            let message = answer.ike().expect("no ESP answers a forgery");
            let header = Header::decode(message).expect("its own message");
            // RFC 7296, 1.5: INVALID_IKE_SPI and INVALID_MAJOR_VERSION in clear, which tell nothing.
            assert_eq!(message[16], 41, "a Notify in clear answers a forgery: {header:?}");
        }
    }

    /// A message that names an SA of the host, and has anything behind its header.
    fn message(&mut self, simulation: &Simulation, host: usize) -> Vec<u8> {
        let sas = simulation.hosts[host].endpoint.ike_sas(simulation.now());
        let sa = self.random.pick(&sas).clone();
        let mut octets = vec![0; 4];
        octets.extend(sa.spi_i.0);
        octets.extend(sa.spi_r.0);
        // SK, SKF, Delete, Notify, SA, or no payload; any exchange after the first; near Message IDs.
        let next = *self.random.pick(&[46, 46, 53, 42, 41, 33, 0]);
        let exchange = *self.random.pick(&[34, 35, 36, 37, 37, 43]);
        let flags = *self.random.pick(&[0x08, 0x00, 0x28, 0x20]);
        octets.extend([next, 0x20, exchange, flags, 0, 0, 0, self.random.octet() % 24, 0, 0, 0, 0]);
        let body = 4 + self.random.below(120);
        octets.extend([0, 0, 0, body as u8]);
        octets.extend((4..body).map(|_| self.random.octet()));
        fit(&mut octets);
        octets
    }

    fn mutate(&mut self, octets: &mut Vec<u8>) {
        let at = self.random.below(octets.len() as u64 + 1) as usize;
        match self.random.below(5) {
            0 => octets.truncate(at),
            1 => octets.extend((0..self.random.below(20)).map(|_| 0)),
            _ if at < octets.len() => octets[at] ^= 1 << self.random.below(8),
            _ => {}
        }
    }
}

/// Gives an IKE message behind a marker the length that its header should tell.
fn fit(octets: &mut [u8]) {
    let length = octets.len().saturating_sub(4) as u32;
    if octets.starts_with(&[0; 4])
        && let Some(field) = octets.get_mut(4 + 24..4 + 28)
    {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// An IKE_SA_INIT request without an SPI of the responder begins an IKE SA, which anybody may.
fn is_first_message(datagram: &Datagram) -> bool {
    let headers = [datagram.octets.get(4..), Some(&datagram.octets[..])];
    headers.into_iter().flatten().filter_map(|octets| octets.get(..19)).any(|header| header[18] == 34)
}
