//! policies/api
