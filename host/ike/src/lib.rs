//! host/ike
