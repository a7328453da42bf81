//! Whatever comes instead: nothing panics, everything ends, and no other key comes out.

use vpnhost_ike::wire::payload::Eap;
use vpnhost_ike::{EapSetup, EapStep};

use crate::harness::{
    CA, begin, carol, converse, converse_with, password_client, server, tls_client, tls_server, users,
};

/// A small generator with a seed (xorshift), so that a failure can be found again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 8).unwrap_or(0) % sides.max(1)
    }

    fn octet(&mut self) -> u8 {
        self.roll(256) as u8
    }

    fn mutate(&mut self, packet: &mut Eap) {
        match self.roll(6) {
            0 => packet.code = self.octet() % 6,
            1 => packet.identifier = self.octet(),
            2 => packet.data.truncate(self.roll(packet.data.len() + 1)),
            3 => {
                let more = self.roll(300);
                packet.data.extend((0..more).map(|_| 0xff));
            }
            _ if packet.data.is_empty() => packet.data.push(self.octet()),
            _ => {
                let at = self.roll(packet.data.len());
                packet.data[at] ^= 1 << self.roll(8);
            }
        }
    }
}

/// Changes one packet of a conversation, another each time.
fn change_one(client: &dyn EapSetup, server: &dyn EapSetup, rounds: u64) {
    let clean = converse(client, server).packets.len();
    for seed in 1..=rounds {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let target = dice.roll(clean);
        let ends = converse_with(client, server, &mut |at, packet| {
            if at == target {
                dice.mutate(packet);
            }
        });
        if let (Ok(client), Ok(server)) = (&ends.client, &ends.server) {
            assert_eq!(client.msk, server.msk, "seed {seed}");
        }
    }
}

#[test]
fn a_changed_packet_never_leaves_both_ends_with_different_keys() {
    change_one(&password_client("carol", "lab password"), &server(vec![users()]), 4000);
    change_one(&tls_client("carol@lab", carol(), "moon.lab", CA), &server(vec![tls_server(CA)]), 150);
}

#[test]
fn whatever_is_said_first_ends_or_is_answered() {
    let ends: [Box<dyn EapSetup>; 4] = [
        Box::new(password_client("carol", "lab password")),
        Box::new(tls_client("carol@lab", carol(), "moon.lab", CA)),
        Box::new(server(vec![users()])),
        Box::new(server(vec![tls_server(CA)])),
    ];
    let mut dice = Dice(7);
    for (index, setup) in ends.iter().enumerate() {
        for _ in 0..if index % 2 == 0 { 3000 } else { 300 } {
            let mut end = setup.begin(begin(3));
            let mut identifier = 0;
            if index >= 2
                && let EapStep::Send(packet) = end.step(None)
            {
                identifier = packet.identifier;
            }
            for _ in 0..6 {
                let kind = [1, 2, 3, 13, 26, 254][dice.roll(6)];
                let length = dice.roll(80);
                let mut data: Vec<u8> = vec![kind];
                data.extend((0..length).map(|_| dice.octet()));
                if data.len() > 5 && dice.roll(2) == 0 {
                    // As MSCHAPv2 has it: an operation, and the right length.
                    data[1] = 1 + dice.octet() % 4;
                    let length = (data.len() - 1) as u16;
                    data[3..5].copy_from_slice(&length.to_be_bytes());
                }
                let code = if index < 2 { Eap::REQUEST } else { Eap::RESPONSE };
                match end.step(Some(&Eap { code, identifier, data })) {
                    EapStep::Send(packet) => identifier = packet.identifier,
                    EapStep::Success { .. } => panic!("nothing was proved"),
                    EapStep::Failure { .. } => break,
                }
            }
        }
    }
}

#[test]
fn endless_fragments_end() {
    let mut end = server(vec![tls_server(CA)]).begin(begin(3));
    let EapStep::Send(asked) = end.step(None) else { panic!("no request") };
    let mut packet =
        Eap { code: Eap::RESPONSE, identifier: asked.identifier, data: b"\x01carol@lab".to_vec() };
    for _ in 0..1000 {
        match end.step(Some(&packet)) {
            EapStep::Send(request) => {
                let data = [&[13, 0x40][..], &[0x16; 1000]].concat();
                packet = Eap { code: Eap::RESPONSE, identifier: request.identifier, data };
            }
            EapStep::Failure { failure, .. } => return assert_eq!(failure.code(), "eap-too-much"),
            EapStep::Success { .. } => panic!("nothing was proved"),
        }
    }
    panic!("it does not end");
}
