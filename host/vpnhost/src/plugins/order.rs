//! `vpnhost plugin load`.

use crate::cli::{Global, LoadPlugin};
use crate::control::order;
use crate::exit::{self, Failure, Outcome};

/// Has the daemon load a component. The daemon may be in another directory: it is told the whole path.
pub(crate) fn load(options: &LoadPlugin, global: &Global) -> Outcome {
    let LoadPlugin { file, name, shadow, canary } = options;
    let whole = std::path::absolute(file).map_err(|error| {
        Failure::usage(format!("cannot read plugin {}", file.display())).because(exit::plain(&error))
    })?;
    let Some(whole) = whole.to_str() else {
        return Err(Failure::usage(format!("{} is no name that can be told", file.display())));
    };
    let canary = canary.map(|percent| percent.to_string());
    let mut query = vec![("file", whole)];
    query.extend(name.as_deref().map(|name| ("name", name)));
    query.extend(shadow.then_some(("shadow", "true")));
    query.extend(canary.as_deref().map(|percent| ("canary", percent)));
    order::of_plugin(global, "/plugins/load", &query)
}
