//! IKE messages and their octets (RFC 7296 §3, RFC 7383 §2.5).
//!
//! Decoding checks every length and every count and never panics; what it does not know it keeps, so
//! that an accepted message is written back as it came. What payloads mean, which of them an exchange
//! needs and which SA they belong to is unknown here.

pub mod error;
pub mod header;
pub mod limits;
pub mod message;
pub mod payload;
pub mod protected;
mod reader;
#[cfg(test)]
pub(crate) mod test_key;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use header::{ExchangeType, Flags, Header, Version};
pub use message::Message;
pub use payload::{Payload, PayloadType};
pub use protected::{
    Envelope, FragmentPosition, IvSource, OpenError, Opened, SealError, open_message, seal_message,
};

/// Declares a newtype of an IANA number with its known members; each bears its registry name.
macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident($inner:ty) { $($(#[$item_doc:meta])* $item:ident = $number:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            $($(#[$item_doc])* pub const $item: Self = Self($number);)*

            /// Returns the registry's name, or `None` for a number without one here.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($item)),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!(stringify!($name), "({})"), self.0),
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    };
}
use numbers;
