//! Two endpoints against each other, on a virtual clock.
// All of it is test code, also outside of functions marked so.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod assigning;
mod bounds;
mod certificates;
mod childless;
mod collisions;
mod crash_detection;
mod decisions;
mod eap;
mod endings;
mod facts;
mod failures;
mod foretelling;
mod hostile;
mod idle_probe;
mod invalid;
#[path = "../../../pki/tests/rules/maker.rs"]
mod maker;
mod many_children;
mod mobility;
mod modes;
mod old_keys;
mod path_mtu;
mod patterns;
mod pfs;
mod pump;
mod random_interaction;
mod reauthentication;
mod rekeying;
mod script;
mod sequences;
mod set_up;
mod standing;
mod translators;
mod unknown_spi;
mod witness;
