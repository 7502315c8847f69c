//! The version of libtorch that everything here is about.

/// The one version that `tch` 0.24 binds.
pub const VERSION: &str = "2.11.0";
