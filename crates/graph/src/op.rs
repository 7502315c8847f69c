//! The operations that graphs consist of.
//!
//! *Maps* are `[B, C, H, W]`, *rows* `[B, N, C]` with `N = H W`. Values are f32 where nothing else is said. Operands of
//! arithmetic are broadcast as in NumPy.

/// One operation. The comment of each begins with its inputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Nothing: an argument of the graph.
    Input(String),
    /// Nothing: the tensor with this name among the weights.
    Weight(String),
    /// Nothing: f32 numbers `[n]`.
    Floats(Vec<f32>),
    /// Nothing: i64 numbers `[n]`.
    Integers(Vec<i64>),

    /// A map, a weight `[C', C, k, k]` and perhaps a bias `[C']`: convolution.
    Conv {
        /// Stride on both sides.
        stride: i64,
        /// Zeros added on all four sides.
        padding: i64,
    },
    /// A map, a weight `[C, C', k, k]` and a bias `[C']`: transposed convolution.
    ConvTranspose {
        /// Stride on both sides.
        stride: i64,
        /// What is cut off on all four sides.
        padding: i64,
    },
    /// A map and perhaps a weight `[C]` and a bias `[C]`: group normalisation.
    GroupNorm {
        /// Number of groups.
        groups: i64,
        /// Added to the variance.
        eps: f64,
    },
    /// A map, weight, bias, running mean and running variance, each `[C]`: batch normalisation in evaluation.
    BatchNorm {
        /// Added to the variance.
        eps: f64,
    },
    /// A map: one row and one column of zeros, below and right.
    PadBelowRight,
    /// A map: means over 2×2.
    HalveByMean,
    /// A map: every value repeated in a square.
    Repeat {
        /// The side of the square.
        factor: i64,
    },
    /// A map: each four channels as squares of 2×2; the channels are ordered by row in the square, then column, then channel.
    DepthToSpace,
    /// A map: its positions as rows.
    Rows,
    /// Rows and a map with as many positions: the rows as a map, of the same kind as the rows.
    Map,

    /// Queries, keys and values, rows of one width: attention of every position to all, with one head.
    Attention {
        /// The width; products of queries and keys are divided by its square root.
        width: i64,
    },
    /// Rows, a weight `[C', C]` and perhaps a bias `[C']`: a linear map.
    Linear,
    /// A table `[K, C]` and indices `[B, N, 1]`: the rows of the table.
    Lookup,
    /// A weight of any shape: all but its first axis flattened.
    Flatten,
    /// Rows: means over all positions, `[B, 1, C]`.
    MeanOfRows,
    /// Rows: unbiased variances over all positions, `[B, 1, C]`; of a single position, 0.
    VarianceOfRows,
    /// Rows: their two last axes exchanged.
    Transpose,

    /// One value: `max(x, 0)`.
    Relu,
    /// One value: `x sigmoid(x)`.
    Silu,
    /// One value: its hyperbolic tangent.
    Tanh,
    /// One value: its square root.
    Sqrt,
    /// One value: to the nearest integer, of two the even one.
    Round,
    /// One value: to the next integer below.
    Floor,
    /// One value: 1 where it is above 0, else 0.
    IsPositive,
    /// One value: not less than this.
    AtLeast(f64),
    /// Two values: their sum.
    Add,
    /// Two values: the first less the second.
    Sub,
    /// Two values: their product.
    Mul,
    /// Two values: the first over the second.
    Div,
    /// Two values, non-negative i64: the integer quotient.
    Quotient,
    /// Two values, non-negative i64: the remainder.
    Remainder,
    /// One value: sums over the last axis, which goes.
    SumLast,
    /// Rows: Euclidean lengths, `[B, N, 1]`; of a table, `[K, 1]`.
    LengthLast,
    /// Rows: the index of the least, or with `true` of the largest, of each; of equal ones, the first; i64 `[B, N, 1]`.
    Best {
        /// Whether the largest is looked for.
        largest: bool,
    },
    /// One value: as i64.
    ToIntegers,
    /// One value: as f32.
    ToFloats,

    /// Any number of values: joined along this axis.
    Concat {
        /// The axis.
        axis: i64,
    },
    /// One value: a part along an axis.
    Narrow {
        /// The axis.
        axis: i64,
        /// Where the part starts.
        start: i64,
        /// How long it is.
        length: i64,
    },
    /// One value: a new axis of length 1.
    Unsqueeze {
        /// Where the axis comes to lie, counted from the end where negative.
        axis: i64,
    },
    /// One value: without this axis of length 1.
    Squeeze {
        /// The axis.
        axis: i64,
    },
}
