//! Measures as pages.
#![doc = include_str!("../README.md")]

mod comparison;
pub mod curves;
mod error;
pub mod html;
pub mod page;
pub mod tables;

pub use comparison::{Compared, Comparison};
pub use curves::Curve;
pub use error::{ReportError, Result};
