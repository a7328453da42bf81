//! plugins/strongest-first
