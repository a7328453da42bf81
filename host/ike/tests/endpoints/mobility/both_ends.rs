//! The lists of both sides' addresses, and both sides on their way at once (RFC 4555 §3.6, §3.9).

use std::collections::BTreeSet;

use super::*;

/// The Message IDs of INFORMATIONAL requests.
fn message_ids(sent: &[Transmit]) -> BTreeSet<u32> {
    let is_request = |sent: &&Transmit| sent.octets[18] == 37 && sent.octets[19] & 0x20 == 0;
    let id = |sent: &Transmit| u32::from_be_bytes(sent.octets[20..24].try_into().unwrap());
    sent.iter().filter(is_request).map(id).collect()
}

#[test]
fn both_ends_that_move_at_once_find_each_other_by_what_the_client_told() {
    for (routability, rekeys) in [
        (ReturnRoutability::Before, false),
        (ReturnRoutability::After, false),
        (ReturnRoutability::Never, false),
        (ReturnRoutability::Before, true),
    ] {
        let mut pump = connected(routability, &[HOME, AWAY]);
        let spi = pump.ike_sa(A).spi_i;
        if rekeys {
            pump.filter = Box::new(|side, _| side == A);
            pump.command(B, Command::RekeyChildSa(pump.child_sa(B)));
            pump.run_for(Duration::from_millis(100));
            pump.filter = Box::new(|_, _| true);
        }
        // Nobody knows the gateway's new address, and the client's is in its list alone.
        pump.set_addresses(A, &[AWAY]);
        pump.set_addresses(B, &[SECOND_GATEWAY]);
        pump.run_for(Duration::from_secs(20));
        assert_at(&pump, AWAY, SECOND_GATEWAY);
        assert_eq!(pump.ike_sa(A).spi_i, spi, "nothing was negotiated anew");
        pump.assert_connected(1);
    }
}

#[test]
fn a_gateway_whose_addresses_are_known_asks_the_client_nowhere_else() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    pump.filter = Box::new(|_, _| false);
    let before = pump.sides[B].sent.len();
    pump.command(B, Command::CheckLiveness(pump.ike_sa(B).id));
    pump.run_for(Duration::from_secs(200));
    assert!(sent_since(&pump, B, before).iter().all(|sent| sent.path.remote == address(HOME, 4500)));
}

#[test]
fn a_list_that_was_repeated_from_several_addresses_is_told_again_from_one() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME, AWAY]);
    let before = pump.sides[A].sent.len();
    pump.set_addresses(A, &[HOME, AWAY, "192.0.2.21"]);
    pump.filter = Box::new(|side, _| side == B);
    pump.run_for(Duration::from_secs(4));
    pump.filter = Box::new(|_, _| true);
    pump.run_for(Duration::from_secs(30));
    let sent = sent_since(&pump, A, before);
    assert_eq!(message_ids(sent).len(), 2, "RFC 4555, 3.6");
    assert_eq!(sent.last().map(|sent| sent.path.local), Some(address(HOME, 4500)));
}

#[test]
fn a_list_that_the_peer_refused_is_told_again_some_times() {
    let mut config = mobile(ReturnRoutability::Before);
    config.encapsulation = EncapsulationPolicy::ForbidNat;
    let mut pump = connected_as(config, &[HOME]);
    pump.masquerade = Some("203.0.113.1:500".parse().unwrap());
    let before = pump.sides[A].sent.len();
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.run_for(Duration::from_secs(30));
    let lists = 3;
    let introduction = 1;
    assert_eq!(message_ids(sent_since(&pump, A, before)).len(), lists + introduction);
}

#[test]
fn whoever_forbids_nats_follows_a_peer_that_does_not_forbid_them() {
    let a = mobile(ReturnRoutability::Never);
    let b = PeerConfig { encapsulation: EncapsulationPolicy::ForbidNat, ..responder(&a) };
    let mut pump = Pump::new(config(a), config(b));
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    for to in [AWAY, HOME, AWAY] {
        assert_eq!(order(&mut pump, Some((to, GATEWAY))), None);
        assert_at(&pump, to, GATEWAY);
    }
}

#[test]
fn a_gateway_with_one_more_address_asks_the_client_nowhere_but_where_it_is() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    // The client cannot be told of it now.
    pump.filter = Box::new(|_, _| false);
    let before = pump.sides[B].sent.len();
    pump.set_addresses(B, &[GATEWAY, SECOND_GATEWAY]);
    pump.run_for(Duration::from_secs(200));
    let sent = sent_since(&pump, B, before);
    assert!(sent.len() > 3 && sent.iter().all(|sent| sent.path.remote == address(HOME, 4500)));
}
