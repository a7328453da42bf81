//! Numbers for the operator, who sees them beside the plugin (`vpnhost list plugins`) and grants them with
//! `grant = ["metrics"]`. Their names are small letters, digits and `_`; there are 32 at most.

/// Adds to a number that only grows.
pub fn count(name: &str, by: u32) {
    held::count(name, by);
}

/// Sets a number that goes up and down.
pub fn gauge(name: &str, value: f64) {
    held::gauge(name, value);
}

/// Returns a number as a test finds it: each thread has its own.
#[cfg(not(target_arch = "wasm32"))]
pub fn value(name: &str) -> Option<f64> {
    held::value(name)
}

#[cfg(target_arch = "wasm32")]
use crate::bindings::base::vpnhost::policy::metrics as held;

#[cfg(not(target_arch = "wasm32"))]
mod held {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        static NUMBERS: RefCell<BTreeMap<String, f64>> = RefCell::default();
    }

    pub(super) fn count(name: &str, by: u32) {
        NUMBERS.with_borrow_mut(|numbers| *numbers.entry(name.to_owned()).or_default() += f64::from(by));
    }

    pub(super) fn gauge(name: &str, value: f64) {
        NUMBERS.with_borrow_mut(|numbers| numbers.insert(name.to_owned(), value));
    }

    pub(super) fn value(name: &str) -> Option<f64> {
        NUMBERS.with_borrow(|numbers| numbers.get(name).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_finds_what_was_counted_and_measured() {
        assert_eq!(value("refusals"), None);
        count("refusals", 2);
        count("refusals", 1);
        gauge("peers", 2.5);
        gauge("peers", 0.5);
        assert_eq!((value("refusals"), value("peers")), (Some(3.0), Some(0.5)));
    }
}
