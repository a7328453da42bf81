//! Both halves of the packet path against each other, with real keys.
// All of it is test code, also outside of functions marked so.
#![allow(clippy::unwrap_used)]

mod arriving;
mod leaving;
mod orders;
mod path_mtu;
mod rig;
mod transport;
mod waiting;
