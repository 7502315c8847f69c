//! What PixelSNAIL is made of.

mod gated;
mod pixel;

pub(super) use gated::{Condition, GatedResBlock, Kernel};
pub(super) use pixel::{PixelBlock, Tail};
