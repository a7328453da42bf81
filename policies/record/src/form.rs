//! How a value is written, and read strictly; and the same for all that is only made of such values.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde_json::{Map, Value};

/// What can be written as JSON and read again.
pub trait Form: Sized {
    /// Writes it.
    fn write(&self) -> Value;

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, and where.
    fn read(value: &Value) -> Result<Self, Wrong>;

    /// Returns what it is where it is not there at all.
    fn absent() -> Option<Self> {
        None
    }
}

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    at: String,
    what: String,
}

impl Wrong {
    /// Says what is wrong.
    pub fn new(what: impl Into<String>) -> Self {
        Self { at: String::new(), what: what.into() }
    }

    /// Says that a value is another than it must be.
    pub fn expected(what: impl fmt::Display, value: &Value) -> Self {
        Self::new(format!("must be {what}, not {}", excerpt(value)))
    }

    /// Says under which key it stands.
    pub fn under(mut self, key: &str) -> Self {
        let separator = if self.at.is_empty() || self.at.starts_with('[') { "" } else { "." };
        self.at = format!("{key}{separator}{}", self.at);
        self
    }

    fn item(self, index: usize) -> Self {
        self.under(&format!("[{index}]"))
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at.as_str() {
            "" => f.write_str(&self.what),
            at => write!(f, "`{at}` {}", self.what),
        }
    }
}

impl std::error::Error for Wrong {}

/// The most letters of a wrong value that are repeated.
const EXCERPT: usize = 60;

fn excerpt(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(EXCERPT) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

/// An object whose keys are taken out one by one.
#[derive(Debug)]
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Takes a value for an object.
    ///
    /// # Errors
    /// A value that is none.
    pub fn of(value: &'a Value) -> Result<Self, Wrong> {
        let map = value.as_object().ok_or_else(|| Wrong::expected("an object", value))?;
        Ok(Self { map, known: Vec::new() })
    }

    /// Reads the value of a key.
    ///
    /// # Errors
    /// What is wrong with it, or that it is not there.
    pub fn take<T: Form>(&mut self, key: &'static str) -> Result<T, Wrong> {
        match self.find(key) {
            Some(value) => T::read(value).map_err(|wrong| wrong.under(key)),
            None => T::absent().ok_or_else(|| Wrong::new(format!("lacks `{key}`"))),
        }
    }

    /// Returns the value of a key as it stands, if it is there.
    pub fn find(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.map.get(key)
    }

    /// Ends.
    ///
    /// # Errors
    /// A key that nobody asked for.
    pub fn finish(self) -> Result<(), Wrong> {
        match self.map.keys().find(|key| !self.known.contains(&key.as_str())) {
            Some(key) => Err(Wrong::new(format!(
                "has `{key}`, which is not known here; known: {}",
                self.known.join(", ")
            ))),
            None => Ok(()),
        }
    }
}

/// Writes and reads a record whose every field is a [`Form`]: a new field is one more word here.
macro_rules! record {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl $crate::form::Form for $type {
            fn write(&self) -> serde_json::Value {
                let Self { $($field),* } = self;
                let mut map = serde_json::Map::new();
                $(map.insert(stringify!($field).to_owned(), $crate::form::Form::write($field));)*
                map.into()
            }

            fn read(value: &serde_json::Value) -> Result<Self, $crate::form::Wrong> {
                let mut fields = $crate::form::Fields::of(value)?;
                let read = Self { $($field: fields.take(stringify!($field))?),* };
                fields.finish()?;
                Ok(read)
            }
        }
    };
}

/// Writes and reads numbers that bear a name.
macro_rules! numbers {
    ($($type:ident),* $(,)?) => {$(
        impl $crate::form::Form for $type {
            fn write(&self) -> serde_json::Value {
                $crate::form::Form::write(&self.0)
            }

            fn read(value: &serde_json::Value) -> Result<Self, $crate::form::Wrong> {
                $crate::form::Form::read(value).map(Self)
            }
        }
    )*};
}

pub(crate) use {numbers, record};

macro_rules! integers {
    ($($type:ident),*) => {$(
        impl Form for $type {
            fn write(&self) -> Value {
                (*self).into()
            }

            fn read(value: &Value) -> Result<Self, Wrong> {
                let wide = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
                wide.and_then(|it| Self::try_from(it).ok()).ok_or_else(|| {
                    Wrong::expected(format_args!("a whole number from {} to {}", Self::MIN, Self::MAX), value)
                })
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, i32, i64);

impl Form for bool {
    fn write(&self) -> Value {
        (*self).into()
    }

    fn read(value: &Value) -> Result<Self, Wrong> {
        value.as_bool().ok_or_else(|| Wrong::expected("true or false", value))
    }
}

impl Form for String {
    fn write(&self) -> Value {
        self.as_str().into()
    }

    fn read(value: &Value) -> Result<Self, Wrong> {
        value.as_str().map(str::to_owned).ok_or_else(|| Wrong::expected("a text", value))
    }
}

impl<T: Form> Form for Option<T> {
    fn write(&self) -> Value {
        self.as_ref().map_or(Value::Null, |it| it.write())
    }

    fn read(value: &Value) -> Result<Self, Wrong> {
        if value.is_null() { Ok(None) } else { T::read(value).map(Some) }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Form> Form for Vec<T> {
    fn write(&self) -> Value {
        self.iter().map(|it| it.write()).collect()
    }

    fn read(value: &Value) -> Result<Self, Wrong> {
        let items = value.as_array().ok_or_else(|| Wrong::expected("a list", value))?;
        let read = |(index, item)| T::read(item).map_err(|wrong: Wrong| wrong.item(index));
        items.iter().enumerate().map(read).collect()
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

/// Reads what is written as a text.
pub(crate) fn parsed<T: std::str::FromStr>(what: &str, value: &Value) -> Result<T, Wrong> {
    value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| Wrong::expected(what, value))
}

impl Form for IpAddr {
    fn write(&self) -> Value {
        self.to_string().into()
    }

    fn read(value: &Value) -> Result<Self, Wrong> {
        parsed("an address such as \"192.0.2.1\"", value)
    }
}

impl Form for SocketAddr {
    fn write(&self) -> Value {
        self.to_string().into()
    }

    fn read(value: &Value) -> Result<Self, Wrong> {
        parsed("an address and a port such as \"192.0.2.1:4500\"", value)
    }
}
