//! Optimizers with groups of parameters and a state that can be read, saved and put back; clipping of gradients.

mod adam;
mod clip;
mod decay;
mod group;
mod muon;

pub use adam::{Adam, AdamConfig};
pub use clip::clip_grad_norm;
pub use decay::decays;
pub use group::ParamGroup;
pub use muon::{Muon, MuonConfig, orthogonalize};
