//! A host that runs in a namespace, on a thread and a runtime of its own.

use std::sync::mpsc as std_mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::broadcast;
use vpnhost_driver::{DriverError, Entry, Host, HostConfig, HostEvent, HostHandle, Snapshot};
use vpnhost_ike::input::Command;

use crate::lab::{self, Lab};

const PATIENCE: Duration = Duration::from_secs(10);

/// A host that runs.
pub(crate) struct Running {
    handle: HostHandle,
    events: broadcast::Receiver<HostEvent>,
    thread: JoinHandle<Result<(), DriverError>>,
    /// The test's own, for what a handle makes it wait for.
    runtime: Runtime,
}

impl Running {
    /// Starts a host in one of the namespaces.
    pub(crate) fn start(lab: &Lab, side: usize, config: HostConfig) -> Result<Self, DriverError> {
        let name = lab.name(side).to_owned();
        let (told, handle) = std_mpsc::channel();
        let thread = thread::spawn(move || {
            lab::enter(&name);
            runtime().block_on(async {
                match Host::start(config).await {
                    Ok(host) => {
                        told.send(Ok((host.handle(), host.handle().events()))).unwrap();
                        host.run().await
                    }
                    Err(error) => {
                        told.send(Err(error)).unwrap();
                        Ok(())
                    }
                }
            })
        });
        let (handle, events) = handle.recv().unwrap()?;
        Ok(Self { handle, events, thread, runtime: runtime() })
    }

    pub(crate) fn command(&self, command: Command) {
        self.runtime.block_on(self.handle.command(command)).unwrap();
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.runtime.block_on(self.handle.snapshot()).unwrap()
    }

    pub(crate) fn journal(&self) -> Vec<Entry> {
        self.runtime.block_on(self.handle.journal(None)).unwrap()
    }

    pub(crate) fn reload(&self, config: HostConfig) -> Result<Vec<&'static str>, DriverError> {
        self.runtime.block_on(self.handle.reload(config))
    }

    /// Waits until the state is as it should be.
    pub(crate) fn wait_until_state(&self, what: &str, is_it: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let end = Instant::now() + PATIENCE;
        loop {
            let snapshot = self.snapshot();
            if is_it(&snapshot) {
                return snapshot;
            }
            assert!(Instant::now() < end, "{what}: not in time; {snapshot:#?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for an entry of a kind.
    pub(crate) fn wait_for(&mut self, kind: &str) -> HostEvent {
        self.wait_until(kind, |entry| entry.kind == kind)
    }

    /// Waits for a decision of a question.
    pub(crate) fn wait_for_decision(&mut self, question: &str) -> HostEvent {
        self.wait_until(question, |entry| entry.kind == "decided" && entry.question == Some(question))
    }

    fn wait_until(&mut self, what: &str, is_it: impl Fn(&Entry) -> bool) -> HostEvent {
        let events = &mut self.events;
        let found = self.runtime.block_on(async {
            let search = async {
                loop {
                    let event = events.recv().await.unwrap();
                    if is_it(&event.entry) {
                        return event;
                    }
                }
            };
            tokio::time::timeout(PATIENCE, search).await
        });
        found.unwrap_or_else(|_| panic!("no {what} in time; {:#?}", self.journal()))
    }

    /// Waits until the host has ended by itself.
    pub(crate) fn end(self) -> Result<(), DriverError> {
        self.thread.join().unwrap()
    }

    /// Ends the host in order.
    pub(crate) fn shut_down(self) -> Result<(), DriverError> {
        self.runtime.block_on(self.handle.shutdown());
        self.thread.join().unwrap()
    }
}

/// Fails unless a datagram goes from one side to the other and back, with what both hosts know of it.
pub(crate) fn assert_carries(lab: &Lab, hosts: [&Running; 2]) {
    if lab.carries() {
        return;
    }
    for host in hosts {
        let snapshot = host.snapshot();
        let counters = snapshot.counters.into_iter().filter(|(_, count)| *count > 0);
        eprintln!("{:#?}\n{:#?}", counters.collect::<Vec<_>>(), host.journal());
        eprintln!("{:#?}", snapshot.ike_sas.into_iter().flat_map(|sa| sa.children).collect::<Vec<_>>());
    }
    panic!("nothing came back: {}\n{}", lab.state(0), lab.state(1));
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
