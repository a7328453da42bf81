//! What is sent through a tunnel: checked transfers over TCP, and streams of pings that are counted.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

use crate::{Namespace, Running};

/// How much is handed to TCP at a time: small, so that a paced transfer does not come in bursts.
const PIECE: usize = 16 * 1024;
/// How long an end may wait for the other without one octet.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes one connection, reads it to its end, prints `octets digest`.
pub fn receive(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen at {address}"))?;
    println!("listening");
    let (mut stream, _) = listener.accept()?;
    let began = Instant::now();
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut buffer, mut octets, mut digest) = (vec![0; 256 * 1024], 0_u64, Sha256::new());
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    loop {
        let length = stream.read(&mut buffer).with_context(|| format!("after {octets} octets"))?;
        if length == 0 {
            break;
        }
        octets += length as u64;
        digest.update(&buffer[..length]);
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    println!("stall {}", longest.as_secs_f64());
    println!("seconds {}", began.elapsed().as_secs_f64());
    println!("done {octets} {}", hex(&digest.finalize()));
    Ok(())
}

/// Sends at least `octets`, at most `per_second`, and goes on until standard input closes.
pub fn send(address: &str, octets: u64, per_second: u64) -> Result<()> {
    let released = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&released);
    std::thread::spawn(move || {
        // Any end of the input, also an error, lets the transfer end.
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        seen.store(true, Ordering::Relaxed);
    });
    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    println!("connected");
    let (mut noise, mut piece, mut digest) = (Noise(0x9e37_79b9_7f4a_7c15), vec![0; PIECE], Sha256::new());
    let (began, mut sent) = (Instant::now(), 0_u64);
    while sent < octets || !released.load(Ordering::Relaxed) {
        noise.fill(&mut piece);
        stream.write_all(&piece).with_context(|| format!("after {sent} octets"))?;
        digest.update(&piece);
        sent += PIECE as u64;
        let due = Duration::from_secs_f64(sent as f64 / per_second as f64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    println!("done {sent} {}", hex(&digest.finalize()));
    Ok(())
}

/// Holds a UDP port until standard input closes.
pub fn occupy(address: &str) -> Result<()> {
    let _socket = UdpSocket::bind(address).with_context(|| format!("cannot bind {address}"))?;
    println!("listening");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Answers every question of the DNS with one address (RFC 1035 §4.1) until standard input closes.
pub fn resolve(address: &str, answer: Ipv4Addr) -> Result<()> {
    let socket = UdpSocket::bind(address).with_context(|| format!("cannot bind {address}"))?;
    println!("listening");
    std::thread::spawn(move || -> Result<()> {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut buffer)?;
            let Some(question) = buffer.get(..length).filter(|question| question.len() > 12) else {
                continue;
            };
            let mut reply = question.to_vec();
            // A response, and one answer: to the name at octet 12, type A, class IN, a minute, four octets.
            reply[2] |= 0x80;
            reply[6..8].copy_from_slice(&[0, 1]);
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            reply.extend(answer.octets());
            socket.send_to(&reply, from)?;
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Asks the first server of `/etc/resolv.conf` for a name's IPv4 address.
pub fn look_up(name: &str) -> Result<Ipv4Addr> {
    let text = std::fs::read_to_string("/etc/resolv.conf")?;
    let mut servers = text.lines().filter_map(|line| line.strip_prefix("nameserver "));
    let server = servers.next().with_context(|| format!("no nameserver in: {text}"))?.trim();
    let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len())?);
        question.extend(label.bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(&question, (server, 53)).with_context(|| format!("cannot ask {server}"))?;
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).with_context(|| format!("{server} does not answer"))?;
    let address = buffer.get(..length).and_then(|reply| reply.last_chunk::<4>()).context("a short answer")?;
    Ok(Ipv4Addr::from(*address))
}

/// Sends a datagram, given in hex, so often, each time with another number in its first four octets.
pub fn flood(address: &str, datagram: &str, times: u32) -> Result<()> {
    let octet = |at: usize| u8::from_str_radix(datagram.get(at..at + 2).unwrap_or_default(), 16);
    let mut octets = (0..datagram.len()).step_by(2).map(octet).collect::<Result<Vec<u8>, _>>()?;
    ensure!(octets.len() > 4, "a datagram of {} octets", octets.len());
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    for number in 1..=times {
        octets[..4].copy_from_slice(&number.to_be_bytes());
        socket.send_to(&octets, address)?;
    }
    Ok(())
}

/// Octets that no compression and no repetition explains (xorshift64).
struct Noise(u64);

impl Noise {
    fn fill(&mut self, out: &mut [u8]) {
        for word in out.chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes());
        }
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A transfer under way between two namespaces.
#[derive(Debug)]
pub struct Transfer {
    sender: Running,
    receiver: Running,
}

/// How much of what a transfer shall carry.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// At least so many octets.
    pub octets: u64,
    /// At most so many in a second.
    pub per_second: u64,
}

impl Transfer {
    /// Starts one; `address` is where the receiver listens and what the sender connects to.
    pub fn start(from: &Namespace, to: &Namespace, address: &str, load: Load, dir: &Path) -> Result<Self> {
        let program = std::env::current_exe()?;
        let name = address.replace([':', '[', ']', '.'], "-");
        let mut command = to.command(&program);
        command.args(["traffic", "receive", address]);
        let mut receiver = Running::start(&mut command, &dir.join(format!("receive{name}.log")))?;
        receiver.wait_log("listening", PATIENCE)?;
        let mut command = from.command(&program);
        command.args(["traffic", "send", address]);
        command.args([load.octets.to_string(), load.per_second.to_string()]);
        let mut sender = Running::start(&mut command, &dir.join(format!("send{name}.log")))?;
        sender.wait_log("connected", PATIENCE)?;
        Ok(Self { sender, receiver })
    }

    /// Fails when an end has already ended.
    pub fn check_under_way(&mut self) -> Result<()> {
        ensure!(self.sender.ended()?.is_none(), "the sender has ended: {}", self.sender.log().trim());
        ensure!(self.receiver.ended()?.is_none(), "the receiver has ended: {}", self.receiver.log().trim());
        Ok(())
    }

    /// Lets it end, compares the ends, and returns how many octets went in how many seconds.
    pub fn finish(mut self, limit: Duration) -> Result<Carried> {
        self.sender.close_input();
        for end in [&mut self.sender, &mut self.receiver] {
            let status = end.wait(limit)?;
            ensure!(status.success(), "a transfer failed: {}", end.log().trim());
        }
        let (sent, received) = (done(&self.sender.log())?, done(&self.receiver.log())?);
        ensure!(
            sent == received,
            "sent {} octets ({}), received {} ({})",
            sent.0,
            sent.1,
            received.0,
            received.1
        );
        let log = self.receiver.log();
        let printed = |key: &str| -> Result<f64> {
            let value = log.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            Ok(value.with_context(|| format!("no {key} printed"))?.parse()?)
        };
        Ok(Carried { octets: sent.0, seconds: printed("seconds")?, stall: printed("stall")? })
    }
}

/// What a transfer carried.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// Octets that arrived as they were sent.
    pub octets: u64,
    /// From the first to the last.
    pub seconds: f64,
    /// The longest time in which nothing came, in seconds.
    pub stall: f64,
}

fn done(log: &str) -> Result<(u64, String)> {
    let line = log.lines().find_map(|line| line.strip_prefix("done ")).context("no digest printed")?;
    let (octets, digest) = line.split_once(' ').context("half a line")?;
    Ok((octets.parse()?, digest.to_owned()))
}

/// A stream of pings under way.
#[derive(Debug)]
pub struct PingStream {
    ping: Running,
}

/// What became of a stream of pings.
#[derive(Debug)]
pub struct Pings {
    /// How many were sent.
    pub sent: u32,
    /// How many were answered.
    pub answered: u32,
    /// The sequence numbers without an answer.
    pub lost: Vec<u32>,
    /// How many answers came twice.
    pub duplicates: usize,
    /// Round-trip times in milliseconds, in order.
    pub times: Vec<f64>,
    /// When each answer came, in seconds since 1970, where the stream was told to say so.
    pub arrivals: Vec<f64>,
}

impl PingStream {
    /// Starts a stream of 200 a second.
    pub fn start(from: &Namespace, target: &str, log: &Path) -> Result<Self> {
        Self::start_every("0.005", from, target, log)
    }

    /// Starts a stream with so many seconds between two.
    pub fn start_every(seconds: &str, from: &Namespace, target: &str, log: &Path) -> Result<Self> {
        let mut command = from.command("ping");
        command.args(["-n", "-D", "-i", seconds, target]);
        let mut ping = Running::start(&mut command, log)?;
        ping.wait_log("bytes from", PATIENCE)?;
        Ok(Self { ping })
    }

    /// Waits until a ping is answered that was sent after a time, and returns how many seconds after it the answer came.
    pub fn answered_after(&self, at: f64, limit: Duration) -> Result<f64> {
        crate::wait::until("an answered ping", limit, || {
            Ok(first_answer(&self.ping.log(), at).map(|came| came - at))
        })
    }

    /// Ends the stream once a further ping is answered, and counts: whatever was under way until then has come, or is lost.
    pub fn finish(mut self) -> Result<Pings> {
        self.answered_after(now(), PATIENCE).context("the end of a stream of pings")?;
        self.ping.signal("INT")?;
        self.ping.wait(PATIENCE)?;
        let pings = parse_pings(&self.ping.log())?;
        Ok(pings)
    }
}

impl Pings {
    /// Fails when one was lost.
    pub fn check_none_lost(&self) -> Result<()> {
        ensure!(
            self.lost.is_empty(),
            "{} of {} pings lost: {:?}",
            self.lost.len(),
            self.sent,
            &self.lost[..self.lost.len().min(20)]
        );
        Ok(())
    }

    /// Returns the longest time between two answers, in milliseconds.
    #[must_use]
    pub fn longest_gap(&self) -> f64 {
        self.arrivals.windows(2).map(|pair| (pair[1] - pair[0]) * 1e3).fold(0.0, f64::max)
    }

    /// Returns which share of them was lost, in percent.
    #[must_use]
    pub fn loss(&self) -> f64 {
        100.0 * self.lost.len() as f64 / f64::from(self.sent.max(1))
    }

    /// Returns the median round-trip time in milliseconds.
    #[must_use]
    pub fn median(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

fn parse_pings(log: &str) -> Result<Pings> {
    let (mut seen, mut duplicates, mut times, mut arrivals) = (BTreeSet::new(), 0, Vec::new(), Vec::new());
    for line in log.lines().filter(|line| line.contains("bytes from")) {
        let Some(sequence) = number_after(line, "icmp_seq=") else { continue };
        if !seen.insert(sequence as u32) {
            duplicates += 1;
        }
        times.extend(number_after(line, "time="));
        arrivals.extend(arrival(line));
    }
    let summary =
        log.lines().find(|line| line.contains("packets transmitted")).context("ping gave no summary")?;
    let sent: u32 = summary.split_whitespace().next().unwrap_or_default().parse()?;
    // The last few may be under way when the stream is ended; earlier ones may not be missing.
    let Some(last) = seen.last().copied() else { bail!("none of {sent} pings answered") };
    // ping counts sequence numbers in 16 bits, far beyond any stream here.
    let lost = (1..last).filter(|sequence| !seen.contains(sequence)).collect();
    Ok(Pings { sent, answered: seen.len() as u32, lost, duplicates, times, arrivals })
}

/// Returns when the first answer came to a ping that was sent after a time.
fn first_answer(log: &str, at: f64) -> Option<f64> {
    let mut answers = log.lines().filter_map(|line| Some((arrival(line)?, number_after(line, "time=")?)));
    answers.find(|(came, took)| came - took / 1e3 > at).map(|(came, _)| came)
}

/// Returns when an answer came, from a line of `ping -D`.
fn arrival(line: &str) -> Option<f64> {
    line.strip_prefix('[')?.split_once("] ")?.0.parse().ok()
}

/// Returns the time as captures and pings tell it: seconds since 1970.
#[must_use]
pub fn now() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

fn number_after(line: &str, key: &str) -> Option<f64> {
    line.split(key).nth(1)?.split_whitespace().next()?.parse().ok()
}

/// Pings a few times and returns the median round-trip time in milliseconds; fails when any is lost.
pub fn ping(from: &Namespace, target: &str, count: u32) -> Result<f64> {
    // The last one's answer is waited for only as long as twice the longest so far, which on a busy machine may be too
    // short: one more is sent than counts.
    let text = from.run(&format!("ping -n -i 0.02 -W 10 -c {} {target}", count + 1))?;
    let mut pings = parse_pings(&text)?;
    pings.lost.retain(|sequence| *sequence <= count);
    pings.check_none_lost()?;
    // Counted by their sequence numbers: a ping of less than 16 octets has no room for its time.
    ensure!(pings.answered >= count, "{} of {count} pings answered", pings.answered);
    Ok(pings.median())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_sequence_number_is_a_lost_ping() {
        let log = "64 bytes from 1.1.1.1: icmp_seq=1 ttl=64 time=0.5 ms\n\
                   64 bytes from 1.1.1.1: icmp_seq=3 ttl=64 time=0.7 ms\n\
                   3 packets transmitted, 2 received, 33% packet loss, time 2ms\n";
        let pings = parse_pings(log).unwrap();
        assert_eq!((pings.lost.as_slice(), pings.sent), ([2].as_slice(), 3));
        assert!(pings.check_none_lost().is_err());
    }

    #[test]
    fn the_longest_gap_is_between_two_answers() {
        let log = "[1700000000.100000] 64 bytes from 1.1.1.1: icmp_seq=1 ttl=64 time=0.5 ms\n\
                   [1700000000.105000] 64 bytes from 1.1.1.1: icmp_seq=2 ttl=64 time=0.7 ms\n\
                   [1700000000.230000] 64 bytes from 1.1.1.1: icmp_seq=27 ttl=64 time=0.7 ms\n\
                   27 packets transmitted, 3 received, 89% packet loss, time 2ms\n";
        let pings = parse_pings(log).unwrap();
        assert_eq!((pings.longest_gap().round(), pings.lost.len()), (125.0, 24));
    }

    #[test]
    fn only_the_answer_to_a_later_ping_ends_a_stream() {
        let late = "[1700000000.900000] 64 bytes from 1.1.1.1: icmp_seq=7 ttl=64 time=850 ms\n";
        let fresh = "[1700000001.100000] 64 bytes from 1.1.1.1: icmp_seq=8 ttl=64 time=0.5 ms\n";
        assert_eq!(first_answer(late, 1_700_000_000.5), None);
        let came = first_answer(&[late, fresh].concat(), 1_700_000_000.5);
        assert_eq!(came, Some(1_700_000_001.1));
    }
}
