//! A verb's side of the control socket.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use super::document::Line;
use crate::cli::Global;
use crate::exit::{self, Code, Failure, Outcome};
use crate::limits;

/// Asks for a document.
///
/// # Errors
/// Code 3 without a daemon; otherwise what the daemon says.
pub(crate) fn fetch<T: DeserializeOwned>(
    global: &Global,
    path: &str,
    query: &[(&str, &str)],
) -> Result<T, Failure> {
    let fetched = in_runtime(async {
        let body = ask(&global.control(), Method::GET, path, query).await?;
        let octets = whole(body).await?;
        serde_json::from_slice(&octets).map_err(|error| strange(&error.to_string()))
    });
    told(global, fetched)
}

/// Tells a failure as a document, too, where documents are wanted.
pub(super) fn told<T>(global: &Global, result: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(failure) = &result
        && global.json
    {
        print_json(&Line::of(failure))?;
    }
    result
}

/// Prints a document as one line.
pub(crate) fn print_json(document: &impl Serialize) -> Outcome {
    let text = serde_json::to_string(document).map_err(|error| strange(&error.to_string()))?;
    exit::print(format_args!("{text}\n"))
}

pub(super) fn in_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::failed("cannot wait for the daemon").because(error.to_string()))?
        .block_on(work)
}

/// Sends a request; an answer other than success becomes a failure.
pub(super) async fn ask(
    socket: &Path,
    method: Method,
    path: &str,
    query: &[(&str, &str)],
) -> Result<Incoming, Failure> {
    let stream = UnixStream::connect(socket).await.map_err(|error| no_daemon(socket, &error))?;
    let broken =
        |error: hyper::Error| Failure::failed("the daemon does not answer").because(error.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(async move {
        // Whoever reads the answer sees the same error.
        let _ = connection.await;
    });
    let request = Request::builder()
        .method(method)
        .uri(target(path, query))
        .header(hyper::header::HOST, "vpnhost")
        .body(Empty::<Bytes>::new())
        .map_err(|error| strange(&error.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(response.into_body());
    }
    let octets = whole(response.into_body()).await?;
    Err(match serde_json::from_slice(&octets) {
        Ok(line) => failure(line),
        Err(_) => strange(&format!("status {status}")),
    })
}

fn no_daemon(socket: &Path, error: &io::Error) -> Failure {
    let what = format!("no daemon answers on {}", socket.display());
    if error.kind() == io::ErrorKind::PermissionDenied {
        let failure = Failure::failed(what).because("permission denied");
        return failure.hint("be root or a member of the group vpnhost");
    }
    Failure::no_daemon(what)
        .because(exit::plain(error))
        .hint("start it with `vpnhost run`, or name its socket with --control")
}

/// Writes a cause with its code behind it.
pub(crate) fn with_code(why: String, reason: Option<&str>) -> String {
    reason.map_or_else(|| why.clone(), |reason| format!("{why} [{reason}]"))
}

pub(super) fn strange(why: &str) -> Failure {
    Failure::failed("the daemon's answer makes no sense").because(why).hint("is it of another version?")
}

/// Returns what a line tells that is no success.
pub(super) fn failure(line: Line) -> Failure {
    match line {
        Line::Failed { what, why, reason, hint, code } => {
            let code = [Code::Usage, Code::NoDaemon].into_iter().find(|known| *known as u8 == code);
            let mut failure = Failure::failed(what).with_code(code.unwrap_or(Code::Failed));
            if let Some(why) = why {
                failure = failure.because(with_code(why, reason.as_deref()));
            }
            match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
        Line::Progress { text } | Line::Done { text, .. } => strange(&text),
    }
}

/// Writes path and query; every octet that is not plainly allowed is escaped (RFC 3986 §2.1).
fn target(path: &str, query: &[(&str, &str)]) -> String {
    let mut text = path.to_owned();
    for (at, (key, value)) in query.iter().enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        text.push_str(key);
        text.push('=');
        for octet in value.bytes() {
            match octet {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(octet.into())
                }
                // Writing to a String does not fail.
                _ => drop(write!(text, "%{octet:02X}")),
            }
        }
    }
    text
}

async fn whole(body: Incoming) -> Result<Bytes, Failure> {
    let limited = http_body_util::Limited::new(body, limits::ANSWER_OCTETS);
    Ok(limited.collect().await.map_err(|error| strange(&error.to_string()))?.to_bytes())
}

/// Lines of a stream.
pub(super) struct Lines {
    body: Incoming,
    rest: Vec<u8>,
}

impl Lines {
    pub(super) fn of(body: Incoming) -> Self {
        Self { body, rest: Vec::new() }
    }

    pub(super) async fn next<T: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<T>, Failure> {
        loop {
            if let Some(end) = self.rest.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(|error| strange(&error.to_string()));
            }
            if self.rest.len() > limits::LINE_OCTETS {
                return Err(strange("a line is too long"));
            }
            let Some(frame) = self.body.frame().await else {
                // A document without an end of line, such as the answer to a reload.
                let rest = std::mem::take(&mut self.rest);
                if rest.is_empty() {
                    return Ok(None);
                }
                return serde_json::from_slice(&rest).map(Some).map_err(|error| strange(&error.to_string()));
            };
            let frame = frame.map_err(|error| {
                Failure::failed("the daemon went away before the outcome was known")
                    .because(error.to_string())
            })?;
            if let Ok(data) = frame.into_data() {
                self.rest.extend_from_slice(&data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_in_a_query() {
        assert_eq!(target("/up", &[("connection", "a b&c=ü")]), "/up?connection=a%20b%26c%3D%C3%BC");
        assert_eq!(target("/status", &[]), "/status");
    }

    #[test]
    fn without_a_daemon_the_exit_code_is_three() {
        let directory = tempfile::tempdir().unwrap();
        let global = Global { control: Some(directory.path().join("none.sock")), ..Global::default() };
        let failure = fetch::<Line>(&global, "/status", &[]).unwrap_err();
        assert_eq!(failure.code() as u8, 3);
        assert!(failure.to_string().contains("none.sock"));
    }

    /// Answers on a socket as a daemon would.
    fn with_daemon(test: impl FnOnce(&Global)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let (ready, is_ready) = std::sync::mpsc::channel();
        let socket = path.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::UnixListener::bind(socket).unwrap();
                ready.send(()).unwrap();
                axum::serve(listener, routes()).await
            })
        });
        is_ready.recv().unwrap();
        test(&Global { control: Some(path), ..Global::default() });
    }

    fn routes() -> axum::Router {
        use axum::Json;
        use axum::http::StatusCode;
        use axum::routing::{get, post};
        let up = || async {
            let progress = serde_json::to_string(&Line::Progress { text: "one".to_owned() }).unwrap();
            let failed = Line::failed("corp is not up").because("no common proposal");
            format!("{progress}\n{}\n", serde_json::to_string(&failed).unwrap())
        };
        let unknown = || async { (StatusCode::NOT_FOUND, Json(Line::failed("there is no connection x"))) };
        axum::Router::new()
            .route("/status", get(|| async { Json(Line::done("fine")) }))
            .route("/up", post(up))
            .route("/down", post(unknown))
            .route("/gone", post(|| async { "" }))
            .route("/odd", get(|| async { "{" }))
    }

    #[test]
    fn a_verb_hears_what_the_daemon_says() {
        use crate::control::order::of_connection;
        with_daemon(|global| {
            assert!(matches!(fetch(global, "/status", &[]), Ok(Line::Done { .. })));
            let up = of_connection(global, "/up", "corp").unwrap_err();
            assert_eq!(up.to_string(), "error: corp is not up (no common proposal)\n");
            assert_eq!(up.code(), Code::Failed);
            let down = of_connection(global, "/down", "x").unwrap_err();
            assert_eq!(down.to_string(), "error: there is no connection x\n");
            let gone = of_connection(global, "/gone", "x").unwrap_err();
            assert!(gone.to_string().contains("went away before the outcome was known"));
            let odd = fetch::<Line>(global, "/odd", &[]).unwrap_err();
            assert!(odd.to_string().contains("makes no sense"), "{odd}");
        });
    }
}
