//! The lab: hosts in network namespaces, joined by veth pairs, with strongSwan or vpnhost on them..
//!
//! A [`Lab`] is a topology; a daemon is a [`Strongswan`] or a [`Vpnhost`] in one of its namespaces; [`traffic`]
//! moves octets and counts what is lost; [`capture`] records what an outsider sees. Root only. Everything that
//! a lab starts ends with the value that holds it. What a test says about the parts stands in [`stories`].

pub mod capture;
pub mod command;
pub mod datagram;
pub mod flood;
pub mod judge;
pub mod lab;
pub mod link;
pub mod load;
pub mod matrix;
pub mod namespace;
pub mod peers;
pub mod roam;
pub mod running;
pub mod stories;
pub mod story;
pub mod stream;
pub mod strongswan;
pub mod suite;
pub mod traffic;
pub mod translator;
pub mod vpnhost;
pub mod wait;
pub mod witness;

pub use lab::{Lab, Topology};
pub use namespace::Namespace;
pub use running::Running;
pub use strongswan::Strongswan;
pub use vpnhost::Vpnhost;
