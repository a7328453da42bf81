//! Perfect forward secrecy of Child SAs: a key exchange of their own is made where the operators of both ends want it,
//! left out where both admit that, and refused by name where they differ (RFC 7296 §1.3.1, §2.12).

use vpnhost_ike::{Command, Event};
use vpnhost_model::{EspSuite, Sequence};

use crate::pump::*;

/// Two hosts whose child has these suites each.
fn suites(a: &str, b: &str) -> Pump {
    let net = |esp: &str| {
        let mut net = child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24");
        let parse = |text| EspSuite::parse_all(text, &[Sequence::SHORT]).unwrap();
        net.esp = esp.split(',').flat_map(parse).collect();
        vec![net]
    };
    let own = initiator(IKE, net(a));
    let its = responder(&initiator(IKE, net(b)));
    let mut pump = Pump::new(config(own), config(its));
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(std::time::Duration::from_secs(5));
    pump.assert_connected(1);
    pump
}

/// Rekeys the child by a side; returns the suite that came of it at both ends, or the code that it failed with.
fn rekeyed(pump: &mut Pump, side: usize) -> Result<String, &'static str> {
    let before = pump.child_sa(side);
    pump.command(side, Command::RekeyChildSa(before));
    pump.settle();
    pump.assert_connected(1);
    let failed = pump.sides[side].events.iter().find_map(|event| match event {
        Event::ChildSaFailed { reason, .. } => Some(reason.code()),
        _ => None,
    });
    match failed {
        Some(code) => Err(code),
        None => {
            let suites = [A, B].map(|side| pump.ike_sa(side).children[0].suite.to_string());
            assert_eq!(suites[0], suites[1]);
            assert_ne!(pump.child_sa(side), before);
            Ok(suites[0].clone())
        }
    }
}

#[test]
fn a_key_exchange_is_made_where_both_want_or_admit_it() {
    const PLAIN: &str = "aes128gcm16";
    const X25519: &str = "aes128gcm16-x25519";
    const EITHER: &str = "aes128gcm16-x25519,aes128gcm16";
    const EITHER_PLAIN_FIRST: &str = "aes128gcm16,aes128gcm16-x25519";
    for (a, b, expected) in [
        (PLAIN, PLAIN, Ok(PLAIN)),
        (X25519, X25519, Ok(X25519)),
        (EITHER, X25519, Ok(X25519)),
        (X25519, EITHER, Ok(X25519)),
        (EITHER, PLAIN, Ok(PLAIN)),
        (PLAIN, EITHER, Ok(PLAIN)),
        // The initiator sends no key exchange at first: INVALID_KE_PAYLOAD asks for it.
        (EITHER_PLAIN_FIRST, X25519, Ok(X25519)),
        (X25519, EITHER_PLAIN_FIRST, Ok(X25519)),
        (PLAIN, X25519, Err("pfs-mismatch")),
        (X25519, PLAIN, Err("pfs-mismatch")),
        // Another group than the one that was guessed.
        ("aes128gcm16-modp2048-x25519", X25519, Ok(X25519)),
        ("aes128gcm16-modp2048", X25519, Err("pfs-mismatch")),
    ] {
        for side in [A, B] {
            let (own, its) = if side == A { (a, b) } else { (b, a) };
            let mut pump = suites(own, its);
            let came = rekeyed(&mut pump, side);
            assert_eq!(came.as_deref().map_err(|code| *code), expected, "{a} to {b}, by {side}");
        }
    }
}
