//! Rotary positions on a grid (Su et al. 2021, in two dimensions as LlamaGen has them).

use tch::{Kind, Tensor};

/// The angles of cosine and sine, `[S, dim / 2, 2]`, of the positions `(row, column)` of a sequence.
///
/// The first half of the pairs of a head is rotated by the row, the second by the column, pair `i` of each half by the angle
/// `position / base^(4 i / dim)`. A position of `None`, which is not on the grid, has cosine and sine 0, and so a query and a key
/// of zero, as upstream's.
///
/// # Panics
/// When `head_dim` is not a multiple of 4.
pub fn rotary_table(positions: &[Option<[f64; 2]>], head_dim: i64, base: f64) -> Tensor {
    let half = (head_dim / 4) as usize;
    let mut numbers: Vec<f32> = Vec::with_capacity(positions.len() * half * 4);
    for position in positions {
        for axis in 0..2 {
            for pair in 0..half {
                let frequency = base.powf(-4.0 * pair as f64 / head_dim as f64) as f32;
                numbers.extend(position.map_or([0.0, 0.0], |at| {
                    let angle = at[axis] as f32 * frequency;
                    [angle.cos(), angle.sin()]
                }));
            }
        }
    }
    Tensor::from_slice(&numbers).view([positions.len() as i64, head_dim / 2, 2]).to_kind(Kind::Float)
}
