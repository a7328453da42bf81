//! Both ends of a conversation against each other, by each method, and against whatever else may come.

#![allow(clippy::unwrap_used)]

mod harness;
mod hostile;
mod identity;
mod mschapv2;
mod tls;
