//! Several trained tokenizers on the same images.

mod columns;
mod comparison;
mod measure;
mod measures;
mod protocol;
mod request;
mod set_distance;
mod subject;
mod text;
mod warnings;

pub use columns::{Better, MetricCell, MetricColumn, MetricTable};
pub use comparison::{TokenizerComparison, compare};
pub use measures::{
    BitsPerPixel, CodebookMeasures, LevelMeasures, Milliseconds, Parameters, ShownImage, TokenizerMeasures,
};
pub use protocol::{ComparisonProtocol, FeaturesProtocol};
pub use request::TokenizerRequest;
pub use set_distance::SetDistance;
pub use subject::Preparation;
