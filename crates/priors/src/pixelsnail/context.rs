//! The condition of one pass, as tensors that are added to features.

use tch::Tensor;

/// Class and condition grids, as features.
#[derive(Debug)]
pub(super) struct Context {
    /// Of the class, `[B, C, 1, 1]`.
    pub class: Option<Tensor>,
    /// Of the condition grids, `[B, F, H, W]`.
    pub features: Option<Tensor>,
}
