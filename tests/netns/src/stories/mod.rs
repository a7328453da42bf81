//! The stories: what a tunnel must do, each in namespaces of its own.

pub mod session;

use crate::story::Story;

/// Returns all stories, in the order in which they are told.
#[must_use]
pub fn all() -> Vec<Story> {
    session::stories()
}
