//! Metrics as HTML pages.
#![doc = include_str!("../README.md")]

mod comparison;
mod curves;
mod error;
pub mod html;
mod page;
mod tables;
pub mod tokenizers;

pub use comparison::{Compared, Comparison};
pub use curves::Curve;
pub use error::{ReportError, Result};
