//! host/ipsec
