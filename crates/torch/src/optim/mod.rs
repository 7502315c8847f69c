//! Optimizers with groups of parameters and a state that can be read, saved and put back; clipping of gradients.

mod adam;
mod clip;

pub use adam::{Adam, AdamConfig, ParamGroup};
pub use clip::clip_grad_norm;
