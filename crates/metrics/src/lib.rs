//! What a tokenizer is worth.
#![doc = include_str!("../README.md")]

mod frechet;
mod labels;
mod pixels;
mod residual;

pub use labels::LabelAgreement;
pub use frechet::{Gaussian, frechet_distance};
pub use pixels::PixelError;
pub use residual::residual_bits;
