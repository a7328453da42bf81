//! A ping in UDP at an exact pace, with the time of each answer: `ping` itself keeps no 5 ms on every kernel, and gaps are
//! measured in those.

use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::traffic::now;
use crate::{Namespace, Running};

/// How long an answer is waited for once the last packet is sent.
const LATE: Duration = Duration::from_millis(1200);
/// The most packets of a stream.
const PACKETS: u32 = 1_000_000;
/// What a packet carries, of which the first four octets are its number.
const OCTETS: usize = 56;
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a packet each interval until standard input closes, and prints when each was sent and answered.
pub fn send(target: &str, interval: Duration) -> Result<()> {
    ensure!(!interval.is_zero(), "an interval is needed");
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let ended = input_ends();
    let answers = collect(socket.try_clone()?);
    println!("sending");
    let (began, mut packet, mut sent) = (Instant::now(), [0x55; OCTETS], Vec::new());
    for number in 0..PACKETS {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        packet[..4].copy_from_slice(&number.to_be_bytes());
        sent.push(now());
        // What cannot be sent is lost, as on any other link.
        drop(socket.send_to(&packet, target));
        std::thread::sleep((interval * (number + 1)).saturating_sub(began.elapsed()));
    }
    std::thread::sleep(LATE);
    sent.iter().for_each(|at| println!("sent {at:.6}"));
    let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    answers.iter().for_each(|(number, at)| println!("answer {number} {at:.6}"));
    println!("done");
    Ok(())
}

/// Answers such packets until standard input closes.
pub fn echo(address: &str) -> Result<()> {
    let socket = UdpSocket::bind(address).with_context(|| format!("cannot bind {address}"))?;
    println!("listening");
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        loop {
            // An ICMP error of an earlier answer is no end.
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
            drop(socket.send_to(&buffer[..length], from));
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn input_ends() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ended);
    std::thread::spawn(move || {
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        seen.store(true, Ordering::Relaxed);
    });
    ended
}

fn collect(socket: UdpSocket) -> Arc<Mutex<Vec<(u32, f64)>>> {
    let answers = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&answers);
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        loop {
            let Ok((length, _)) = socket.recv_from(&mut buffer) else { continue };
            let Some(number) = buffer[..length].first_chunk::<4>() else { continue };
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() < 2 * PACKETS as usize {
                all.push((u32::from_be_bytes(*number), now()));
            }
        }
    });
    answers
}

/// A stream under way.
#[derive(Debug)]
pub struct Stream {
    sender: Running,
    echo: Running,
}

impl Stream {
    /// Starts one of a packet each 5 ms; `address` is where it is answered.
    pub fn start(from: &Namespace, to: &Namespace, address: &str, dir: &Path) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = to.command(&program);
        command.args(["traffic", "echo", address]);
        let mut echo = Running::start(&mut command, &dir.join("echo.log"))?;
        echo.wait_log("listening", PATIENCE)?;
        let mut command = from.command(&program);
        command.args(["traffic", "stream", address, "5"]);
        let mut sender = Running::start(&mut command, &dir.join("stream.log"))?;
        sender.wait_log("sending", PATIENCE)?;
        Ok(Self { sender, echo })
    }

    /// Ends it and returns what was answered.
    pub fn finish(mut self) -> Result<Heard> {
        for end in [&mut self.sender, &mut self.echo] {
            end.close_input();
            ensure!(end.wait(PATIENCE)?.success(), "a stream failed: {}", end.log().trim());
        }
        Heard::parse(&self.sender.log())
    }
}

/// What was answered of a stream; times are in seconds since 1970.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When each packet was sent.
    pub sent: Vec<f64>,
    /// The number of a packet and when its first answer came, in the order of these.
    pub answers: Vec<(u32, f64)>,
}

impl Heard {
    fn parse(log: &str) -> Result<Self> {
        let numbers = |key: &'static str| log.lines().filter_map(move |line| line.strip_prefix(key));
        let sent: Vec<f64> = numbers("sent ").map(str::parse).collect::<Result<_, _>>()?;
        let (mut seen, mut answers) = (vec![false; sent.len()], Vec::new());
        for line in numbers("answer ") {
            let (number, at) = line.split_once(' ').context("half a line")?;
            let number: u32 = number.parse()?;
            let first = seen.get_mut(number as usize).context("an answer to nothing")?;
            if !std::mem::replace(first, true) {
                answers.push((number, at.parse()?));
            }
        }
        Ok(Self { sent, answers })
    }

    /// Returns how many packets were never answered.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.sent.len() - self.answers.len()
    }

    /// Returns the longest time without an answer in milliseconds, that before the end included.
    #[must_use]
    pub fn longest_gap(&self) -> f64 {
        let ended = self.sent.last().copied().unwrap_or_default();
        let times = self.answers.iter().map(|(_, at)| *at);
        let times: Vec<f64> = times.chain([ended]).collect();
        times.windows(2).map(|pair| (pair[1] - pair[0]) * 1e3).fold(0.0, f64::max)
    }

    /// Returns after how many milliseconds the first answer came to a packet that was sent after a time.
    #[must_use]
    pub fn back_after(&self, time: f64) -> Option<f64> {
        let later = |(number, _): &&(u32, f64)| self.sent[*number as usize] > time;
        self.answers.iter().find(later).map(|(_, at)| (at - time) * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_lasts_from_one_answer_to_the_next_or_to_the_end() {
        let sent: String =
            (0..100).map(|number| format!("sent {:.3}\n", f64::from(number) * 0.005)).collect();
        let answer = |number: u32| format!("answer {number} {:.3}\n", f64::from(number) * 0.005 + 0.002);
        let all = |numbers: &mut dyn Iterator<Item = u32>| {
            Heard::parse(&(sent.clone() + &numbers.map(answer).collect::<String>())).unwrap()
        };
        let one = all(&mut (0..100).filter(|number| !(30..40).contains(number)).chain([7]));
        assert_eq!((one.lost(), one.longest_gap().round()), (10, 55.0));
        assert_eq!(one.back_after(0.151).map(f64::round), Some(51.0));
        let silent = all(&mut (0..20));
        assert_eq!((silent.lost(), silent.longest_gap().round()), (80, 398.0));
        assert_eq!(silent.back_after(0.3), None);
        assert!(Heard::parse("answer 3 1.0\n").is_err());
    }
}
