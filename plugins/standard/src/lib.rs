//! plugins/standard
