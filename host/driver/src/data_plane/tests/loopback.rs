//! Over the loopback interface, with a TUN in memory: nobody needs to be root.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use vpnhost_ike::output::TransmitKind;
use vpnhost_ipsec::{CommandError, DropCause, TrafficReport};
use vpnhost_model::{ChildSaId, ChildSpi, Encapsulation, Path};

use super::super::tally::Tally;
use super::super::{DataPlane, Datagram, FromPath, News, limits};
use super::*;
use crate::messages::{Envelope, Sending};
use crate::tun::Tun;

/// A packet path whose TUN ends here.
struct Host {
    plane: DataPlane,
    from_path: FromPath,
    tun: UnixDatagram,
}

impl Host {
    fn start(listen: &[&str]) -> Self {
        let settings = settings(listen, [0, 0]);
        let sockets = super::super::Sockets::open(&settings.listen, settings.ports, 0).unwrap();
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let (plane, from_path) = DataPlane::with(&settings, sockets, Tun::of(theirs)).unwrap();
        Self { plane, from_path, tun: ours }
    }

    fn count(&self, tally: Tally) -> u64 {
        self.plane.shared.tallies.count(tally)
    }

    fn datagram(&mut self) -> Datagram {
        wait_for("a datagram", || self.from_path.datagrams.try_recv().ok())
    }

    fn news(&mut self) -> News {
        wait_for("news", || self.from_path.news.try_recv().ok())
    }

    fn report(&mut self) -> TrafficReport {
        wait_for("a report", || self.from_path.reports.try_recv().ok())
    }

    fn read_tun(&self) -> Vec<u8> {
        let mut room = vec![0; 2000];
        let len = self.tun.recv(&mut room).unwrap();
        room.truncate(len);
        room
    }
}

/// The number of the loopback interface (netdevice(7)): the first that a network namespace has.
const LOOPBACK: u32 = 1;

fn client(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn received(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut room = vec![0; 2000];
    let (len, from) = socket.recv_from(&mut room).unwrap();
    room.truncate(len);
    (room, from)
}

/// Two hosts on addresses of their own, with an SA pair that both know and use.
fn pair_of_hosts() -> (Host, Host, [End; 2]) {
    let (left, right) = (Host::start(&["127.0.0.1"]), Host::start(&["127.0.0.2"]));
    let address = |host: &Host, ip: &str| SocketAddr::new(ip.parse().unwrap(), host.plane.ports()[1]);
    let (here, there) = (address(&left, "127.0.0.1"), address(&right, "127.0.0.2"));
    let path = |local, remote| Path { local, remote, interface: None, encapsulation: Encapsulation::Udp };
    let ends = [
        End { id: 1, spi_in: 0x1001, spi_out: 0x1002, path: path(here, there) },
        End { id: 1, spi_in: 0x1002, spi_out: 0x1001, path: path(there, here) },
    ];
    for (host, end) in [(&left, ends[0]), (&right, ends[1])] {
        let (inbound, outbound) = end.sas();
        host.plane.install(inbound, outbound).unwrap();
        host.plane.activate(ChildSaId(1));
    }
    (left, right, ends)
}

#[test]
fn ike_has_a_marker_on_one_port_and_none_on_the_other_and_is_answered_from_where_it_came_to() {
    for (any, ip, mine) in [("0.0.0.0", "127.0.0.3", "127.0.0.4"), ("::", "::1", "::1")] {
        if UdpSocket::bind((ip, 0)).is_err() {
            eprintln!("skipped: {ip} is not of this machine");
            continue;
        }
        let mut host = Host::start(&[any]);
        let client = client(mine);
        for (port, marker) in [(host.plane.ports()[0], &[][..]), (host.plane.ports()[1], &[0; 4])] {
            let there = SocketAddr::new(ip.parse().unwrap(), port);
            let sent = [marker, b"an IKE message"].concat();
            client.send_to(&sent, there).unwrap();
            let datagram = host.datagram();
            assert_eq!(datagram.octets, b"an IKE message");
            assert_eq!((datagram.path.local, datagram.path.remote), (there, client.local_addr().unwrap()));
            assert_eq!(datagram.path.interface, Some(LOOPBACK), "by which it came in");
            host.plane.transmit(&datagram.path, &datagram.octets, TransmitKind::Ike).unwrap();
            assert_eq!(received(&client), (sent, there));
        }
        assert_eq!((host.count(Tally::IkeIn), host.count(Tally::IkeOut)), (2, 2));
    }
}

#[test]
fn a_peer_that_has_not_said_which_address_it_means_is_sent_to_from_the_kernels_choice() {
    let host = Host::start(&["0.0.0.0"]);
    let client = client("127.0.0.4");
    let path = Path {
        local: SocketAddr::new([0, 0, 0, 0].into(), host.plane.ports()[1]),
        remote: client.local_addr().unwrap(),
        interface: None,
        encapsulation: Encapsulation::Raw,
    };
    host.plane.transmit(&path, b"hello", TransmitKind::Ike).unwrap();
    assert_eq!(received(&client).0, b"\0\0\0\0hello");
    let elsewhere = Path { remote: "[::1]:4500".parse().unwrap(), ..path };
    assert!(host.plane.transmit(&elsewhere, b"hello", TransmitKind::Ike).is_err(), "no socket of IPv6");
}

#[test]
fn a_keepalive_is_one_octet_without_marker_and_control_does_not_see_it() {
    let mut host = Host::start(&["127.0.0.1"]);
    let client = client("127.0.0.1");
    let there = SocketAddr::new([127, 0, 0, 1].into(), host.plane.ports()[1]);
    client.send_to(&[0xff], there).unwrap();
    client.send_to(&[1, 2, 3], there).unwrap();
    client.send_to(&[], there).unwrap();
    client.send_to(b"\0\0\0\0last", there).unwrap();
    let datagram = host.datagram();
    assert_eq!(datagram.octets, b"last");
    assert_eq!((host.count(Tally::Keepalive), host.count(Tally::Runt)), (1, 2));
    host.plane.transmit(&datagram.path, &[0xff], TransmitKind::Keepalive).unwrap();
    assert_eq!(received(&client), (vec![0xff], there));
}

#[test]
fn datagrams_that_the_kernel_merged_are_told_apart() {
    let mut host = Host::start(&["127.0.0.1"]);
    let client = client("127.0.0.1");
    let there = SocketAddr::new([127, 0, 0, 1].into(), host.plane.ports()[1]);
    let envelope = Envelope { source: [0, 0, 0, 0].into(), interface: 0, remote: there, tos: 0 };
    let packets: [&[u8]; 4] = [b"\0\0\0\0first", b"\0\x01\0\0an ES", b"\0\0\0\0third", &[0xff]];
    let packets = || packets.iter().map(|octets| (envelope, *octets));
    let sent = Sending::new().send(client.as_fd(), packets(), true).unwrap();
    assert_eq!((sent.packets, sent.messages), (4, 1));
    assert_eq!(host.datagram().octets, b"first");
    assert_eq!(host.datagram().octets, b"third");
    wait_for("the keepalive", || (host.count(Tally::Keepalive) == 1).then_some(()));
    assert_eq!(host.plane.counters().dropped(DropCause::UnknownSpi), 1);
    // Other lengths do not go together, and neither does what goes elsewhere.
    let other = Envelope { tos: 4, ..envelope };
    let mixed = [(envelope, &b"\0\0\0\0a"[..]), (envelope, b"\0\0\0\0bc"), (other, b"\0\0\0\0de")];
    let sent = Sending::new().send(client.as_fd(), mixed.into_iter(), true).unwrap();
    assert_eq!((sent.packets, sent.messages), (3, 3));
    for expected in [&b"a"[..], b"bc", b"de"] {
        assert_eq!(host.datagram().octets, expected);
    }
}

#[test]
fn packets_go_in_at_one_tun_and_come_out_at_the_other_in_order() {
    let (left, right, _) = pair_of_hosts();
    for (from, to) in [(&left, &right), (&right, &left)] {
        for number in 0..200 {
            let packet = inner_packet(number, 24 + (number as usize * 37) % 1300);
            from.tun.send(&packet).unwrap();
            assert!(to.read_tun() == packet, "{number}");
        }
        for round in 0..50 {
            // Many at once are sealed, sent and opened together. More would not fit into our end of the TUN.
            let burst = || (round * 10..round * 10 + 10).map(|number| inner_packet(number, 1300));
            burst().for_each(|packet| assert!(from.tun.send(&packet).is_ok()));
            burst().for_each(|packet| assert!(to.read_tun() == packet, "{:?}", &packet[20..24]));
        }
    }
    for (name, value) in left.plane.all_counters().into_iter().chain(right.plane.all_counters()) {
        assert!(!name.starts_with("drop_") || value == 0, "{name} = {value}");
    }
}

#[test]
fn an_sa_that_control_has_just_installed_opens_the_next_packet() {
    let (left, right, ends) = pair_of_hosts();
    for turn in 0..100 {
        let (spi_in, spi_out) = (0x2000 + 2 * turn, 0x2001 + 2 * turn);
        let theirs = End { id: 10 + u64::from(turn), spi_in, spi_out, ..ends[1] };
        let ours = End { spi_in: spi_out, spi_out: spi_in, path: ends[0].path, ..theirs };
        let (inbound, outbound) = ours.sas();
        left.plane.install(inbound, outbound).unwrap();
        left.plane.activate(ChildSaId(ours.id));
        let (inbound, outbound) = theirs.sas();
        right.plane.install(inbound, outbound).unwrap();
        left.tun.send(&inner_packet(turn, 100)).unwrap();
        assert_eq!(right.read_tun(), inner_packet(turn, 100));
        left.plane.remove(ChildSaId(ours.id));
        right.plane.remove(ChildSaId(theirs.id));
    }
    assert_eq!(right.plane.counters().dropped(DropCause::UnknownSpi), 0);
}

#[test]
fn what_control_must_know_comes_as_news() {
    let (mut left, mut right, ends) = pair_of_hosts();
    let (inbound, outbound) = ends[0].sas();
    left.plane.install(inbound, outbound).unwrap();
    for _ in 0..2 {
        let news = left.news();
        assert!(matches!(news, News::Refused(ChildSaId(1), CommandError::Duplicate(_))), "{news:?}");
    }
    left.tun.send(&inner_packet(1, 100)).unwrap();
    right.read_tun();
    assert_eq!(right.report(), TrafficReport::FirstInbound(ChildSaId(1)));
    right.plane.remove(ChildSaId(1));
    left.tun.send(&inner_packet(2, 100)).unwrap();
    let TrafficReport::UnknownSpi { spi: ChildSpi(0x1002), path, .. } = right.report() else {
        panic!("an SPI that is not there is not told");
    };
    assert_eq!((path.local, path.remote), (ends[1].path.local, ends[1].path.remote));
    right.tun.send(&inner_packet(3, 100)).unwrap();
    let report = right.report();
    assert!(matches!(report, TrafficReport::Acquire { .. }), "{report:?}");
}

#[test]
fn a_move_takes_effect_for_the_next_packet() {
    let (left, mut right, ends) = pair_of_hosts();
    left.tun.send(&inner_packet(1, 100)).unwrap();
    right.read_tun();
    right.report();
    let client = client("127.0.0.5");
    left.plane.move_sa(ChildSaId(1), Path { remote: client.local_addr().unwrap(), ..ends[0].path });
    left.tun.send(&inner_packet(2, 100)).unwrap();
    let (esp, _) = received(&client);
    // Handed on from elsewhere, it is authentic: the peer has moved.
    client.send_to(&esp, ends[1].path.local).unwrap();
    right.read_tun();
    let TrafficReport::Moved(ChildSaId(1), path) = right.report() else {
        panic!("that the peer has moved is not told");
    };
    assert_eq!(path.remote, client.local_addr().unwrap());
}

#[test]
fn what_control_does_not_take_in_time_is_dropped_and_counted() {
    let mut host = Host::start(&["127.0.0.1"]);
    let client = client("127.0.0.1");
    let there = SocketAddr::new([127, 0, 0, 1].into(), host.plane.ports()[0]);
    let count = limits::DATAGRAMS as u64 + 50;
    for number in 0..count {
        client.send_to(&number.to_be_bytes(), there).unwrap();
        wait_for("the datagram", || {
            (host.count(Tally::IkeIn) + host.count(Tally::ControlFull) > number).then_some(())
        });
    }
    assert_eq!(host.count(Tally::ControlFull), 50);
    assert_eq!(host.datagram().octets, 0_u64.to_be_bytes());
}

#[test]
fn a_send_that_fails_is_counted_by_its_cause_and_the_next_one_goes() {
    let (left, right, ends) = pair_of_hosts();
    // 127.0.0.9 is of this machine, but no socket is bound to it.
    let nowhere = Path { local: "127.0.0.9:4500".parse().unwrap(), ..ends[0].path };
    left.plane.move_sa(ChildSaId(1), nowhere);
    left.tun.send(&inner_packet(1, 100)).unwrap();
    wait_for("the drop", || (left.count(Tally::NoSocket) == 1).then_some(()));
    left.plane.move_sa(ChildSaId(1), ends[0].path);
    left.tun.send(&inner_packet(2, 100)).unwrap();
    assert_eq!(right.read_tun(), inner_packet(2, 100));
}

#[test]
fn a_peer_that_is_not_there_costs_no_packet_to_another() {
    let (left, right, ends) = pair_of_hosts();
    let closed = client("127.0.0.6").local_addr().unwrap();
    let to_closed = Path { remote: closed, ..ends[0].path };
    for number in 0..20 {
        // The kernel of a closed port answers by ICMP, which the socket tells at some later call.
        left.plane.transmit(&to_closed, b"anyone there?", TransmitKind::Ike).unwrap();
        left.tun.send(&inner_packet(number, 100)).unwrap();
        assert_eq!(right.read_tun(), inner_packet(number, 100));
    }
    wait_for("the ICMP errors", || (left.count(Tally::IcmpIn) > 0).then_some(()));
    assert_eq!(left.count(Tally::Unreachable), 0);
}

#[test]
fn a_thread_that_panics_is_told() {
    let mut host = Host::start(&["127.0.0.1"]);
    let thread =
        super::super::shared::spawn("luckless", &host.plane.shared, || panic!("on purpose")).unwrap();
    thread.join().unwrap();
    let news = host.news();
    assert!(
        matches!(&news, News::Failed(why) if why == "the thread luckless panicked: on purpose"),
        "{news:?}"
    );
}

/// Fills the room that control has for reports.
fn fill_reports(host: &Host) {
    let mut number = 0..;
    host.plane.shared.report(|| number.next().map(|number| TrafficReport::SoftLimit(ChildSaId(number))));
    assert_eq!(number.next(), Some(limits::REPORTS as u64), "what finds no room is not taken");
}

#[test]
fn what_control_must_know_is_not_lost_among_reports_that_it_does_not_take() {
    let mut host = Host::start(&["127.0.0.1"]);
    fill_reports(&host);
    super::super::shared::spawn("luckless", &host.plane.shared, || panic!("on purpose"))
        .unwrap()
        .join()
        .unwrap();
    let news = host.news();
    assert!(matches!(news, News::Failed(_)), "{news:?}");
}

#[test]
fn what_an_sa_tells_waits_until_control_takes_it() {
    let (left, mut right, _) = pair_of_hosts();
    fill_reports(&right);
    left.tun.send(&inner_packet(0, 100)).unwrap();
    assert_eq!(right.read_tun(), inner_packet(0, 100));
    for number in 0..limits::REPORTS as u64 {
        assert_eq!(right.report(), TrafficReport::SoftLimit(ChildSaId(number)));
    }
    assert_eq!(right.report(), TrafficReport::FirstInbound(ChildSaId(1)), "and no other packet comes");
}

#[test]
fn after_the_end_nothing_is_bound_any_more() {
    let host = Host::start(&["127.0.0.8"]);
    let ports = host.plane.ports();
    let Host { plane, mut from_path, .. } = host;
    plane.stop();
    assert!(from_path.datagrams.blocking_recv().is_none());
    assert!(from_path.news.blocking_recv().is_none());
    for port in ports {
        // A program that another test is just starting may hold it a little longer.
        wait_for("the port", || UdpSocket::bind(("127.0.0.8", port)).ok());
    }
}
