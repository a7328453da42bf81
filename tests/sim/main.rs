//! Stories of hosts on a virtual clock: what design and RFC 7296 promise over a network that keeps no promise.
//! A run that fails names its seed; `SEED=n` runs that one again and shows what was sent.
// All of it is test code, also outside of functions marked so.
#![allow(clippy::unwrap_used)]

mod delete;
mod forgery;
mod handshake;
mod journeys;
mod keepalive;
mod lifetime;
mod loss;
mod nat;
mod one_address;
mod pool;
mod restart;
mod stream;
mod suites;
mod twins;
mod world;
