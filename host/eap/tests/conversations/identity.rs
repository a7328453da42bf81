//! Who asks whom for a name (RFC 7296 §2.16).

use vpnhost_eap::ServerSetup;
use vpnhost_ike::{EapSetup, EapStep};

use crate::harness::{
    CA, Ends, begin, begin_with, carol, converse_between, server, tls_client, tls_server, users,
};

const IDENTITY: u8 = 1;

fn knowing(setup: ServerSetup) -> ServerSetup {
    ServerSetup { asks_identity: false, ..setup }
}

fn meet(client: &dyn EapSetup, server: &ServerSetup, peer: &str) -> Ends {
    let (mut client, mut server) = (client.begin(begin(1)), server.begin(begin_with(peer)));
    converse_between(&mut *client, &mut *server, &mut |_, _| {})
}

#[test]
fn a_server_that_ike_has_told_who_the_client_is_does_not_ask() {
    let silent = |ends: Ends, user: &str| {
        assert_eq!(ends.server.unwrap().identity, user);
        assert!(ends.client.is_ok());
        assert!(ends.packets.iter().all(|packet| packet.data.first() != Some(&IDENTITY)));
    };
    for peer in ["carol.lab", "carol@lab"] {
        let client = tls_client("whoever", carol(), "moon.lab", CA);
        silent(meet(&client, &knowing(server(vec![tls_server(CA)])), peer), peer);
    }
}

#[test]
fn where_passwords_are_taken_or_the_operator_wants_it_the_server_asks_user_and_stranger_alike() {
    let first = |setup: &ServerSetup, peer: &str| {
        let EapStep::Send(packet) = setup.begin(begin_with(peer)).step(None) else { panic!("no request") };
        packet.data[0]
    };
    let setup = knowing(server(vec![users()]));
    for peer in ["192.0.2.1", "2001:db8::1", "keyid:00ff", "carol.lab", "carol", "mallory"] {
        assert_eq!(first(&setup, peer), IDENTITY, "{peer}");
    }
    let tls = || server(vec![tls_server(CA)]);
    assert_ne!(first(&knowing(tls()), "carol"), IDENTITY);
    assert_eq!(first(&knowing(tls()), "192.0.2.1"), IDENTITY);
    assert_eq!(first(&tls(), "carol"), IDENTITY);
}

/// A certificate need not be for the name that IKE was told; then the client is whom the certificate says.
#[test]
fn a_name_out_of_ike_is_the_clients_only_where_the_certificate_says_so() {
    let meet = |peer: &str| {
        let client = tls_client("whoever", carol(), "moon.lab", CA);
        meet(&client, &knowing(server(vec![tls_server(CA)])), peer).server.unwrap().identity
    };
    assert_eq!(meet("carol.lab"), "carol.lab");
    assert_eq!(meet("CAROL@lab"), "carol@lab");
    assert_eq!(meet("dave@lab"), "carol@lab");
}

#[test]
fn after_a_nak_the_other_method_does_not_ask_again() {
    let both = knowing(server(vec![users(), tls_server(CA)]));
    let ends = meet(&tls_client("carol@lab", carol(), "moon.lab", CA), &both, "carol");
    assert_eq!(ends.server.unwrap().method, "tls");
}
