//! A link that can be made bad: the kernels of test machines often have no netem, so frames are delayed, lost,
//! reordered and doubled here, in user space.
//!
//! [`schedule`] decides, without I/O or clock, what becomes of a frame; [`trace`] changes the conditions over time, [`journey`] draws traces;
//! [`wire`] joins two namespaces by it, and [`voice`] tells how good a call over it would sound.

pub mod journey;
mod replace;
pub mod schedule;
pub(crate) mod sys;
pub mod trace;
pub mod voice;
pub mod wire;

pub use schedule::{Conditions, Direction};
pub(crate) use sys::inside;
pub use trace::{Change, Trace};
pub use wire::Wire;
