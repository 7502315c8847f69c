//! Losses of image tokenizers.
#![doc = include_str!("../README.md")]

mod adaptive;
mod discriminator;
mod discriminator_objective;
mod error;
mod gan;
mod generator_loss;
mod lecam;
mod perceptual;
mod r1;
mod reconstruction;
mod small_vgg;

pub use adaptive::{MAX_ADAPTIVE_WEIGHT, Ramp, adaptive_weight};
pub use discriminator::{DiscriminatorNorm, PatchGan, PatchGanConfig};
pub use discriminator_objective::{AdversarialConfig, DiscriminatorLoss, DiscriminatorObjective};
pub use error::LossError;
pub use gan::GanLoss;
pub use generator_loss::{AdversarialTerm, GeneratorLoss, LossGradient};
pub use lecam::LeCam;
pub use perceptual::{Features, Lpips, Perceptual, Vgg16, lpips_state};
pub use r1::r1;
pub use reconstruction::ReconstructionLoss;
pub use small_vgg::{FrozenVgg, SmallVgg, SmallVggConfig};
