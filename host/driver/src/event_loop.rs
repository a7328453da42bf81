//! The event loop: waits for whatever comes first and hands it on. It decides nothing.

use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use vpnhost_ike::IkeEndpoint;

use crate::clock::Clock;
use crate::config::HostConfig;
use crate::error::DriverError;
use crate::host::{HostEvent, Order};
use crate::journal::Journal;
use crate::snapshot::Snapshot;

/// Everything that a running host waits for.
pub(crate) struct EventLoop {
    clock: Clock,
    endpoint: IkeEndpoint,
    orders: mpsc::Receiver<Order>,
    events: broadcast::Sender<HostEvent>,
    journal: Journal,
}

impl EventLoop {
    /// Opens what a host needs.
    pub(crate) async fn start(
        config: HostConfig,
        orders: mpsc::Receiver<Order>,
        events: broadcast::Sender<HostEvent>,
    ) -> Result<Self, DriverError> {
        let clock = Clock;
        let endpoint =
            IkeEndpoint::new(config.endpoint, config.crypto, (config.random)(), config.policy, clock.now());
        Ok(Self { clock, endpoint, orders, events, journal: Journal::default() })
    }

    /// Runs until the host is shut down.
    pub(crate) async fn run(mut self) -> Result<(), DriverError> {
        loop {
            let wait = self.endpoint.poll_timeout().map_or(Duration::from_secs(1), |(deadline, _)| {
                deadline.saturating_since(self.clock.instant())
            });
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Command(command)) => self.endpoint.handle_command(self.clock.now(), command),
                    Some(Order::Snapshot(reply)) => drop(reply.send(Box::new(Snapshot::default()))),
                    Some(Order::Journal(name, reply)) => drop(reply.send(self.journal.entries(name.as_deref()))),
                    Some(Order::Reload(_, reply)) => drop(reply.send(Ok(Vec::new()))),
                    Some(Order::Shutdown) | None => return Ok(()),
                },
                () = tokio::time::sleep(wait) => self.endpoint.handle_timeout(self.clock.now()),
            }
            while self.endpoint.poll_output().is_some() {}
        }
    }
}
