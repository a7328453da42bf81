//! How a plugin is set up that no daemon runs: by options, and by a configuration's `[[plugin]]`.

use std::path::Path;

use vpnhost_plugin_host::{LoadError, PluginSpec};
use vpnhost_plugin_lab::{Subject, conformance};

use super::{PluginProblem, PluginProblems, spec};
use crate::cli::Setup;
use crate::config::{self, PluginSettings};
use crate::exit::{self, Code, Failure};
use crate::limits;

/// Takes a component as it is to be set up.
///
/// # Errors
/// A configuration that is wrong or does not know the plugin; no place for temporary files.
pub(super) fn subject(file: &Path, setup: &Setup) -> Result<Subject, Failure> {
    let mut spec = match &setup.config {
        Some(config) => {
            let settings = configured(config, file, setup.name.as_deref())?;
            PluginSpec { path: file.to_owned(), ..spec(&settings, &[]) }
        }
        // Nobody says what it may have; that it needs it is no fault.
        None => conformance::everything(PluginSpec::new(file)),
    };
    for (key, value) in &setup.settings {
        spec.settings.retain(|(known, _)| known != key);
        spec.settings.push((key.clone(), value.clone()));
    }
    if let Some(memory) = setup.memory {
        spec.limits.memory = memory;
    }
    // A machine that is busy is no fault of the plugin's.
    spec.limits.call = spec.limits.call.max(limits::PATIENT_CALL);
    Subject::new(spec).map_err(|error| {
        Failure::failed("there is no place for temporary files").because(exit::plain(&error))
    })
}

fn configured(config: &Path, file: &Path, name: Option<&str>) -> Result<PluginSettings, Failure> {
    let configuration = config::load(config).map_err(Failure::from)?;
    let is_meant = |it: &&PluginSettings| match name {
        Some(name) => it.name.as_deref() == Some(name),
        None => it.path.file_name() == file.file_name(),
    };
    let found = configuration.plugins.iter().find(is_meant).cloned();
    found.ok_or_else(|| {
        let what = match name {
            Some(name) => format!("{} has no [[plugin]] with the name {name}", config.display()),
            None => format!("{} has no [[plugin]] with the file {}", config.display(), file.display()),
        };
        Failure::usage(what).hint("name it with --name")
    })
}

/// Says why a component is not loaded: the operation failed, the command line was none the worse.
pub(super) fn refused(error: LoadError) -> Failure {
    let is_settings = matches!(error, LoadError::Settings { .. });
    let failure =
        Failure::from(PluginProblems(vec![PluginProblem { place: None, error }])).with_code(Code::Failed);
    if is_settings {
        return failure.hint(
            "--set KEY=VALUE sets one, --config FILE takes those of a [[plugin]]; vpnhost plugin inspect FILE shows them",
        );
    }
    failure
}
