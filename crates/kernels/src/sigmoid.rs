//! The logistic function, in operations that become vector instructions.

/// `1 / (1 + exp(-x))`, to within 3e-7 of itself where that is above 1e-37; NaN of NaN.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `exp(x)` with `x` moved into [-87, 87]: `2ⁿ exp(r)`, where `n` is the integer nearest to `x / ln 2`.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LIMIT: f32 = 87.0;
    /// Added to a small number, it leaves the nearest integer in the lowest bits.
    const ROUNDER: f32 = 12_582_912.0;
    /// ln 2 in two parts: the product of an integer with the first is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-LIMIT, LIMIT);
    let shifted = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = x - n * LN_2[0] - n * LN_2[1];
    let series = 1.0 / 120.0 + r * (1.0 / 720.0);
    let series = 1.0 / 24.0 + r * series;
    let series = 1.0 / 6.0 + r * series;
    let series = 0.5 + r * series;
    let exp_r = 1.0 + r * (1.0 + r * series);
    let exponent = shifted.to_bits().wrapping_sub(ROUNDER.to_bits()).wrapping_add(127);
    exp_r * f32::from_bits(exponent << 23)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_logistic_function(x in -86.0f32..100.0) {
            let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
            let error = (f64::from(sigmoid(x)) - exact).abs();
            prop_assert!(error <= 3e-7 * exact, "{x}: {} and {exact}", sigmoid(x));
        }
    }

    #[test]
    fn it_ends_at_0_and_1_and_keeps_nan() {
        assert!(sigmoid(f32::NEG_INFINITY) < 1e-37);
        assert_eq!(sigmoid(f32::INFINITY), 1.0);
        assert!(sigmoid(f32::NAN).is_nan());
    }
}
