//! TSi and TSr: what an SA carries (RFC 7296 §3.13).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vpnhost_model::TrafficSelector;

use crate::wire::reader::Reader;
use crate::wire::writer::Writer;
use crate::wire::{DecodeError, DecodeErrorKind, limits};

/// A Traffic Selector payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficSelectors {
    /// The address ranges in their order.
    pub selectors: Vec<TrafficSelector>,
    /// Selectors of types that this host does not know.
    pub others: Vec<UnknownSelector>,
}

impl TrafficSelectors {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = *reader;
        let declared = usize::from(reader.u8()?);
        reader.take(3)?;
        let (mut selectors, mut others) = (Vec::new(), Vec::new());
        while !reader.is_empty() {
            reader.check_room(selectors.len() + others.len(), limits::SELECTORS, "traffic selectors")?;
            match decode_selector(reader)? {
                Selector::Known(selector) => selectors.push(selector),
                Selector::Unknown(other) => others.push(other),
            }
        }
        let found = selectors.len() + others.len();
        if declared != found {
            return Err(at.error(DecodeErrorKind::Count { what: "traffic selectors", declared, found }));
        }
        Ok(Self { selectors, others })
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.count8(self.selectors.len() + self.others.len());
        writer.zeros(3);
        for selector in &self.selectors {
            encode_selector(selector, writer);
        }
        for other in &self.others {
            let start = writer.len();
            writer.u8(other.kind);
            writer.u8(other.protocol);
            let length = writer.length_from(start);
            writer.bytes(&other.data);
            writer.end_length(length);
        }
    }
}

impl From<Vec<TrafficSelector>> for TrafficSelectors {
    fn from(selectors: Vec<TrafficSelector>) -> Self {
        Self { selectors, others: Vec::new() }
    }
}

/// A selector of a type without a name here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSelector {
    /// Its type.
    pub kind: u8,
    /// The octet where known types have the IP protocol.
    pub protocol: u8,
    /// What stands behind its length.
    pub data: Vec<u8>,
}

enum Selector {
    Known(TrafficSelector),
    Unknown(UnknownSelector),
}

const IPV4_RANGE: u8 = 7;
const IPV6_RANGE: u8 = 8;
const HEADER_LEN: usize = 4;

fn decode_selector(reader: &mut Reader<'_>) -> Result<Selector, DecodeError> {
    let at = *reader;
    let kind = reader.u8()?;
    let protocol = reader.u8()?;
    let length = reader.u16()?;
    let mut body = reader.counted_part(length, HEADER_LEN)?;
    if kind != IPV4_RANGE && kind != IPV6_RANGE {
        return Ok(Selector::Unknown(UnknownSelector { kind, protocol, data: body.rest().to_vec() }));
    }
    let start_port = body.u16()?;
    let end_port = body.u16()?;
    let mut address = || -> Result<IpAddr, DecodeError> {
        Ok(match kind {
            IPV4_RANGE => Ipv4Addr::from(body.array::<4>()?).into(),
            _ => Ipv6Addr::from(body.array::<16>()?).into(),
        })
    };
    let selector = TrafficSelector { protocol, start_port, end_port, start: address()?, end: address()? };
    body.finish()?;
    if selector.start > selector.end {
        return Err(at.error(DecodeErrorKind::Value { field: "address range order", value: 1 }));
    }
    // RFC 7296, 3.13.1: only OPAQUE is written from 65535 down to 0.
    if start_port > end_port && (start_port, end_port) != (u16::MAX, 0) {
        return Err(at.bad_value("start port above the end port", start_port));
    }
    Ok(Selector::Known(selector))
}

fn encode_selector(selector: &TrafficSelector, writer: &mut Writer) {
    let start = writer.len();
    writer.u8(if selector.start.is_ipv4() { IPV4_RANGE } else { IPV6_RANGE });
    writer.u8(selector.protocol);
    let length = writer.length_from(start);
    writer.u16(selector.start_port);
    writer.u16(selector.end_port);
    for address in [selector.start, selector.end] {
        match address {
            IpAddr::V4(address) => writer.bytes(&address.octets()),
            IpAddr::V6(address) => writer.bytes(&address.octets()),
        }
    }
    writer.end_length(length);
}
