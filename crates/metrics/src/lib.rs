//! What a tokenizer is worth.
#![doc = include_str!("../README.md")]

mod frechet;
mod labels;
mod pixels;
mod residual;

pub use frechet::{Gaussian, frechet_distance};
pub use labels::LabelAgreement;
pub use pixels::PixelError;
pub use residual::residual_bits;
