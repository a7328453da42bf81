//! The packet path: one thread a direction, TUN to socket and back (RFC 4303, RFC 3948).
