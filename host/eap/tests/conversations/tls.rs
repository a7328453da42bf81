//! EAP-TLS.

use std::time::Duration;

use vpnhost_ike::wire::payload::Eap;
use vpnhost_ike::{EapBegin, EapFailure, EapMethod, EapSetup, EapStep};
use vpnhost_model::Identity;

use crate::harness::{
    CA, NOW, OTHER_CA, begin, carol, converse, converse_with, dave, server, tls_client, tls_server,
};

#[test]
fn certificates_give_both_ends_one_key() {
    for (name, credential) in [("carol@lab", carol()), ("dave@lab", dave()), ("carol.lab", carol())] {
        let ends = converse(&tls_client(name, credential, "moon.lab", CA), &server(vec![tls_server(CA)]));
        let (client, server) = (ends.client.unwrap(), ends.server.unwrap());
        assert_eq!(client.msk, server.msk);
        assert_eq!(server.msk.unwrap().len(), 64);
        assert_eq!(server.identity, name);
        assert!(server.stands_alone && client.stands_alone);
        assert!(ends.packets.iter().all(|packet| packet.data.len() <= 1030), "fragments fit");
        let more = |packet: &&Eap| packet.data.first() == Some(&13) && packet.data[1] & 0x40 != 0;
        assert!(ends.packets.iter().filter(more).count() >= 2, "the server's chain is fragmented");
    }
}

#[test]
fn who_hides_the_name_has_that_of_the_certificate() {
    for hidden in ["@lab", "anonymous@lab", "anonymous", ""] {
        let ends = converse(&tls_client(hidden, carol(), "moon.lab", CA), &server(vec![tls_server(CA)]));
        assert_eq!(ends.server.unwrap().identity, "carol@lab");
    }
}

/// One certificate was as many users as there are spellings of its name.
#[test]
fn a_name_is_spelled_as_the_certificate_spells_it() {
    for claimed in ["CAROL@LAB", "Carol@lab", "carol@lab"] {
        let ends = converse(&tls_client(claimed, carol(), "moon.lab", CA), &server(vec![tls_server(CA)]));
        assert_eq!(ends.server.unwrap().identity, "carol@lab");
    }
}

#[test]
fn another_ones_name_is_refused() {
    let ends = converse(&tls_client("dave@lab", carol(), "moon.lab", CA), &server(vec![tls_server(CA)]));
    assert_eq!(ends.server.unwrap_err().code(), "wrong-identity");
    assert_eq!(ends.client.unwrap_err().code(), "eap-refused");
}

#[test]
fn a_certificate_of_another_ca_is_refused_by_either_end() {
    let ends =
        converse(&tls_client("carol@lab", carol(), "moon.lab", CA), &server(vec![tls_server(OTHER_CA)]));
    assert_eq!(ends.server.unwrap_err().code(), "wrong-ca");
    assert_eq!(ends.client.unwrap_err().code(), "eap-refused");
    let ends =
        converse(&tls_client("carol@lab", carol(), "moon.lab", OTHER_CA), &server(vec![tls_server(CA)]));
    assert_eq!(ends.client.unwrap_err().code(), "wrong-ca");
    assert_eq!(ends.server.unwrap_err().code(), "eap-refused");
}

#[test]
fn a_server_with_another_name_is_refused() {
    let ends = converse(&tls_client("carol@lab", carol(), "sun.lab", CA), &server(vec![tls_server(CA)]));
    assert_eq!(ends.client.unwrap_err().code(), "wrong-identity");
}

#[test]
fn a_server_that_nobody_named_is_whom_the_gateway_says_to_be() {
    let ends = converse(&tls_client("carol@lab", carol(), "", CA), &server(vec![tls_server(CA)]));
    assert!(ends.client.is_ok());
    let mut client = tls_client("carol@lab", carol(), "", CA)
        .begin(EapBegin { peer: Identity::Fqdn("sun.lab".into()), ..begin(1) });
    assert_eq!(refusal(&mut *client), "wrong-identity");
}

#[test]
fn whose_own_certificate_has_expired_by_the_time_that_was_given_says_so() {
    let setup = tls_client("carol@lab", carol(), "moon.lab", CA);
    let mut client = setup.begin(EapBegin { unix: NOW + Duration::from_secs(40 * 365 * 86_400), ..begin(1) });
    assert_eq!(refusal(&mut *client), "own-certificate-expired");
}

/// Returns the code by which a client refuses the server.
fn refusal(client: &mut dyn EapMethod) -> &'static str {
    let mut server = server(vec![tls_server(CA)]).begin(begin(2));
    let mut step = server.step(None);
    for _ in 0..100 {
        let (EapStep::Send(packet) | EapStep::Failure { packet: Some(packet), .. }) = step else { break };
        match client.step(Some(&packet)) {
            EapStep::Send(answer) => step = server.step(Some(&answer)),
            EapStep::Failure { failure, .. } => return failure.code(),
            EapStep::Success { .. } => break,
        }
    }
    panic!("it was not refused");
}

#[test]
fn the_servers_last_word_is_awaited() {
    // RFC 9190, 2.5: without it the client does not know that its certificate was taken.
    let clean = converse(&tls_client("carol@lab", carol(), "moon.lab", CA), &server(vec![tls_server(CA)]));
    let last_request = clean.packets.len() - 3;
    let setup = tls_client("carol@lab", carol(), "moon.lab", CA);
    let ends = converse_with(&setup, &server(vec![tls_server(CA)]), &mut |at, packet| {
        if at == last_request {
            *packet = Eap { code: Eap::SUCCESS, identifier: packet.identifier, data: vec![] };
        }
    });
    assert_eq!(ends.client.unwrap_err(), EapFailure::EarlySuccess);
}
