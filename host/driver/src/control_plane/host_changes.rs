//! Changes of the machine's addresses, routes and DNS: in a task of their own, so that a slow kernel or a slow DNS
//! program does not keep the event loop from its peers. What waits while one is made is made together after it.
//!
//! What an IKE SA has to say after its change waits for that, but not beyond [`limits::HOST_CHANGE`].

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vpnhost_model::{IkeSaId, Instant};

use crate::error::DriverError;
use crate::limits;
use crate::machine::{Edit, Machine, MachineSettings};

/// A change of the machine.
enum Change {
    /// For an IKE SA, with its number.
    Edit(u64, Edit),
    Reload(Box<MachineSettings>),
    Renew,
    Stop,
}

/// What became of a change.
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
    /// What an IKE SA needs, in the change of that number.
    Edited(IkeSaId, u64),
    /// The settings were replaced.
    Reloaded,
    /// Everything was set up again.
    Renewed,
}

/// The task that owns the machine's part.
pub(crate) struct HostChanges {
    /// Unbounded, because control must not wait; what it says is bounded by the IKE SAs that come and go meanwhile.
    orders: mpsc::UnboundedSender<Change>,
    task: JoinHandle<()>,
    /// How many there were for IKE SAs.
    count: u64,
    /// The last change of each IKE SA that waits for one, and until when.
    under_way: BTreeMap<IkeSaId, (u64, Instant)>,
}

impl HostChanges {
    /// Starts the task; what becomes of changes comes by `results` and goes to [`Self::heard`].
    pub(crate) fn start(machine: Machine, results: mpsc::Sender<Changed>) -> Self {
        let (orders, waiting) = mpsc::unbounded_channel();
        let task = tokio::spawn(carry_out(machine, waiting, results));
        Self { orders, task, count: 0, under_way: BTreeMap::new() }
    }

    /// Has something changed for an IKE SA, which waits for it.
    pub(crate) fn edit(&mut self, now: Instant, edit: Edit) -> Result<(), DriverError> {
        self.count += 1;
        match &edit {
            Edit::Configure(_) | Edit::Release(_) => {
                self.under_way.insert(edit.ike_sa(), (self.count, now + limits::HOST_CHANGE));
            }
            Edit::Rename { old, new } => {
                if let Some(change) = self.under_way.remove(old) {
                    self.under_way.insert(*new, change);
                }
            }
        }
        self.give(Change::Edit(self.count, edit))
    }

    /// Has the settings replaced.
    pub(crate) fn reload(&self, settings: MachineSettings) -> Result<(), DriverError> {
        self.give(Change::Reload(Box::new(settings)))
    }

    /// Has everything set up again that somebody else may have taken away.
    pub(crate) fn renew(&self) -> Result<(), DriverError> {
        self.give(Change::Renew)
    }

    fn give(&self, change: Change) -> Result<(), DriverError> {
        self.orders.send(change).map_err(|_| DriverError::Timeout("change routes"))
    }

    /// Notes that a change is told of.
    pub(crate) fn heard(&mut self, what: What) {
        if let What::Edited(_, number) = what {
            self.under_way.retain(|_, (last, _)| *last > number);
        }
    }

    /// Goes on without what is late.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let before = self.under_way.len();
        self.under_way.retain(|_, (_, until)| *until > now);
        if self.under_way.len() < before {
            tracing::warn!("the kernel is slow to change routes; going on without waiting for it");
        }
    }

    /// Returns when [`Self::handle_timeout`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.under_way.values().map(|(_, until)| *until).min()
    }

    /// Tells whether an IKE SA waits for a change.
    pub(crate) fn is_under_way(&self, ike_sa: IkeSaId) -> bool {
        self.under_way.contains_key(&ike_sa)
    }

    /// Takes everything away, and waits for it. Nobody needs to take results any more: their receiver is
    /// to be dropped before.
    pub(crate) async fn stop(self) {
        if self.give(Change::Stop).is_err() || self.task.await.is_err() {
            tracing::error!("routes, rules or DNS may be left behind: vpnhost cleanup removes them");
        }
    }
}

/// Carries changes out until the order to stop. Without it (the host failed) what blocks leaks stays.
async fn carry_out(
    mut machine: Machine,
    mut waiting: mpsc::UnboundedReceiver<Change>,
    results: mpsc::Sender<Changed>,
) {
    let (mut changes, mut told) = (Vec::new(), Vec::new());
    while waiting.recv_many(&mut changes, usize::MAX).await > 0 {
        // The end takes everything away at once, whatever else was wanted before it.
        if changes.iter().any(|change| matches!(change, Change::Stop)) {
            return machine.stop().await;
        }
        let mut edits = Vec::new();
        for change in changes.drain(..) {
            match change {
                Change::Edit(number, edit) => edits.push((number, edit)),
                Change::Reload(settings) => {
                    edit(&mut machine, &mut edits, &mut told).await;
                    told.push(Changed { what: What::Reloaded, result: machine.reload(*settings).await });
                }
                Change::Renew => {
                    edit(&mut machine, &mut edits, &mut told).await;
                    told.push(Changed { what: What::Renewed, result: machine.renew().await });
                }
                Change::Stop => {}
            }
        }
        edit(&mut machine, &mut edits, &mut told).await;
        for changed in told.drain(..) {
            // A loop that has ended wants to know of nothing.
            let _ = results.send(changed).await;
        }
    }
}

async fn edit(machine: &mut Machine, edits: &mut Vec<(u64, Edit)>, told: &mut Vec<Changed>) {
    if edits.is_empty() {
        return;
    }
    let (numbers, edits): (Vec<u64>, Vec<Edit>) = edits.drain(..).unzip();
    let results = machine.change(&edits).await;
    for ((number, edit), result) in numbers.into_iter().zip(&edits).zip(results) {
        told.push(Changed { what: What::Edited(edit.ike_sa(), number), result });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IkeSaId = IkeSaId(1);
    const TWO: IkeSaId = IkeSaId(2);

    #[test]
    fn an_ike_sa_waits_for_its_last_change_but_not_for_ever_and_nobody_waits_for_another() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (orders, _waiting) = mpsc::unbounded_channel();
        let task = runtime.spawn(std::future::pending());
        let mut changes = HostChanges { orders, task, count: 0, under_way: BTreeMap::new() };
        let now = Instant(0);
        assert_eq!(changes.deadline(), None);
        changes.edit(now, Edit::Release(ONE)).expect("it is taken");
        changes.edit(now, Edit::Release(ONE)).expect("it is taken");
        assert!(changes.is_under_way(ONE) && !changes.is_under_way(TWO));
        changes.heard(What::Edited(ONE, 1));
        assert!(changes.is_under_way(ONE));
        changes.edit(now, Edit::Rename { old: ONE, new: TWO }).expect("it is taken");
        assert!(!changes.is_under_way(ONE) && changes.is_under_way(TWO));
        changes.heard(What::Edited(ONE, 2));
        assert!(!changes.is_under_way(TWO));
        changes.edit(now, Edit::Release(ONE)).expect("it is taken");
        changes.handle_timeout(now);
        assert!(changes.is_under_way(ONE));
        let late = changes.deadline().expect("a deadline");
        changes.handle_timeout(late);
        assert!(!changes.is_under_way(ONE));
    }

    #[test]
    fn an_end_with_hundreds_of_changes_before_it_makes_none_of_them() {
        use crate::config::Leak;
        use crate::machine::ground::Ground;
        use crate::machine::tests::{TUN, protected, settings, started};
        Ground::run(|ground| async move {
            let tun = ground.tun(TUN);
            let machine = started(settings(tun.index, vec![protected(&["10.20.0.0/24"], Leak::Block)])).await;
            let (results, mut told) = mpsc::channel(1);
            let mut changes = HostChanges::start(machine, results);
            for number in 0..300 {
                changes.edit(Instant(0), Edit::Release(IkeSaId(number))).expect("it is taken");
            }
            changes.stop().await;
            assert!(told.recv().await.is_none(), "a change was made");
            assert!(!ground.traces().contains("unreachable"));
        });
    }
}
