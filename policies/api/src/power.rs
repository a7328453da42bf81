//! What the machine runs on.

/// What the machine runs on: a number where it crosses, so that it may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PowerSource(pub u8);

impl PowerSource {
    /// The host does not tell.
    pub const UNKNOWN: Self = Self(0);
    /// The mains, or another supply that does not run down.
    pub const MAINS: Self = Self(1);
    /// A battery.
    pub const BATTERY: Self = Self(2);

    /// Returns the source's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::UNKNOWN => "unknown",
            Self::MAINS => "mains",
            Self::BATTERY => "battery",
            _ => "other",
        }
    }
}

/// What the machine runs on, and how much of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Power {
    /// On what.
    pub source: PowerSource,
    /// The charge of its batteries, where it has some.
    pub battery_percent: Option<u8>,
}

impl Power {
    /// The host does not tell.
    pub const UNKNOWN: Self = Self { source: PowerSource::UNKNOWN, battery_percent: None };
}

impl Default for Power {
    fn default() -> Self {
        Self::UNKNOWN
    }
}
