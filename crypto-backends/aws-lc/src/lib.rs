//! crypto-backends/aws-lc
