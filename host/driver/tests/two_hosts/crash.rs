//! No leak: a host in a process of its own is killed, started again, killed again and cleaned up after, while packets
//! for the protected network go on; outside, none of them is seen in clear.

use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use vpnhost_driver::{Host, HostConfig};
use vpnhost_ike::config::SelectorConfig;
use vpnhost_ike::input::Command as Order;
use vpnhost_model::TrafficSelector;

use crate::lab::{self, Lab};
use crate::running::Running;
use crate::settings;

/// What tells the other process where it runs, and what.
const TOLD: &str = "VPNHOST_DRIVER_CRASH";
/// Long enough for many packets of the pressure: there is nothing to wait for when nothing may happen.
const A_WHILE: Duration = Duration::from_millis(400);

#[test]
fn a_killed_host_leaks_nothing_until_it_is_cleaned_up_after() {
    through_life_and_death("split", &["10.77.2.1:9"]);
}

#[test]
fn a_killed_host_leaks_nothing_of_a_full_tunnel() {
    through_life_and_death("full", &["10.77.2.1:9", "198.51.100.7:9", "[2001:db8::7]:9"]);
}

fn through_life_and_death(kind: &str, targets: &'static [&str]) {
    let Some(lab) = Lab::create() else { return };
    default_routes(&lab);
    let before = lab.state(0);
    watch(&lab);
    lab.within(0, move || press(targets, &AtomicBool::new(true)));
    assert_eq!(seen(&lab), targets.len() as u64, "without a host they are seen: the watch works");

    let responder = Running::start(&lab, 1, of(1, kind)).unwrap();
    let killed = Started::new(&lab, kind);
    let pressure = Pressure::start(&lab, targets);
    killed.wait("up");
    assert!(lab.carries());
    drop(killed);
    thread::sleep(A_WHILE);
    let killed = Started::new(&lab, kind);
    killed.wait("up");
    assert!(lab.carries(), "after the restart");
    drop(killed);
    thread::sleep(A_WHILE);
    pressure.end();
    assert_eq!(seen(&lab), targets.len() as u64, "packets in clear");

    assert_ne!(lab.state(0), before, "what blocks is still there");
    let cleanup =
        || Builder::new_current_thread().enable_all().build().unwrap().block_on(vpnhost_driver::cleanup());
    let done = lab.within(0, cleanup).unwrap();
    assert!(done.iter().any(|line| line.contains("route")), "{done:?}");
    assert_eq!(lab.state(0), before);
    responder.shut_down().unwrap();
}

/// What would be taken in clear if nothing blocked.
fn default_routes(lab: &Lab) {
    for (side, other) in [(0, 2), (1, 1)] {
        let run = |line: String| {
            let arguments = line.split(' ').map(str::to_owned);
            let status = Command::new("ip").args(["-n", lab.name(side)]).args(arguments).status().unwrap();
            assert!(status.success(), "ip {line}");
        };
        run(format!("address add fd77::{}/64 dev cable nodad", side + 1));
        run(format!("route add default via 192.0.2.{other}"));
        run(format!("-6 route add default via fd77::{other}"));
    }
}

/// Counts what arrives at the second namespace in clear.
fn watch(lab: &Lab) {
    let rules = "table inet outside { chain arriving {\n type filter hook prerouting priority -400\n \
                 iifname \"cable\" ip daddr != 192.0.2.0/24 counter\n \
                 iifname \"cable\" ip6 daddr 2001:db8::/32 counter\n }\n }\n";
    let mut nft = Command::new("ip");
    nft.args(["netns", "exec", lab.name(1), "nft", rules]);
    assert!(nft.status().unwrap().success(), "nft");
}

fn seen(lab: &Lab) -> u64 {
    let mut nft = Command::new("ip");
    nft.args(["netns", "exec", lab.name(1), "nft", "list", "table", "inet", "outside"]);
    let text = String::from_utf8(nft.output().unwrap().stdout).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[0] == "packets").map(|pair| pair[1].parse::<u64>().unwrap()).sum()
}

/// Sends to every target until told to stop, at least once.
fn press(targets: &[&str], stop: &AtomicBool) {
    let sockets = ["0.0.0.0:0", "[::]:0"].map(|any| UdpSocket::bind(any).unwrap());
    loop {
        for target in targets {
            // A refusal is what shall become of most of them.
            let _ = sockets[usize::from(target.starts_with('['))].send_to(b"in clear?", target);
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

struct Pressure {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Pressure {
    fn start(lab: &Lab, targets: &'static [&str]) -> Self {
        let (name, stop) = (lab.name(0).to_owned(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            lab::enter(&name);
            press(targets, &stopped);
        });
        Self { stop, thread }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// A host in another process, which is killed when this is dropped.
struct Started {
    process: Child,
    lines: std::sync::Mutex<std::io::Lines<BufReader<std::process::ChildStdout>>>,
}

impl Started {
    fn new(lab: &Lab, kind: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::the_host_that_is_killed", "--ignored", "--nocapture"])
            .env(TOLD, format!("{} {kind}", lab.name(0)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let started = Self { process, lines: std::sync::Mutex::new(lines) };
        started.wait("ready");
        started
    }

    fn wait(&self, word: &str) {
        let mut lines = self.lines.lock().unwrap();
        let said = lines.by_ref().map_while(Result::ok).any(|line| line.ends_with(word));
        assert!(said, "the other process ended without {word:?}");
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // What has ended already cannot be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "a part of other tests, in a process of its own"]
fn the_host_that_is_killed() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let (name, kind) = told.split_once(' ').unwrap();
    lab::enter(name);
    // It does not outlive whoever would kill it.
    thread::spawn(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(1);
    });
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let host = Host::start(of(0, kind)).await.unwrap();
        let handle = host.handle();
        let mut events = handle.events();
        println!("ready");
        tokio::spawn(host.run());
        handle.command(Order::Initiate("site".to_owned())).await.unwrap();
        while events.recv().await.unwrap().entry.kind != "child_established" {}
        println!("up");
        std::future::pending::<()>().await;
    });
}

fn of(side: usize, kind: &str) -> HostConfig {
    let mut config = settings::of(side, b"secret");
    if kind == "full" {
        let mut connection = settings::connection(side, b"secret");
        let everything = vec![SelectorConfig::Fixed(TrafficSelector::any_v4())];
        match side {
            0 => connection.children[0].remote = everything,
            _ => connection.children[0].local = everything,
        }
        config.endpoint.connections = vec![Arc::new(connection)];
    }
    config
}
