//! Distances between sets of images, and the usage of codebooks.
#![doc = include_str!("../README.md")]

mod cache;
pub mod codebook;
mod compare;
mod error;
mod extractor;
mod image_set;
mod protocol;
mod reconstruction;
pub mod set_metrics;
mod side;
pub mod statistics;
pub mod warnings;

pub use codebook::usage::{CodebookId, UsageSource};
pub use compare::{Request, SetMetrics, SetsProtocol, compare};
pub use error::{FidelityError, Result};
pub use extractor::{Extractor, Features};
pub use image_set::{Origin, PictureSet};
pub use protocol::{Protocol, Shown, Values};
pub use reconstruction::{Pair, ReconstructionError};
pub use set_metrics::{Frechet, MetricValues};
pub use side::Side;
pub use statistics::{FeatureAccumulator, Header, Spread, Statistics};
