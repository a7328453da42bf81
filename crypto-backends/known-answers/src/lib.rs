//! crypto-backends/known-answers
