//! Losses of image tokenizers.
#![doc = include_str!("../README.md")]

mod adaptive;
mod discriminator;
mod error;
mod gan;
mod lecam;
mod perceptual;
mod r1;
mod reconstruction;

pub use adaptive::{MAX_ADAPTIVE_WEIGHT, Ramp, adaptive_weight};
pub use discriminator::{NormKind, PatchGan, PatchGanConfig};
pub use error::LossError;
pub use gan::GanLoss;
pub use lecam::LeCam;
pub use perceptual::{Features, Lpips, Perceptual, Vgg16, lpips_state};
pub use r1::r1;
pub use reconstruction::Reconstruction;
