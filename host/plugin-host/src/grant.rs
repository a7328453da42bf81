//! What an operator lets a plugin have of the host, beside the log.

use std::fmt;

/// An interface that a plugin gets only where it is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// A store of its own.
    Kv,
    /// Numbers that it shows the operator.
    Metrics,
    /// Tables that the operator names.
    Data,
}

impl Grant {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Kv, Self::Metrics, Self::Data];

    /// Returns the interface's name, which is the word in `grant = […]` too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Metrics => "metrics",
            Self::Data => "data",
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
