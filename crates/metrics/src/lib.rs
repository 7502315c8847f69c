//! Metrics of images and reconstructions.
#![doc = include_str!("../README.md")]

mod error;
mod features;
mod frechet;
mod inception;
mod inception_score;
mod kernel_distance;
mod labels;
mod manifold;
mod pixels;
mod residual;
mod ssim;

pub use error::MetricsError;
pub use features::check_moments;
pub use frechet::{Gaussian, frechet_distance};
pub use inception::FidInception;
pub use inception_score::InceptionScore;
pub use kernel_distance::{KernelDistance, KernelDistanceConfig};
pub use labels::LabelAgreement;
pub use manifold::{Manifold, Neighbours, Overlap};
pub use pixels::PixelError;
pub use residual::residual_bits;
pub use ssim::{MS_SSIM_WEIGHTS, Ssim};
