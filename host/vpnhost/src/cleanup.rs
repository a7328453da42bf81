//! `vpnhost cleanup`: removes what killed daemons left.

use serde_json::json;

use crate::cli::Global;
use crate::exit::{self, Failure, Outcome};

/// Removes it and tells what it was; nothing to remove is as good.
pub(crate) fn run(global: &Global) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed("cannot clean up").because(error.to_string()))?;
    let removed = runtime.block_on(vpnhost_driver::cleanup())?;
    if global.json {
        return exit::print(format_args!("{}\n", json!({ "removed": removed })));
    }
    match &removed[..] {
        [] => exit::print("nothing was left\n"),
        lines => exit::print(format_args!("{}\n", lines.join("\n"))),
    }
}
