//! NAT_DETECTION_SOURCE_IP and NAT_DETECTION_DESTINATION_IP (RFC 7296 §2.23).

use std::net::{IpAddr, SocketAddr};

use vpnhost_crypto::{CryptoBackend, CryptoError, Hash};
use vpnhost_model::IkeSpi;

/// What the hashes of a message say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NatFindings {
    /// The peer sent both kinds of hashes: it can do NAT traversal.
    pub(crate) supported: bool,
    /// A NAT is before this host: the peer saw us elsewhere than where we are.
    pub(crate) local: bool,
    /// A NAT is before the peer, or it says so.
    pub(crate) peer: bool,
}

/// Returns the hash of SPIs, address and port, or random-looking octets' length of zero when there
/// is no SHA-1, which nothing matches.
pub(crate) fn hash(
    crypto: &dyn CryptoBackend,
    spis: (IkeSpi, IkeSpi),
    address: SocketAddr,
) -> Result<[u8; 20], CryptoError> {
    let sha1 = crypto.find_hash(Hash::SHA1).ok_or(CryptoError::Unsupported)?;
    let mut digest = [0; 20];
    let ip = address_octets(address.ip());
    sha1.hash(&[&spis.0.0, &spis.1.0, &ip, &address.port().to_be_bytes()], &mut digest)?;
    Ok(digest)
}

/// Compares the peer's hashes with the addresses of the datagram that brought them.
pub(crate) fn find(
    crypto: &dyn CryptoBackend,
    spis: (IkeSpi, IkeSpi),
    (local, remote): (SocketAddr, SocketAddr),
    (sources, destinations): (&[&[u8]], &[&[u8]]),
) -> NatFindings {
    let (Ok(ours), Ok(theirs)) = (hash(crypto, spis, local), hash(crypto, spis, remote)) else {
        return NatFindings::default();
    };
    if sources.is_empty() || destinations.is_empty() {
        return NatFindings::default();
    }
    NatFindings {
        supported: true,
        local: destinations.iter().all(|digest| *digest != ours),
        peer: sources.iter().all(|digest| *digest != theirs),
    }
}

/// Returns an address in network byte order.
pub(crate) fn address_octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nat_is_found_on_the_side_where_it_is() {
        let crypto = vpnhost_rustcrypto::backend();
        let spis = (IkeSpi([1; 8]), IkeSpi::ZERO);
        let here: SocketAddr = "192.0.2.1:500".parse().unwrap();
        let there: SocketAddr = "198.51.100.1:500".parse().unwrap();
        let inside: SocketAddr = "10.0.0.1:500".parse().unwrap();
        let hash = |address| hash(crypto, spis, address).unwrap();
        let find = |source: &[u8], destination: &[u8]| {
            find(crypto, spis, (here, there), (&[source], &[destination]))
        };
        let none = find(&hash(there), &hash(here));
        assert_eq!(none, NatFindings { supported: true, local: false, peer: false });
        assert!(find(&hash(inside), &hash(here)).peer);
        assert!(find(&hash(there), &hash(inside)).local);
    }

    #[test]
    fn any_of_several_sources_may_match() {
        let crypto = vpnhost_rustcrypto::backend();
        let spis = (IkeSpi([1; 8]), IkeSpi::ZERO);
        let here: SocketAddr = "192.0.2.1:500".parse().unwrap();
        let there: SocketAddr = "198.51.100.1:500".parse().unwrap();
        let (right, ours) = (hash(crypto, spis, there).unwrap(), hash(crypto, spis, here).unwrap());
        let findings = find(crypto, spis, (here, there), (&[&[0; 20], &right], &[&ours]));
        assert!(!findings.peer && !findings.local);
    }
}
