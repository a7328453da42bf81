//! CP: addresses and the like, asked for and given (RFC 7296 §3.15).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::wire::reader::Reader;
use crate::wire::writer::Writer;
use crate::wire::{DecodeError, DecodeErrorKind, limits, numbers};

/// The Configuration payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Whether it asks or tells.
    pub kind: ConfigurationType,
    /// The attributes in their order.
    pub attributes: Vec<ConfigurationAttribute>,
}

impl Configuration {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = ConfigurationType(reader.u8()?);
        reader.take(3)?;
        let mut attributes = Vec::new();
        while !reader.is_empty() {
            reader.check_room(
                attributes.len(),
                limits::CONFIGURATION_ATTRIBUTES,
                "configuration attributes",
            )?;
            attributes.push(ConfigurationAttribute::decode(reader)?);
        }
        Ok(Self { kind, attributes })
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u8(self.kind.0);
        writer.zeros(3);
        for attribute in &self.attributes {
            attribute.encode(writer);
        }
    }
}

/// One attribute of a Configuration payload. Without a value it asks, or reports as accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationAttribute {
    /// What it is.
    pub kind: ConfigurationAttributeType,
    /// Its value; of a known type it has one of the type's lengths, or none.
    pub value: Vec<u8>,
}

impl ConfigurationAttribute {
    /// Makes an attribute without a value: a request for one.
    pub fn empty(kind: ConfigurationAttributeType) -> Self {
        Self { kind, value: Vec::new() }
    }

    /// Makes an attribute of an IPv4 address or netmask.
    pub fn ipv4(kind: ConfigurationAttributeType, address: Ipv4Addr) -> Self {
        Self { kind, value: address.octets().to_vec() }
    }

    /// Makes an attribute of an IPv6 address.
    pub fn ipv6(kind: ConfigurationAttributeType, address: Ipv6Addr) -> Self {
        Self { kind, value: address.octets().to_vec() }
    }

    /// Makes an attribute of an IPv6 address and prefix length.
    pub fn ipv6_prefix(kind: ConfigurationAttributeType, address: Ipv6Addr, length: u8) -> Self {
        let mut value = address.octets().to_vec();
        value.push(length);
        Self { kind, value }
    }

    /// Returns the value as an IPv4 address or netmask.
    pub fn to_ipv4(&self) -> Option<Ipv4Addr> {
        <[u8; 4]>::try_from(self.value.as_slice()).ok().map(Ipv4Addr::from)
    }

    /// Returns the value as an IPv6 address; a prefix length behind it is left out.
    pub fn to_ipv6(&self) -> Option<Ipv6Addr> {
        self.to_ipv6_prefix().map(|(address, _)| address)
    }

    /// Returns the value as an IPv6 address and prefix length; without one it is 128.
    pub fn to_ipv6_prefix(&self) -> Option<(Ipv6Addr, u8)> {
        let (address, rest) = self.value.split_first_chunk::<16>()?;
        match rest {
            [] => Some((Ipv6Addr::from(*address), 128)),
            &[length] if length <= 128 => Some((Ipv6Addr::from(*address), length)),
            _ => None,
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = *reader;
        let kind = ConfigurationAttributeType(reader.u16()? & !RESERVED_BIT);
        let length = usize::from(reader.u16()?);
        let value = reader.take(length)?.to_vec();
        if let Some(&most) = kind.value_lengths().last().filter(|_| length != 0)
            && !kind.value_lengths().contains(&length)
        {
            return Err(at.error(DecodeErrorKind::Length { declared: length, found: most }));
        }
        Ok(Self { kind, value })
    }

    fn encode(&self, writer: &mut Writer) {
        writer.u16(self.kind.0 & !RESERVED_BIT);
        writer.count16(self.value.len());
        writer.bytes(&self.value);
    }
}

const RESERVED_BIT: u16 = 0x8000;

numbers! {
    /// Whether a Configuration payload asks or tells.
    ConfigurationType(u8) {
        /// Asks.
        CFG_REQUEST = 1;
        /// Answers.
        CFG_REPLY = 2;
        /// Pushes.
        CFG_SET = 3;
        /// Accepts.
        CFG_ACK = 4;
    }
}

numbers! {
    /// What an attribute of a Configuration payload is.
    ConfigurationAttributeType(u16) {
        /// A virtual IPv4 address.
        INTERNAL_IP4_ADDRESS = 1;
        /// Its network's mask.
        INTERNAL_IP4_NETMASK = 2;
        /// A DNS server.
        INTERNAL_IP4_DNS = 3;
        /// A NetBIOS name server.
        INTERNAL_IP4_NBNS = 4;
        /// A DHCP server.
        INTERNAL_IP4_DHCP = 6;
        /// The name and version of the software.
        APPLICATION_VERSION = 7;
        /// A virtual IPv6 address and its prefix length.
        INTERNAL_IP6_ADDRESS = 8;
        /// A DNS server.
        INTERNAL_IP6_DNS = 10;
        /// A DHCP server.
        INTERNAL_IP6_DHCP = 12;
        /// A network behind the gateway: address and mask.
        INTERNAL_IP4_SUBNET = 13;
        /// The attributes that the sender knows.
        SUPPORTED_ATTRIBUTES = 14;
        /// A network behind the gateway: address and prefix length.
        INTERNAL_IP6_SUBNET = 15;
        /// A domain to ask the internal DNS servers for (RFC 8598).
        INTERNAL_DNS_DOMAIN = 25;
        /// A trust anchor for it (RFC 8598).
        INTERNAL_DNSSEC_TA = 26;
    }
}

impl ConfigurationAttributeType {
    /// Returns the lengths that a value of the type may have beside zero; none is any.
    fn value_lengths(self) -> &'static [usize] {
        match self {
            Self::INTERNAL_IP4_ADDRESS
            | Self::INTERNAL_IP4_NETMASK
            | Self::INTERNAL_IP4_DNS
            | Self::INTERNAL_IP4_NBNS
            | Self::INTERNAL_IP4_DHCP => &[4],
            // RFC 4306 had no prefix length; who still sends none is understood.
            Self::INTERNAL_IP6_ADDRESS => &[16, 17],
            Self::INTERNAL_IP6_DNS | Self::INTERNAL_IP6_DHCP => &[16],
            Self::INTERNAL_IP4_SUBNET => &[8],
            Self::INTERNAL_IP6_SUBNET => &[17],
            _ => &[],
        }
    }
}
