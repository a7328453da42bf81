//! What rides on exchanges: each extension is switched on by a Notify or carried by a payload.

pub mod fragmentation;
