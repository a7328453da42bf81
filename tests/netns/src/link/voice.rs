//! A voice-like stream, and how good it would sound.
//!
//! Fifty packets a second of 160 octets, which is G.711 in pieces of 20 ms. Both ends are in this process: one clock
//! tells the one-way delay.
//!
//! The model is of calls whose conditions do not change, and a journey's do: each span of two seconds is judged by
//! itself, and the score of the call is the mean. The listener's playout buffer adapts from span to span: what comes
//! more than its depth after the quickest packet of its span is lost to the ear.
//!
//! The opinion score is estimated by the E-model of ITU-T G.107 (2015), reduced to what a network can spoil, all else
//! being at its defaults: `R = 93.2 − Id − Ie,eff`.
//!
//! * `Id` is Idd (7.4), of the delay alone, the echo being cancelled: 0 up to `Ta` = 100 ms, then
//!   `25 ((1 + X⁶)^(1/6) − 3 (1 + (X/3)⁶)^(1/6) + 2)` with `X = log₂(Ta / 100 ms)`.
//! * `Ie,eff = Ie + (95 − Ie) Ppl / (Ppl / BurstR + Bpl)` (7.5), with G.113, Appendix I for G.711 with packet loss
//!   concealment: `Ie = 0`, `Bpl = 25.1`. `BurstR` is the mean length of a run of losses over that of random loss.
//! * `MOS = 1 + 0.035 R + R (R − 60)(100 − R) 7·10⁻⁶` (Annex B), from 1 to 4.5.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::sys;
use crate::Namespace;

/// The pace, and what one packet holds of a voice.
pub const PIECE: Duration = Duration::from_millis(20);
/// How much a packet carries.
const OCTETS: usize = 160;
/// How long the listener waits so that late packets are in time: after the quickest one of a span.
pub const BUFFER: Duration = Duration::from_millis(60);
/// How many packets are judged together: two seconds.
const SPAN: usize = 100;
/// What is still under way after so long is lost.
const LAST: Duration = Duration::from_secs(2);
/// No call has more packets: about five hours.
const PACKETS: usize = 1_000_000;

/// A call under way, from one namespace to another.
#[derive(Debug)]
pub struct Call {
    has_ended: Arc<AtomicBool>,
    speaker: JoinHandle<Vec<Duration>>,
    listener: JoinHandle<Vec<(usize, Duration)>>,
}

/// What the listener got.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// Packets that were to be sent; one that found no route counts.
    pub sent: usize,
    /// Packets that came, each counted once.
    pub received: usize,
    /// Packets that came again.
    pub duplicates: usize,
    /// Packets that came after their time.
    pub late: usize,
    /// Packets that the ear missed, lost or late.
    pub missed: usize,
    /// The longest time without a new packet.
    pub longest_gap: Duration,
    /// The one-way delay: the least, the mean and the most.
    pub delay: [Duration; 3],
    /// The estimated mean opinion score: the mean of all spans.
    pub mos: f64,
    /// The score of the worst span.
    pub worst_mos: f64,
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = self.sent - self.received;
        write!(
            f,
            "MOS {:.2} (worst two seconds {:.2}), longest gap {} ms, {lost} of {} packets lost, {} late",
            self.mos,
            self.worst_mos,
            self.longest_gap.as_millis(),
            self.sent,
            self.late
        )
    }
}

impl Call {
    /// Starts a call to an address of the listener's, with a port.
    pub fn start(speaker: &Namespace, listener: &Namespace, to: SocketAddr) -> Result<Self> {
        let bind = |address: SocketAddr| {
            move || UdpSocket::bind(address).with_context(|| format!("cannot bind {address}"))
        };
        let anywhere = |port: u16| -> SocketAddr {
            if to.is_ipv4() { ([0, 0, 0, 0], port).into() } else { ([0_u16; 8], port).into() }
        };
        let ear = sys::inside(listener.name(), bind(anywhere(to.port())))?;
        ear.set_read_timeout(Some(PIECE))?;
        let mouth = sys::inside(speaker.name(), bind(anywhere(0)))?;
        let (began, has_ended) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&has_ended);
        let speaker = std::thread::spawn(move || speak(&mouth, to, began, &seen));
        let seen = Arc::clone(&has_ended);
        let listener = std::thread::spawn(move || listen(&ear, began, &seen));
        Ok(Self { has_ended, speaker, listener })
    }

    /// Ends the call and says how it was.
    pub fn finish(self) -> Result<Heard> {
        self.has_ended.store(true, Ordering::Relaxed);
        let (Ok(sent), Ok(arrived)) = (self.speaker.join(), self.listener.join()) else {
            bail!("an end of a call panicked")
        };
        ensure!(!sent.is_empty(), "nothing was said");
        Ok(hear(&sent, &arrived))
    }
}

fn speak(mouth: &UdpSocket, to: SocketAddr, began: Instant, has_ended: &AtomicBool) -> Vec<Duration> {
    let (first, mut sent) = (began.elapsed(), Vec::new());
    let mut packet = [0x55; OCTETS];
    while !has_ended.load(Ordering::Relaxed) && sent.len() < PACKETS {
        // By the clock, not by pauses: a late one makes the next no later.
        let due = first + PIECE.saturating_mul(sent.len() as u32);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        packet[..8].copy_from_slice(&(sent.len() as u64).to_be_bytes());
        sent.push(began.elapsed());
        // What finds no route is a packet that does not arrive.
        drop(mouth.send_to(&packet, to));
    }
    sent
}

fn listen(ear: &UdpSocket, began: Instant, has_ended: &AtomicBool) -> Vec<(usize, Duration)> {
    let (mut arrived, mut room, mut until) = (Vec::new(), [0; OCTETS + 1], None);
    while until.is_none_or(|until| began.elapsed() < until) && arrived.len() < 2 * PACKETS {
        if until.is_none() && has_ended.load(Ordering::Relaxed) {
            until = Some(began.elapsed() + LAST);
        }
        // A timeout is a time to look around, and so is any other error.
        if let Ok(OCTETS) = ear.recv(&mut room)
            && let Some(number) = room.first_chunk::<8>()
        {
            arrived.push((u64::from_be_bytes(*number) as usize, began.elapsed()));
        }
    }
    arrived
}

/// Judges a call from when each packet was sent, and which one arrived when.
#[must_use]
pub fn hear(sent: &[Duration], arrived: &[(usize, Duration)]) -> Heard {
    let mut took: Vec<Option<Duration>> = vec![None; sent.len()];
    let mut last = sent.first().copied().unwrap_or_default();
    let (mut duplicates, mut longest_gap) = (0, Duration::ZERO);
    for (number, at) in arrived {
        let (Some(slot), Some(began)) = (took.get_mut(*number), sent.get(*number)) else { continue };
        if slot.is_some() {
            duplicates += 1;
            continue;
        }
        *slot = Some(at.saturating_sub(*began));
        longest_gap = longest_gap.max(at.saturating_sub(last));
        last = last.max(*at);
    }
    // The silence at the end counts as far as something was said.
    longest_gap = longest_gap.max(sent.last().copied().unwrap_or_default().saturating_sub(last));
    let delays: Vec<Duration> = took.iter().flatten().copied().collect();
    let least = delays.iter().min().copied().unwrap_or_default();
    let most = delays.iter().max().copied().unwrap_or_default();
    let mean = delays.iter().sum::<Duration>() / u32::try_from(delays.len()).unwrap_or(u32::MAX).max(1);
    let spans: Vec<Span> = took.chunks(SPAN).map(Span::judge).collect();
    let scores = || spans.iter().map(|span| span.mos);
    let missed = spans.iter().map(|span| span.missed).sum::<usize>();
    Heard {
        sent: sent.len(),
        received: delays.len(),
        duplicates,
        late: missed - (sent.len() - delays.len()),
        missed,
        longest_gap,
        delay: [least, mean, most],
        mos: scores().sum::<f64>() / spans.len().max(1) as f64,
        worst_mos: scores().fold(4.5, f64::min),
    }
}

/// What a span of a call was like.
struct Span {
    missed: usize,
    mos: f64,
}

impl Span {
    /// Judges a span by what each of its packets took, where it came.
    fn judge(took: &[Option<Duration>]) -> Self {
        let Some(least) = took.iter().flatten().min() else { return Self { missed: took.len(), mos: 1.0 } };
        let played = *least + BUFFER;
        let missed: Vec<bool> = took.iter().map(|took| took.is_none_or(|took| took > played)).collect();
        let count = missed.iter().filter(|missed| **missed).count();
        let lost = count as f64 / missed.len() as f64;
        // The speaker's end has to fill a packet before it can send it.
        Self { missed: count, mos: mos(rating(PIECE + played, lost, burst_ratio(&missed, lost))) }
    }
}

/// Returns the mean length of the runs that were missed, over the 1 / (1 − lost) of random loss; from 1 to 8, which
/// is as far as the E-model goes.
fn burst_ratio(missed: &[bool], lost: f64) -> f64 {
    let runs = missed.split(|missed| !missed).filter(|run| !run.is_empty()).count();
    if runs == 0 {
        return 1.0;
    }
    let mean = lost * missed.len() as f64 / runs as f64;
    (mean * (1.0 - lost)).clamp(1.0, 8.0)
}

/// Returns the transmission rating factor R of G.711 with packet loss concealment.
#[must_use]
pub fn rating(delay: Duration, lost: f64, burst_ratio: f64) -> f64 {
    const NOTHING_WRONG: f64 = 93.2;
    const ROBUSTNESS: f64 = 25.1;
    let hundreds = delay.as_secs_f64() / 0.1;
    let by_delay = if hundreds <= 1.0 {
        0.0
    } else {
        let x = hundreds.log2();
        let root = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
        25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
    };
    let percent = 100.0 * lost;
    let by_loss = 95.0 * percent / (percent / burst_ratio + ROBUSTNESS);
    NOTHING_WRONG - by_delay - by_loss
}

/// Returns the mean opinion score of a rating.
#[must_use]
pub fn mos(rating: f64) -> f64 {
    match rating {
        r if r <= 0.0 => 1.0,
        r if r >= 100.0 => 4.5,
        r => (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn close(is: f64, shall: f64, by: f64) -> bool {
        (is - shall).abs() <= by
    }

    /// Returns when packets are sent, and when those that come do.
    fn call(count: u64, takes: impl Fn(u64) -> Option<u64>) -> (Vec<Duration>, Vec<(usize, Duration)>) {
        let sent = (0..count).map(|number| ms(20 * number)).collect();
        let arrives = |number| Some((number as usize, ms(20 * number + takes(number)?)));
        let mut arrived: Vec<_> = (0..count).filter_map(arrives).collect();
        arrived.sort_by_key(|(_, at)| *at);
        (sent, arrived)
    }

    #[test]
    fn scores_are_those_of_the_table_in_annex_b() {
        for (rating, score) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            assert!(close(mos(rating), score, 0.01), "{rating}: {}", mos(rating));
        }
        assert_eq!([mos(-5.0), mos(0.0), mos(3.0), mos(100.0), mos(120.0)], [1.0, 1.0, 1.0, 4.5, 4.5]);
        assert!(close(mos(rating(ms(80), 0.0, 1.0)), 4.41, 0.005), "the best that a telephone can be");
    }

    #[test]
    fn delay_costs_nothing_up_to_a_tenth_of_a_second_and_then_more_and_more() {
        // 200 ms: X = 1, 25 (1.12246 − 3 · 1.00023 + 2). 400 ms: X = 2.
        for (delay, costs) in [(100, 0.0), (150, 0.16), (200, 3.04), (300, 14.76), (400, 24.07)] {
            let is = 93.2 - rating(ms(delay), 0.0, 1.0);
            assert!(close(is, costs, 0.01), "{delay} ms: {is}");
        }
    }

    #[test]
    fn loss_costs_what_the_robustness_of_the_codec_says_and_bursts_cost_more() {
        // 95 · 5 / (5 + 25.1) and 95 · 5 / (2.5 + 25.1).
        assert!(close(93.2 - rating(ms(50), 0.05, 1.0), 15.78, 0.01));
        assert!(close(93.2 - rating(ms(50), 0.05, 2.0), 17.21, 0.01));
    }

    #[test]
    fn a_perfect_call_is_perfect() {
        let (sent, arrived) = call(100, |_| Some(15));
        let heard = hear(&sent, &arrived);
        assert_eq!((heard.received, heard.late, heard.duplicates), (100, 0, 0));
        assert_eq!((heard.longest_gap, heard.delay), (ms(20), [ms(15); 3]));
        assert!(close(heard.mos, 4.41, 0.005), "{heard:?}");
    }

    #[test]
    fn a_silence_is_the_longest_gap_wherever_it_is() {
        let (sent, arrived) = call(100, |number| (!(40..50).contains(&number)).then_some(10));
        let heard = hear(&sent, &arrived);
        assert_eq!((heard.longest_gap, heard.received), (ms(220), 90));
        // 95 · 10 / (10 / 8 + 25.1), the ten in one run.
        assert!(close(heard.mos, mos(93.2 - 36.05), 0.01), "{heard:?}");
        let (sent, arrived) = call(100, |number| (number < 50).then_some(10));
        assert_eq!(hear(&sent, &arrived).longest_gap, ms(990));
        let (sent, arrived) = call(100, |number| (number >= 50).then_some(10));
        assert_eq!(hear(&sent, &arrived).longest_gap, ms(1010));
    }

    #[test]
    fn what_comes_after_its_time_was_not_heard() {
        let late = |number: u64| Some(if number % 10 == 3 { 90 } else { 10 });
        let (sent, mut arrived) = call(100, late);
        let twice = arrived[5];
        arrived.push(twice);
        let heard = hear(&sent, &arrived);
        assert_eq!((heard.received, heard.late, heard.duplicates), (100, 10, 1));
        let (sent, arrived) = call(100, |number| (number % 10 != 3).then_some(10));
        assert_eq!(hear(&sent, &arrived).mos, heard.mos);
    }

    #[test]
    fn each_span_is_judged_by_itself_and_the_call_by_their_mean() {
        // Two seconds good, two of silence, two with 300 ms, for which the buffer adapts.
        let (sent, arrived) = call(300, |number| [Some(10), None, Some(300)][number as usize / 100]);
        let heard = hear(&sent, &arrived);
        assert_eq!((heard.missed, heard.late, heard.worst_mos), (100, 0, 1.0));
        let expected = (mos(93.2) + 1.0 + mos(rating(ms(380), 0.0, 1.0))) / 3.0;
        assert!(close(heard.mos, expected, 0.001), "{heard:?}");
    }

    #[test]
    fn a_call_of_which_nothing_came_is_the_worst() {
        let (sent, arrived) = call(100, |_| None);
        let heard = hear(&sent, &arrived);
        assert_eq!((heard.received, heard.longest_gap), (0, ms(1980)));
        assert!(close(heard.mos, 1.0, 0.0), "{heard:?}");
    }
}
