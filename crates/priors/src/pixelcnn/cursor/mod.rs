//! Incremental sampling: every position of every layer is computed once.
//!
//! The vertical stack sees only rows above, so it runs a row at a time, when a row begins; the horizontal stack runs a
//! position at a time. What remains for each position and layer are four calls into libtorch on buffers that are allocated at
//! the start: two products with pre-arranged weights (all taps in one), and the two halves of the gate.

mod horizontal;
mod linear;
mod steps;
mod vertical;

pub(super) use steps::PixelCnnCursor;
