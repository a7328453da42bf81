//! The UDP sockets that IKE and encapsulated ESP share (RFC 3948, RFC 7296 §2.23).
