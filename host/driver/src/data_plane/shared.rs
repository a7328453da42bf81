//! What both threads and control share, and how they reach each other.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as std_mpsc;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;
use vpnhost_ipsec::{Counters, TrafficReport};

use super::News;
use super::sockets::Sockets;
use super::tally::Tallies;
use super::wait::Wake;
use crate::clock::Clock;
use crate::tun::Tun;
use crate::udp::Carries;

/// What both threads and control share.
pub(crate) struct Shared {
    pub(crate) sockets: Sockets,
    pub(crate) tun: Tun,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tallies: Tallies,
    pub(crate) clock: Clock,
    pub(crate) is_ending: AtomicBool,
    reports: mpsc::Sender<TrafficReport>,
    /// Unbounded, because it must not be lost; what it says is bounded by what control orders.
    news: mpsc::UnboundedSender<News>,
}

impl Shared {
    pub(crate) fn new(
        sockets: Sockets,
        tun: Tun,
        (reports, news): (mpsc::Sender<TrafficReport>, mpsc::UnboundedSender<News>),
        clock: Clock,
    ) -> Self {
        Self {
            sockets,
            tun,
            counters: Arc::default(),
            tallies: Tallies::default(),
            clock,
            is_ending: AtomicBool::new(false),
            reports,
            news,
        }
    }

    /// Tells whether the threads are to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    /// Reports traffic to control for as long as that has room, without waiting for it: the rest stays where it is.
    pub(crate) fn report(&self, mut poll: impl FnMut() -> Option<TrafficReport>) {
        while let Ok(room) = self.reports.try_reserve() {
            let Some(report) = poll() else { return };
            room.send(report);
        }
    }

    /// Tells control what it must know.
    pub(crate) fn tell(&self, news: News) {
        // Control that is no more wants to know of nothing.
        let _ = self.news.send(news);
    }

    /// Returns why a thread ends whose interface was taken away.
    pub(crate) fn tun_is_gone(&self) -> String {
        format!("the interface {} is no more", self.tun.name())
    }

    /// Returns what the kernel here offers.
    pub(crate) fn features(&self) -> Vec<(&'static str, String)> {
        let all = self.sockets.all();
        let segmented = all.iter().any(|socket| socket.segmented);
        let raw = match (self.sockets.has_raw_esp(true), self.sockets.has_raw_esp(false)) {
            (true, true) => "ipv4 ipv6",
            (true, false) => "ipv4",
            (false, true) => "ipv6",
            (false, false) => "no",
        };
        let listening = |socket: &crate::udp::Socket| {
            matches!(socket.carries, Carries::Ike | Carries::Both).then(|| socket.local.to_string())
        };
        vec![
            ("tun", self.tun.name().to_owned()),
            ("tun_offload", "no".to_owned()),
            ("udp_segmentation", if segmented { "yes" } else { "no" }.to_owned()),
            ("raw_esp", raw.to_owned()),
            ("listening", all.iter().filter_map(listening).collect::<Vec<_>>().join(" ")),
        ]
    }
}

/// How a thread is told something.
#[derive(Debug)]
pub(crate) struct Line<C> {
    /// Unbounded, because control must not wait; what it says is bounded by the SAs that may be.
    commands: std_mpsc::Sender<C>,
    wake: Arc<Wake>,
}

/// A thread's end of its line.
#[derive(Debug)]
pub(crate) struct Orders<C> {
    commands: std_mpsc::Receiver<C>,
    pub(crate) wake: Arc<Wake>,
}

impl<C> Line<C> {
    /// Makes both ends.
    pub(crate) fn new() -> io::Result<(Self, Orders<C>)> {
        let wake = Arc::new(Wake::new()?);
        let (sender, commands) = std_mpsc::channel();
        Ok((Self { commands: sender, wake: Arc::clone(&wake) }, Orders { commands, wake }))
    }

    /// Gives the thread a command; `None` if it has ended.
    pub(crate) fn send(&self, command: C) -> Option<()> {
        self.commands.send(command).ok()?;
        self.wake();
        Some(())
    }

    /// Wakes the thread.
    pub(crate) fn wake(&self) {
        self.wake.wake();
    }
}

impl<C> Clone for Line<C> {
    fn clone(&self) -> Self {
        Self { commands: self.commands.clone(), wake: Arc::clone(&self.wake) }
    }
}

impl<C> Orders<C> {
    /// Returns the next command, if one is there.
    pub(crate) fn next(&self) -> Option<C> {
        self.commands.try_recv().ok()
    }
}

/// Starts a thread. Its failure, or its panic, is told to control.
pub(crate) fn spawn(
    name: &'static str,
    shared: &Arc<Shared>,
    body: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let why = match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(panic) => {
                let said = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
                let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                format!("the thread {name} panicked: {said}")
            }
        };
        tracing::error!("{why}");
        shared.tell(News::Failed(why));
    })
}
