//! What a plugin may be written in.

use std::fmt;
use std::path::Path;

use crate::BuildError;
use crate::project::vendored;

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Rust, with the SDK, built by cargo.
    Rust,
    /// Python: componentize-py puts the interpreter and the program into the component.
    Python,
    /// JavaScript: componentize-qjs does the same with QuickJS.
    JavaScript,
    /// C, built by zig or clang.
    C,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rust, Self::Python, Self::JavaScript, Self::C];

    /// Finds what the project in a directory is written in, by the file that it begins with.
    ///
    /// # Errors
    /// [`BuildError::NoProject`].
    pub fn of(directory: &Path) -> Result<Self, BuildError> {
        let found = Self::ALL.into_iter().find(|language| directory.join(language.main_file()).is_file());
        found.ok_or_else(|| BuildError::NoProject { path: directory.to_owned() })
    }

    /// Returns the memory that a plugin in it needs, as `memory` in `[[plugin]]` says it: what its run time takes at the
    /// start, and room for the plugin.
    pub fn memory(self) -> &'static str {
        match self {
            Self::Rust | Self::C | Self::JavaScript => "16MiB",
            Self::Python => "32MiB",
        }
    }

    /// Returns the file that a project of this language has and others have not.
    pub fn main_file(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Python => "plugin.py",
            Self::JavaScript => "plugin.js",
            Self::C => "plugin.c",
        }
    }

    /// Returns the files that a project begins with and its author changes.
    pub(crate) fn template(self) -> &'static [(&'static str, &'static [u8])] {
        match self {
            Self::Rust => &[],
            Self::Python => vendored::PYTHON,
            Self::JavaScript => vendored::JAVASCRIPT,
            Self::C => vendored::C,
        }
    }

    /// Returns the file in `vendor` that makes the author's own shorter.
    pub(crate) fn helpers(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Rust => None,
            Self::Python => Some(("vpnhost.py", include_str!("../../../plugins/sdk-python/vpnhost.py"))),
            Self::JavaScript => Some(("vpnhost.js", include_str!("../../../plugins/sdk-js/vpnhost.js"))),
            Self::C => Some(("vpnhost_plugin.h", include_str!("../../../plugins/sdk-c/vpnhost_plugin.h"))),
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
            Self::C => "C",
        })
    }
}
