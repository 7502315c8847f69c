//! What a network sees in a batch of images.

use tch::Tensor;

/// Feature maps of a batch of images, finest first: `[B, C, H, W]` each, in the precision in which they were computed.
#[derive(Debug)]
pub struct Features(Vec<Tensor>);

impl Features {
    /// The maps of one batch, as a backbone gave them.
    pub fn new(maps: Vec<Tensor>) -> Self {
        Self(maps)
    }

    /// The maps, finest first.
    pub fn maps(&self) -> &[Tensor] {
        &self.0
    }
}
