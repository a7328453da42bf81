//! EAP-MSCHAPv2, and the choice between it and EAP-TLS.

use vpnhost_ike::wire::payload::Eap;
use vpnhost_ike::{EapBegin, EapFailure, EapSetup, EapStep};

use crate::harness::{
    CA, begin, carol, converse, converse_with, password_client, server, tls_client, tls_server, users,
};

#[test]
fn the_right_password_gives_both_ends_one_key() {
    for (user, password) in [("carol", "lab password"), ("größe", "пароль")] {
        let ends = converse(&password_client(user, password), &server(vec![users()]));
        let (client, server) = (ends.client.unwrap(), ends.server.unwrap());
        assert_eq!(client.msk, server.msk);
        assert_eq!(server.msk.unwrap().len(), 64);
        assert_eq!(server.identity, user);
        assert!(!server.stands_alone);
    }
}

#[test]
fn windows_puts_a_domain_before_the_name() {
    let ends = converse(&password_client("CORP\\carol", "lab password"), &server(vec![users()]));
    assert_eq!(ends.client.unwrap().msk, ends.server.as_ref().unwrap().msk);
    assert_eq!(ends.server.unwrap().identity, "carol");
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_alike_to_the_client_and_not_to_the_operator() {
    let wrong = converse(&password_client("carol", "lab passwort"), &server(vec![users()]));
    let unknown = converse(&password_client("mallory", "lab password"), &server(vec![users()]));
    assert_eq!(wrong.server.unwrap_err(), EapFailure::WrongPassword("carol".into()));
    assert_eq!(unknown.server.unwrap_err(), EapFailure::UnknownUser("mallory".into()));
    assert_eq!(wrong.client.as_ref().unwrap_err(), unknown.client.as_ref().unwrap_err());
    assert_eq!(wrong.client.as_ref().unwrap_err().code(), "eap-refused");
    let told = wrong.client.as_ref().unwrap_err().to_string();
    assert_eq!(told, "the other end refused: the user or the password is wrong (E=691)");
    let lengths =
        |packets: &[Eap]| packets.iter().map(|packet| (packet.code, packet.data.len())).collect::<Vec<_>>();
    let of_server = |packets: &[Eap]| lengths(packets).into_iter().step_by(2).collect::<Vec<_>>();
    assert_eq!(of_server(&wrong.packets), of_server(&unknown.packets));
}

#[test]
fn a_server_that_does_not_know_the_password_proves_nothing() {
    // The digits of the proof, in the success request.
    let ends = converse_with(
        &password_client("carol", "lab password"),
        &server(vec![users()]),
        &mut |at, packet| {
            if at == 4 {
                packet.data[10] = if packet.data[10] == b'0' { b'1' } else { b'0' };
            }
        },
    );
    assert_eq!(ends.client.unwrap_err(), EapFailure::ServerUnproven);
}

/// CVE-2021-45079: a client that takes any success.
#[test]
fn a_success_before_the_methods_end_is_a_failure() {
    let success = Eap { code: Eap::SUCCESS, identifier: 1, data: vec![] };
    let clients = [password_client("carol", "x"), tls_client("carol@lab", carol(), "moon.lab", CA)];
    for setup in &clients {
        let mut client = setup.begin(begin(1));
        let EapStep::Failure { failure, .. } = client.step(Some(&success)) else { panic!("it was taken") };
        assert_eq!(failure, EapFailure::EarlySuccess);
    }
    let ends = converse_with(&clients[0], &server(vec![users()]), &mut |at, packet| {
        if at == 4 {
            *packet = success.clone();
        }
    });
    assert_eq!(ends.client.unwrap_err(), EapFailure::EarlySuccess);
}

#[test]
fn a_client_gets_the_method_that_it_has_by_a_nak() {
    let both = server(vec![tls_server(CA), users()]);
    let ends = converse(&password_client("carol", "lab password"), &both);
    assert_eq!(ends.server.unwrap().method, "mschapv2");
    let ends =
        converse(&tls_client("carol@lab", carol(), "moon.lab", CA), &server(vec![users(), tls_server(CA)]));
    assert_eq!(ends.server.unwrap().method, "tls");
}

#[test]
fn without_a_common_method_both_are_told() {
    let ends = converse(&password_client("carol", "lab password"), &server(vec![tls_server(CA)]));
    let failure = ends.server.unwrap_err();
    assert_eq!(failure, EapFailure::NoCommonMethod { ours: "tls".into(), theirs: "mschapv2".into() });
    assert_eq!(ends.client.unwrap_err(), EapFailure::Refused(String::new()));
}

#[test]
fn a_notification_is_answered_and_changes_nothing() {
    let mut client = password_client("carol", "x").begin(begin(1));
    let notification = |identifier| Eap { code: Eap::REQUEST, identifier, data: b"\x02hi\x1b[2J".to_vec() };
    for identifier in 0..4 {
        let EapStep::Send(answer) = client.step(Some(&notification(identifier))) else { panic!("no answer") };
        assert_eq!((answer.code, answer.identifier, &answer.data[..]), (Eap::RESPONSE, identifier, &[2][..]));
    }
    assert!(matches!(client.step(Some(&notification(9))), EapStep::Failure { .. }));
}

#[test]
fn a_method_that_cannot_stand_alone_is_not_offered_where_it_would_have_to() {
    let both = server(vec![users(), tls_server(CA)]);
    assert!(both.can_stand_alone() && !server(vec![users()]).can_stand_alone());
    let mut alone = both.begin(EapBegin { stands_alone: true, ..begin(1) });
    let EapStep::Send(asked) = alone.step(None) else { panic!("no request") };
    let said = Eap { code: Eap::RESPONSE, identifier: asked.identifier, data: b"\x01carol".to_vec() };
    let EapStep::Send(begun) = alone.step(Some(&said)) else { panic!("no method") };
    assert_eq!(begun.data[0], 13);
    let mut nothing = server(vec![users()]).begin(EapBegin { stands_alone: true, ..begin(1) });
    nothing.step(None);
    let EapStep::Failure { failure, .. } = nothing.step(Some(&said)) else { panic!("a method was begun") };
    assert_eq!(failure.code(), "eap-cannot-stand-alone");
}

#[test]
fn a_client_with_a_password_says_nothing_to_a_server_that_showed_no_certificate() {
    let mut client =
        password_client("carol", "lab password").begin(EapBegin { stands_alone: true, ..begin(1) });
    let identity = Eap { code: Eap::REQUEST, identifier: 1, data: vec![1] };
    let EapStep::Failure { failure, .. } = client.step(Some(&identity)) else { panic!("it answers") };
    assert_eq!(failure, EapFailure::CannotStandAlone("mschapv2"));
}
