//! Failures of hosts that move, and of peers that are not what they were.

use vpnhost_crypto::SecretBytes;
use vpnhost_ike::{ReturnRoutability, Start, TrafficReport};
use vpnhost_model::{Lifetime, Path};

use super::*;

const HOME: &str = "192.0.2.1";
const AWAY: &str = "192.0.2.11";
const GATEWAY: &str = "192.0.2.2";

fn mobile(a: &mut PeerConfig, b: &mut PeerConfig) {
    (a.mobike, b.mobike) = (true, true);
}

/// Sets the connection up, with these addresses of the initiator.
fn begin(pump: &mut Pump, addresses: &[&str]) {
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, addresses);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(6));
    pump.assert_connected(1);
}

/// A better path comes to one that costs money.
fn better_path(pump: &mut Pump) {
    pump.sides[A].metered = vec![HOME.parse().unwrap()];
    begin(pump, &[HOME]);
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.settle();
}

fn roam(pump: &mut Pump, local: &str) {
    let ends = (local.parse().unwrap(), GATEWAY.parse().unwrap());
    let id = pump.ike_sa(A).id;
    pump.command(A, Command::Roam(id, Some(ends)));
    pump.run_for(Duration::from_secs(20));
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "A better path that has just come",
        how: "the path in use costs money, and one that does not has come",
        wrong: mobile,
        play: better_path,
        codes: ["path-settling", ""],
    },
    Case {
        name: "A better path that is not known to work",
        how: "the path in use costs money from now on, and the other was not heard on lately",
        wrong: mobile,
        play: |pump| {
            better_path(pump);
            pump.run_for(Duration::from_secs(60));
            pump.sides[A].metered = vec![AWAY.parse().unwrap()];
            pump.set_addresses(A, &[HOME, AWAY]);
            pump.run_for(Duration::from_secs(60));
        },
        codes: ["path-untested", ""],
    },
    Case {
        name: "A path that does not work",
        how: "`ping --path` by a link on which nothing arrives",
        wrong: mobile,
        play: |pump| {
            begin(pump, &[HOME, AWAY]);
            pump.filter = Box::new(|_, transmit| {
                ![transmit.path.local.ip(), transmit.path.remote.ip()].contains(&AWAY.parse().unwrap())
            });
            let (id, ends) = (pump.ike_sa(A).id, (AWAY.parse().unwrap(), GATEWAY.parse().unwrap()));
            pump.command(A, Command::TestPath(id, ends));
            pump.run_for(Duration::from_secs(10));
        },
        codes: ["path-unanswered", ""],
    },
    Case {
        name: "A peer that does not answer at its new address",
        how: "`return_routability = \"before\"`: genuine packets of the client come from where it is not",
        wrong: |a, b| {
            mobile(a, b);
            b.return_routability = ReturnRoutability::Before;
            b.gateways.clear();
        },
        play: |pump| {
            pump.masquerade = Some("203.0.113.1:4500".parse().unwrap());
            begin(pump, &[HOME]);
            let path = pump.sides[B].installed[&pump.child_sa(B)].path;
            let seen = Path { remote: "203.0.113.9:4500".parse().unwrap(), ..path };
            pump.traffic(B, TrafficReport::Moved(pump.child_sa(B), seen));
            pump.run_for(Duration::from_secs(60));
        },
        codes: ["", "path-not-returned"],
    },
    Case {
        name: "A path that the peer refuses",
        how: "the client moves to an address that lies behind the tunnel",
        wrong: mobile,
        play: |pump| {
            begin(pump, &[HOME]);
            pump.set_addresses(A, &[HOME, "10.1.0.77"]);
            pump.run_for(Duration::from_secs(5));
            roam(pump, "10.1.0.77");
        },
        codes: ["path-refused", ""],
    },
    Case {
        name: "A NAT where none is allowed",
        how: "`encapsulation = \"forbid-nat\"`, and the client moves behind a NAT",
        wrong: |a, b| {
            mobile(a, b);
            (a.encapsulation, b.encapsulation) =
                (EncapsulationPolicy::ForbidNat, EncapsulationPolicy::ForbidNat);
        },
        play: |pump| {
            begin(pump, &[HOME, AWAY]);
            pump.masquerade = Some("203.0.113.1:1234".parse().unwrap());
            roam(pump, AWAY);
        },
        codes: ["path-translated", ""],
    },
    Case {
        name: "No path",
        how: "the client's last address goes",
        wrong: mobile,
        play: |pump| {
            begin(pump, &[HOME]);
            pump.set_addresses(A, &[]);
            pump.settle();
        },
        codes: ["no-path", ""],
    },
    Case {
        name: "A peer that lost its state",
        how: "the gateway starts again, and its token proves that it did (RFC 6290); another IKE SA takes the place at once",
        wrong: mobile,
        play: |pump| {
            let remember = |pump: &mut Pump| {
                let secret = SecretBytes::new(vec![0xb2; 32]);
                pump.sides[B].endpoint.use_crash_secret(secret);
            };
            remember(pump);
            begin(pump, &[HOME]);
            pump.restart(B, 4711);
            remember(pump);
            pump.command(A, Command::CheckLiveness(pump.ike_sa(A).id));
            pump.settle();
            pump.assert_connected(1);
        },
        codes: ["peer-lost-state", ""],
    },
    Case {
        name: "A long sleep",
        how: "the client is suspended for longer than `max_outage`; another IKE SA takes the place at once",
        wrong: |a, b| {
            mobile(a, b);
            a.start = Start::Up;
            for ageless in [a, b] {
                ageless.timing.rekey_ike = Duration::ZERO;
                let lifetime = ageless.children[0].lifetime;
                ageless.children[0].lifetime = Lifetime { rekey_after: None, ..lifetime };
            }
        },
        play: |pump| {
            begin(pump, &[HOME]);
            pump.sleep(A, Duration::from_secs(9 * 3600));
            pump.run_for(Duration::from_secs(300));
            pump.assert_connected(1);
        },
        codes: ["slept-too-long", ""],
    },
];
