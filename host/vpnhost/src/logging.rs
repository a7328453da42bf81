//! What the daemon logs, where to and in which form: text or one JSON document a line, on standard error.
//!
//! `VPNHOST_LOG` or `RUST_LOG` choose what is logged, as in `info,vpnhost_ike=trace`; without them `-v`
//! does.

use std::env;
use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::cli::LogFormat;
use crate::exit::{Failure, Outcome};

/// Begins to log.
///
/// # Errors
/// A filter in the environment that is none.
pub(crate) fn start(format: LogFormat, verbose: u8) -> Outcome {
    let filter = filter(verbose, |name| env::var(name).ok())?;
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false);
    // The journal adds the time itself.
    let has_time = env::var_os("JOURNAL_STREAM").is_none();
    let begun = match format {
        LogFormat::Text if has_time => builder.with_target(verbose > 0).try_init(),
        LogFormat::Text => builder.with_target(verbose > 0).without_time().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    begun.map_err(|error| Failure::failed("cannot log").because(error.to_string()))
}

/// Returns what is logged.
fn filter(verbose: u8, variable: impl Fn(&str) -> Option<String>) -> Result<EnvFilter, Failure> {
    for name in ["VPNHOST_LOG", "RUST_LOG"] {
        let Some(text) = variable(name).filter(|text| !text.is_empty()) else { continue };
        return EnvFilter::try_new(&text).map_err(|error| {
            Failure::usage(format!("{name} is no filter"))
                .because(error.to_string())
                .hint("such as info,vpnhost_ike=debug")
        });
    }
    let ours = ["vpnhost", "vpnhost_driver", "vpnhost_ike", "vpnhost_ipsec", "vpnhost_plugin_host"];
    let level = match verbose {
        0 => "info",
        1 => "debug",
        2.. => "trace",
    };
    let directives: Vec<String> = ours.iter().map(|name| format!("{name}={level}")).collect();
    Ok(EnvFilter::new(format!("warn,{}", directives.join(","))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_said_for_each_v() {
        let text = |verbose| filter(verbose, |_| None).unwrap().to_string();
        assert!(text(0).contains("vpnhost_ike=info") && text(0).contains("warn"));
        assert!(text(1).contains("vpnhost_driver=debug"));
        assert!(text(2).contains("vpnhost=trace"));
        assert_eq!(text(2), text(9));
    }

    #[test]
    fn the_environment_has_the_last_word() {
        let variable = |name: &str| (name == "RUST_LOG").then(|| "vpnhost_ike=trace".to_owned());
        assert_eq!(filter(0, variable).unwrap().to_string(), "vpnhost_ike=trace");
    }

    #[test]
    fn a_filter_that_is_none_is_told() {
        let failure = filter(0, |_| Some("vpnhost=loud".to_owned())).unwrap_err();
        assert!(failure.to_string().starts_with("error: VPNHOST_LOG is no filter ("), "{failure}");
    }
}
