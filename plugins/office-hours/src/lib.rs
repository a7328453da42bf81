//! plugins/office-hours
