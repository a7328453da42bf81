//! What an authenticated peer, or who copies its packets, can have others get (RFC 4555 §3.7).

use super::*;

#[test]
fn ever_new_updates_from_a_victims_address_get_it_a_bounded_number_of_requests() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    let victim: SocketAddr = "203.0.113.9:4500".parse().unwrap();
    let before = pump.sides[B].sent.len();
    pump.filter = Box::new(|_, _| false);
    let (id, mut updates) = (pump.ike_sa(A).id, 0);
    for turn in 0..40 {
        let (asked, answered) = (pump.sides[A].sent.len(), pump.sides[B].sent.len());
        let to = [AWAY, HOME][turn % 2];
        pump.command(A, Command::Roam(id, Some((to.parse().unwrap(), GATEWAY.parse().unwrap()))));
        let Some(update) = sent_since(&pump, A, asked).first().map(|sent| sent.octets.clone()) else {
            continue;
        };
        pump.inject(B, "203.0.113.9:4500", 4500, &update);
        let is_answer = |sent: &&Transmit| sent.octets[19] & 0x20 != 0;
        let answer = sent_since(&pump, B, answered).iter().find(is_answer).map(|sent| sent.octets.clone());
        // The peer is in league with who sends it from there.
        let from = pump.ike_sa(A).path.local;
        pump.sides[A].address = from.ip();
        pump.inject(A, "192.0.2.2:4500", 4500, &answer.unwrap());
        pump.run_for(Duration::from_millis(300));
        updates += 1;
    }
    assert!(updates >= 30, "{updates}");
    let to_victim = |sent: &&Transmit| sent.path.remote == victim && sent.octets[19] & 0x20 == 0;
    let count = sent_since(&pump, B, before).iter().filter(to_victim).count();
    assert!((1..=2 * usize::from(vpnhost_ike::limits::CHECKS_IN_SPAN)).contains(&count), "{count} requests");
}

#[test]
fn esp_that_is_copied_from_ever_new_addresses_does_not_displace_the_check_of_an_update() {
    let a = mobile(ReturnRoutability::Before);
    let b = PeerConfig { gateways: Vec::new(), ..responder(&a) };
    let mut pump = Pump::new(config(a), config(b));
    pump.masquerade = Some("203.0.113.1:4500".parse().unwrap());
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let moved: SocketAddr = "203.0.113.2:4500".parse().unwrap();
    pump.masquerade = Some(moved);
    // The first check is lost.
    let mut lost = false;
    pump.filter = Box::new(move |side, sent| {
        let is_request = sent.octets[19] & 0x20 == 0;
        side != B || !is_request || std::mem::replace(&mut lost, true)
    });
    pump.command(
        A,
        Command::Roam(pump.ike_sa(A).id, Some((AWAY.parse().unwrap(), GATEWAY.parse().unwrap()))),
    );
    pump.run_for(Duration::from_millis(50));
    let (child, path) = (pump.child_sa(B), path_of(&pump, B));
    for last in 10..15 {
        let seen = Path { remote: SocketAddr::new([198, 51, 100, last].into(), 4500), ..path };
        pump.traffic(B, TrafficReport::Moved(child, seen));
        pump.run_for(Duration::from_millis(100));
    }
    pump.run_for(Duration::from_secs(2));
    assert_eq!(path_of(&pump, B).remote, moved);
}

#[test]
fn esp_of_the_other_family_waits_for_the_update_that_tells_of_the_move() {
    let config =
        PeerConfig { encapsulation: EncapsulationPolicy::Always, ..mobile(ReturnRoutability::Before) };
    let mut pump = connected_as(config, &[HOME]);
    let before = pump.sides[B].sent.len();
    let (child, path) = (pump.child_sa(B), path_of(&pump, B));
    let seen = Path { local: address("2001:db8::2", 4500), remote: address("2001:db8::11", 4500), ..path };
    pump.traffic(B, TrafficReport::Moved(child, seen));
    pump.settle();
    assert_at(&pump, HOME, GATEWAY);
    assert_eq!(sent_since(&pump, B, before).len(), 0, "no path has ends of two families");
}

#[test]
fn an_address_behind_the_tunnel_is_not_acceptable_and_the_client_goes_back() {
    // The client protects the network that it moves into: packets for its new address would go into the tunnel.
    const INSIDE: &str = "10.1.0.77";
    let mut pump = connected(ReturnRoutability::Never, &[HOME]);
    pump.set_addresses(A, &[HOME, INSIDE]);
    pump.run_for(Duration::from_secs(5));
    let ends = (INSIDE.parse().unwrap(), GATEWAY.parse().unwrap());
    pump.command(A, Command::Roam(pump.ike_sa(A).id, Some(ends)));
    pump.run_for(Duration::from_secs(10));
    assert_eq!(hindrances(&pump, A)[0], "path-refused");
    assert!(moves(&pump, B).is_empty(), "the gateway did not follow");
    assert_at(&pump, HOME, GATEWAY);
    pump.assert_connected(1);
}

#[test]
fn updates_one_after_another_that_are_checked_after_lead_back_to_where_the_client_was_proven_to_be() {
    const THIRD: &str = "192.0.2.21";
    for answers in [false, true] {
        let mut pump = connected(ReturnRoutability::After, &[HOME]);
        // The client's updates arrive; where they are from nobody answers.
        pump.filter = Box::new(move |side, sent| side == B || sent.octets[19] & 0x20 == 0);
        for next in [AWAY, THIRD] {
            if answers && next == THIRD {
                pump.filter = Box::new(|_, _| true);
            }
            pump.set_addresses(A, &[next]);
            pump.run_for(Duration::from_millis(100));
            assert_eq!(path_of(&pump, B).remote, address(next, 4500), "it is followed at once");
        }
        pump.run_for(Duration::from_secs(10));
        let (there, not) = if answers { (THIRD, HOME) } else { (HOME, THIRD) };
        assert_eq!(path_of(&pump, B).remote, address(there, 4500), "and not {AWAY} or {not}");
    }
}
