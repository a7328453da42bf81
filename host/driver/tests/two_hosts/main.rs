//! Two hosts in two network namespaces of one process: negotiation, traffic, endings. Needs root; without it
//! every test says that it is skipped.
// All of it is test code, also outside of functions marked so.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod crash;
mod endings;
mod harm;
mod lab;
mod mobility;
mod plugins;
mod reloads;
mod running;
mod settings;
mod tunnels;
mod waking;
