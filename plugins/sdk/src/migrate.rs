//! A store that another version of the plugin wrote.

/// Takes over what another version of the plugin stored: `export_policy!(MyPolicy: rank_paths; migrate)`.
pub trait Migrate {
    /// Reads and writes [`crate::kv`]; what it writes counts if it succeeds. Called once, before any question.
    ///
    /// # Errors
    /// Why it cannot be taken over: the other version stays where it is.
    fn migrate(from_version: &str) -> Result<(), String>;
}
