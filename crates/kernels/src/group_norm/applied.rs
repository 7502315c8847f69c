//! What is applied to normalised values.

use crate::sigmoid::sigmoid;

/// A function of a normalised value `z`.
pub(super) trait Apply: Send + Sync + 'static {
    fn value(z: f32) -> f32;
    /// The derivative.
    fn slope(z: f32) -> f32;
}

/// `z`
pub(super) struct Nothing;

impl Apply for Nothing {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        z
    }

    #[inline(always)]
    fn slope(_: f32) -> f32 {
        1.0
    }
}

/// `z · sigmoid(z)`
pub(super) struct Silu;

impl Apply for Silu {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        z * sigmoid(z)
    }

    #[inline(always)]
    fn slope(z: f32) -> f32 {
        let share = sigmoid(z);
        share * (1.0 + z * (1.0 - share))
    }
}
