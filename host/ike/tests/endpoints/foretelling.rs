//! What will fail later is told when an IKE SA comes up, each with its code, and nothing where all is well.

use std::time::Duration;

use vpnhost_ike::{Command, EndpointConfig, Event, PeerConfig};
use vpnhost_model::{EspSuite, Sequence};

use crate::certificates::{ed25519, own, plan};
use crate::maker::{DAY, Key, NOW, Plan};
use crate::pump::*;

fn up(a: EndpointConfig, b: EndpointConfig) -> Pump {
    let mut pump = Pump::new(a, b);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    pump
}

/// Returns what a side foretold: code and sentence.
fn foretold(pump: &Pump, side: usize) -> Vec<(&'static str, String)> {
    let events = pump.sides[side].events.iter();
    events
        .filter_map(|event| match event {
            Event::Foretold { foresight, .. } => Some((foresight.code(), foresight.to_string())),
            _ => None,
        })
        .collect()
}

fn begun() -> (PeerConfig, PeerConfig) {
    let a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    let b = responder(&a);
    (a, b)
}

#[test]
fn nothing_is_foretold_where_all_is_well() {
    for (a, b) in [begun(), ed25519()] {
        let pump = up(config(a), config(b));
        assert_eq!((foretold(&pump, A), foretold(&pump, B)), (vec![], vec![]));
    }
}

#[test]
fn a_certificate_that_ends_before_the_next_authentication_is_foretold() {
    // `A`'s certificate is good for two days, `B`'s for thirty.
    let short = Plan { valid: (NOW - DAY, NOW + 2 * DAY), ..plan("a.lab", "CN=a") };
    for (reauth, told) in [
        (Duration::ZERO, true),
        (Duration::from_secs(3 * 86_400), true),
        (Duration::from_secs(86_400), false),
    ] {
        let (mut a, mut b) = ed25519();
        a.local_auth = own(&short, &Key::new(10));
        (a.timing.reauth, b.timing.reauth) = (reauth, reauth);
        let pump = up(config(a), config(b));
        let at_b = foretold(&pump, B);
        assert_eq!(
            at_b.iter().any(|(code, _)| *code == "certificate-ends-first"),
            told,
            "{reauth:?} {at_b:?}"
        );
        assert!(at_b.iter().all(|(_, text)| text.contains("ends in 2 days")), "{at_b:?}");
        assert_eq!(foretold(&pump, A), []);
    }
}

#[test]
fn a_group_that_cannot_be_used_is_foretold_before_the_first_rekey_needs_it() {
    let (a, b) = begun();
    let (mut a, mut b) = (config(a), config(b));
    for config in [&mut a, &mut b] {
        let connection = std::sync::Arc::make_mut(&mut config.connections[0]);
        connection.children[0].esp = EspSuite::parse_all("aes128gcm16-modp1024", &[Sequence::SHORT]).unwrap();
    }
    b.allow_legacy = false;
    let mut pump = up(a, b);
    let [(code, text)] = &foretold(&pump, B)[..] else { panic!("{:?}", foretold(&pump, B)) };
    assert_eq!(*code, "no-usable-group");
    assert!(text.contains("child net will not be rekeyed") && text.contains("modp1024"), "{text}");
    // And so it comes.
    let old = pump.child_sa(B);
    pump.command(A, Command::RekeyChildSa(pump.child_sa(A)));
    pump.settle();
    assert_eq!(pump.child_sa(B), old);
    assert!(pump.saw(B, |event| matches!(event, Event::ChildSaFailed { .. })));
}

#[test]
fn a_life_that_is_shorter_than_the_patience_with_a_lost_message_is_foretold() {
    let (mut a, mut b) = begun();
    b.timing.reauth = Duration::from_secs(20);
    a.children[0].lifetime.rekey_after = Some(Duration::from_secs(30));
    let pump = up(config(a), config(b));
    let told: Vec<String> = foretold(&pump, A).into_iter().map(|(_, text)| text).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("the authentication is renewed after"), "{told:?}");
    assert!(
        told[1].starts_with("child net is renewed after 30 s, but a lost message is repeated for 75 s"),
        "{told:?}"
    );
}
