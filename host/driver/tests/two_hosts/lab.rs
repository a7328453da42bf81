//! Two network namespaces with a cable between them, and what must be as before once the hosts are gone.

use std::fs::File;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Two namespaces, gone when this is dropped.
pub(crate) struct Lab {
    names: [String; 2],
}

impl Lab {
    /// Makes the namespaces, or says why the test is skipped.
    pub(crate) fn create() -> Option<Self> {
        // SAFETY: reads a number.
        #[allow(unsafe_code)]
        let root = unsafe { libc::geteuid() } == 0;
        if !root {
            assert!(std::env::var_os("CI").is_none(), "CI must be root: network namespaces need it");
            eprintln!("skipped: network namespaces need root");
            return None;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |side: char| format!("drv{}-{number}{side}", std::process::id());
        let lab = Self { names: [name('a'), name('b')] };
        for name in &lab.names {
            ip(&["netns", "add", name]);
        }
        let [a, b] = &lab.names;
        ip(&["link", "add", "cable", "netns", a, "type", "veth", "peer", "name", "cable", "netns", b]);
        for (name, outer, inner) in [(a, "192.0.2.1/24", "10.77.1.1/32"), (b, "192.0.2.2/24", "10.77.2.1/32")]
        {
            ip(&["-n", name, "link", "set", "lo", "up"]);
            // Without link-local addresses, which take a while to be there.
            ip(&["-n", name, "link", "set", "cable", "addrgenmode", "none", "up"]);
            ip(&["-n", name, "address", "add", outer, "dev", "cable"]);
            ip(&["-n", name, "address", "add", inner, "dev", "lo"]);
        }
        for side in [0, 1] {
            // The kernel adds this by itself, once it has seen that the cable is plugged in.
            let end = Instant::now() + Duration::from_secs(10);
            while !lab.state(side).contains("multicast ff00::/8 dev cable") {
                assert!(Instant::now() < end, "{}", lab.state(side));
                thread::sleep(Duration::from_millis(5));
            }
        }
        Some(lab)
    }

    /// Returns a namespace's name: 0 or 1.
    pub(crate) fn name(&self, side: usize) -> &str {
        &self.names[side]
    }

    /// Returns everything that a host may change there, to be compared with what it leaves.
    pub(crate) fn state(&self, side: usize) -> String {
        let name = self.name(side);
        let of = |arguments: &[&str]| ip(&[&["-n", name], arguments].concat());
        let tables = run(Command::new("ip").args(["netns", "exec", name, "nft", "list", "ruleset"]));
        let interfaces = of(&["-o", "-br", "address"]);
        let rules = of(&["rule"]) + &of(&["-6", "rule"]);
        let routes = of(&["route", "show", "table", "all"]) + &of(&["-6", "route", "show", "table", "all"]);
        // The kernel's own order of routes is not ours to keep.
        let mut routes: Vec<&str> = routes.lines().map(str::trim).collect();
        routes.sort_unstable();
        format!("{interfaces}\n{rules}\n{}\n{tables}", routes.join("\n"))
    }

    /// Gives a side one more address on the cable, or takes it away.
    pub(crate) fn address(&self, side: usize, what: &str, address: &str) {
        ip(&["-n", self.name(side), "address", what, address, "dev", "cable"]);
    }

    /// Tells whether a datagram goes from the first side's inner address to the second's, and back.
    pub(crate) fn carries(&self) -> bool {
        let echo = self.within(1, || UdpSocket::bind(("10.77.2.1", 7)).unwrap());
        echo.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let answering = thread::spawn(move || {
            let mut octets = [0; 64];
            while let Ok((count, from)) = echo.recv_from(&mut octets) {
                let _ = echo.send_to(&octets[..count], from);
            }
        });
        let socket = self.within(0, || UdpSocket::bind(("10.77.1.1", 0)).unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let sent = socket.send_to(b"is it there?", ("10.77.2.1", 7)).is_ok();
        let mut octets = [0; 64];
        let answer = sent.then(|| socket.recv_from(&mut octets).ok()).flatten();
        drop(socket);
        let _ = answering.join();
        answer.is_some_and(|(count, from)| {
            &octets[..count] == b"is it there?" && from.ip() == IpAddr::from([10, 77, 2, 1])
        })
    }

    /// Runs something in one of the namespaces: sockets remain where they were opened.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        side: usize,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let name = self.name(side).to_owned();
        let inside = thread::spawn(move || {
            enter(&name);
            run()
        });
        inside.join().unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// Moves this thread, and those that it starts, into a namespace.
pub(crate) fn enter(name: &str) {
    let file = File::open(format!("/run/netns/{name}")).unwrap();
    // SAFETY: the file descriptor is open for the length of the call.
    #[allow(unsafe_code)]
    let outcome = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(outcome, 0, "setns: {}", std::io::Error::last_os_error());
}

fn ip(arguments: &[&str]) -> String {
    run(Command::new("ip").args(arguments))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
