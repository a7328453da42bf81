//! Why a command was not carried out.

use vpnhost_model::{ChildSaId, ChildSpi};

/// A command names an SA that is not there, or an SA that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The SA is installed already.
    #[error("{0} is installed already")]
    Duplicate(ChildSaId),
    /// Another SA receives on the SPI.
    #[error("spi {0} is in use")]
    SpiInUse(ChildSpi),
    /// SPIs 0 to 255 are reserved (RFC 4303 §2.1).
    #[error("spi {0} is reserved")]
    SpiReserved(ChildSpi),
    /// No such SA.
    #[error("{0} is not installed")]
    Unknown(ChildSaId),
    /// There are as many SAs as may be.
    #[error("no room for another SA")]
    Full,
    /// The SA has no selectors, too many, or ends of different families.
    #[error("the traffic selectors of {0} are none, too many or invalid")]
    Selectors(ChildSaId),
    /// Transport mode is between two hosts.
    #[error("the traffic selectors of {0} are not those of two hosts, as transport mode needs them")]
    TransportMode(ChildSaId),
    /// The key's IV, block or ICV does not fit a slot's head- and tailroom.
    #[error("the packet layout of {0} does not fit")]
    Layout(ChildSaId),
}
