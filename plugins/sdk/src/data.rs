//! Tables that the operator lets the plugin look into: `grant = ["data"]`, `data = { users = "users.csv" }`.

/// Returns the names of the tables that there are.
pub fn tables() -> Vec<String> {
    held::tables()
}

/// Returns the value of a key; for a table of networks the key is an address, and the longest prefix counts.
///
/// A table that is not there is a trap, natively a panic: an operator's mistake is no empty list.
pub fn get(table: &str, key: &str) -> Option<String> {
    held::get(table, key)
}

/// Gives a test a table. A table of networks has the addresses that the test asks for as its keys.
#[cfg(not(target_arch = "wasm32"))]
pub fn provide(table: &str, rows: &[(&str, &str)]) {
    held::provide(table, rows);
}

#[cfg(target_arch = "wasm32")]
use crate::bindings::base::vpnhost::policy::data as held;

#[cfg(not(target_arch = "wasm32"))]
mod held {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        static TABLES: RefCell<BTreeMap<String, BTreeMap<String, String>>> = RefCell::default();
    }

    pub(super) fn tables() -> Vec<String> {
        TABLES.with_borrow(|tables| tables.keys().cloned().collect())
    }

    pub(super) fn get(table: &str, key: &str) -> Option<String> {
        TABLES.with_borrow(|tables| match tables.get(table) {
            Some(rows) => rows.get(key).cloned(),
            None => panic!("the test provides no table `{table}`"),
        })
    }

    pub(super) fn provide(table: &str, rows: &[(&str, &str)]) {
        let rows = rows.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        TABLES.with_borrow_mut(|tables| tables.insert(table.to_owned(), rows));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_provides_the_tables_that_there_are() {
        assert!(tables().is_empty());
        provide("users", &[("carol", "sales")]);
        assert_eq!(tables(), ["users"]);
        assert_eq!((get("users", "carol").as_deref(), get("users", "dave")), (Some("sales"), None));
    }

    #[test]
    #[should_panic(expected = "no table `guests`")]
    fn a_table_that_is_not_there_is_no_empty_one() {
        get("guests", "carol");
    }
}
