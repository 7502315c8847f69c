//! The position of a step.

use tch::Tensor;

/// The position of a step, in the grid and in its row.
#[derive(Debug)]
pub(super) struct Position {
    pub position: i64,
    pub column: i64,
    /// The coordinates that attention sees, `[B, 2]`.
    pub background: Tensor,
}
