//! host/driver
