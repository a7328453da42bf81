//! What IKE SAs want changed: many at once cost as much as one, and one that is refused stops no other.

use std::time::Instant;

use vpnhost_ike::output::HostConfiguration;
use vpnhost_model::IkeSaId;

use super::Machine;
use crate::error::DriverError;
use crate::limits;

/// A change for an IKE SA's sake.
#[derive(Debug)]
pub(crate) enum Edit {
    /// Its addresses, routes and DNS are set up, or changed.
    Configure(Box<HostConfiguration>),
    /// They are taken away.
    Release(IkeSaId),
    /// They are kept under another name.
    Rename {
        /// The name so far.
        old: IkeSaId,
        /// The name from now on.
        new: IkeSaId,
    },
}

impl Edit {
    /// Returns the IKE SA that it is for.
    pub(crate) fn ike_sa(&self) -> IkeSaId {
        match self {
            Self::Configure(configuration) => configuration.ike_sa,
            Self::Release(id) | Self::Rename { new: id, .. } => *id,
        }
    }
}

impl Machine {
    /// Makes changes together; returns what became of each. Where they are refused together, halves are tried, so that
    /// whoever is to blame is found and the others are served.
    pub(crate) async fn change(&mut self, edits: &[Edit]) -> Vec<Result<(), DriverError>> {
        let mut results = Vec::with_capacity(edits.len());
        let mut parts = vec![edits];
        let end = Instant::now() + limits::HOST_CHANGE;
        while let Some(part) = parts.pop() {
            match (self.change_together(part).await, part) {
                (Ok(()), _) => results.extend(part.iter().map(|_| Ok(()))),
                (Err(error), [] | [_]) => results.push(Err(error)),
                // A slow machine is nobody's fault, and would only be asked for more.
                (Err(error), _) if matches!(error, DriverError::Timeout(_)) || end < Instant::now() => {
                    tracing::debug!(%error, "changes were refused together");
                    results.extend(part.iter().map(|_| Err(DriverError::Timeout("change routes"))));
                }
                (Err(_), _) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
        }
        results
    }

    async fn change_together(&mut self, edits: &[Edit]) -> Result<(), DriverError> {
        let before = self.configured.clone();
        edits.iter().for_each(|edit| self.note(edit));
        if edits.iter().all(|edit| matches!(edit, Edit::Rename { .. })) {
            return Ok(());
        }
        let done = self.apply(false).await;
        if done.is_err() {
            // What was refused is not wanted any more, and the next change removes what there is of it.
            self.configured = before;
            let others = edits.iter().filter(|edit| !matches!(edit, Edit::Configure(_)));
            others.for_each(|edit| self.note(edit));
        }
        done
    }

    fn note(&mut self, edit: &Edit) {
        match edit {
            Edit::Configure(configuration) => {
                self.configured.insert(configuration.ike_sa, (**configuration).clone());
            }
            Edit::Release(id) => drop(self.configured.remove(id)),
            Edit::Rename { old, new } => {
                if let Some(mut configuration) = self.configured.remove(old) {
                    configuration.ike_sa = *new;
                    self.configured.insert(*new, configuration);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ground::Ground;
    use super::super::tests::{TUN, assert_blocked, assert_by, configuration, protected, settings, started};
    use super::*;
    use crate::config::Leak;

    /// A client of a gateway, with an address of its own.
    fn client(number: u16) -> Edit {
        let [high, low] = number.to_be_bytes();
        let remote = format!("10.30.{high}.{low}/32");
        Edit::Configure(Box::new(configuration(u64::from(number), &["10.20.0.1/32"], &[&remote])))
    }

    /// Returns how many firewall tables the namespace has seen: the kernel numbers them.
    fn tables(ground: Ground) -> u64 {
        let text = ground.tried("nft", "-a list ruleset").1;
        let number =
            text.lines().find(|line| line.starts_with("table ")).and_then(|it| it.split_once("# handle "));
        number.unwrap_or_else(|| panic!("{text}")).1.trim().parse().unwrap()
    }

    #[test]
    fn hundreds_of_clients_that_come_at_once_cost_one_change() {
        Ground::run(|ground| async move {
            let tun = ground.tun(TUN);
            let mut machine = started(settings(tun.index, vec![protected(&[], Leak::Block)])).await;
            machine.change(&[client(0)]).await.into_iter().for_each(Result::unwrap);
            let before = tables(ground);
            let edits: Vec<Edit> = (1..=300).map(client).collect();
            let results = machine.change(&edits).await;
            assert!(results.len() == 300 && results.iter().all(Result::is_ok), "{results:?}");
            assert_eq!(tables(ground) - before, 1);
            assert_by(ground, "10.30.1.44", TUN);
            machine.stop().await;
        });
    }

    #[test]
    fn one_that_is_refused_stops_no_other_and_leaves_nothing() {
        Ground::run(|ground| async move {
            let tun = ground.tun(TUN);
            let mut machine =
                started(settings(tun.index, vec![protected(&["10.40.0.0/24"], Leak::Block)])).await;
            // Nobody can have an address of many.
            let bad = configuration(9, &["10.20.0.9/32", "ff05::7/128"], &["10.40.0.0/24"]);
            let mut edits: Vec<Edit> = (1..=5).map(client).collect();
            edits.insert(2, Edit::Configure(Box::new(bad)));
            edits.push(Edit::Rename { old: IkeSaId(5), new: IkeSaId(50) });
            edits.push(Edit::Release(IkeSaId(1)));
            let results = machine.change(&edits).await;
            let refused: Vec<usize> =
                results.iter().enumerate().filter(|(_, done)| done.is_err()).map(|(at, _)| at).collect();
            assert_eq!((results.len(), refused), (8, vec![2]), "{results:?}");
            assert_by(ground, "10.30.0.2", TUN);
            assert_by(ground, "10.30.0.5", TUN);
            assert_blocked(ground, "10.40.0.1");
            assert_by(ground, "10.30.0.1", "eth0");
            machine.change(&[Edit::Release(IkeSaId(50))]).await.into_iter().for_each(Result::unwrap);
            assert_by(ground, "10.30.0.5", "eth0");
            machine.stop().await;
        });
    }
}
