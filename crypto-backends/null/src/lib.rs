//! crypto-backends/null
