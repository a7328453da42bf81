//! The control socket: HTTP and JSON over a Unix socket, so that a verb, a script and a status page ask the same.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /status[?connection=NAME]` | [`document::Status`] |
//! | `GET /backends` | [`document::Backends`] |
//! | `GET /explain[?connection=NAME]` | a list of [`document::Event`]s, the oldest first |
//! | `GET /events` | the same as they happen, one document a line |
//! | `POST /up`, `/down`, `/rekey`, `/reauth`, `/terminate`, `/roam`, `/ping` `?connection=NAME[&ike=true or &child=NAME or &path=LOCAL-REMOTE]` | [`document::Line`]s, the outcome last |
//! | `POST /reload` | one [`document::Line`] |
//! | `POST /plugins/load?file=PATH[&name=NAME][&shadow=true or &canary=PERCENT]` | one [`document::Line`] |
//! | `POST /plugins/unload`, `/plugins/promote`, `/plugins/rollback` `?name=NAME` | one [`document::Line`] |
//!
//! `curl --unix-socket /run/vpnhost/control.sock http://vpnhost/status` asks it too. The documents are what verbs print
//! with `--json`; their fields are named and described in [`document`], and only ever added to.
//!
//! An unknown connection is status 404; whatever fails before there is an answer is told as
//! [`document::Line::Failed`].

pub(crate) mod client;
pub(crate) mod document;
pub(crate) mod ends;
#[cfg(test)]
mod fields;
mod operation;
pub(crate) mod order;
mod roaming;
pub(crate) mod server;
mod snapshot;
pub(crate) mod socket;
