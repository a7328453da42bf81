//! plugins/sdk
