//! Lines for the host's log. Natively they go to standard error, so that tests show them.

/// Writes a line at TRACE.
pub fn trace(message: &str) {
    write(Level::Trace, message);
}

/// Writes a line at DEBUG.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Writes a line at INFO.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Writes a line at WARN.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Writes a line at ERROR.
pub fn error(message: &str) {
    write(Level::Error, message);
}

/// Makes a panic write its message before it becomes a trap.
pub(crate) fn log_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| error(&panic.to_string())));
}

#[derive(Clone, Copy, Debug)]
enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

#[cfg(target_arch = "wasm32")]
fn write(level: Level, message: &str) {
    use crate::bindings::base::vpnhost::policy::log;

    let level = match level {
        Level::Trace => log::Level::Trace,
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::write(level, message);
}

#[cfg(not(target_arch = "wasm32"))]
fn write(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}
