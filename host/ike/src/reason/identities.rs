//! How a peer's identity, and the one that it asks for, differ from what the nearest connection expects.

use std::fmt;
use std::sync::Arc;

use vpnhost_model::{Identity, IkeSuite};
use vpnhost_pki::identity;

use crate::config::{PeerConfig, PeerIdentity};
use crate::limits;

/// How identities differ from those of the nearest connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityGap {
    /// Who the peer says it is.
    pub peer: Identity,
    /// Who it asks for, if for anybody.
    pub wanted: Option<Identity>,
    /// The connection that comes nearest.
    pub nearest: Option<Nearest>,
}

/// A connection that a peer is nearly for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Its name.
    pub connection: String,
    /// Whom it expects.
    pub peer: PeerIdentity,
    /// Who this host is in it.
    pub local: Identity,
    /// Whether it admits the peer's identity,
    pub admits_peer: bool,
    /// is whom the peer asks for,
    pub is_wanted: bool,
    /// and has the IKE suite that was agreed on.
    pub has_suite: bool,
}

impl IdentityGap {
    /// Compares who a peer says it is, and whom it asks for, with each connection.
    pub(crate) fn find(
        peer: &Identity,
        wanted: Option<&Identity>,
        suite: Option<IkeSuite>,
        connections: &[Arc<PeerConfig>],
    ) -> Self {
        let near = |connection: &PeerConfig| Nearest {
            connection: connection.name.clone(),
            admits_peer: connection.peer_id.admits(peer),
            peer: connection.peer_id.clone(),
            local: connection.local_id.clone(),
            is_wanted: wanted.is_none_or(|wanted| identity::matches(&connection.local_id, wanted)),
            has_suite: suite.is_some_and(|suite| connection.ike.contains(&suite)),
        };
        let text: String = peer.to_string().chars().take(limits::LIKENESS).collect();
        let nearest = connections.iter().map(|it| near(it)).max_by_key(|it| {
            let fits = u8::from(it.admits_peer) + u8::from(it.is_wanted) + u8::from(it.has_suite);
            (fits, if it.peer == PeerIdentity::Any { 0 } else { likeness(&it.peer, &text) })
        });
        Self { peer: peer.clone(), wanted: wanted.cloned(), nearest }
    }

    pub(super) fn detail(&self) -> String {
        let mut text = format!("they say they are {}", self.peer);
        if let Some(wanted) = &self.wanted {
            text = format!("{text} and ask for {wanted}");
        }
        let Some(nearest) = &self.nearest else { return text };
        let (local, expected) = (nearest.local.to_string(), &nearest.peer);
        format!("{text}; connection {} is between {local} and {expected}", nearest.connection)
    }
}

impl fmt::Display for IdentityGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("authentication failed: no connection is for these identities")?;
        let Some(nearest) = &self.nearest else { return Ok(()) };
        let differs = match (nearest.admits_peer, nearest.is_wanted) {
            (false, true) => "expects another peer",
            (true, false) => "is of another identity of this host",
            (false, false) => "is between two others",
            (true, true) => "has other IKE proposals",
        };
        write!(f, "; the nearest, {}, {differs}", nearest.connection)
    }
}

/// Returns how much an identity is like an expected one: what they begin and end with alike.
fn likeness(expected: &PeerIdentity, other: &str) -> usize {
    let one = expected.to_string();
    let alike = |pair: &(char, char)| pair.0 == pair.1;
    let begin = one.chars().zip(other.chars()).take_while(alike).count();
    begin + one.chars().rev().zip(other.chars().rev()).take_while(alike).count()
}
