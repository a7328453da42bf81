//! `vpnhost explain`: the last decisions and messages that led to the present state, in sentences.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::Path;

use vpnhost_driver::STRANGERS;
use vpnhost_record::{Entry, Wrong};

use crate::cli::Global;
use crate::control::client::{self, with_code};
use crate::control::document::{Connection, Event, Status};
use crate::decisions::reading::{LinePlace, Logs};
use crate::decisions::sentence;
use crate::exit::{self, Failure, Outcome};
use crate::limits;
use crate::text::{moment, span};

/// `vpnhost explain [NAME]`.
pub(crate) fn show(name: Option<&str>, global: &Global) -> Outcome {
    let query: Vec<(&str, &str)> = name.map(|name| ("connection", name)).into_iter().collect();
    let events: Vec<Event> = client::fetch(global, "/explain", &query)?;
    if global.json {
        return events.iter().try_for_each(client::print_json);
    }
    if name == Some(STRANGERS) {
        return exit::print(render(&events, &[]));
    }
    let status: Status = client::fetch(global, "/status", &query)?;
    exit::print(render(&events, &status.connections))
}

/// `vpnhost explain [NAME] --log FILE`: the last decisions that plugins were asked for.
pub(crate) fn recorded(log: &Path, name: Option<&str>, global: &Global) -> Outcome {
    let mut last: VecDeque<Entry> = VecDeque::new();
    let keep = |entry: Entry| {
        if name.is_none_or(|name| entry.question.connection() == name) {
            if last.len() >= limits::DECISIONS_TOLD {
                last.pop_front();
            }
            last.push_back(entry);
        }
        Ok(())
    };
    let odd = |place: LinePlace<'_>, wrong: &Wrong| {
        exit::warn(format_args!("{place} is no decision: {wrong}"), None)
    };
    Logs::of(log)?.each_entry(keep, odd)?;
    if last.is_empty() {
        let whose = name.map_or_else(String::new, |name| format!(" about {name}"));
        return Err(Failure::failed(format!("{} has no decision{whose}", log.display())));
    }
    last.iter().try_for_each(|entry| {
        if global.json {
            exit::print(format_args!("{}\n", serde_json::Value::from(entry.write())))
        } else {
            exit::print(format_args!("{}\n", sentence::of(entry)))
        }
    })
}

fn render(events: &[Event], connections: &[Connection]) -> String {
    let mut text = String::new();
    for Event { unix_ms, connection, text: sentence, reason, plugin_sha256, .. } in events {
        let connection = connection.as_deref().unwrap_or(STRANGERS);
        let mut sentence = with_code(sentence.clone(), reason.as_deref());
        if let Some(sum) = plugin_sha256.as_deref().and_then(|sum| sum.get(..12)) {
            sentence = format!("{sentence} (plugin's sha256 {sum})");
        }
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}  {connection}: {sentence}", moment(*unix_ms));
    }
    for connection in connections {
        let _ = writeln!(text, "{}", state(connection));
    }
    text
}

/// Tells where a connection stands, as the sentence that the others lead to.
fn state(connection: &Connection) -> String {
    let Connection { name, state, retry_in_secs, last_failure, last_reason, unresolved, .. } = connection;
    let mut sentence = match (state.as_str(), retry_in_secs) {
        ("up", _) => format!("{name} is up now"),
        ("connecting", _) => format!("{name} is being set up now"),
        (_, Some(seconds)) => format!("{name} is down now and will be tried again in {}", span(*seconds)),
        (_, None) => format!("{name} is down now"),
    };
    if let Some(failure) = last_failure {
        let failure = with_code(failure.clone(), last_reason.as_deref());
        let link = if state == "up" { "; last failure" } else { ", because" };
        sentence = format!("{sentence}{link}: {failure}");
    }
    for failure in unresolved {
        sentence = format!("{sentence}; {failure}");
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentences_end_with_the_present_state() {
        let event = Event {
            number: 0,
            unix_ms: 951_782_400_250,
            connection: Some("corp".to_owned()),
            nearest: None,
            ike_sa: Some(1),
            kind: "closed".to_owned(),
            question: None,
            by: None,
            plugin: None,
            plugin_sha256: None,
            reason: Some("no-common-proposal".to_owned()),
            moved: None,
            text: "no common proposal".to_owned(),
        };
        let connection = Connection {
            name: "corp".to_owned(),
            role: "initiator".to_owned(),
            gateways: Vec::new(),
            unresolved: Vec::new(),
            state: "retrying".to_owned(),
            retry_in_secs: Some(2),
            kept_up: true,
            last_failure: Some("no common proposal".to_owned()),
            last_reason: Some("no-common-proposal".to_owned()),
            last_refusal: None,
        };
        assert_eq!(
            render(&[event], &[connection]),
            "2000-02-29 00:00:00.250  corp: no common proposal [no-common-proposal]\n\
             corp is down now and will be tried again in 2 s, because: no common proposal [no-common-proposal]\n"
        );
    }
}
