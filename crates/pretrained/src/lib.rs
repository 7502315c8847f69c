//! Weights that others published, and weights for others.
#![doc = include_str!("../README.md")]

pub mod download;
mod error;
pub mod hub;
pub mod named;
pub mod published;

pub use download::{Cache, KnownFile, Obtained};
pub use error::{ChecksumError, FetchError, HubError, HubProblem, PretrainedError, Result};
pub use published::Published;
