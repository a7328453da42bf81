//! The daemon's side of the control socket: requests, and what they are answered from.

use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use vpnhost_driver::{DriverError, HostEvent, HostHandle, STRANGERS};
use vpnhost_plugin_host::{PluginSlot, TrialKind};

use super::document::{Backends, Certs, Event, Line, Status};
use super::ends::Ends;
use super::operation::{Beginning, Goal, Operation, Order, Part, not_up};
use crate::daemon::PluginOrder;
use crate::exit::Failure;
use crate::limits;
use crate::roles::nearest;

/// Something that comes later.
pub(crate) type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A configured connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its name.
    pub(crate) name: String,
    /// `initiator`, `responder` or `either`.
    pub(crate) role: &'static str,
    /// The peer's addresses and names, as they are written.
    pub(crate) gateways: Vec<String>,
    /// Its children's names.
    pub(crate) children: Vec<String>,
    /// Which names lead nowhere, in sentences.
    pub(crate) unresolved: Vec<String>,
    /// Whether there is an address to begin with; a host that only answers needs none.
    pub(crate) is_reachable: bool,
}

/// What the daemon tells beside the host's own state; a reload changes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The configured connections.
    pub(crate) connections: Vec<Known>,
    /// The crypto backends.
    pub(crate) backends: Backends,
    /// What the operator should know.
    pub(crate) warnings: Vec<String>,
}

/// What verbs ask of the daemon beside its host.
pub(crate) trait Daemon: Send + Sync {
    /// Returns what it knows.
    fn facts(&self) -> Facts;
    /// Reads the configuration again; returns what was done, as a sentence.
    fn reload(self: Arc<Self>) -> Later<Result<String, Failure>>;
    /// Returns what it shows, whom it trusts and what it knows to be revoked.
    fn certs(&self) -> Certs;
    /// Returns the plugins in the order in which they are asked.
    fn plugins(&self) -> Vec<Arc<PluginSlot>>;
    /// Changes the plugins; returns what was done, as a sentence.
    fn change_plugins(self: Arc<Self>, order: PluginOrder) -> Later<Result<String, Failure>>;
    /// Looks a connection's names up.
    fn resolve(self: Arc<Self>, connection: String) -> Later<()>;
}

/// What requests are answered from.
#[derive(Clone)]
pub(crate) struct Context {
    host: HostHandle,
    daemon: Arc<dyn Daemon>,
}

impl Context {
    /// Makes a context.
    pub(crate) fn new(host: HostHandle, daemon: Arc<dyn Daemon>) -> Self {
        Self { host, daemon }
    }

    /// Finds a connection by name.
    fn known(&self, name: &str) -> Result<Known, Refusal> {
        let facts = self.daemon.facts();
        let names: Vec<&str> = facts.connections.iter().map(|known| known.name.as_str()).collect();
        facts.connections.iter().find(|known| known.name == name).cloned().ok_or_else(|| {
            let hint = match (nearest(name, names.iter().copied()), &names[..]) {
                (Some(near), _) => format!("did you mean {near}?"),
                (None, []) => "the configuration has none".to_owned(),
                (None, names) => format!("there are: {}", names.join(", ")),
            };
            Refusal::unknown(format!("there is no connection {name}"), hint)
        })
    }
}

/// Returns the routes.
pub(super) fn router(context: Context) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/backends", get(backends))
        .route("/certs", get(certs))
        .route("/explain", get(explain))
        .route("/events", get(events))
        .route("/up", post(|context, query| operate(Operation::Up, context, query)))
        .route("/down", post(|context, query| operate(Operation::Down, context, query)))
        .route("/roam", post(roam))
        .route("/ping", post(ping))
        .route("/rekey", post(rekey))
        .route("/reauth", post(reauth))
        .route("/terminate", post(terminate))
        .route("/reload", post(reload))
        .route("/plugins/load", post(load_plugin))
        .route("/plugins/unload", post(|context, query| of_plugin(PluginOrder::Unload, context, query)))
        .route("/plugins/promote", post(|context, query| of_plugin(PluginOrder::Promote, context, query)))
        .route("/plugins/rollback", post(|context, query| of_plugin(PluginOrder::Rollback, context, query)))
        .layer(DefaultBodyLimit::max(limits::CONTROL_BODY))
        .with_state(context)
}

/// What a request may name.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    connection: Option<String>,
    child: Option<String>,
    #[serde(default)]
    ike: bool,
    path: Option<String>,
}

impl Asked {
    /// Returns the path that is named.
    fn ends(&self) -> Result<Option<Ends>, Refusal> {
        let read = self.path.as_deref().map(str::parse).transpose();
        read.map_err(|error: String| Refusal::new(StatusCode::BAD_REQUEST, error))
    }
}

/// A request that gets no answer.
#[derive(Debug)]
struct Refusal(StatusCode, Line);

impl Refusal {
    fn new(status: StatusCode, what: impl Into<String>) -> Self {
        Self(status, Line::failed(what))
    }

    fn unknown(what: String, hint: String) -> Self {
        Self(StatusCode::NOT_FOUND, Line::failed(what).hint(hint))
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
    let mut status = Status::of(&snapshot, &context.daemon.facts(), asked.connection.as_deref());
    status.know_plugins(&context.daemon.plugins());
    Ok(Json(status))
}

async fn backends(State(context): State<Context>) -> Json<Backends> {
    Json(context.daemon.facts().backends)
}

async fn certs(State(context): State<Context>) -> Json<Certs> {
    Json(context.daemon.certs())
}

async fn explain(
    State(context): State<Context>,
    Query(asked): Query<Asked>,
) -> Result<Json<Vec<Event>>, Refusal> {
    if let Some(name) = asked.connection.as_deref().filter(|name| *name != STRANGERS) {
        context.known(name)?;
    }
    let entries = context.host.journal(asked.connection).await?;
    Ok(Json(entries.iter().map(Event::of).collect()))
}

async fn events(State(context): State<Context>) -> Response {
    let mut events = context.host.events();
    let (lines, body) = lines();
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                // Whoever listened is gone, and may be so before the next event.
                () = lines.closed() => return,
            };
            match event {
                Ok(HostEvent { entry, .. }) => {
                    if !send(&lines, &Event::of(&entry)).await {
                        return;
                    }
                }
                // The numbers of the entries tell how many are missing.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
    body
}

async fn rekey(context: State<Context>, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    operate(Operation::Rekey(part(&asked)), context, Query(asked)).await
}

async fn reauth(context: State<Context>, asked: Query<Asked>) -> Result<Response, Refusal> {
    operate(Operation::Reauth, context, asked).await
}

async fn roam(context: State<Context>, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    operate(Operation::Roam(asked.ends()?), context, Query(asked)).await
}

async fn ping(context: State<Context>, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    operate(Operation::Ping(asked.ends()?), context, Query(asked)).await
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
    let taken = Arc::clone(&context.daemon).reload().await;
    Json(match taken {
        Ok(text) => Line::done(text),
        Err(failure) => {
            let why = failure.reasons().join("; ");
            let line = Line::failed("the configuration was not read again").because(why);
            line.hint("the old one stays in force; vpnhost check FILE tells more").code(failure.code())
        }
    })
}

/// What a request about plugins may name.
#[derive(Debug, Deserialize)]
struct AskedPlugin {
    name: Option<String>,
    file: Option<PathBuf>,
    #[serde(default)]
    shadow: bool,
    canary: Option<u8>,
}

async fn load_plugin(
    State(context): State<Context>,
    Query(asked): Query<AskedPlugin>,
) -> Result<Json<Line>, Refusal> {
    let AskedPlugin { name, file, shadow, canary } = asked;
    let Some(file) = file.filter(|file| file.is_absolute()) else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "no file is named by its whole path"));
    };
    let trial = match (shadow, canary) {
        (true, None) => Some(TrialKind::Shadow),
        (false, Some(percent @ 1..=100)) => Some(TrialKind::Canary(percent)),
        (false, None) => None,
        (_, Some(_)) => {
            let what = "a canary has 1 to 100 %, and is no shadow";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, what));
        }
    };
    Ok(change_plugins(&context, PluginOrder::Load { file, name, trial }).await)
}

async fn of_plugin(
    order: fn(String) -> PluginOrder,
    State(context): State<Context>,
    Query(asked): Query<AskedPlugin>,
) -> Result<Json<Line>, Refusal> {
    let Some(name) = asked.name else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "no plugin is named"));
    };
    Ok(change_plugins(&context, order(name)).await)
}

async fn change_plugins(context: &Context, order: PluginOrder) -> Json<Line> {
    Json(match Arc::clone(&context.daemon).change_plugins(order).await {
        Ok(text) => Line::done(text),
        Err(failure) => Line::of(&failure),
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
    let mut known = context.known(&name)?;
    if operation == Operation::Up && !known.unresolved.is_empty() {
        Arc::clone(&context.daemon).resolve(name.clone()).await;
        known = context.known(&name)?;
    }
    // Subscribed before the command is given: nothing is missed.
    let events = context.host.events();
    let snapshot = context.host.snapshot().await?;
    let (lines, body) = lines();
    match operation.begin(&name, &known.children, &snapshot) {
        Beginning::Over(line) => {
            send(&lines, &line).await;
        }
        Beginning::Wait(_, _) if operation == Operation::Up && !known.is_reachable => {
            send(&lines, &not_up(&name).because(known.unresolved.join("; "))).await;
        }
        Beginning::Wait(orders, goal) => {
            tokio::spawn(async move {
                let outcome = tokio::select! {
                    outcome = follow(&context.host, orders, goal, events, (&name, &lines)) => outcome,
                    // It goes on without a listener.
                    () = lines.closed() => return,
                };
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
            return Line::failed(error.to_string());
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
                        return outcome.by_plugin_of(&entry);
                    }
                }
                Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "a waiting verb missed events"),
                Err(RecvError::Closed) => return Line::failed("the host has stopped"),
            }
        }
    };
    let outcome = tokio::time::timeout(limits::OUTCOME, waiting).await;
    outcome.unwrap_or_else(|_| {
        let line = Line::failed(format!("{name}: no outcome after {} s", limits::OUTCOME.as_secs()));
        line.hint(format!("it goes on; vpnhost status {name} tells how far it is"))
    })
}

/// Makes a body of lines and the end that they are sent to.
fn lines() -> (mpsc::Sender<Bytes>, Response) {
    let (sender, receiver) = mpsc::channel::<Bytes>(limits::CONTROL_LINES);
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
