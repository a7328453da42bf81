//! Two endpoints and whoever is between them: anything on the wire, and anything behind a valid ICV, for the
//! keys are of glass. No panic; bounds hold; what has no valid ICV changes no SA; and in the end nothing is left.

use std::collections::BTreeSet;
use std::time::Duration;

use vpnhost_ike::wire::Header;
use vpnhost_ike::{Command, EndpointConfig, PoolConfig, RequestAddress, SelectorConfig, Start, limits};
use vpnhost_kit::configuration::{A_ADDRESS, B_ADDRESS, address, child, initiator, responder};
use vpnhost_kit::simulation::settings;
use vpnhost_kit::{A, B, Datagram, Delays, HostSettings, InnerPacket, Simulation, Weather, glass};
use vpnhost_model::{ChildSaId, IkeSaId};
use vpnhost_policy::QuestionSet;

use super::script::Script;

/// Steps of one script.
const STEPS: usize = 60;

/// Runs a script.
pub fn endpoint(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(mut simulation) = begin(&mut script) else { return };
    for _ in 0..STEPS {
        if step(&mut simulation, &mut script).is_none() {
            break;
        }
        [A, B].iter().for_each(|&host| assert_bounded(&simulation, host));
    }
    // What was to be decided is decided, what lingers has ended: both halves of a host hold the same.
    simulation.network.weather = Weather::FAIR;
    simulation.run_for(Duration::from_secs(45));
    [A, B].iter().for_each(|&host| assert_consistent(&simulation, host));
    [A, B].iter().for_each(|&host| simulation.command(host, Command::Shutdown));
    simulation.run_for(Duration::from_secs(100));
    [A, B].iter().for_each(|&host| simulation.assert_empty(host));
}

/// Two hosts: the second may be crowded or slow, the first may want an address.
fn begin(script: &mut Script<'_>) -> Option<Simulation> {
    let (switches, seed) = (script.octet()?, script.octet()?);
    let is_set = |bit: u8| switches & (1 << bit) != 0;
    let mut a = initiator(vec![
        child("one", "aes128gcm16-x25519", "10.1.0.0/24", "10.2.0.0/24"),
        child("two", "aes128gcm16", "fd01::/64", "fd02::/64"),
    ]);
    a.start = Start::Manual;
    a.timing.liveness_idle = Duration::from_secs(60);
    if is_set(0) {
        a.children[0].local = vec![SelectorConfig::Dynamic];
        a.request_address = RequestAddress { v4: true, v6: is_set(1) };
    }
    let mut b = responder(&a);
    if is_set(2) {
        b.gateways.clear();
    }
    let pool = PoolConfig { name: "pool".into(), base: address("10.9.0.0"), prefix_len: 29, dns: Vec::new() };
    let config = |connection| EndpointConfig {
        pools: vec![pool.clone()],
        cookie_threshold: if is_set(3) { 0 } else { 32 },
        ..vpnhost_kit::configuration::endpoint(connection)
    };
    let host = |at, connection, seed| HostSettings {
        crypto: glass::backend(),
        delays: if is_set(4) { Delays::BUSY } else { Delays::NONE },
        delegated: if is_set(5) { QuestionSet::ALL } else { QuestionSet::EMPTY },
        ..settings(at, config(connection), seed)
    };
    let seed = u64::from(seed);
    let hosts = [host(A_ADDRESS, a, seed), host(B_ADDRESS, b, seed + 1000)];
    let mut simulation = Simulation::pair_of(hosts, seed);
    if is_set(6) {
        simulation.network.weather = Weather::STORM;
    }
    simulation.command(A, Command::Initiate("b".into()));
    Some(simulation)
}

fn step(simulation: &mut Simulation, script: &mut Script<'_>) -> Option<()> {
    let what = script.octet()?;
    let host = usize::from(what >> 7);
    match what % 8 {
        0 => simulation.run_for(Duration::from_millis(u64::from(script.octet()?))),
        1 => simulation.run_for(Duration::from_millis(100 * u64::from(script.octet()?))),
        2 => command(simulation, script, host)?,
        3 => forge(simulation, script, host)?,
        4 => damage(simulation, script, host)?,
        5 => rewrite(simulation, script, host)?,
        6 => invent(simulation, script, host)?,
        _ => {
            let packet = InnerPacket::new("10.1.0.7", "10.2.0.9", u64::from(what));
            let packet = if host == A { packet } else { packet.back() };
            simulation.send_inner(host, &packet.encode());
        }
    }
    Some(())
}

fn command(simulation: &mut Simulation, script: &mut Script<'_>, host: usize) -> Option<()> {
    let what = script.octet()?;
    let sas: Vec<IkeSaId> =
        simulation.hosts[host].endpoint.ike_sas(simulation.now()).iter().map(|sa| sa.id).collect();
    let children: Vec<ChildSaId> = simulation.hosts[host].installed.keys().copied().collect();
    let which = usize::from(what >> 3);
    let sa = sas.get(which % sas.len().max(1)).copied();
    let child = children.get(which % children.len().max(1)).copied();
    let name = ["b", "a"][host].to_owned();
    let command = match (what % 8, sa, child) {
        (0 | 1, Some(sa), _) => Command::RekeyIkeSa(sa),
        (2 | 3, _, Some(child)) => Command::RekeyChildSa(child),
        (4, _, Some(child)) => Command::TerminateChildSa(child),
        (5, Some(sa), _) => Command::TerminateIkeSa(sa),
        (6, Some(sa), _) => Command::CheckLiveness(sa),
        (7, ..) if which > 24 => Command::Terminate(name),
        _ => Command::Initiate(name),
    };
    simulation.command(host, command);
    Some(())
}

/// Octets of a script behind the header of an IKE SA of the host.
fn forge(simulation: &mut Simulation, script: &mut Script<'_>, host: usize) -> Option<()> {
    let mut octets = header(simulation, script, host)?.to_vec();
    octets.extend(script.octets()?);
    let length = u32::try_from(octets.len()).ok()?;
    octets[24..28].copy_from_slice(&length.to_be_bytes());
    inject_unauthenticated(simulation, script, host, marked(&octets))
}

/// A datagram that was sent to the host, changed.
fn damage(simulation: &mut Simulation, script: &mut Script<'_>, host: usize) -> Option<()> {
    let back = usize::from(script.octet()?);
    let to = [A_ADDRESS, B_ADDRESS].map(address)[host];
    let records = simulation.network.capture.records().rev();
    let mut octets =
        records.filter(|record| record.datagram.destination.ip() == to).nth(back)?.datagram.octets.clone();
    script.mutate(&mut octets)?;
    inject_unauthenticated(simulation, script, host, octets)
}

/// A message to the host is taken, opened, changed, and sealed again.
fn rewrite(simulation: &mut Simulation, script: &mut Script<'_>, host: usize) -> Option<()> {
    let to = [A_ADDRESS, B_ADDRESS].map(address)[host];
    let wanted = |datagram: &Datagram| {
        datagram.destination.ip() == to && datagram.ike().is_some_and(|octets| glass::open(octets).is_some())
    };
    let Some(mut datagram) = simulation.network.intercept(wanted) else { return Some(()) };
    let message = datagram.ike()?.to_vec();
    let (mut first, mut content) = glass::open(&message)?;
    if script.below(16)? == 0 {
        first = script.octet()?;
    }
    script.mutate(&mut content)?;
    let sealed = glass::seal(message.first_chunk()?, first, &content);
    datagram.octets.truncate(datagram.octets.len() - message.len());
    datagram.octets.extend(sealed);
    simulation.inject(host, datagram);
    Some(())
}

/// A message of a script with a valid ICV.
fn invent(simulation: &mut Simulation, script: &mut Script<'_>, host: usize) -> Option<()> {
    let header = header(simulation, script, host)?;
    let (first, content) = (script.octet()? % 56, script.octets()?);
    let octets = marked(&glass::seal(&header, first, content));
    simulation.inject(host, datagram_to(host, script, octets)?);
    Some(())
}

/// A header that names an IKE SA of the host.
fn header(simulation: &Simulation, script: &mut Script<'_>, host: usize) -> Option<[u8; Header::LEN]> {
    let (which, exchange, id) = (script.octet()?, script.octet()?, script.octet()?);
    let sas = simulation.hosts[host].endpoint.ike_sas(simulation.now());
    let mut header = [0; Header::LEN];
    if let Some(sa) = sas.get(usize::from(which & 7) % sas.len().max(1)) {
        header[..8].copy_from_slice(&sa.spi_i.0);
        header[8..16].copy_from_slice(&sa.spi_r.0);
    }
    header[16] = [46, 53, 33, 41, 42, 0, 34, 40][usize::from(exchange >> 5)];
    header[17] = 0x20;
    header[18] = 34 + exchange % 5;
    header[19] = (which >> 3 & 1) << 3 | (which >> 4 & 1) << 5;
    header[23] = id % 16;
    Some(header)
}

fn marked(octets: &[u8]) -> Vec<u8> {
    let mut marked = vec![0; 4];
    marked.extend(octets);
    marked
}

/// Gives a host octets that are nobody's: no established SA may show a trace of them.
fn inject_unauthenticated(
    simulation: &mut Simulation,
    script: &mut Script<'_>,
    host: usize,
    octets: Vec<u8>,
) -> Option<()> {
    let known: BTreeSet<&[u8]> =
        simulation.network.capture.records().map(|record| &record.datagram.octets[..]).collect();
    let replayed = known.contains(&octets[..]);
    // A whole message with the right ICV that nobody sent is `invent`'s affair.
    let authentic =
        [octets.get(4..), Some(&octets[..])].into_iter().flatten().any(|o| glass::open(o).is_some());
    let datagram = datagram_to(host, script, octets)?;
    let state = |simulation: &Simulation| {
        let (now, host) = (simulation.now(), &simulation.hosts[host]);
        (host.established(now), host.installed.keys().copied().collect::<Vec<_>>(), host.configured.clone())
    };
    let before = state(simulation);
    simulation.inject(host, datagram);
    if !replayed && !authentic {
        assert!(state(simulation) == before, "octets without a valid ICV changed an SA");
    }
    Some(())
}

fn datagram_to(host: usize, script: &mut Script<'_>, octets: Vec<u8>) -> Option<Datagram> {
    let where_from = script.octet()?;
    let port = [4500, 500][usize::from(where_from & 1)];
    let [a, b] = [A_ADDRESS, B_ADDRESS].map(address);
    let (destination, peer) = if host == A { (a, b) } else { (b, a) };
    let source = if where_from & 2 == 0 { peer } else { address("203.0.113.9") };
    Some(Datagram {
        source: (source, port).into(),
        destination: (destination, port).into(),
        carrier: vpnhost_kit::Carrier::Udp,
        tos: 0,
        link: None,
        octets,
    })
}

fn assert_bounded(simulation: &Simulation, host: usize) {
    let host = &simulation.hosts[host];
    let sas = host.endpoint.ike_sas(simulation.now());
    assert!(sas.len() <= 64, "{} IKE SAs of one peer", sas.len());
    for sa in &sas {
        assert!(sa.children.len() <= 2 * limits::CHILDREN_PER_IKE_SA, "{sa:#?}");
    }
}

/// The packet path has what IKE knows of, and the machine is configured for what is established.
fn assert_consistent(simulation: &Simulation, host: usize) {
    let host = &simulation.hosts[host];
    let sas = host.endpoint.ike_sas(simulation.now());
    let children = sas.iter().flat_map(|sa| &sa.children).map(|child| child.id);
    let mut known: Vec<ChildSaId> = children.collect();
    known.sort_unstable();
    let installed: Vec<ChildSaId> = host.installed.keys().copied().collect();
    // The inbound half of one that was just replaced lives a little longer.
    assert!(known.iter().all(|id| installed.contains(id)), "{known:?} {installed:?}");
    assert!(installed.len() <= known.len() + 4, "{known:?} {installed:?}");
    for id in host.configured.keys() {
        assert!(sas.iter().any(|sa| sa.id == *id && sa.established), "{id} is configured: {sas:#?}");
    }
}
