//! The daemon's side of the control socket.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, broadcast, mpsc};
use vpnhost_driver::{DriverError, HostEvent, HostHandle};

use super::document::{Backends, Event, Line, Status};
use super::operation::{Beginning, Goal, Operation, Order, Part};
use crate::exit::Failure;
use crate::roles::nearest;

/// Octets of a request's body; no request has one.
const BODY: usize = 4096;
/// Operations and event streams at once.
const AT_ONCE: usize = 64;
/// How long an operation is waited for; it goes on without a listener.
const OUTCOME: Duration = Duration::from_secs(180);

/// Reads the configuration again; returns what was done, as a sentence.
pub(crate) type Reload = Arc<dyn Fn() -> Reloading + Send + Sync>;
type Reloading = Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>>;

/// A configured connection, and the children that `up` waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its name.
    pub(crate) name: String,
    /// Its children's names.
    pub(crate) children: Vec<String>,
}

/// What the daemon tells beside the host's own state; a reload changes it.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The configured connections.
    pub(crate) connections: Vec<Known>,
    /// The crypto backends.
    pub(crate) backends: Backends,
    /// What the operator should know.
    pub(crate) warnings: Vec<String>,
}

/// What requests are answered from.
#[derive(Clone)]
pub(crate) struct Context {
    /// The host.
    pub(crate) host: HostHandle,
    /// What is known beside it.
    pub(crate) facts: Arc<Mutex<Facts>>,
    /// Reads the configuration again.
    pub(crate) reload: Reload,
    slots: Arc<Semaphore>,
}

impl Context {
    /// Makes a context.
    pub(crate) fn new(host: HostHandle, facts: Arc<Mutex<Facts>>, reload: Reload) -> Self {
        Self { host, facts, reload, slots: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    fn facts<T>(&self, read: impl FnOnce(&Facts) -> T) -> T {
        read(&self.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Finds a connection by name.
    fn known(&self, name: &str) -> Result<Known, Refusal> {
        self.facts(|facts| {
            facts.connections.iter().find(|known| known.name == name).cloned().ok_or_else(|| {
                let names = facts.connections.iter().map(|known| known.name.as_str());
                let hint = match nearest(name, names.clone()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("there are: {}", names.collect::<Vec<_>>().join(", ")),
                };
                Refusal::unknown(format!("there is no connection {name}"), hint)
            })
        })
    }
}

/// A bound control socket; its file is removed when it goes.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    file: SocketFile,
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody removed it already: that is what was wanted.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl ControlSocket {
    /// Binds the socket: mode 0660, of group `vpnhost` where there is one. A socket that nobody answers on is
    /// replaced.
    ///
    /// # Errors
    /// Another daemon that answers there, or what the file system says.
    pub(crate) fn bind(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::failed(format!("the control socket {} cannot be opened", path.display()))
                .because(error.to_string())
        };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => {
                return Err(Failure::failed(format!("another vpnhost answers on {}", path.display()))
                    .hint("stop it, or name another socket with --control"));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(failed)?;
            }
            // There is none, or binding says what is wrong.
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let file = SocketFile(path.to_owned());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
        if let Some(group) = group_id("vpnhost") {
            std::os::unix::fs::chown(path, None, Some(group)).map_err(failed)?;
        }
        Ok(Self { listener, file })
    }

    /// Answers requests until it is dropped.
    pub(crate) async fn serve(self, context: Context) -> io::Result<()> {
        let Self { listener, file } = self;
        let served = axum::serve(listener, router(context)).await;
        drop(file);
        served
    }
}

/// Looks a group up in the system's file; directories behind NSS do not matter for a local service's group.
fn group_id(name: &str) -> Option<u32> {
    let text = std::fs::read_to_string("/etc/group").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(name);
        found.then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

fn router(context: Context) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/backends", get(backends))
        .route("/explain", get(explain))
        .route("/events", get(events))
        .route("/up", post(|context, query| operate(Operation::Up, context, query)))
        .route("/down", post(|context, query| operate(Operation::Down, context, query)))
        .route("/ping", post(|context, query| operate(Operation::Ping, context, query)))
        .route("/rekey", post(rekey))
        .route("/terminate", post(terminate))
        .route("/reload", post(reload))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(context)
}

/// What a request may name.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    connection: Option<String>,
    child: Option<String>,
    #[serde(default)]
    ike: bool,
}

/// A request that gets no answer.
#[derive(Debug)]
struct Refusal(StatusCode, Line);

impl Refusal {
    fn new(status: StatusCode, what: impl Into<String>) -> Self {
        Self(status, Line::Failed { what: what.into(), why: None, hint: None })
    }

    fn unknown(what: String, hint: String) -> Self {
        Self(StatusCode::NOT_FOUND, Line::Failed { what, why: None, hint: Some(hint) })
    }
}

impl From<DriverError> for Refusal {
    fn from(error: DriverError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

async fn status(State(context): State<Context>, Query(asked): Query<Asked>) -> Result<Json<Status>, Refusal> {
    if let Some(name) = &asked.connection {
        context.known(name)?;
    }
    let snapshot = context.host.snapshot().await?;
    let warnings = context.facts(|facts| facts.warnings.clone());
    Ok(Json(Status::of(&snapshot, asked.connection.as_deref(), warnings)))
}

async fn backends(State(context): State<Context>) -> Json<Backends> {
    Json(context.facts(|facts| facts.backends.clone()))
}

async fn explain(
    State(context): State<Context>,
    Query(asked): Query<Asked>,
) -> Result<Json<Vec<Event>>, Refusal> {
    if let Some(name) = &asked.connection {
        context.known(name)?;
    }
    let entries = context.host.journal(asked.connection).await?;
    Ok(Json(entries.iter().map(Event::of).collect()))
}

async fn events(State(context): State<Context>) -> Result<Response, Refusal> {
    let slot = slot(&context)?;
    let mut events = context.host.events();
    let (lines, body) = lines();
    tokio::spawn(async move {
        let _slot = slot;
        loop {
            match events.recv().await {
                Ok(HostEvent { entry, .. }) => {
                    if !send(&lines, &Event::of(&entry)).await {
                        return;
                    }
                }
                // The numbers of the entries tell how many are missing.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    });
    Ok(body)
}

async fn rekey(context: State<Context>, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    operate(Operation::Rekey(part(&asked)), context, Query(asked)).await
}

async fn terminate(context: State<Context>, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    operate(Operation::Terminate(part(&asked)), context, Query(asked)).await
}

fn part(asked: &Asked) -> Part {
    match &asked.child {
        Some(child) => Part::Child(child.clone()),
        None if asked.ike => Part::Ike,
        None => Part::All,
    }
}

async fn reload(State(context): State<Context>) -> Json<Line> {
    Json(match (context.reload)().await {
        Ok(text) => Line::Done { text, round_trip_us: None },
        Err(failure) => Line::Failed {
            what: "the configuration was not read again".to_owned(),
            why: Some(failure.to_string().trim().replace('\n', "; ")),
            hint: Some("the old one stays in force".to_owned()),
        },
    })
}

/// Begins an operation and streams what happens until its outcome.
async fn operate(
    operation: Operation,
    State(context): State<Context>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let Some(name) = asked.connection else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "no connection is named"));
    };
    let known = context.known(&name)?;
    let slot = slot(&context)?;
    // Subscribed before the command is given: nothing is missed.
    let events = context.host.events();
    let snapshot = context.host.snapshot().await?;
    let (lines, body) = lines();
    match operation.begin(&name, &known.children, &snapshot) {
        Beginning::Over(line) => {
            send(&lines, &line).await;
        }
        Beginning::Wait(orders, goal) => {
            tokio::spawn(async move {
                let _slot = slot;
                let outcome = follow(&context.host, orders, goal, events, (&name, &lines)).await;
                send(&lines, &outcome).await;
            });
        }
    }
    Ok(body)
}

async fn follow(
    host: &HostHandle,
    orders: Vec<Order>,
    mut goal: Goal,
    mut events: broadcast::Receiver<HostEvent>,
    (name, lines): (&str, &mpsc::Sender<Bytes>),
) -> Line {
    for order in orders {
        if let Err(error) = host.command(order.into()).await {
            return Line::Failed { what: error.to_string(), why: None, hint: None };
        }
    }
    let waiting = async {
        if let Some(outcome) = goal.outcome() {
            return outcome;
        }
        loop {
            match events.recv().await {
                Ok(HostEvent { entry, event, .. }) => {
                    if entry.connection.as_deref() == Some(name) {
                        send(lines, &Line::Progress { text: entry.text.clone() }).await;
                    }
                    if let Some(outcome) = event.and_then(|event| goal.observe(&event)) {
                        return outcome;
                    }
                }
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    tracing::debug!(missed, "a waiting verb missed events");
                }
                Err(broadcast::error::RecvError::Closed) => {
                    return Line::Failed { what: "the host has stopped".to_owned(), why: None, hint: None };
                }
            }
        }
    };
    tokio::time::timeout(OUTCOME, waiting).await.unwrap_or_else(|_| Line::Failed {
        what: format!("{name}: no outcome after {} s", OUTCOME.as_secs()),
        why: None,
        hint: Some(format!("it goes on; see vpnhost status {name}")),
    })
}

fn slot(context: &Context) -> Result<tokio::sync::OwnedSemaphorePermit, Refusal> {
    let slot = Arc::clone(&context.slots).try_acquire_owned();
    slot.map_err(|_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many verbs wait already"))
}

/// Makes a body of lines and the end that they are sent to.
fn lines() -> (mpsc::Sender<Bytes>, Response) {
    let (sender, receiver) = mpsc::channel::<Bytes>(64);
    let stream = futures_util::stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|line| (Ok::<_, Infallible>(line), receiver))
    });
    (sender, Response::new(Body::from_stream(stream)))
}

/// Sends a document as a line; tells whether anybody still listens.
async fn send(lines: &mpsc::Sender<Bytes>, document: &impl Serialize) -> bool {
    let Ok(mut octets) = serde_json::to_vec(document) else { return true };
    octets.push(b'\n');
    lines.send(Bytes::from(octets)).await.is_ok()
}
