//! What the kernel knows of path MTUs (RFC 1191, RFC 8201).
