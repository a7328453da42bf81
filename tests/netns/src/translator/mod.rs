//! The NAT64 of an IPv6-only network, with its DNS64: a TUN interface in a router, and threads that translate what comes
//! out of it and answer its clients' questions.
//!
//! [`header`] translates packets (RFC 7915) and [`mapping`] remembers whose they are (RFC 6146), both without I/O; [`dns`]
//! answers for names (RFC 6147, 7050). Fragments are not translated: IKE and ESP need none here.

pub mod dns;
pub mod header;
pub mod mapping;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use vpnhost_model::Pref64;

use crate::Namespace;
use crate::link::sys::{self, State};

use header::Nat64;

/// The interface that leads to it.
const INTERFACE: &str = "nat64";
/// The largest packet that a TUN interface hands over.
const PACKET: usize = 65_536;
/// After so long without a packet, the thread looks whether it shall end.
const PAUSE: Duration = Duration::from_millis(20);

/// A translator that runs; when it is dropped its interface is gone.
#[derive(Debug)]
pub struct Translator {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Translator {
    /// Starts one in a router: what is sent to the prefix goes on by IPv4 from the address, and what is sent to that
    /// comes back.
    pub fn start(router: &Namespace, prefix: Pref64, address: Ipv4Addr) -> Result<Self> {
        let file = sys::inside(router.name(), || sys::tun(INTERFACE))?;
        router.run(&format!("ip link set {INTERFACE} up"))?;
        router.run(&format!("ip -6 route add {prefix} dev {INTERFACE}"))?;
        router.run(&format!("ip route add {address}/32 dev {INTERFACE}"))?;
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::Builder::new().name(INTERFACE.to_owned());
        let thread = thread.spawn(move || carry(&file, Nat64::new(prefix, address), &told));
        Ok(Self { ends, thread: Some(thread.context("cannot start a thread")?) })
    }
}

impl Drop for Translator {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the thread of a translator panicked");
        }
    }
}

fn carry(mut file: &File, mut nat64: Nat64, ends: &AtomicBool) {
    let (mut room, began) = (vec![0; PACKET], Instant::now());
    while !ends.load(Ordering::Relaxed) {
        match sys::wait([file], PAUSE) {
            Ok([State::Quiet]) => continue,
            Ok([State::Readable]) => {}
            Ok([State::Gone]) | Err(_) => return,
        }
        while let Ok(length) = file.read(&mut room) {
            if let Some(packet) = nat64.translate(began.elapsed(), &room[..length]) {
                // An interface that is down loses it, as a router would.
                drop(file.write(&packet));
            }
        }
    }
}
