//! What an IKE SA's successor inherits: Child SAs, virtual addresses, and the host's configuration.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vpnhost_model::{ChildSaId, ChildSpi, EspSuite, Instant, Lifetime, Mode, TrafficSelector};

use crate::output::HostConfiguration;
use crate::sa::failing::Failures;
use crate::sa::mobility::Mobility;

/// What a successor inherits (RFC 7296 §2.18).
#[derive(Debug, Default)]
pub(crate) struct Estate {
    /// The Child SAs.
    pub(crate) children: BTreeMap<ChildSaId, ChildSa>,
    /// Virtual addresses that this host was given, with prefix length.
    pub(crate) addresses: Vec<(IpAddr, u8)>,
    /// DNS servers that this host was given.
    pub(crate) dns: Vec<IpAddr>,
    /// Virtual addresses that the peer was given.
    pub(crate) peer_addresses: Vec<IpAddr>,
    /// What the host was last told to configure.
    pub(crate) configured: Option<HostConfiguration>,
    /// How each child of the connection failed lately.
    pub(crate) failures: BTreeMap<usize, Failures>,
    /// The peer answers once more after a time that it is asked for, and this host does so for it.
    pub(crate) answers_late: bool,
    /// What MOBIKE knows.
    pub(crate) mobility: Mobility,
}

/// A pair of ESP SAs as IKE sees it.
#[derive(Clone, Debug)]
pub(crate) struct ChildSa {
    /// Its name here.
    pub(crate) id: ChildSaId,
    /// Its place in the connection's configuration.
    pub(crate) index: usize,
    /// What this host receives on.
    pub(crate) spi_in: ChildSpi,
    /// What this host sends on.
    pub(crate) spi_out: ChildSpi,
    /// What protects it.
    pub(crate) suite: EspSuite,
    /// What is behind this host.
    pub(crate) local: Vec<TrafficSelector>,
    /// What is behind the peer.
    pub(crate) remote: Vec<TrafficSelector>,
    /// Tunnel or transport mode.
    pub(crate) mode: Mode,
    /// When it is to be replaced, as configured.
    pub(crate) configured: Lifetime,
    /// When it is to be replaced.
    pub(crate) lifetime: Lifetime,
    /// Whether that was decided; as configured until then.
    pub(crate) is_planned: bool,
    /// Whether it took the place of another.
    pub(crate) rekeys: bool,
    /// Since when it is there.
    pub(crate) since: Instant,
    /// Whether packets go out on it.
    pub(crate) sends: bool,
    /// Where it is in its life.
    pub(crate) phase: ChildPhase,
}

/// Where a Child SA is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChildPhase {
    /// In use.
    Active,
    /// Another was made in its place by an exchange that the peer began.
    ReplacedByPeer {
        /// The other.
        by: ChildSaId,
        /// The lower of that exchange's two nonces.
        lowest_nonce: Vec<u8>,
    },
    /// Another was made in its place by an exchange of ours; our Delete is on its way.
    ReplacedByUs {
        /// The other.
        by: ChildSaId,
    },
    /// Our Delete waits or is on its way.
    Closing,
}

impl ChildPhase {
    /// Tells whether a certain Child SA takes the place of this one.
    pub(crate) fn is_by(&self, id: ChildSaId) -> bool {
        match self {
            Self::ReplacedByPeer { by, .. } | Self::ReplacedByUs { by } => *by == id,
            Self::Active | Self::Closing => false,
        }
    }
}

impl Estate {
    /// Finds the Child SA that the peer receives on with an SPI: how Delete and REKEY_SA name it.
    pub(crate) fn by_peer_spi(&self, spi: ChildSpi) -> Option<&ChildSa> {
        self.children.values().find(|child| child.spi_out == spi)
    }

    /// Tells whether a child of the connection is up.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.children.values().any(|child| child.index == index && child.phase != ChildPhase::Closing)
    }

    /// Tells whether an address lies behind the peer, so that it is reached through the tunnel and not beside it. What is
    /// for everything, a full tunnel, tells nothing of where its ends are.
    pub(crate) fn is_behind(&self, address: IpAddr) -> bool {
        self.children.values().any(|child| holds(&child.remote, address))
    }

    /// Tells whether a Child SA is the one to use, not one on its way out.
    pub(crate) fn is_active(&self, id: ChildSaId) -> bool {
        self.children.get(&id).is_some_and(|child| child.phase == ChildPhase::Active)
    }
}

/// Tells whether selectors that are not for everything hold an address.
pub(crate) fn holds(selectors: &[TrafficSelector], address: IpAddr) -> bool {
    let everything = [TrafficSelector::any_v4(), TrafficSelector::any_v6()];
    let mut some = selectors.iter().filter(|selector| !everything.contains(selector));
    some.any(|selector| selector.contains_address(address))
}

/// Returns the lower of an exchange's two nonces (RFC 7296 §2.8.1).
pub(crate) fn lowest_nonce(nonce_i: &[u8], nonce_r: &[u8]) -> Vec<u8> {
    nonce_i.min(nonce_r).to_vec()
}

/// Decides a simultaneous rekey: tells whether the SA that this host's exchange made is the redundant
/// one.
///
/// RFC 7296, 2.8.1: the lowest of the four nonces loses; it is compared octet by octet, a nonce that is
/// a prefix of another is the lower. Whoever began the losing exchange closes what it made.
pub(crate) fn ours_is_redundant(our_lowest: &[u8], their_lowest: &[u8]) -> bool {
    our_lowest < their_lowest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_of_the_four_nonces_loses() {
        let low = [1u8; 32];
        let (mid, high) = ([2u8; 32], [3u8; 32]);
        for (ours, theirs, redundant) in [
            ((&low, &high), (&mid, &mid), true),
            ((&high, &low), (&mid, &mid), true),
            ((&mid, &mid), (&low, &high), false),
            ((&mid, &mid), (&high, &low), false),
        ] {
            let ours = lowest_nonce(ours.0, ours.1);
            let theirs = lowest_nonce(theirs.0, theirs.1);
            assert_eq!(ours_is_redundant(&ours, &theirs), redundant);
            assert_eq!(ours_is_redundant(&theirs, &ours), !redundant, "both sides decide alike");
        }
    }

    #[test]
    fn a_nonce_that_is_a_prefix_is_the_lower() {
        assert!(ours_is_redundant(&[7; 16], &[7; 32]));
    }
}
