//! What a policy was told on its way to a reply: with the question, all that a replay needs.

use std::fmt;

use crate::Reply;

/// A digest by SHA-256, by which components and tables are known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// Returns its first twelve digits, by which people tell digests apart.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A reply, and every value that the policy's imports gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedReply {
    /// The reply.
    pub reply: Reply,
    /// What it was told, in order.
    pub imports: Vec<ImportCall>,
    /// Which component replied, where the policy is one: another may have taken its place by now.
    pub component: Option<Sha256>,
}

impl From<Reply> for RecordedReply {
    fn from(reply: Reply) -> Self {
        Self { reply, imports: Vec::new(), component: None }
    }
}

/// One value that the host gave a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportCall {
    /// Interface and function, such as `kv.get`.
    pub import: &'static str,
    /// What it was called with; what is written to a store is not repeated here.
    pub arguments: Vec<String>,
    /// What it returned.
    pub value: ImportValue,
    /// The digest of the table that the value is from.
    pub table: Option<Sha256>,
}

/// What an import returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportValue {
    /// Nothing is there.
    Nothing,
    /// Octets.
    Octets(Vec<u8>),
    /// A text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// It was done.
    Done,
    /// It was not done; the text says why.
    Refused(String),
}

/// A number that a policy counts or measures, for the operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: MetricValue,
}

/// What a number means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricValue {
    /// It only grows.
    Counter(u64),
    /// It is what it was last set to.
    Gauge(f64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_written_in_hexadecimal_digits() {
        let mut digest = Sha256([0; 32]);
        digest.0[0] = 0xab;
        assert_eq!(digest.to_string().len(), 64);
        assert_eq!(digest.short(), "ab0000000000");
    }
}
