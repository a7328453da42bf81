//! host/plugin-host
