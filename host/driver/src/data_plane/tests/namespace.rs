//! Network namespaces of our own, which need root.
