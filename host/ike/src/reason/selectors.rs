//! How the traffic selectors that are asked for differ from those of the nearest child.

use std::fmt;

use vpnhost_model::TrafficSelector;

use crate::exchange::selectors::intersect;
use crate::reason::some_of;

/// How selectors differ, as this host sees them: what is behind it, what is behind the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorGap {
    /// The child that comes nearest, if the connection has one.
    pub child: Option<String>,
    /// What is asked for behind this host, and behind the peer.
    pub asked: (Vec<TrafficSelector>, Vec<TrafficSelector>),
    /// What the nearest child has.
    pub own: (Vec<TrafficSelector>, Vec<TrafficSelector>),
    /// Whether there is something in common behind this host, and behind the peer.
    pub meets: (bool, bool),
}

impl SelectorGap {
    /// Compares what is asked for with each child's selectors.
    pub(crate) fn find(
        asked: (Vec<TrafficSelector>, Vec<TrafficSelector>),
        children: impl IntoIterator<Item = (String, (Vec<TrafficSelector>, Vec<TrafficSelector>))>,
    ) -> Self {
        let compared = children.into_iter().map(|(name, own)| {
            let meets = (!intersect(&asked.0, &own.0).is_empty(), !intersect(&asked.1, &own.1).is_empty());
            (name, own, meets)
        });
        // The first of those that meet most.
        let mut nearest: Option<(String, _, (bool, bool))> = None;
        let sides = |(local, remote): (bool, bool)| u8::from(local) + u8::from(remote);
        for one in compared {
            if nearest.as_ref().is_none_or(|best| sides(one.2) > sides(best.2)) {
                nearest = Some(one);
            }
        }
        match nearest {
            Some((child, own, meets)) => Self { child: Some(child), asked, own, meets },
            None => Self { child: None, asked, own: Default::default(), meets: (false, false) },
        }
    }

    pub(super) fn detail(&self) -> String {
        let pair = |(local, remote): &(Vec<TrafficSelector>, Vec<TrafficSelector>)| {
            format!("{} === {}", some_of(local), some_of(remote))
        };
        match &self.child {
            Some(child) => {
                format!("they ask for {}, child {child} has {}", pair(&self.asked), pair(&self.own))
            }
            None => format!("they ask for {}", pair(&self.asked)),
        }
    }
}

impl fmt::Display for SelectorGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("traffic selectors have nothing in common")?;
        let Some(child) = &self.child else { return f.write_str(": no child is configured") };
        let differs = match self.meets {
            (false, true) => "its local_ts differs",
            (true, false) => "its remote_ts differs",
            (false, false) | (true, true) => "its local_ts and remote_ts differ",
        };
        write!(f, "; the nearest is child {child}: {differs}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ts(text: &str) -> Vec<TrafficSelector> {
        let (base, length) = text.split_once('/').unwrap();
        vec![TrafficSelector::prefix(base.parse().unwrap(), length.parse().unwrap()).unwrap()]
    }

    #[test]
    fn the_child_that_meets_one_side_is_nearer_than_one_that_meets_none() {
        let far = ("far".to_owned(), (ts("10.7.0.0/24"), ts("10.8.0.0/24")));
        let near = ("near".to_owned(), (ts("10.2.0.0/24"), ts("10.9.0.0/24")));
        let gap = SelectorGap::find((ts("10.2.0.0/24"), ts("10.1.0.0/24")), [far, near]);
        assert_eq!(
            gap.to_string(),
            "traffic selectors have nothing in common; the nearest is child near: its remote_ts differs"
        );
        assert_eq!(
            gap.detail(),
            "they ask for 10.2.0.0/24 === 10.1.0.0/24, child near has 10.2.0.0/24 === 10.9.0.0/24"
        );
    }
}
