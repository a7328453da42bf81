//! Logs: to standard error, for people or as one JSON document a line.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::cli::LogFormat;

/// Begins to log. `VPNHOST_LOG` or `RUST_LOG` holds a filter (`vpnhost_ike=trace`); otherwise `-v` tells how much.
pub(crate) fn start(format: LogFormat, verbose: u8) {
    let usual = match verbose {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let named = ["VPNHOST_LOG", "RUST_LOG"].iter().find_map(|name| std::env::var(name).ok());
    let filter = named.and_then(|text| EnvFilter::try_new(text).ok());
    // The libraries underneath have nothing to say to an operator below WARN.
    let filter = filter.unwrap_or_else(|| EnvFilter::new(format!("warn,{}", ours(usual))));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE)
        .with_target(verbose > 0);
    // A second call, in a test, finds the first one's subscriber: that is as good.
    let _ = match format {
        LogFormat::Text => subscriber.with_ansi(false).try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
}

fn ours(level: &str) -> String {
    let rooms = ["vpnhost", "vpnhost_driver", "vpnhost_ike", "vpnhost_ipsec", "vpnhost_plugin_host", "plugin"];
    rooms.map(|room| format!("{room}={level}")).join(",")
}
