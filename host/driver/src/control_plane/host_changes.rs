//! Changes of the machine's addresses, routes and DNS: one after the other, in a task of their own, so that
//! a slow kernel or a slow DNS program does not keep the event loop from its peers.
//!
//! What follows a change in the order of outputs waits for it, but not beyond [`limits::HOST_CHANGE`].

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vpnhost_ike::output::HostConfiguration;
use vpnhost_model::{IkeSaId, Instant};

use crate::error::DriverError;
use crate::limits;
use crate::machine::{Machine, MachineSettings};

/// A change of the machine.
enum Change {
    Configure(Box<HostConfiguration>),
    Release(IkeSaId),
    Rename(IkeSaId, IkeSaId),
    Reload(What, Box<MachineSettings>),
    Stop,
}

/// What became of a change, in the order in which they were given.
#[derive(Debug)]
pub(crate) struct Changed {
    /// What was changed.
    pub(crate) what: What,
    /// Whether it was.
    pub(crate) result: Result<(), DriverError>,
}

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// An IKE SA's addresses, routes and DNS were set up.
    Configured(IkeSaId),
    /// They were taken away.
    Released(IkeSaId),
    /// The settings were replaced.
    Reloaded,
    /// The old settings were put back, since the new ones could not be.
    PutBack,
}

/// The task that owns the machine's part.
pub(crate) struct HostChanges {
    orders: mpsc::Sender<Change>,
    task: JoinHandle<()>,
    /// Changes that were given and not told of yet.
    under_way: usize,
    patience: Option<Instant>,
}

impl HostChanges {
    /// Starts the task; what becomes of changes comes by `results` and goes to [`Self::heard`].
    pub(crate) fn start(machine: Machine, results: mpsc::Sender<Changed>) -> Self {
        let (orders, waiting) = mpsc::channel(limits::HOST_CHANGES);
        let task = tokio::spawn(carry_out(machine, waiting, results));
        Self { orders, task, under_way: 0, patience: None }
    }

    /// Has an IKE SA's addresses, routes and DNS set up.
    pub(crate) fn configure(&mut self, now: Instant, it: Box<HostConfiguration>) -> Result<(), DriverError> {
        self.give(now, Change::Configure(it))
    }

    /// Has them taken away.
    pub(crate) fn release(&mut self, now: Instant, ike_sa: IkeSaId) -> Result<(), DriverError> {
        self.give(now, Change::Release(ike_sa))
    }

    /// Has them kept under another name.
    pub(crate) fn rename(&self, old: IkeSaId, new: IkeSaId) -> Result<(), DriverError> {
        self.orders.try_send(Change::Rename(old, new)).map_err(|_| DriverError::Timeout("rename routes"))
    }

    /// Has the settings replaced.
    pub(crate) fn reload(&mut self, now: Instant, settings: MachineSettings) -> Result<(), DriverError> {
        self.give(now, Change::Reload(What::Reloaded, Box::new(settings)))
    }

    /// Has the old settings put back.
    pub(crate) fn put_back(&mut self, now: Instant, settings: MachineSettings) -> Result<(), DriverError> {
        self.give(now, Change::Reload(What::PutBack, Box::new(settings)))
    }

    fn give(&mut self, now: Instant, change: Change) -> Result<(), DriverError> {
        let too_many = |_| DriverError::Timeout("change routes: too many changes wait");
        self.orders.try_send(change).map_err(too_many)?;
        self.under_way += 1;
        self.patience = Some(now + limits::HOST_CHANGE);
        Ok(())
    }

    /// Notes that a change is told of.
    pub(crate) fn heard(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.under_way == 0 {
            self.patience = None;
        }
    }

    /// Goes on without what is late.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.patience.is_some_and(|until| until <= now) {
            tracing::warn!("the kernel is slow to change routes; going on without waiting for it");
            self.patience = None;
        }
    }

    /// Returns until when what follows waits; `None` if nothing does.
    pub(crate) fn holds_until(&self) -> Option<Instant> {
        self.patience
    }

    /// Takes everything away, and waits for it. Nobody needs to take results any more: their receiver is
    /// to be dropped before.
    pub(crate) async fn stop(self) {
        if self.orders.send(Change::Stop).await.is_err() || self.task.await.is_err() {
            tracing::error!("routes, rules or DNS may be left behind: vpnhost cleanup removes them");
        }
    }
}

/// Carries changes out until the order to stop. Without it (the host failed) what blocks leaks stays.
async fn carry_out(
    mut machine: Machine,
    mut waiting: mpsc::Receiver<Change>,
    results: mpsc::Sender<Changed>,
) {
    while let Some(change) = waiting.recv().await {
        let (what, result) = match change {
            Change::Configure(configuration) => {
                (What::Configured(configuration.ike_sa), machine.configure(&configuration).await)
            }
            Change::Release(ike_sa) => (What::Released(ike_sa), machine.release(ike_sa).await),
            Change::Rename(old, new) => {
                machine.rename(old, new);
                continue;
            }
            Change::Reload(what, settings) => (what, machine.reload(*settings).await),
            Change::Stop => return machine.stop().await,
        };
        // A loop that has ended wants to know of nothing.
        let _ = results.send(Changed { what, result }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_waits_for_every_change_but_not_for_ever() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (orders, _waiting) = mpsc::channel(2);
        let task = runtime.spawn(std::future::pending());
        let mut changes = HostChanges { orders, task, under_way: 0, patience: None };
        let now = Instant(0);
        assert_eq!(changes.holds_until(), None);
        changes.release(now, IkeSaId(1)).expect("room");
        changes.release(now, IkeSaId(2)).expect("room");
        changes.heard();
        assert_eq!(changes.holds_until(), Some(now + limits::HOST_CHANGE));
        changes.handle_timeout(now + limits::HOST_CHANGE);
        assert_eq!(changes.holds_until(), None);
        changes.heard();
        // The third finds no room, is refused, and holds nothing up.
        assert!(changes.release(now, IkeSaId(3)).is_err());
        assert_eq!(changes.holds_until(), None);
    }

    #[test]
    fn the_last_change_that_is_heard_of_lets_the_rest_go() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (orders, _waiting) = mpsc::channel(2);
        let task = runtime.spawn(std::future::pending());
        let mut changes = HostChanges { orders, task, under_way: 0, patience: None };
        changes.release(Instant(0), IkeSaId(1)).expect("room");
        changes.heard();
        assert_eq!(changes.holds_until(), None);
    }
}
