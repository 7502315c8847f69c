//! What an experiment leaves on disk, and where it computes.
#![doc = include_str!("../README.md")]

pub mod batch_tensors;
pub mod chart;
mod checkpoint;
pub mod checkpoint_weights;
mod device;
mod error;
mod event_messages;
mod events;
pub mod files;
mod interrupt;
pub mod log;
mod observer;
mod reference_curves;
mod rgb_image;
mod run;

pub use chart::{Canvas, FONT};
pub use checkpoint::Checkpoints;
pub use checkpoint_weights::{
    BASE, CLOCK, COUNTER, DISCRIMINATOR, DISCRIMINATOR_OPTIMIZER, EMA, LORA, MODEL, OPTIMIZER, RNG, STATE, State,
    Tensors,
};
pub use device::Context;
pub use error::{Result, RunError, causes, is_interruption};
pub use events::EventLog;
pub use files::Home;
pub use interrupt::{Interrupt, Shelter};
pub use log::{LogOffsets, StageLog};
pub use observer::{Event, Observer, Progress, Silent};
pub use reference_curves::{Point, ReferenceCurves};
pub use rgb_image::RgbImage;
pub use run::{DataRecord, Invocation, Output, Part, RECIPE, Record, Run, StageRecord};
