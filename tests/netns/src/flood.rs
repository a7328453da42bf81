//! Strangers who begin IKE SAs without end: in others' names, or in their own and with the cookie that they get.
//!
//! All of it comes from addresses that the namespace has ([`SPOOFED`], [`RETURNING`]); nobody listens at the former.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use vpnhost_ike::wire::payload::{Notify, NotifyType};
use vpnhost_ike::wire::{Message, Payload};
use vpnhost_model::IkeSpi;

use crate::load;

/// Where those are said to be who never see an answer.
pub const SPOOFED: &str = "10.66.0.0/16";
/// Where one is who returns cookies.
pub const RETURNING: &str = "10.67.0.0/24";
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(100);
/// How many are sent between two looks at the clock.
const AT_ONCE: u32 = 64;
const PORT: u16 = 500;

/// Sends IKE_SA_INITs for so long, each from another address that is not the sender's, and prints how many.
pub fn spoof(gateway: &str, seconds: u64) -> Result<()> {
    let mut stranger = Stranger::new(gateway)?;
    let (began, mut sent) = (Instant::now(), 0_u32);
    println!("flooding");
    while began.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..AT_ONCE {
            let source = Ipv4Addr::new(10, 66, (sent >> 8) as u8, sent as u8);
            // An address of the broadcast kind, or a full queue: the next will do.
            if let Ok(socket) = UdpSocket::bind((source, 0))
                && socket.send_to(&stranger.begin(None)?, stranger.gateway).is_ok()
            {
                sent += 1;
            } else {
                sent = sent.wrapping_add(1);
            }
        }
    }
    println!("sent {sent}");
    Ok(())
}

/// Begins so many IKE SAs from one address, returns the cookies, and prints how many were answered.
pub fn return_cookies(gateway: &str, count: u64) -> Result<()> {
    let mut stranger = Stranger::new(gateway)?;
    let socket = UdpSocket::bind((Ipv4Addr::new(10, 67, 0, 1), 0)).context("10.67.0.1")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let (mut answered, mut silences, mut begun) = (0, 0, 0);
    // Whoever is shut out gets no answer at all.
    while begun < count && silences < 10 {
        for _ in 0..AT_ONCE {
            socket.send_to(&stranger.begin(None)?, stranger.gateway)?;
            begun += 1;
        }
        let before = answered;
        let (mut buffer, mut awaited) = ([0; 4096], AT_ONCE);
        while awaited > 0 {
            let Ok(length) = socket.recv(&mut buffer) else { break };
            let Ok(answer) = Message::decode(&buffer[..length]) else { continue };
            match answer.notify(NotifyType::COOKIE) {
                Some(cookie) => {
                    let returned = stranger.again(answer.header.spi_i, cookie.clone())?;
                    socket.send_to(&returned, stranger.gateway)?;
                }
                None => (answered, awaited) = (answered + 1, awaited - 1),
            }
        }
        silences = if answered == before { silences + 1 } else { 0 };
    }
    println!("begun {begun} answered {answered}");
    Ok(())
}

/// Makes IKE_SA_INITs that differ.
struct Stranger {
    gateway: SocketAddr,
    message: Message,
    number: u64,
}

impl Stranger {
    fn new(gateway: &str) -> Result<Self> {
        let gateway = SocketAddr::new(gateway.parse()?, PORT);
        let message = Message::decode(&load::first_message(gateway)?)?;
        Ok(Self { gateway, message, number: 0 })
    }

    /// Returns a new one.
    fn begin(&mut self, cookie: Option<Notify>) -> Result<Vec<u8>> {
        if cookie.is_none() {
            self.number += 1;
            self.message.header.spi_i = IkeSpi(self.number.to_be_bytes());
        }
        let mut message = self.message.clone();
        // RFC 7296, 2.6: it is the first payload, and nothing else changes.
        message.payloads.splice(0..0, cookie.map(Payload::Notify));
        Ok(message.encode()?)
    }

    /// Returns an earlier one with the cookie that came for it.
    fn again(&mut self, spi_i: IkeSpi, cookie: Notify) -> Result<Vec<u8>> {
        self.message.header.spi_i = spi_i;
        self.begin(Some(cookie))
    }
}
