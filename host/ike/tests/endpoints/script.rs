//! Exchanges as scripts: which datagram arrives next, is lost, or comes twice, word by word. After each word it is
//! looked at whether a packet that either side sends now, or sent lately, would find its SA.

use std::time::Duration;

use vpnhost_ike::{Command, Holdings};
use vpnhost_model::{ChildSpi, Instant};

use crate::pump::*;

/// Two connected hosts whose datagrams wait until the script lets them go.
pub(crate) struct Duel {
    pub(crate) pump: Pump,
    /// What each side sent ESP on, and when last.
    used: Vec<(Instant, usize, ChildSpi)>,
    /// Whether the traffic must go on without a hole.
    carries: bool,
}

/// What a side orders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    RekeyChild,
    RekeyIke,
    DeleteChild,
    DeleteIke,
    CreateChild,
}

impl Duel {
    /// Two hosts with an IKE SA and one Child SA.
    pub(crate) fn new() -> Self {
        Self::of(vec![child("net", "aes128gcm16-x25519", "10.1.0.0/24", "10.2.0.0/24")])
    }

    /// Two hosts with these children, of which the first is up.
    pub(crate) fn of(children: Vec<vpnhost_ike::ChildConfig>) -> Self {
        let mut pump = pair_of(initiator(IKE, children.clone()));
        pump.command(A, Command::Initiate("b".into()));
        // What was answered last counts as arrived.
        pump.run_for(Duration::from_secs(5));
        pump.assert_connected(children.len());
        Self { pump, used: Vec::new(), carries: true }
    }

    /// Scripts the nonces: of this host's next request and of its next answer, for `A` and `B`.
    pub(crate) fn nonces(self, a: [u8; 2], b: [u8; 2]) -> Self {
        for (side, nonces) in [(A, a), (B, b)] {
            self.pump.nonces[side].lock().unwrap().extend(nonces);
        }
        self
    }

    /// The traffic may end: somebody ordered that.
    pub(crate) fn ends(mut self) -> Self {
        self.carries = false;
        self
    }

    /// Orders something on a side, about its only SA of the kind.
    pub(crate) fn order(&mut self, side: usize, order: Order) -> &mut Self {
        let sa = self.pump.ike_sa(side);
        let child = sa.children.first().map(|child| child.id);
        let command = match (order, child) {
            (Order::RekeyChild, Some(child)) => Command::RekeyChildSa(child),
            (Order::DeleteChild, Some(child)) => Command::TerminateChildSa(child),
            (Order::RekeyIke, _) => Command::RekeyIkeSa(sa.id),
            (Order::DeleteIke, _) => Command::TerminateIkeSa(sa.id),
            (Order::CreateChild, _) => Command::Initiate(["b", "a"][side].into()),
            (Order::RekeyChild | Order::DeleteChild, None) => panic!("no Child SA to {order:?}"),
        };
        self.pump.command(side, command);
        self.look();
        self
    }

    /// Plays words, from left to right: `a` lets `A`'s oldest waiting datagram arrive, `a^` its
    /// newest, `a-` loses the oldest, `a=` brings the last one that was sent once more, `b` likewise; `t` lets a
    /// request's repetition come due, while nothing arrives, and `T` what waits for an answer's arrival.
    pub(crate) fn play(&mut self, script: &str) -> &mut Self {
        for word in script.split_whitespace() {
            match word {
                "a" | "b" | "a^" | "b^" => {
                    let side = usize::from(word.starts_with('b'));
                    let datagram = self.take(side, word.ends_with('^'));
                    self.pump.deliver(side, &datagram);
                }
                "a-" | "b-" => drop(self.take(usize::from(word == "b-"), false)),
                "a=" | "b=" => {
                    let side = usize::from(word == "b=");
                    let again = self.pump.sides[side].sent.last().cloned().expect("something was sent");
                    self.pump.deliver(side, &again);
                }
                "t" => self.pass(Duration::from_millis(1100)),
                "T" => self.pass(Duration::from_millis(3500)),
                other => panic!("no such word: {other}"),
            }
            self.look();
        }
        self
    }

    fn take(&mut self, side: usize, newest: bool) -> vpnhost_ike::Transmit {
        let mut waiting = (0..self.pump.wire.len()).filter(|&at| self.pump.wire[at].1 == side);
        let at = if newest { waiting.next_back() } else { waiting.next() };
        let at = at.unwrap_or_else(|| panic!("nothing of side {side} is on its way"));
        self.pump.wire.remove(at).unwrap().2
    }

    /// Returns how many datagrams of a side are on their way.
    pub(crate) fn waiting(&self, side: usize) -> usize {
        self.pump.wire.iter().filter(|(_, from, _)| *from == side).count()
    }

    /// Lets time pass while nothing arrives.
    fn pass(&mut self, span: Duration) {
        let held = std::mem::take(&mut self.pump.wire);
        let until = self.pump.now.instant + span;
        while let Some(due) = self.next_timer().filter(|due| *due <= until) {
            self.pump.now.unix += due.saturating_since(self.pump.now.instant);
            self.pump.now.instant = due.max(self.pump.now.instant);
            for side in [A, B] {
                self.pump.sides[side].endpoint.handle_timeout(self.pump.now);
            }
            self.pump.drain();
        }
        self.pump.now.unix += until.saturating_since(self.pump.now.instant);
        self.pump.now.instant = until;
        let new = std::mem::replace(&mut self.pump.wire, held);
        self.pump.wire.extend(new);
    }

    fn next_timer(&self) -> Option<Instant> {
        self.pump.sides.iter().filter_map(|side| side.endpoint.poll_timeout()).map(|(at, _)| at).min()
    }

    /// Looks whether a packet of either side would be lost that goes out now, or is still on its way.
    fn look(&mut self) {
        if !self.carries {
            return;
        }
        let now = self.pump.now.instant;
        for side in [A, B] {
            let sender = &self.pump.sides[side];
            let sends_on = sender.sends_on.last().expect("each side sends on something");
            self.used.push((now, side, sender.installed[sends_on].spi_out));
        }
        self.used.retain(|(at, ..)| now.saturating_since(*at) <= Duration::from_secs(1));
        for (_, side, spi) in &self.used {
            let receives = self.pump.sides[1 - side].installed.values().any(|keys| keys.spi_in == *spi);
            assert!(receives, "what side {side} sends on {spi} finds no SA");
        }
    }

    /// Lets everything that waits arrive and every timer come due, looking all the while.
    fn rest(&mut self) {
        for _ in 0..900 {
            self.pump.run_for(Duration::from_millis(100));
            self.look();
        }
    }

    /// Checks that one IKE SA with so many Child SAs is left, the same on both sides, and nothing else.
    pub(crate) fn connected(&mut self, children: usize) {
        self.rest();
        self.pump.assert_connected(children);
        for side in [A, B] {
            let side = &self.pump.sides[side];
            let holds = side.endpoint.holdings();
            let needs = Holdings {
                ike_sas: 1,
                ike_spis: 1,
                child_sas: children,
                child_spis: children,
                inits: holds.inits.min(1),
                deadlines: holds.deadlines.min(1),
                ..Holdings::default()
            };
            assert_eq!(holds, needs);
            assert_eq!((side.installed.len(), side.host.len()), (children, 1));
        }
    }

    /// Checks that one IKE SA is left, and that both sides hold the same Child SAs.
    pub(crate) fn agree(&mut self) {
        self.rest();
        let children = self.pump.ike_sa(A).children.len();
        self.connected(children);
    }

    /// Checks that nothing is left on either side.
    pub(crate) fn over(&mut self) {
        self.rest();
        for side in [A, B] {
            self.pump.assert_empty(side);
            assert_eq!(self.pump.sides[side].endpoint.holdings(), Holdings::default());
        }
    }
}
