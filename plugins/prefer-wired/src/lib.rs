//! plugins/prefer-wired
