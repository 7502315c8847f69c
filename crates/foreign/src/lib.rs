//! What checkpoints of other projects hold.
#![doc = include_str!("../README.md")]

mod config_file;
mod error;
mod examine;
mod families;
mod family;
mod file;
mod locate;
mod nested_values;
mod reading;
mod recognition;
mod section;
mod weight_set;

pub use config_file::ForeignConfig;
pub use error::{ForeignError, Result};
pub use examine::{Examined, Hints, examine};
pub use families::diffusers_name;
pub use family::Family;
pub use file::{ForeignFile, ForeignTensor};
pub use locate::checkpoints;
pub use nested_values::parse;
pub use reading::{Change, Conditions, Discriminator, Divided, Needs, Network, Part, Reading, Shapes, Source, Use};
pub use recognition::{NetworkSummary, QUANTIZER_ALONE, Recognition};
pub use section::{table, vector_quantizer};
pub use weight_set::{WeightSet, WeightSets, Weights};
