//! Plugins in Rust, Python, JavaScript and C: a project to begin with, a compiler that can build it, a component made of
//! what it built.
//!
//! It knows the languages' tools and WebAssembly's component encoding; of what a plugin answers it knows nothing: that
//! stands in the WIT, which the bindings are made of.

mod c;
mod component;
mod error;
mod javascript;
mod language;
mod make;
mod project;
mod python;
mod tool;
mod toolchain;
mod wasi;
mod world;

pub use component::{Package, build, packages};
pub use error::BuildError;
pub use language::Language;
pub use make::make;
pub use project::{Project, begin};
pub use toolchain::{TARGET, Toolchain};
