//! Decisions as JSON, and back, without loss: what was asked, what each policy saw and said, what its imports told it.
//!
//! Names are those of WIT, algorithms are IANA numbers, identities stand there both as they are on the wire and for
//! people. What is read is read strictly: a key that is not known is told, with the place where it stands. A list or an
//! optional value that is not there counts as empty, so that what an earlier host wrote can be read.
//!
//! A [`Scribe`] makes a line of each decision that holds the digest of the line before: who changes, removes or adds one
//! breaks the chain, and a [`Verifier`] tells where. No file is opened here.

mod chain;
mod entry;
mod form;
mod question;
mod step;
mod values;

pub use chain::{Break, Scribe, Verifier, digest};
pub use entry::Entry;
pub use form::{Fields, Form, Wrong};
pub use question::{answer, question, read_answer, read_question};
