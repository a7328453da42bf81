//! One at a time: who looks at what is there and then changes it, at a start, at an end or in `cleanup`, does so alone.
//!
//! Whose turn it is shows in a name of the network namespace (unix(7)), which the kernel takes back with its owner.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Instant;

use crate::limits;

const NAME: &str = "vpnhost: whose turn it is";

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _name: Option<UnixDatagram>,
}

impl Turn {
    /// Waits for one, but not for ever: anybody may take a name and keep it.
    pub(crate) async fn wait() -> Self {
        let end = Instant::now() + limits::HOST_CHANGE;
        loop {
            match SocketAddr::from_abstract_name(NAME).and_then(|name| UnixDatagram::bind_addr(&name)) {
                Ok(name) => return Self { _name: Some(name) },
                Err(error) if Instant::now() < end => {
                    tracing::debug!(%error, "somebody else is at the routes");
                    tokio::time::sleep(limits::TURN_LOOK).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "somebody else is at the routes, and too long: not waiting for it");
                    return Self { _name: None };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Machine;
    use super::super::ground::Ground;
    use super::super::tests::{TUN, assert_blocked, protected, settings, started};
    use super::*;
    use crate::config::Leak;

    #[test]
    fn cleanup_takes_nothing_from_a_daemon_that_is_just_starting() {
        Ground::run(|ground| async move {
            let blocked = || vec![protected(&["10.20.0.0/24"], Leak::Block)];
            let tun = ground.tun(TUN);
            drop(started(settings(tun.index, blocked())).await);
            drop(tun);
            let turn = Turn::wait().await;
            let starting = async {
                tokio::time::sleep(limits::TURN_LOOK * 3).await;
                let tun = ground.tun(TUN);
                drop(turn);
                tun
            };
            let (done, tun) = tokio::join!(crate::cleanup(), starting);
            assert_eq!(done.unwrap(), Vec::<String>::new());
            assert_blocked(ground, "10.20.0.10");
            started(settings(tun.index, blocked())).await.stop().await;
        });
    }

    #[test]
    fn a_start_waits_for_its_turn() {
        Ground::run(|ground| async move {
            let before = ground.traces();
            let tun = ground.tun(TUN);
            let turn = Turn::wait().await;
            let settings = settings(tun.index, vec![protected(&["10.20.0.0/24"], Leak::Block)]);
            let start = tokio::time::timeout(Duration::from_millis(100), Machine::start(settings)).await;
            assert!(start.is_err(), "{start:?}");
            drop((turn, tun));
            assert_eq!(ground.traces(), before);
        });
    }
}
