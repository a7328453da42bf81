//! plugins/template
