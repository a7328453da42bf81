//! The nouns of RFC 7296, 4301 and 4555, shared by every room of the house.
//!
//! Values only: no I/O, no clock, no dependency. What they can do is be read from text, written as
//! text, and compared. Numbers of the IANA registries stay numbers, so that an unknown one survives.

pub mod distinguished_name;
pub mod identity;
pub mod lifetime;
pub mod link;
pub mod path;
pub mod pref64;
pub mod proposal;
pub mod role;
pub mod selector;
pub mod spi;
pub mod status;
pub mod time;
pub mod transform;

pub use identity::Identity;
pub use lifetime::{Lifetime, Mode, Translation};
pub use link::{AddressPair, LinkKind, LocalAddress};
pub use path::{Encapsulation, Path};
pub use pref64::{Pref64, Translator};
pub use proposal::{EspSuite, IkeSuite, ProposalError, Suite};
pub use role::Role;
pub use selector::TrafficSelector;
pub use spi::{ChildSaId, ChildSpi, IkeSaId, IkeSpi};
pub use status::Status;
pub use time::{Instant, Now};
pub use transform::{
    Encryption, Integrity, KeyExchange, PacketId, Prf, Protocol, Sequence, Transform, TransformType,
};
