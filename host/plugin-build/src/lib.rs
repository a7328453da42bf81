//! Plugins in Rust: a project to begin with, a compiler that can build it, a component made of what it built.
//!
//! It knows cargo and WebAssembly's component encoding; of what a plugin answers it knows nothing.

mod component;
mod error;
mod project;
mod toolchain;

pub use component::{Package, build, packages};
pub use error::BuildError;
pub use project::{Project, begin};
pub use toolchain::{TARGET, Toolchain};
