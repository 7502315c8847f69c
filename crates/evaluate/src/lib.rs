//! The measures of a run.
#![doc = include_str!("../README.md")]

mod class_accuracy;
mod codebook_chart;
mod codebooks;
mod error;
mod metrics;
mod priors;
mod protocol;
mod reconstruction;
mod run;
mod samples;
mod sets;
mod similarity;
mod text;
mod tokenizers;

pub use class_accuracy::ClassAccuracy;
pub use codebooks::{CodebookInspector, CodebookOf, CodebookReport};
pub use error::{EvaluateError, Result};
pub use metrics::{LevelMetrics, Metrics, Rate, TemplateMetrics};
pub use protocol::Protocol;
pub use reconstruction::{MAGNIFIED, Reconstructed};
pub use run::measure;
pub use samples::SamplesAsSet;
pub use sets::compare as compare_sets;
pub use similarity::{Compared, Similarity};
pub use tokenizers::{
    Better, BitsPerPixel, CodebookMeasures, ComparisonProtocol, FeaturesProtocol, LevelMeasures, MetricCell,
    MetricColumn, MetricTable, Milliseconds, Parameters, Preparation, SetDistance, ShownImage, TokenizerComparison,
    TokenizerMeasures, TokenizerRequest, compare as compare_tokenizers,
};
