//! What was measured of a path counts for that path alone.

use vpnhost_ipsec::{OutboundCommand, OutboundSa, TrafficReport, Verdict, limits};
use vpnhost_model::{ChildSaId, ChildSpi, Path};

use crate::rig::*;

const OTHER: ChildSaId = ChildSaId(2);
const THIRD: ChildSaId = ChildSaId(3);

/// Another peer behind the same NAT.
fn beside() -> Path {
    Path { remote: ([192, 0, 2, 2], 40_001).into(), ..path() }
}

/// Another way to the first peer.
fn elsewhere() -> Path {
    Path { local: ([203, 0, 113, 9], 4500).into(), ..path() }
}

fn order(rig: &mut Rig, command: OutboundCommand) {
    rig.outbound.handle_command(rig.now, command).unwrap();
}

fn install(rig: &mut Rig, (id, path): (ChildSaId, Path)) {
    let spi = ChildSpi(0x2222_0000 + id.0 as u32);
    let sa = OutboundSa { id, spi, path, ..rig.outbound_sa() };
    order(rig, OutboundCommand::Install(Box::new(sa)));
}

/// The sizes that were told to be larger than is known to arrive.
fn large(rig: &mut Rig) -> Vec<(ChildSaId, u16)> {
    let reports = std::iter::from_fn(|| rig.outbound.poll_report());
    let told = reports.filter_map(|report| {
        if let TrafficReport::Large(id, octets) = report { Some((id, octets)) } else { None }
    });
    told.collect()
}

#[test]
fn of_two_peers_behind_one_nat_each_has_its_own_path_mtu() {
    let mut rig = Rig::new(suite("aes128gcm16"));
    install(&mut rig, (OTHER, beside()));
    let whole = rig.outbound.tunnel_mtu(ID);
    order(&mut rig, OutboundCommand::MeasuredMtu(beside(), 1300));
    assert_eq!(rig.outbound.tunnel_mtu(ID), whole);
    assert!(rig.outbound.tunnel_mtu(OTHER) < whole);
}

#[test]
fn two_ways_to_one_peer_have_each_its_own_path_mtu() {
    let mut rig = Rig::new(suite("aes128gcm16"));
    install(&mut rig, (OTHER, elsewhere()));
    let whole = rig.outbound.tunnel_mtu(ID);
    order(&mut rig, OutboundCommand::MeasuredMtu(elsewhere(), 1300));
    assert_eq!(rig.outbound.tunnel_mtu(ID), whole);
    assert!(rig.outbound.tunnel_mtu(OTHER) < whole);
}

#[test]
fn an_sa_that_moves_to_where_another_is_does_not_make_that_one_forget_what_was_measured() {
    let mut rig = Rig::new(suite("aes128gcm16"));
    install(&mut rig, (OTHER, elsewhere()));
    order(&mut rig, OutboundCommand::MeasuredMtu(path(), 1300));
    let small = rig.outbound.tunnel_mtu(ID);
    order(&mut rig, OutboundCommand::Move(OTHER, path()));
    // Another measurement has all reckoned anew.
    order(&mut rig, OutboundCommand::MeasuredMtu(beside(), 1400));
    assert_eq!(rig.outbound.tunnel_mtu(ID), small);
    assert_eq!(rig.outbound.tunnel_mtu(OTHER), small);
    // Where none was, what was measured is of another time.
    order(&mut rig, OutboundCommand::Move(ID, elsewhere()));
    order(&mut rig, OutboundCommand::Move(OTHER, elsewhere()));
    order(&mut rig, OutboundCommand::Move(ID, path()));
    assert!(rig.outbound.tunnel_mtu(ID) > small);
}

#[test]
fn what_is_too_old_is_measured_again_by_the_sas_of_that_path_alone() {
    let mut rig = Rig::new(suite("aes128gcm16"));
    install(&mut rig, (OTHER, elsewhere()));
    install(&mut rig, (THIRD, elsewhere()));
    order(&mut rig, OutboundCommand::MeasuredMtu(elsewhere(), 1400));
    rig.now += limits::PATH_MTU_AGE;
    rig.sealed(inner_v4(1400, true));
    assert_eq!(large(&mut rig), [], "nothing of this path was measured");
    order(&mut rig, OutboundCommand::Activate(OTHER));
    rig.seal(&[inner_v4(1400, true)]);
    assert!(matches!(large(&mut rig)[..], [(OTHER, _)]));
}

#[test]
fn the_first_large_packet_has_the_largest_searched_that_may_come() {
    for cipher in ["aes128gcm16", "aes128-sha256"] {
        let mut rig = Rig::new(suite(cipher));
        order(&mut rig, OutboundCommand::Move(ID, elsewhere()));
        rig.seal(&[inner_v4(1300, true)]);
        let told = large(&mut rig);
        let largest = rig.outbound.tunnel_mtu(ID).unwrap();
        let outcome = rig.seal(&[inner_v4(largest.into(), true)]).remove(0);
        assert_eq!(told, [(ID, 20 + 8 + outcome.1.len() as u16)], "{cipher}");
        assert_eq!(large(&mut rig), [], "it was told");
    }
}

#[test]
fn an_ipv6_packet_of_1280_octets_passes_a_smaller_path_in_pieces_and_no_other_packet_is_cut() {
    let mut rig = Rig::new(suite("aes128gcm16"));
    order(&mut rig, OutboundCommand::MeasuredMtu(path(), 1300));
    let fits = usize::from(rig.outbound.tunnel_mtu(ID).unwrap());
    let packets =
        [inner_v6(1280), inner_v6(1281), inner_v6(fits), inner_v4(fits, true), inner_v4(1280, false)];
    let verdicts: Vec<Verdict> = rig.seal(&packets).into_iter().map(|(verdict, _)| verdict).collect();
    let sent = Verdict::Send(path());
    // The last one of IPv4 is in two fragments.
    assert_eq!(verdicts, [sent, Verdict::Reply, sent, sent, sent, sent]);
    assert_eq!(rig.cuts(), [Some(1300), None, None, None, None, None]);
    order(&mut rig, OutboundCommand::Move(ID, elsewhere()));
    rig.seal(&packets[..1]);
    assert_eq!(rig.cuts(), [None], "nobody knows that this path carries less");
}
