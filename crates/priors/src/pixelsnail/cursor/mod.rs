//! Incremental sampling: every position of every layer is computed once.
//!
//! Most of the work is what causal convolutions see of the rows above. All of that is known when a row begins, so it is
//! computed for the whole row in one product per convolution. What remains for each position are the positions to its left in the
//! row, and attention to cached keys and values. Attention always reads all positions of the grid and masks later ones, so that every
//! step is the same operation on memory of the same size.

mod attention;
mod block;
mod causal;
mod linear;
mod position;
mod steps;
mod tokens;

pub(super) use steps::PixelSnailCursor;
