//! crypto-backends/rustcrypto
