//! A bad link between two network namespaces: a TAP interface in each, and a thread that carries frames between
//! them when their [`Schedule`] says so.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::replace::Interface;
use super::schedule::{Conditions, Counters, Direction, Fate, Schedule};
use super::sys::{self, State};
use super::trace::{Change, Trace};
use crate::command::run;

/// The largest frame that a TAP interface hands over, and more.
const FRAME: usize = 70 * 1024;
/// How many frames may be under way; more are dropped like those that find no room in the queue.
const UNDER_WAY: usize = 50_000;
/// How many frames are read from one end before what is due is looked at.
const BATCH: usize = 64;
/// After so long without anything to do, the thread looks whether it shall end.
const PAUSE: Duration = Duration::from_millis(20);

/// One end of a wire: a namespace's name, and the name that its interface shall have.
pub type End<'a> = (&'a str, &'a str);

/// A bad link; when it is dropped its interfaces are gone.
#[derive(Debug)]
pub struct Wire {
    shared: Arc<Mutex<Shared>>,
    began: Instant,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    files: Arc<[File; 2]>,
    schedules: [Schedule; 2],
    /// What the trace will change.
    ahead: VecDeque<(Duration, Change)>,
    under_way: UnderWay,
    ends: bool,
}

/// Frames by their departure, and by their arrival where that is the same.
#[derive(Debug, Default)]
struct UnderWay {
    frames: BTreeMap<(Duration, u64), (Direction, Vec<u8>)>,
    number: u64,
}

impl Wire {
    /// Makes an interface in each of two namespaces, up but without address, and joins them by a good link. The seed
    /// decides which frames are lost when the link is made bad.
    pub fn join(first: End<'_>, second: End<'_>, seed: u64) -> Result<Self> {
        let open = |(space, interface): End<'_>| -> Result<File> {
            let file = sys::inside(space, || sys::tap(interface))?;
            run(Command::new("ip").args(["-n", space, "link", "set", interface, "up"]))?;
            Ok(file)
        };
        let files = Arc::new([open(first)?, open(second)?]);
        let shared = Arc::new(Mutex::new(Shared {
            files: Arc::clone(&files),
            schedules: [Schedule::new(seed), Schedule::new(!seed)],
            ahead: VecDeque::new(),
            under_way: UnderWay::default(),
            ends: false,
        }));
        let began = Instant::now();
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("wire".to_owned());
        let thread = thread.spawn(move || carry(&files, &seen, began)).context("cannot start a thread")?;
        Ok(Self { shared, began, thread: Some(thread) })
    }

    /// Puts a wire in the place of a link: interfaces of the same names with the MTU, the addresses and the routes of
    /// those that were there.
    pub fn replace(first: End<'_>, second: End<'_>, seed: u64) -> Result<Self> {
        let before = [Interface::read(first)?, Interface::read(second)?];
        before.iter().try_for_each(Interface::remove)?;
        let wire = Self::join(first, second, seed)?;
        before.iter().try_for_each(Interface::restore)?;
        Ok(wire)
    }

    /// Sets how bad one direction is, for frames that enter from now on.
    pub fn set(&self, direction: Direction, conditions: Conditions) {
        let now = self.began.elapsed();
        self.with(|shared| shared.set(now, direction, conditions));
    }

    /// Sets how bad both directions are.
    pub fn set_both(&self, conditions: Conditions) {
        Direction::BOTH.into_iter().for_each(|direction| self.set(direction, conditions));
    }

    /// Returns how bad a direction is at present.
    #[must_use]
    pub fn conditions(&self, direction: Direction) -> Conditions {
        self.with(|shared| shared.schedules[direction.index()].conditions())
    }

    /// Changes what a line of a trace changes, now.
    pub fn change(&self, change: &Change) {
        let now = self.began.elapsed();
        self.with(|shared| shared.change(now, change));
    }

    /// Cuts both directions: what is under way is lost, and the interfaces stay up, so that nobody is told.
    pub fn cut(&self) {
        let now = self.began.elapsed();
        self.with(|shared| shared.set_cut(now, true));
    }

    /// Makes both directions whole again, as bad as they were before.
    pub fn restore(&self) {
        let now = self.began.elapsed();
        self.with(|shared| shared.set_cut(now, false));
    }

    /// Pulls the cable: a cut of which both namespaces are told, since their interfaces have no carrier. Addresses and
    /// routes stay.
    pub fn unplug(&self) -> Result<()> {
        let now = self.began.elapsed();
        self.with(|shared| shared.plug(now, false)).context("cannot take the carrier away")
    }

    /// Plugs the cable in again.
    pub fn plug(&self) -> Result<()> {
        let now = self.began.elapsed();
        self.with(|shared| shared.plug(now, true)).context("cannot give the carrier back")
    }

    /// Follows a trace, whose time begins now, instead of any before.
    pub fn follow(&self, trace: &Trace) {
        let now = self.began.elapsed();
        let steps = trace.steps().iter().map(|(at, change)| (now + *at, change.clone()));
        self.with(|shared| {
            shared.ahead = steps.collect();
            shared.advance(now);
        });
    }

    /// Returns what became of a direction's frames so far.
    #[must_use]
    pub fn counters(&self, direction: Direction) -> Counters {
        self.with(|shared| shared.schedules[direction.index()].counters())
    }

    /// Returns whether an interface was taken away, and the wire with it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn with<T>(&self, body: impl FnOnce(&mut Shared) -> T) -> T {
        body(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.with(|shared| shared.ends = true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the thread of a wire panicked");
        }
    }
}

impl Shared {
    fn change(&mut self, now: Duration, change: &Change) {
        for direction in &change.directions {
            let mut conditions = self.schedules[direction.index()].conditions();
            change.apply(&mut conditions);
            self.set(now, *direction, conditions);
        }
        if let Some(is_plugged) = change.plug {
            // Fails only where the interface is gone, of which the thread learns by itself.
            drop(self.plug(now, is_plugged));
        }
    }

    fn set(&mut self, now: Duration, direction: Direction, conditions: Conditions) {
        self.schedules[direction.index()].set(now, conditions);
        if conditions.cut {
            self.under_way.frames.retain(|_, (way, _)| *way != direction);
        }
    }

    fn set_cut(&mut self, now: Duration, cut: bool) {
        for direction in Direction::BOTH {
            let conditions = self.schedules[direction.index()].conditions();
            self.set(now, direction, Conditions { cut, ..conditions });
        }
    }

    fn plug(&mut self, now: Duration, is_plugged: bool) -> io::Result<()> {
        self.set_cut(now, !is_plugged);
        self.files.iter().try_for_each(|file| sys::set_carrier(file, is_plugged))
    }

    /// Makes the trace's changes that are due.
    fn advance(&mut self, now: Duration) {
        while let Some((_, change)) = self.ahead.pop_front_if(|(at, _)| *at <= now) {
            self.change(now, &change);
        }
    }

    /// Takes a frame in.
    fn enter(&mut self, now: Duration, direction: Direction, frame: &[u8]) {
        self.advance(now);
        let schedule = &mut self.schedules[direction.index()];
        if self.under_way.frames.len() >= UNDER_WAY {
            return schedule.refuse();
        }
        if let Fate::Leaves { at, twice } = schedule.enter(now, frame.len()) {
            let at = if finds_neighbours(frame) { now } else { at };
            for _ in 0..=u8::from(twice) {
                self.under_way.put(at, direction, frame);
            }
        }
    }

    /// Returns the earliest time at which something is to be done.
    fn next(&self) -> Option<Duration> {
        let departure = self.under_way.frames.keys().next().map(|(at, _)| *at);
        let change = self.ahead.front().map(|(at, _)| *at);
        [departure, change].into_iter().flatten().min()
    }
}

/// Tells whether a frame is of ARP (RFC 826) or of neighbour discovery (RFC 4861).
///
/// The delay of a path lies behind its first hop, and a router next door is found at once however far away the peer is:
/// such a frame may be lost, but is never late.
fn finds_neighbours(frame: &[u8]) -> bool {
    const TYPE: usize = 12;
    const IP: usize = 14;
    match frame.get(TYPE..IP) {
        Some([0x08, 0x06]) => true,
        // ICMPv6 right behind the header, of a type from Router Solicitation to Neighbor Advertisement.
        Some([0x86, 0xdd]) => {
            frame.get(IP + 6) == Some(&58)
                && frame.get(IP + 40).is_some_and(|kind| (133..=136).contains(kind))
        }
        _ => false,
    }
}

impl UnderWay {
    fn put(&mut self, at: Duration, direction: Direction, frame: &[u8]) {
        self.frames.insert((at, self.number), (direction, frame.to_vec()));
        self.number += 1;
    }

    fn due(&mut self, now: Duration) -> Option<(Direction, Vec<u8>)> {
        let first = self.frames.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// Carries frames until it is told to end or an interface is gone.
fn carry(files: &[File; 2], shared: &Mutex<Shared>, began: Instant) {
    let mut room = vec![0; FRAME];
    loop {
        let (departures, next) = {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if shared.ends {
                return;
            }
            let now = began.elapsed();
            shared.advance(now);
            let departures: Vec<_> = std::iter::from_fn(|| shared.under_way.due(now)).collect();
            (departures, shared.next())
        };
        for (direction, frame) in departures {
            // The far end: an interface that is down or full loses the frame, as a card would.
            drop((&files[1 - direction.index()]).write(&frame));
        }
        let limit = next.map_or(PAUSE, |at| at.saturating_sub(began.elapsed()).min(PAUSE));
        let Ok(states) = sys::wait([&files[0], &files[1]], limit) else { return };
        for (direction, state) in Direction::BOTH.into_iter().zip(states) {
            match state {
                State::Quiet => {}
                State::Gone => return,
                State::Readable => {
                    if !take(&files[direction.index()], direction, (shared, began), &mut room) {
                        return;
                    }
                }
            }
        }
    }
}

/// Reads frames from one end; returns whether it is still there.
fn take(file: &File, direction: Direction, wire: (&Mutex<Shared>, Instant), room: &mut [u8]) -> bool {
    let (shared, began) = wire;
    let mut file = file;
    for _ in 0..BATCH {
        match file.read(room) {
            Ok(length) => {
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                shared.enter(began.elapsed(), direction, &room[..length]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => break,
            // Down, and perhaps up again later.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => break,
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_found_by_arp_and_icmpv6_alone() {
        let frame = |kind: [u8; 2], rest: &[u8]| [&[0; 12][..], &kind, rest].concat();
        let v6 = |next: u8, kind: u8| {
            let mut packet = [0; 48];
            (packet[0], packet[6], packet[40]) = (0x60, next, kind);
            frame([0x86, 0xdd], &packet)
        };
        assert!(finds_neighbours(&frame([0x08, 0x06], &[0; 28])));
        assert!(finds_neighbours(&v6(58, 135)) && finds_neighbours(&v6(58, 136)));
        assert!(!finds_neighbours(&v6(58, 128)), "an echo request is late like all else");
        assert!(!finds_neighbours(&v6(17, 135)) && !finds_neighbours(&frame([0x08, 0x00], &[0; 28])));
        assert!(!finds_neighbours(&[0; 13]));
    }
}
