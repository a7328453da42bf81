//! Values that several questions share.

use std::fmt::Write as _;

use serde_json::{Value, json};
use vpnhost_model::{Identity, LinkKind, Protocol, Role, TrafficSelector, Transform, TransformType};
use vpnhost_policy::{
    Attribute, Bounds, CheckTime, OnFailure, PathCause, PathStanding, Power, PowerSource, QuestionKind,
    Sha256, SituationCause, Strength,
};

use crate::form::{Fields, Form, Wrong, numbers, record};

numbers!(
    CheckTime,
    LinkKind,
    PathCause,
    PathStanding,
    PowerSource,
    Protocol,
    SituationCause,
    Strength,
    TransformType
);

record!(Transform { kind, id, key_bits });
record!(Power { source, battery_percent });
record!(Bounds { min, max, or_zero });

/// Writes and reads words.
macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal),*) => {
        impl Form for $type {
            fn write(&self) -> Value {
                match self { $(Self::$variant => $word,)* }.into()
            }

            fn read(value: &Value) -> Result<Self, Wrong> {
                match value.as_str() {
                    $(Some($word) => Ok(Self::$variant),)*
                    _ => Err(Wrong::expected([$($word),*].join(" or "), value)),
                }
            }
        }
    };
}

words!(Role: Initiator = "initiator", Responder = "responder");
words!(OnFailure: Deny = "deny", Native = "native");

impl Form for QuestionKind {
    fn write(&self) -> Value {
        self.name().into()
    }

    fn read(value: &Value) -> Result<Self, Wrong> {
        let names = QuestionKind::ALL.map(QuestionKind::name).join(", ");
        let found = value.as_str().and_then(QuestionKind::from_name);
        found.ok_or_else(|| Wrong::expected(format_args!("one of {names}"), value))
    }
}

/// A pair: keys may come twice, and their order counts.
impl Form for Attribute {
    fn write(&self) -> Value {
        json!([self.key, self.value])
    }

    fn read(value: &Value) -> Result<Self, Wrong> {
        match value.as_array().map(Vec::as_slice) {
            Some([Value::String(key), Value::String(value)]) => Ok(Self::new(key, value)),
            _ => Err(Wrong::expected("a pair of texts such as [\"group\", \"staff\"]", value)),
        }
    }
}

/// The text is for people; where it stands alone it is read as an operator writes identities.
impl Form for Identity {
    fn write(&self) -> Value {
        let (kind, octets) = self.to_wire();
        json!({ "kind": kind, "data": hex(&octets), "text": self.to_string() })
    }

    fn read(value: &Value) -> Result<Self, Wrong> {
        if let Some(text) = value.as_str() {
            return Self::parse(text)
                .ok_or_else(|| Wrong::expected("an identity such as carol@example.org", value));
        }
        let mut fields = Fields::of(value)?;
        let (kind, data) = (fields.take("kind")?, fields.take("data")?);
        fields.find("text");
        fields.finish()?;
        let Hex(data) = data;
        if kind == Self::EAP {
            let name = String::from_utf8(data).map_err(|_| Wrong::new("is no name").under("data"))?;
            return Ok(Self::Eap(name));
        }
        Ok(Self::from_wire(kind, &data))
    }
}

/// A prefix such as `10.20.0.0/24` stands for all its traffic.
impl Form for TrafficSelector {
    fn write(&self) -> Value {
        json!({
            "protocol": self.protocol,
            "start": self.start.write(),
            "end": self.end.write(),
            "start_port": self.start_port,
            "end_port": self.end_port,
        })
    }

    fn read(value: &Value) -> Result<Self, Wrong> {
        if let Some(text) = value.as_str() {
            let prefix = || match text.split_once('/') {
                Some((base, length)) => Self::prefix(base.parse().ok()?, length.parse().ok()?),
                None => text.parse().ok().map(Self::host),
            };
            return prefix().ok_or_else(|| Wrong::expected("a prefix such as \"10.20.0.0/24\"", value));
        }
        let mut fields = Fields::of(value)?;
        let read = Self {
            protocol: fields.take("protocol")?,
            start_port: fields.take("start_port")?,
            end_port: fields.take("end_port")?,
            start: fields.take("start")?,
            end: fields.take("end")?,
        };
        fields.finish()?;
        Ok(read)
    }
}

impl Form for Sha256 {
    fn write(&self) -> Value {
        self.to_string().into()
    }

    fn read(value: &Value) -> Result<Self, Wrong> {
        let Hex(octets) = Hex::read(value)?;
        octets.try_into().map(Self).map_err(|_| Wrong::expected("a digest of 64 digits", value))
    }
}

/// Octets as hexadecimal digits.
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl Form for Hex {
    fn write(&self) -> Value {
        hex(&self.0).into()
    }

    fn read(value: &Value) -> Result<Self, Wrong> {
        let digits = value.as_str().filter(|text| text.len().is_multiple_of(2) && text.is_ascii());
        let pairs = digits.map(|digits| {
            let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).ok();
            (0..digits.len()).step_by(2).map(pair).collect::<Option<Vec<u8>>>()
        });
        pairs.flatten().map(Self).ok_or_else(|| Wrong::expected("hexadecimal digits", value))
    }
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a String does not fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}
