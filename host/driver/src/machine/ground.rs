//! A network namespace for one test: a thread of its own in it, an uplink, and interfaces that play the TUN.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::program::find;

/// What a test may do in its namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground;

/// A TUN whose daemon lives.
#[derive(Debug)]
pub(crate) struct Tun {
    /// Its interface index.
    pub(crate) index: u32,
    name: String,
    file: Option<File>,
}

impl Drop for Tun {
    fn drop(&mut self) {
        drop(self.file.take());
        // A program that another test is just starting may hold it a little longer.
        let end = Instant::now() + Duration::from_secs(10);
        while Ground.tried("ip", &format!("link show {}", self.name)).0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        // Who changes a link waits for who removes one: its routes are gone too.
        Ground.ip("link set lo up");
    }
}

impl Ground {
    /// Runs a test on a thread that has a network namespace of its own; without root it is skipped, which is said.
    pub(crate) fn run<F: Future<Output = ()>>(test: impl FnOnce(Self) -> F + Send + 'static) {
        let thread = thread::spawn(move || {
            if !enter() {
                assert!(std::env::var_os("CI").is_none(), "CI must be root: a network namespace needs it");
                println!("skipped: a network namespace needs root");
                return;
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let ground = Self;
            ground.ip("link set lo up");
            ground.ip("link add eth0 type veth peer name far0");
            // Link-local addresses would come some time later, whatever a test does.
            ground.ip("link set far0 addrgenmode none up");
            ground.ip("link set eth0 addrgenmode none up");
            ground.ip("addr add 10.10.0.10/24 dev eth0");
            ground.ip("addr add fd10::10/64 dev eth0 nodad");
            ground.ip("route add default via 10.10.0.1 dev eth0");
            ground.ip("-6 route add default via fd10::1 dev eth0");
            ground.settle();
            runtime.block_on(test(ground));
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }

    /// Waits for what the kernel adds by itself, once it has seen that the cable is plugged in.
    fn settle(self) {
        let own = ["local fd10::10 dev eth0", "multicast ff00::/8 dev eth0", "multicast ff00::/8 dev far0"];
        let end = Instant::now() + Duration::from_secs(10);
        while !own.iter().all(|route| self.ip("-6 route show table all").contains(route)) {
            assert!(Instant::now() < end, "{}", self.ip("-6 route show table all"));
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Opens a TUN; dropping it is what becomes of it when its daemon is killed.
    #[allow(unsafe_code)]
    pub(crate) fn tun(self, name: &str) -> Tun {
        let file = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
        // SAFETY: plain data, for which zeroes are valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
        // SAFETY: the request lives in this frame, and the ioctl reads and writes only that.
        assert_eq!(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) }, 0);
        let text = self.ip(&format!("-o link show {name}"));
        let index = text.split(':').next().unwrap().trim().parse().unwrap();
        Tun { index, name: name.to_owned(), file: Some(file) }
    }

    /// Moves the uplink's far end into a namespace of its own, where 10.10.0.1 and fd10::1 are.
    pub(crate) fn neighbour(self) -> Neighbour {
        let sleep = ["-n", "sh", "-c", "echo there; exec sleep 120"];
        let mut command = Command::new(find("unshare").expect("unshare is installed"));
        let mut holder = command.args(sleep).stdout(Stdio::piped()).spawn().unwrap();
        let mut there = [0; 6];
        holder.stdout.take().unwrap().read_exact(&mut there).unwrap();
        let neighbour = Neighbour { ground: self, holder };
        self.ip(&format!("link set far0 netns {}", neighbour.holder.id()));
        for line in ["link set lo up", "link set far0 up", "addr add 10.10.0.1/24 dev far0"] {
            neighbour.run(&format!("ip {line}"));
        }
        neighbour.run("ip addr add fd10::1/64 dev far0 nodad");
        neighbour
    }

    /// Runs `ip` and returns what it said.
    pub(crate) fn ip(self, arguments: &str) -> String {
        let (success, text) = self.tried("ip", arguments);
        assert!(success, "ip {arguments}: {text}");
        text
    }

    /// Runs a program and tells how it went.
    pub(crate) fn tried(self, program: &str, arguments: &str) -> (bool, String) {
        let path = find(program).unwrap_or_else(|| panic!("{program} is not installed"));
        let output = Command::new(path).args(arguments.split_whitespace()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Returns where a packet to an address would go, in the kernel's words.
    pub(crate) fn way(self, to: &str) -> String {
        self.tried("ip", &format!("route get {to}")).1.lines().next().unwrap_or_default().to_owned()
    }

    /// Returns everything that could be left behind.
    pub(crate) fn traces(self) -> String {
        let lines = ["rule", "-6 rule", "route show table all", "-6 route show table all"];
        let routing: Vec<String> = lines.iter().map(|line| self.ip(line)).collect();
        format!("{}\n{}", routing.join("\n"), self.tried("nft", "list ruleset").1)
    }
}

/// Whoever is at the other end of the uplink.
#[derive(Debug)]
pub(crate) struct Neighbour {
    ground: Ground,
    holder: Child,
}

impl Neighbour {
    /// Runs a program there and tells whether it succeeded.
    pub(crate) fn tried(&self, line: &str) -> bool {
        self.ground.tried("nsenter", &format!("-t {} -n {line}", self.holder.id())).0
    }

    /// Runs a program there.
    pub(crate) fn run(&self, line: &str) {
        assert!(self.tried(line), "{line}");
    }

    /// Returns a file's text as it is there.
    pub(crate) fn read(&self, file: &str) -> String {
        self.ground.tried("nsenter", &format!("-t {} -n cat {file}", self.holder.id())).1
    }

    /// Sends a datagram to an address and port in bash's words, such as `10.0.0.1/4500`.
    pub(crate) fn send(&self, to: &str) {
        let mut command = Command::new(find("nsenter").expect("nsenter is installed"));
        command.args([
            "-t",
            &self.holder.id().to_string(),
            "-n",
            "bash",
            "-c",
            &format!("echo hello > /dev/udp/{to}"),
        ]);
        assert!(command.status().unwrap().success(), "a datagram to {to}");
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

#[allow(unsafe_code)]
fn enter() -> bool {
    // SAFETY: it changes the calling thread's namespace and nothing else; no memory is shared with the call.
    unsafe { libc::unshare(libc::CLONE_NEWNET) == 0 }
}
