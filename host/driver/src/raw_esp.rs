//! ESP as IP protocol 50, through raw sockets (RFC 4303).
