//! The scene of an experiment: the lab, both ends, the ping and the capture.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Column, Ground, Values};
use crate::capture::Capture;
use crate::datagram::{self, Kind, Tally};
use crate::lab::{self, UPLINKS};
use crate::link::{Change, Wire};
use crate::peers::{End, Peer, SaCount, Tunnel, start};
use crate::stream::{Heard, Stream};
use crate::traffic::{now, ping};
use crate::{Lab, Topology, wait};

/// How long everything is left alone before something happens.
const SETTLE: Duration = Duration::from_millis(1500);
const SOON: Duration = Duration::from_secs(20);
/// IKE_SA_INIT (RFC 7296, 3.1): a full negotiation, with a key exchange.
const IKE_SA_INIT: u8 = 34;

/// A tunnel that carries a ping, under observation.
pub(super) struct Scene {
    pub(super) lab: Lab,
    pub(super) client: Box<dyn Peer>,
    gateway: Option<Box<dyn Peer>>,
    tunnel: Tunnel,
    column: Column,
    stream: Stream,
    capture: Capture,
    _wires: Vec<Wire>,
}

impl Scene {
    /// Sets the tunnel up, and lets it carry the ping.
    pub(super) fn begin(ground: &Ground, column: Column, topology: Topology, rtt: u32) -> Result<Self> {
        Self::begin_with(ground, column, (topology, rtt), |_| {})
    }

    /// The same with a tunnel that is changed before.
    pub(super) fn begin_with(
        ground: &Ground,
        column: Column,
        (topology, rtt): (Topology, u32),
        change: impl FnOnce(&mut Tunnel),
    ) -> Result<Self> {
        let lab = Lab::build(topology, &ground.dir)?;
        let uplinks = if topology == Topology::Nat { 1 } else { UPLINKS.len() };
        let wires = (0..uplinks).filter(|_| rtt > 0).map(|number| delayed(&lab, number, rtt));
        let wires = wires.collect::<Result<Vec<_>>>()?;
        lab.cut_batches()?;
        let mut tunnel = column.tunnel(ground);
        change(&mut tunnel);
        let gateway = start(column.player(), &lab, End::Gateway, &tunnel)?;
        let client = start(column.player(), &lab, End::Client, &tunnel)?;
        client.up().context("set-up")?;
        wait::until_true("the SAs", SOON, || Ok(client.sas()? == SaCount::ONE))?;
        ping(&lab.carol, lab::ALICE, 3).context("a ping through the tunnel")?;
        let stream = Stream::start(&lab.carol, &lab.alice, &format!("{}:7007", lab::ALICE), lab.dir())?;
        let capture = Capture::start_short(&lab.moon, "eth0", &lab.dir().join("outside.pcap"))?;
        std::thread::sleep(SETTLE);
        Ok(Self { lab, client, gateway: Some(gateway), tunnel, column, stream, capture, _wires: wires })
    }

    /// Ends the gateway as a crash would.
    pub(super) fn crash_gateway(&mut self) -> Result<()> {
        self.gateway.take().context("the gateway has crashed already")?.crash()
    }

    /// Starts the gateway again in the place of one that has crashed.
    pub(super) fn restart_gateway(&mut self) -> Result<()> {
        self.gateway = Some(start(self.column.player(), &self.lab, End::Gateway, &self.tunnel)?);
        Ok(())
    }

    /// Ends the ping and the capture, and counts what happened since.
    pub(super) fn end(self, since: f64) -> Result<Values> {
        Ok(self.observe(since)?.0)
    }

    /// The same once a ping is answered again, or after `watch`, and how long it took until one was that was sent since.
    pub(super) fn end_back(self, since: f64, watch: Duration) -> Result<Values> {
        let one = format!("ping -n -c 1 -W 1 {}", lab::ALICE);
        while now() - since < watch.as_secs_f64() && !self.lab.carol.succeeds(&one) {
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(SETTLE);
        let (mut values, pings) = self.observe(since)?;
        values.insert("back after ms", pings.back_after(since).map(rounded));
        Ok(values)
    }

    fn observe(self, since: f64) -> Result<(Values, Heard)> {
        let pings = self.stream.finish()?;
        let seen = datagram::read(&self.capture.finish()?)?;
        let seen: Vec<_> = seen.into_iter().filter(|datagram| datagram.at >= since).collect();
        let tally = Tally::of(&seen);
        let begun = seen.iter().filter(|datagram| match datagram.kind {
            Kind::Ike(header) => header.exchange == IKE_SA_INIT && !header.response,
            Kind::Esp { .. } | Kind::Keepalive | Kind::Other => false,
        });
        let mut values = Values::new();
        let mut value = |name, value: f64| values.insert(name, Some(value));
        value("gap ms", rounded(pings.longest_gap()));
        value("pings lost", pings.lost() as f64);
        value("lost %", rounded(100.0 * pings.lost() as f64 / pings.sent.len().max(1) as f64));
        value("IKE octets", tally.ike.octets.into());
        value("IKE datagrams", tally.ike.datagrams.into());
        value("rekey octets", tally.rekeys.octets.into());
        value("rekey datagrams", tally.rekeys.datagrams.into());
        value("ESP octets", (tally.esp_in_udp.octets + tally.esp_raw.octets).into());
        value("NAT keepalives", tally.keepalives.datagrams.into());
        value("IKE_SA_INIT requests", begun.count() as f64);
        drop((self.client, self.gateway));
        Ok((values, pings))
    }
}

/// Makes an uplink of a wire whose round trip takes so many milliseconds.
fn delayed(lab: &Lab, number: usize, rtt: u32) -> Result<Wire> {
    let wire = lab.lay_wire(number)?;
    wire.change(&Change::parse(&format!("delay={}us", rtt * 500))?);
    Ok(wire)
}

pub(super) fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
