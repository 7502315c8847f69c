//! PixelSNAIL (Chen et al. 2018, "PixelSNAIL: An Improved Autoregressive Generative Model"), as the prior of VQ-VAE-2.
//!
//! Causal convolutions cover the neighbourhood of a position, attention all earlier positions. Names of parameters and
//! order of operations are those of rosinality/vq-vae-2-pytorch: weight normalisation everywhere, and keys that are
//! computed from a block's input, the output of its residual blocks, and the coordinates of the position. Differences:
//! grids need not be squares, the number of attention heads is a parameter, `dropout` acts in the head and on condition
//! grids too (upstream fixes 0.1 there), and there are
//!
//! - a class, as `class_embedding`, added to the first features;
//! - any number of condition grids of any size and codebooks: the first is upstream's `cond_resnet`, the others are
//!   `cond_resnets.1` and so on, and the outputs of all are summed.

mod attention;
mod block;
mod build;
mod cond_resnet;
mod config;
mod context;
mod conv;
mod cost;
mod cursor;
mod gated;
mod input;
mod model;
mod network;

pub use config::PixelSnailConfig;
pub use model::PixelSnail;
