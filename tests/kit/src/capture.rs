//! What was sent, the last of it as lines for whoever looks for the cause of a failure.

use std::collections::VecDeque;
use std::fmt;

use vpnhost_ike::wire::Header;
use vpnhost_model::Instant;

use crate::network::{Carrier, Datagram};

/// How many datagrams are kept unless a story wants all.
const KEPT: usize = 200;

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on its way.
    Sent,
    /// The network lost it.
    Lost,
}

/// A datagram as its sender sent it.
#[derive(Clone, Debug)]
pub struct Record {
    /// When.
    pub at: Instant,
    /// What.
    pub datagram: Datagram,
    /// What became of it.
    pub fate: Fate,
}

/// The datagrams that were sent, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    records: VecDeque<Record>,
    keep_all: bool,
}

impl Capture {
    /// Keeps everything from now on.
    pub fn keep_all(&mut self) {
        self.keep_all = true;
    }

    /// Returns what was kept.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.records.iter()
    }

    pub(crate) fn record(&mut self, at: Instant, datagram: Datagram, fate: Fate) {
        if !self.keep_all && self.records.len() == KEPT {
            self.records.pop_front();
        }
        self.records.push_back(Record { at, datagram, fate });
    }
}

impl fmt::Display for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.records.iter().try_for_each(|record| writeln!(f, "{record}"))
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Datagram { source, destination, octets, .. } = &self.datagram;
        write!(f, "{:>12.6} {source} > {destination} ", self.at.0 as f64 / 1e9)?;
        match self.datagram.ike() {
            Some(message) => match Header::decode(message) {
                Ok(header) => {
                    let kind = if header.flags.response { "response" } else { "request" };
                    let (spi_i, spi_r) = (header.spi_i, header.spi_r);
                    write!(f, "{} {kind} {} {spi_i} {spi_r}", header.exchange, header.message_id)?;
                }
                Err(error) => write!(f, "{error}")?,
            },
            None if octets.len() > 8 => write!(f, "ESP {:02x?} {:?}", &octets[..4], &octets[4..8])?,
            None => write!(f, "{octets:02x?}")?,
        }
        write!(f, " {} octets{}", octets.len(), if self.fate == Fate::Lost { ", lost" } else { "" })
    }
}

impl Datagram {
    /// Returns the IKE message in it, if it is for an IKE socket (RFC 7296 §3.1, RFC 3948 §2.2).
    pub fn ike(&self) -> Option<&[u8]> {
        if self.carrier == Carrier::Esp {
            return None;
        }
        let marked = self.octets.strip_prefix(&[0; 4]);
        // Who is behind a NAT is heard on any port: a marker tells what it is.
        let on_nat_port = [self.source.port(), self.destination.port()].contains(&4500);
        if on_nat_port { marked } else { Some(&self.octets) }
    }

    /// Returns the ESP packet in it.
    pub fn esp(&self) -> Option<&[u8]> {
        let bare = self.carrier == Carrier::Esp || (self.ike().is_none() && self.octets != [0xff]);
        bare.then_some(&self.octets)
    }
}
