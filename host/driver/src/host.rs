//! A host: what is started, run, told and asked.
//!
//! [`Host::start`] opens sockets and the TUN, then installs what keeps traffic from leaking;
//! [`Host::run`] is the event loop until the end; a [`HostHandle`] talks to it from elsewhere.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};
use vpnhost_ike::input::Command;
use vpnhost_ike::output::Event;
use vpnhost_policy::Chain;

use crate::config::HostConfig;
use crate::error::DriverError;
use crate::event_loop::EventLoop;
use crate::journal::Entry;
use crate::limits;
use crate::snapshot::Snapshot;

/// A host that has started: sockets and TUN are open, nothing is negotiated before [`Host::run`].
pub struct Host {
    event_loop: EventLoop,
    handle: HostHandle,
}

impl Host {
    /// Opens what a host needs. An error leaves nothing behind.
    ///
    /// # Errors
    /// Says in one line what is missing: a port, a permission, a program.
    pub async fn start(config: HostConfig) -> Result<Self, DriverError> {
        let (orders, inbox) = mpsc::channel(limits::ORDERS);
        let (events, _) = broadcast::channel(limits::EVENTS);
        let handle = HostHandle { orders, events: events.clone() };
        let event_loop = EventLoop::start(config, inbox, events).await?;
        Ok(Self { event_loop, handle })
    }

    /// Returns a handle; any number may be made.
    pub fn handle(&self) -> HostHandle {
        self.handle.clone()
    }

    /// Runs until [`HostHandle::shutdown`], or until the packet path fails. An orderly end removes
    /// everything; after a failure the routes and rules that block leaks stay.
    ///
    /// # Errors
    /// Says why the host could not go on.
    pub async fn run(self) -> Result<(), DriverError> {
        let Self { event_loop, handle } = self;
        drop(handle);
        event_loop.run().await
    }
}

/// Talks to a running host. Cheap to clone.
#[derive(Clone)]
pub struct HostHandle {
    orders: mpsc::Sender<Order>,
    events: broadcast::Sender<HostEvent>,
}

impl HostHandle {
    /// Gives the endpoint a command; its outcome comes as events.
    ///
    /// # Errors
    /// [`DriverError::Stopped`] if the host has stopped.
    pub async fn command(&self, command: Command) -> Result<(), DriverError> {
        self.orders.send(Order::Command(command)).await.map_err(|_| DriverError::Stopped)
    }

    /// Subscribes to what happens from now on. A reader that falls behind is told how much it missed.
    pub fn events(&self) -> broadcast::Receiver<HostEvent> {
        self.events.subscribe()
    }

    /// Returns the state at this moment.
    ///
    /// # Errors
    /// [`DriverError::Stopped`] if the host has stopped.
    pub async fn snapshot(&self) -> Result<Snapshot, DriverError> {
        self.ask(Order::Snapshot).await.map(|snapshot| *snapshot)
    }

    /// Returns the journal's entries, of one connection or of all.
    ///
    /// # Errors
    /// [`DriverError::Stopped`] if the host has stopped.
    pub async fn journal(&self, connection: Option<String>) -> Result<Vec<Entry>, DriverError> {
        self.ask(|reply| Order::Journal(connection, reply)).await
    }

    /// Takes another configuration. What an SA's own connection does not change leaves the SA alone.
    /// Returns the settings that only a restart changes, by their keys.
    ///
    /// # Errors
    /// [`DriverError::Stopped`], or why routes or firewall could not be changed.
    pub async fn reload(&self, config: HostConfig) -> Result<Vec<&'static str>, DriverError> {
        self.ask(|reply| Order::Reload(Box::new(config), reply)).await?
    }

    /// Has other plugins asked from now on, and decided anew what they may decide otherwise; questions that are under way
    /// are finished by those that have them.
    ///
    /// # Errors
    /// [`DriverError::Stopped`], or that there is no thread for one.
    pub async fn use_plugins(&self, plugins: Option<Chain>) -> Result<(), DriverError> {
        self.ask(|reply| Order::UsePlugins(plugins, reply)).await?
    }

    /// Ends the host in order: Deletes are sent and, for a short time, their answers awaited; routes,
    /// rules, firewall, DNS and TUN go. Returns when the event loop has taken the order.
    pub async fn shutdown(&self) {
        // A host that has stopped already is what was asked for.
        let _ = self.orders.send(Order::Shutdown).await;
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, DriverError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.map_err(|_| DriverError::Stopped)?;
        answer.await.map_err(|_| DriverError::Stopped)
    }
}

/// What subscribers see.
#[derive(Clone, Debug)]
pub struct HostEvent {
    /// The wall clock, since 1970.
    pub unix: Duration,
    /// What happened, as the journal tells it.
    pub entry: Arc<Entry>,
    /// What the endpoint said; `None` where the driver itself has something to say.
    pub event: Option<Event>,
}

/// What a handle orders.
pub(crate) enum Order {
    Command(Command),
    Snapshot(oneshot::Sender<Box<Snapshot>>),
    Journal(Option<String>, oneshot::Sender<Vec<Entry>>),
    Reload(Box<HostConfig>, oneshot::Sender<Result<Vec<&'static str>, DriverError>>),
    UsePlugins(Option<Chain>, oneshot::Sender<Result<(), DriverError>>),
    Shutdown,
}
