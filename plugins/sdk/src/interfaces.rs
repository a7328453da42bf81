//! Interfaces that operators name, each by its name or by a beginning: `eth0`, `wwan*`.

/// Names of interfaces, in the operator's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces(Vec<String>);

impl Interfaces {
    /// Returns the interfaces that these texts name.
    pub fn new(names: &[String]) -> Self {
        Self(names.to_vec())
    }

    /// Returns the place of the first text that names an interface.
    pub fn position(&self, interface: &str) -> Option<usize> {
        self.0.iter().position(|name| match name.strip_suffix('*') {
            Some(beginning) => interface.starts_with(beginning),
            None => name == interface,
        })
    }

    /// Tells whether an interface is named.
    pub fn contains(&self, interface: &str) -> bool {
        self.position(interface).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_ending() {
        let named = Interfaces::new(&["eth0".to_owned(), "wwan*".to_owned()]);
        assert_eq!(named.position("wwan7"), Some(1));
        assert!(named.contains("eth0") && !named.contains("eth01") && !named.contains("wlan0"));
        assert!(!Interfaces::default().contains(""));
    }
}
