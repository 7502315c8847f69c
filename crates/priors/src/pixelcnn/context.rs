//! The condition of one pass, as tensors that the layers take.

use tch::Tensor;

/// What acts on every layer: `class` `[B]`, and the features `[B, D, H, W]` of the condition grids.
#[derive(Debug)]
pub(super) struct Context {
    pub class: Option<Tensor>,
    pub features: Option<Tensor>,
}
