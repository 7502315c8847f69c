//! Losses of image tokenizers.
#![doc = include_str!("../README.md")]

mod adaptive;
mod adversary;
mod discriminator;
mod error;
mod gan;
mod lecam;
mod objective;
mod perceptual;
mod r1;
mod reconstruction;
mod small_vgg;

pub use adaptive::{MAX_ADAPTIVE_WEIGHT, Ramp, adaptive_weight};
pub use adversary::{AdversarialConfig, Adversary, Loss as DiscriminatorLoss};
pub use discriminator::{NormKind, PatchGan, PatchGanConfig};
pub use error::LossError;
pub use gan::GanLoss;
pub use lecam::LeCam;
pub use objective::{Fakes, Objective, Pull};
pub use perceptual::{Features, Lpips, Perceptual, Vgg16, lpips_state};
pub use r1::r1;
pub use reconstruction::Reconstruction;
pub use small_vgg::{FrozenVgg, SmallVgg, SmallVggConfig};
