//! What the shipped plugins do, as components.

use std::sync::Arc;

use vpnhost_model::{Identity, IkeSuite, Protocol, Role};
use vpnhost_plugin_sdk::fixtures;
use vpnhost_policy::{
    Answer, Authorization, Chain, OfferedSuite, PeerClaim, PeerHint, ProposalMenu, Question, Situation,
    Strength,
};
use vpnhost_policy_standard::Standard;

use crate::load;

#[test]
fn strongest_first_turns_the_configured_order_and_is_named_for_it() {
    let suite = |text: &str| {
        let transforms = IkeSuite::parse_all(text).unwrap()[0].transforms();
        OfferedSuite {
            strength: Strength::of(&transforms),
            transforms,
            backend: "rustcrypto".into(),
            overhead_octets: None,
            packet_ns: None,
            key_share_present: false,
            hints: Vec::new(),
        }
    };
    let question = Question::RankProposals(ProposalMenu {
        connection: "corp".into(),
        role: Role::Responder,
        protocol: Protocol::IKE,
        peer: PeerHint {
            remote: ([198, 51, 100, 1], 500).into(),
            local: ([192, 0, 2, 1], 500).into(),
            behind_nat: None,
            peer_behind_nat: None,
            hints: Vec::new(),
        },
        peer_id: None,
        labels: Vec::new(),
        not_offered: Vec::new(),
        suites: ["aes128-sha256-modp1024", "aes256-sha256-modp2048", "aes256gcm16-prfsha384-x25519"]
            .map(suite)
            .to_vec(),
        hints: Vec::new(),
    });
    let plugin = load("strongest-first", &[]).unwrap();
    let decision = Chain::new(vec![Arc::new(plugin), Arc::new(Standard)]).decide(&question);
    assert_eq!(decision.decided_by.as_deref(), Some("strongest-first"));
    let Some(Answer::RankProposals(ranking)) = decision.answer else { panic!("no ranking") };
    assert_eq!(ranking.order, [2, 1, 0]);
    assert_eq!(ranking.why.as_deref(), Some("the strongest suite is recommended"));
}

#[test]
fn office_hours_refuse_at_night_and_say_why() {
    let plugin = load("office-hours", &[("from", "08:00"), ("to", "18:00")]).unwrap();
    let chain = Chain::new(vec![Arc::new(plugin), Arc::new(Standard)]);
    let ask = |hour: u64| {
        chain.decide(&Question::AuthorizePeer(PeerClaim {
            connection: "corp".into(),
            role: Role::Responder,
            local_id: Identity::Fqdn("moon".into()),
            peer_id: Identity::Email("carol@example.org".into()),
            auth_method: 2,
            key: String::new(),
            certificate: None,
            eap: None,
            suite: Vec::new(),
            strength: Strength::RECOMMENDED,
            local: ([192, 0, 2, 1], 4500).into(),
            peer_behind_nat: false,
            others: Vec::new(),
            initial_contact: false,
            remote: ([198, 51, 100, 1], 4500).into(),
            // Wednesday, 25 November 2026.
            unix_secs: 1_795_564_800 + hour * 3600,
            utc_offset_secs: 0,
            other_sas: 0,
            hints: Vec::new(),
        }))
    };
    assert!(matches!(ask(12).answer, Some(Answer::AuthorizePeer(Authorization::Allow { .. }))));
    let night = ask(2);
    assert_eq!(night.decided_by.as_deref(), Some("office-hours"));
    assert_eq!(
        night.answer.unwrap().why(),
        Some("outside office hours: wed 02:00, open 08:00 to 18:00 on mon tue wed thu fri")
    );
}

#[test]
fn keen_is_quick_to_suspect_and_the_learned_keepalive_goes_beyond_what_is_proven() {
    let situation =
        Situation { idle_proven_ms: Some(100_000), rtt_us: Some(20_000), ..fixtures::situation(true) };
    let plan = |name: &str| {
        let plugin = load(name, &[]).unwrap();
        let chain = Chain::new(vec![Arc::new(plugin), Arc::new(Standard)]);
        let decision = chain.decide(&Question::PlanMaintenance(situation.clone()));
        assert_eq!(decision.decided_by.as_deref(), Some(name));
        let Some(Answer::PlanMaintenance(plan)) = decision.answer else { panic!("no plan") };
        plan
    };
    let keen = plan("keen");
    assert_eq!((keen.suspect_ms, keen.retransmit_first_ms, keen.keepalive_ms), (300, 250, 90_000));
    let adaptive = plan("learned-keepalive");
    assert_eq!((adaptive.suspect_ms, adaptive.keepalive_ms), (1_000, 125_000));
}
