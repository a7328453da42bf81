//! The tree of valid policies (RFC 5280 §6.1.2 to 6.1.5), for a user who takes any policy.

use crate::certificate::Inner;
use crate::extension::{ANY_POLICY, Mapping};
use crate::{Refusal, limits};

/// A node: a policy that is valid up to some certificate, and what the next must have.
struct Node {
    policy: Vec<u8>,
    expected: Vec<Vec<u8>>,
    /// Its place in the level above.
    parent: usize,
}

/// The state of policy processing along a path.
pub(crate) struct Policies {
    /// A level for each certificate; `None` is the NULL tree.
    levels: Option<Vec<Vec<Node>>>,
    explicit: u32,
    mapping: u32,
    any: u32,
}

impl Policies {
    /// Begins a path of so many certificates, the anchor not counted.
    pub(crate) fn new(length: usize) -> Self {
        let root = Node { policy: ANY_POLICY.to_vec(), expected: vec![ANY_POLICY.to_vec()], parent: 0 };
        let beyond = u32::try_from(length + 1).unwrap_or(u32::MAX);
        Self { levels: Some(vec![vec![root]]), explicit: beyond, mapping: beyond, any: beyond }
    }

    /// §6.1.3 (d) to (f).
    pub(crate) fn take(&mut self, certificate: &Inner, last: bool) -> Result<(), Refusal> {
        let self_issued = certificate.subject == certificate.issuer;
        match &certificate.extensions.policies {
            Some(policies) => self.grow(policies, self.any > 0 || (!last && self_issued))?,
            None => self.levels = None,
        }
        if self.explicit == 0 && self.levels.is_none() { Err(Refusal::Policy) } else { Ok(()) }
    }

    fn grow(&mut self, policies: &[Vec<u8>], any_counts: bool) -> Result<(), Refusal> {
        let Some(levels) = &mut self.levels else { return Ok(()) };
        let above = levels.last().expect("there is the root");
        let mut level: Vec<Node> = Vec::new();
        let mut add = |policy: &[u8], parent| {
            level.push(Node { policy: policy.to_vec(), expected: vec![policy.to_vec()], parent });
        };
        for policy in policies.iter().filter(|policy| *policy != ANY_POLICY) {
            let mut matched = false;
            for (parent, _) in above.iter().enumerate().filter(|(_, node)| node.expected.contains(policy)) {
                add(policy, parent);
                matched = true;
            }
            let any = above.iter().position(|node| node.policy == ANY_POLICY);
            if let Some(parent) = any.filter(|_| !matched) {
                add(policy, parent);
            }
        }
        if any_counts && policies.iter().any(|policy| policy == ANY_POLICY) {
            for (parent, node) in above.iter().enumerate() {
                for expected in &node.expected {
                    let there = level.iter().any(|child| child.parent == parent && child.policy == *expected);
                    if !there {
                        level.push(Node {
                            policy: expected.clone(),
                            expected: vec![expected.clone()],
                            parent,
                        });
                    }
                }
            }
        }
        if level.len() > limits::POLICY_NODES {
            return Err(Refusal::TooManyPaths);
        }
        levels.push(level);
        self.prune();
        Ok(())
    }

    /// Takes away nodes without children, from the bottom up.
    fn prune(&mut self) {
        let Some(levels) = &mut self.levels else { return };
        for depth in (0..levels.len() - 1).rev() {
            let (above, below) = levels.split_at_mut(depth + 1);
            let (level, below) = (&mut above[depth], &mut below[0]);
            let mut places = Vec::with_capacity(level.len());
            let mut kept = 0;
            for index in 0..level.len() {
                let used = below.iter().any(|node| node.parent == index);
                places.push(kept);
                kept += usize::from(used);
            }
            let mut index = 0;
            level.retain(|_| {
                index += 1;
                below.iter().any(|node| node.parent == index - 1)
            });
            below.iter_mut().for_each(|node| node.parent = places[node.parent]);
        }
        if levels.last().is_none_or(Vec::is_empty) || levels[0].is_empty() {
            self.levels = None;
        }
    }

    /// §6.1.4 (a), (b), (h) to (j): before the next certificate.
    pub(crate) fn prepare(&mut self, certificate: &Inner) -> Result<(), Refusal> {
        let extensions = &certificate.extensions;
        let any = |policy: &[u8]| policy == ANY_POLICY;
        if extensions.mappings.iter().any(|(from, to)| any(from) || any(to)) {
            return Err(Refusal::Policy);
        }
        self.map(&extensions.mappings);
        if certificate.subject != certificate.issuer {
            for counter in [&mut self.explicit, &mut self.mapping, &mut self.any] {
                *counter = counter.saturating_sub(1);
            }
        }
        let lower = |counter: &mut u32, to: Option<u32>| *counter = (*counter).min(to.unwrap_or(u32::MAX));
        lower(&mut self.explicit, extensions.require_explicit);
        lower(&mut self.mapping, extensions.inhibit_mapping);
        lower(&mut self.any, extensions.inhibit_any);
        Ok(())
    }

    fn map(&mut self, mappings: &[Mapping]) {
        let Some(levels) = &mut self.levels else { return };
        let allowed = self.mapping > 0;
        let level = levels.last_mut().expect("there is the root");
        let mut added = Vec::new();
        for (from, _) in mappings {
            let to = || {
                mappings
                    .iter()
                    .filter(|(other, _)| other == from)
                    .map(|(_, to)| to.clone())
                    .collect::<Vec<_>>()
            };
            if !allowed {
                continue;
            }
            let mut found = false;
            for node in level.iter_mut().filter(|node| node.policy == *from) {
                node.expected = to();
                found = true;
            }
            let any = level.iter().find(|node| node.policy == ANY_POLICY).map(|node| node.parent);
            if let Some(parent) =
                any.filter(|_| !found && !added.iter().any(|node: &Node| node.policy == *from))
            {
                added.push(Node { policy: from.clone(), expected: to(), parent });
            }
        }
        if !allowed {
            // The nodes go, and those above that have no others.
            level.retain(|node| !mappings.iter().any(|(from, _)| *from == node.policy));
            if level.is_empty() {
                self.levels = None;
            } else {
                self.prune();
            }
            return;
        }
        level.extend(added);
    }

    /// §6.1.5 (a), (b), (g): at the end.
    pub(crate) fn finish(mut self, certificate: &Inner) -> Result<(), Refusal> {
        if certificate.subject != certificate.issuer {
            self.explicit = self.explicit.saturating_sub(1);
        }
        if certificate.extensions.require_explicit == Some(0) {
            self.explicit = 0;
        }
        if self.explicit == 0 && self.levels.is_none() { Err(Refusal::Policy) } else { Ok(()) }
    }
}
