//! What policies are told when they are asked, beyond what the other tests need.

use std::time::Duration;

use vpnhost_ike::{Command, Event, PeerConfig, ReturnRoutability};
use vpnhost_policy::{
    Answer, Attribute, Authorization, PathCause, Power, PowerSource, Question, QuestionKind, QuestionSet,
    SituationCause, Strength,
};

use crate::pump::*;

/// Lets `B` ask questions of these kinds until nothing more happens, and collects them. `answer` may answer some.
fn asked(
    pump: &mut Pump,
    kinds: &[QuestionKind],
    answer: impl Fn(&Question) -> Option<Answer>,
) -> Vec<Question> {
    pump.sides[B].endpoint.delegate(kinds.iter().copied().collect::<QuestionSet>());
    let mut asked = Vec::new();
    for _ in 0..100 {
        pump.run_for(Duration::from_millis(20));
        while let Some((id, question)) = pump.sides[B].questions.pop() {
            let answer = answer(&question);
            asked.push(question);
            pump.sides[B].endpoint.handle_answer(pump.now, id, answer);
            pump.drain();
        }
    }
    asked
}

fn named(question: &Question) -> Option<Answer> {
    let labels = vec![Attribute::new("group", "staff")];
    let allowed = || Answer::AuthorizePeer(Authorization::Allow { labels });
    matches!(question, Question::AuthorizePeer(_)).then(allowed)
}

fn networked(esp: &str) -> PeerConfig {
    initiator(IKE, vec![child("net", esp, "10.1.0.0/24", "10.2.0.0/24")])
}

#[test]
fn the_labels_of_a_peer_go_with_every_later_question_about_it_and_outlive_a_rekey() {
    let mut pump = pair_of(networked("aes128gcm16"));
    pump.command(A, Command::Initiate("b".into()));
    let kinds = [
        QuestionKind::AuthorizePeer,
        QuestionKind::RankProposals,
        QuestionKind::NarrowSelectors,
        QuestionKind::PlanMaintenance,
    ];
    let first = asked(&mut pump, &kinds, named);
    pump.assert_connected(1);
    let ike_sa = pump.ike_sa(A).id;
    pump.command(A, Command::RekeyIkeSa(ike_sa));
    let second = asked(&mut pump, &kinds, named);
    let labels = |question: &Question| match question {
        Question::RankProposals(menu) => Some((menu.peer_id.is_some(), menu.labels.clone())),
        Question::NarrowSelectors(menu) => Some((true, menu.labels.clone())),
        Question::PlanMaintenance(situation) => Some((true, situation.labels.clone())),
        _ => None,
    };
    let told: Vec<_> = first.iter().chain(&second).filter_map(labels).collect();
    let staff = (true, vec![Attribute::new("group", "staff")]);
    assert_eq!(told[0], (false, Vec::new()), "nobody has proved anything in IKE_SA_INIT");
    assert_eq!(
        told[1..].len(),
        5,
        "plan, proposals, selectors; the rekey's proposals, and its plan: {told:?}"
    );
    assert!(told[1..].iter().all(|it| *it == staff), "{told:?}");
    let outcome = |event: &Event| matches!(event, Event::Decided { question: "authorize_peer", outcome, .. } if outcome == "allowed, group=staff");
    assert!(pump.saw(B, outcome));
}

#[test]
fn a_claim_tells_what_protects_it_and_of_the_other_ike_sas_of_its_identity() {
    let mut pump = pair_of(networked("aes128gcm16"));
    pump.command(A, Command::Initiate("b".into()));
    let first = asked(&mut pump, &[QuestionKind::AuthorizePeer], named);
    let [Question::AuthorizePeer(first)] = &*first else { panic!("{first:?}") };
    assert_eq!((first.other_sas, first.others.len(), first.initial_contact), (0, 0, true));
    assert_eq!((first.certificate.clone(), first.eap.clone()), (None, None));
    let sa = pump.ike_sa(B);
    assert_eq!((first.local, first.remote), (sa.path.local, sa.path.remote));
    assert_eq!(first.peer_behind_nat, sa.peer_behind_nat);
    assert_eq!(first.suite.len(), 4, "{:?}", first.suite);
    assert_eq!(first.strength, Strength::of(&first.suite));
    pump.run_for(Duration::from_secs(7));
    let ike_sa = pump.ike_sa(A).id;
    pump.command(A, Command::Reauthenticate(ike_sa));
    let second = asked(&mut pump, &[QuestionKind::AuthorizePeer], named);
    let [Question::AuthorizePeer(second)] = &*second else { panic!("{second:?}") };
    assert_eq!((second.other_sas, second.initial_contact), (1, false));
    assert_eq!((second.others[0].connection.as_str(), second.others[0].remote), ("a", second.remote));
    assert!((7..15).contains(&second.others[0].up_secs), "{:?}", second.others);
}

#[test]
fn a_menu_of_proposals_tells_what_the_peer_does_not_offer_and_what_a_packet_costs() {
    let a =
        initiator("aes256-sha256-x25519", vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    let suites =
        |text: &str| vpnhost_model::EspSuite::parse_all(text, &[vpnhost_model::Sequence::SHORT]).unwrap();
    let mut b = responder(&a);
    b.ike.extend(vpnhost_model::IkeSuite::parse_all("aes256gcm16-prfsha384-x25519").unwrap());
    b.children[0].esp = [suites("aes256-sha256"), b.children[0].esp.clone()].concat();
    let costs = [(b.children[0].esp[0].packet, 9_000), (b.children[0].esp[1].packet, 700)];
    let mut pump = Pump::new(config(a), config(b));
    pump.sides[B].endpoint.use_packet_costs(costs.into());
    pump.command(A, Command::Initiate("b".into()));
    let menus = asked(&mut pump, &[QuestionKind::RankProposals], |_| None);
    let menus: Vec<_> = menus
        .iter()
        .map(|question| match question {
            Question::RankProposals(menu) => {
                let overhead = |suites: &[vpnhost_policy::OfferedSuite]| -> Vec<_> {
                    suites.iter().map(|suite| (suite.overhead_octets, suite.packet_ns)).collect()
                };
                (overhead(&menu.suites), overhead(&menu.not_offered))
            }
            other => panic!("{other:?}"),
        })
        .collect();
    // SPI, sequence number, IV, padding, its length, next header, ICV: 8 + 8 + 3 + 2 + 16, and 8 + 16 + 15 + 2 + 16.
    let ike = vec![(None, None)];
    let esp = (vec![(Some(37), Some(700))], vec![(Some(57), Some(9_000))]);
    assert_eq!(menus, [(ike.clone(), ike), esp]);
}

#[test]
fn a_menu_of_selectors_tells_what_the_peer_asked_for_and_whether_it_rekeys() {
    let mut a = networked("aes128gcm16");
    let b = responder(&a);
    a.children[0].remote = vec![ts("10.0.0.0/8")];
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    let first = asked(&mut pump, &[QuestionKind::NarrowSelectors], |_| None);
    let child = pump.child_sa(A);
    pump.command(A, Command::RekeyChildSa(child));
    let second = asked(&mut pump, &[QuestionKind::NarrowSelectors], |_| None);
    let menu = |questions: &[Question]| {
        let [Question::NarrowSelectors(menu)] = questions else { panic!("{questions:?}") };
        let text = |side: &[vpnhost_model::TrafficSelector]| side[0].to_string();
        [text(&menu.offered_local), text(&menu.local), text(&menu.offered_remote), menu.rekeys.to_string()]
    };
    assert_eq!(menu(&first), ["10.0.0.0/8", "10.2.0.0/24", "10.1.0.0/24", "false"]);
    assert_eq!(menu(&second)[3], "true");
}

#[test]
fn what_the_machine_runs_on_is_told_and_another_source_asks_anew() {
    let child = child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24");
    let mobile = PeerConfig {
        mobike: true,
        return_routability: ReturnRoutability::Never,
        ..initiator(IKE, vec![child])
    };
    let mut pump = pair_of(mobile);
    pump.set_addresses(B, &["192.0.2.2"]);
    pump.set_addresses(A, &["192.0.2.1"]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.sides[A].endpoint.delegate(QuestionSet::ALL);
    let tell = |pump: &mut Pump, power: Power| {
        let now = pump.now;
        pump.sides[A].endpoint.handle_power(now, power);
        pump.drain();
        std::mem::take(&mut pump.sides[A].questions)
    };
    let battery = |percent| Power { source: PowerSource::BATTERY, battery_percent: Some(percent) };
    let questions = tell(&mut pump, battery(80));
    let [(_, Question::PlanMaintenance(situation)), (_, Question::RankPaths(menu))] = &*questions else {
        panic!("{questions:?}")
    };
    assert_eq!((situation.cause, situation.power), (SituationCause::POWER, battery(80)));
    assert_eq!((menu.cause, menu.power), (PathCause::POWER, battery(80)));
    assert_eq!((situation.interface.as_str(), situation.outages), ("eth0", 0));
    pump.run_for(Duration::from_secs(1));
    assert_eq!(tell(&mut pump, battery(79)).len(), 0, "a percent is no reason");
}
