//! `vpnhost run`: the daemon in the foreground, from its start to its orderly end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, interval_at};
use vpnhost_driver::{Host, HostEvent, HostHandle};
use vpnhost_ike::Event;

use crate::cli::{Global, LogFormat, Run};
use crate::control::server::{Context, Daemon as _};
use crate::control::socket::ControlSocket;
use crate::daemon::{Daemon, Start};
use crate::exit::{Failure, Outcome};
use crate::{limits, logging};

/// Runs until it is told to end, or cannot go on.
pub(crate) fn run(options: Run, global: &Global) -> Outcome {
    logging::start(options.log, global.verbose)?;
    let failed = |error: std::io::Error| Failure::failed("cannot start").because(error.to_string());
    // One thread for the control side; packets, plugins and slow work have threads of their own.
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let outcome = runtime.block_on(serve(options, global));
    // A name server that does not answer must not hold up the end.
    runtime.shutdown_background();
    outcome
}

async fn serve(options: Run, global: &Global) -> Outcome {
    let mut signals = Signals::new()?;
    let log = options.log;
    let daemon = Daemon::new(options, global.control.clone());
    let ended = async {
        // The start reads the newest configuration as it is.
        while signals.next().await == Order::Reload {}
    };
    let Start { config, control, summary } = tokio::select! {
        start = daemon.prepare() => start?,
        () = ended => return Ok(()),
    };
    let socket = ControlSocket::bind(&control)?;
    let host = Host::start(config).await?;
    let handle = host.handle();
    daemon.attend(handle.clone());
    tokio::spawn(socket.serve(Context::new(handle.clone(), Arc::clone(&daemon) as _)));
    tokio::spawn(attend(Arc::clone(&daemon), handle, signals));
    tokio::spawn(look_after_files(Arc::clone(&daemon)));
    daemon.notify().ready(&summary);
    say_ready(log, &summary, &control);
    let ended = host.run().await;
    daemon.flush_stores();
    ended.map_err(Failure::from)
}

/// Does what signals and the clock ask for, beside the host. Nothing here is waited for: an order to end must
/// not wait for a name server or a compiler.
async fn attend(daemon: Arc<Daemon>, handle: HostHandle, mut signals: Signals) {
    let first = Instant::now() + limits::LOOKUP_AGAIN;
    let mut names = interval_at(first, limits::LOOKUP_AGAIN);
    let mut events = handle.events();
    let moved = Arc::new(Notify::new());
    let follows = tokio::spawn(follow(Arc::clone(&daemon), Arc::clone(&moved)));
    loop {
        let daemon = Arc::clone(&daemon);
        tokio::select! {
            kind = signals.next() => match kind {
                Order::End => {
                    tracing::info!("ending: peers are told, and what was set up is taken down");
                    daemon.notify().stopping();
                    handle.shutdown().await;
                }
                Order::Reload => {
                    // What came of it is in the log.
                    tokio::spawn(async move { drop(daemon.reload().await) });
                }
            },
            _ = names.tick() => {
                tokio::spawn(async move { daemon.look_up_again().await });
            }
            event = events.recv() => match event {
                // Another network: what could not be found there may be found here.
                Ok(event) if event.entry.kind == "links" => moved.notify_one(),
                Ok(event) if event.entry.kind == "resumed" => {
                    let moved = Arc::clone(&moved);
                    tokio::spawn(async move {
                        daemon.forget_lifetimes().await;
                        moved.notify_one();
                    });
                }
                Ok(HostEvent { event: Some(Event::IkeSaStarted { connection, role, .. }), .. }) => {
                    if let Some(name) = connection.filter(|_| role.is_initiator()) {
                        tokio::spawn(async move { daemon.look_up_for(&name).await });
                    }
                }
                // Whatever it was that is lost.
                Err(RecvError::Lagged(_)) => moved.notify_one(),
                Ok(_) => {}
                Err(RecvError::Closed) => return follows.abort(),
            },
        }
    }
}

/// Looks names up after moves: one at a time, and once for all that come during a look-up.
async fn follow(daemon: Arc<Daemon>, moved: Arc<Notify>) {
    loop {
        moved.notified().await;
        daemon.look_up_after_move().await;
    }
}

/// Looks at the files of plugins that are watched.
async fn look_after_files(daemon: Arc<Daemon>) {
    let mut watched = BTreeMap::new();
    let mut look = interval_at(Instant::now() + limits::FILES_LOOKED_AT, limits::FILES_LOOKED_AT);
    loop {
        look.tick().await;
        Arc::clone(&daemon).look_after_files(&mut watched).await;
    }
}

fn say_ready(log: LogFormat, summary: &str, control: &Path) {
    match log {
        LogFormat::Text => eprintln!("vpnhost is ready: {summary}, control socket {}", control.display()),
        LogFormat::Json => {
            let document = serde_json::json!({ "ready": true, "summary": summary, "control": control });
            eprintln!("{document}");
        }
    }
}

/// What a signal orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    End,
    Reload,
}

/// The signals that a daemon listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            let failed = |error: std::io::Error| {
                Failure::failed("signals cannot be received").because(error.to_string())
            };
            signal(kind).map_err(failed)
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next order.
    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::End,
            _ = self.interrupt.recv() => Order::End,
            _ = self.hangup.recv() => Order::Reload,
        }
    }
}
