//! The packet path with real sockets.
