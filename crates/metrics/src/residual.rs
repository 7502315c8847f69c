//! The bits that coding the residual of a reconstruction takes.

use std::f64::consts::{E, LN_2, PI};

/// From this mean square on, sums over the integers are integrals up to `exp(-2 π² mse)`, less than 1e-17.
const LARGE: f64 = 2.0;

/// Bits per number for differences between whole numbers with the mean square `mse`, under the discretised Gaussian
/// `p(d) = exp(-d² / 2t) / Z(t)` on the whole numbers `d`, where `t` gives `p` this mean square.
///
/// An ideal code for `p` takes `mse / (2t ln 2) + log2 Z(t)` bits on the average over any differences with this mean square, however
/// they are distributed, since `-log2 p` knows `d` by `d²` alone; that is the entropy of `p`. For an `mse` that is large against 1/12
/// it is `½ log2(2πe · mse)`, the differential entropy of a Gaussian; for a small one, where that form falls below 0, it goes to 0.
///
/// ```
/// use vqkit_metrics::residual_bits;
///
/// assert_eq!(residual_bits(0.0), 0.0);
/// assert!((residual_bits(100.0) - 5.369).abs() < 1e-3);
/// ```
pub fn residual_bits(mse: f64) -> f64 {
    if mse.is_nan() || mse <= 0.0 {
        return if mse.is_nan() { mse } else { 0.0 };
    }
    if mse >= LARGE {
        return 0.5 * (2.0 * PI * E * mse).log2();
    }
    let scale = scale_of(mse);
    (mse * scale + sums(scale).0.ln()) / LN_2
}

/// The `s` of `exp(-s d²)` whose mean square is `mse`, by bisection: the mean square falls with `s`.
fn scale_of(mse: f64) -> f64 {
    // At the lower end the mean square is above `LARGE`, at the upper the least that a double can tell from none.
    let (mut low, mut high) = (0.1, 745.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        let (weights, squares) = sums(middle);
        if squares / weights > mse {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The sums over all whole numbers `d` of `exp(-s d²)` and of `d² exp(-s d²)`.
fn sums(scale: f64) -> (f64, f64) {
    // At the least scale that is asked for, 0.1, the terms behind 30 are below exp(-90).
    let terms = (1..=30).map(|d| f64::from(d * d)).map(|square| (square, 2.0 * (-scale * square).exp()));
    terms.fold((1.0, 0.0), |(weights, squares), (square, weight)| (weights + weight, squares + square * weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entropy(probabilities: &[f64]) -> f64 {
        probabilities.iter().filter(|p| **p > 0.0).map(|p| -p * p.log2()).sum()
    }

    #[test]
    fn it_is_the_entropy_of_the_discretised_gaussian() {
        for t in [0.05f64, 0.3, 1.0, 1.9, 5.0, 400.0] {
            let weights: Vec<f64> = (-400..=400).map(|d| (-f64::from(d * d) / (2.0 * t)).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let probabilities: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
            let mse: f64 = (-400..=400).zip(&probabilities).map(|(d, p)| f64::from(d * d) * p).sum();
            let (got, want) = (residual_bits(mse), entropy(&probabilities));
            assert!((got - want).abs() < 1e-9, "t = {t}, mse = {mse}: {got}, entropy {want}");
        }
    }

    #[test]
    fn other_differences_of_that_mean_square_take_no_more() {
        // One number in ten is off by one: mean square 0.1. Its own entropy is less; a code for it would have to know.
        let own = entropy(&[0.9, 0.05, 0.05]);
        assert!(own <= residual_bits(0.1) && residual_bits(0.1) < own + 0.01, "{own} {}", residual_bits(0.1));
        // All are off by five, either way.
        assert!(1.0 < residual_bits(25.0));
    }

    #[test]
    fn it_rises_from_nothing_without_a_step() {
        let grid: Vec<f64> = (0..4000).map(|step| f64::from(step) * 1e-3).collect();
        assert!(grid.windows(2).all(|pair| residual_bits(pair[0]) < residual_bits(pair[1])));
        assert!((residual_bits(LARGE) - residual_bits(LARGE - 1e-9)).abs() < 1e-8);
        assert!(residual_bits(1e-12) < 1e-9 && residual_bits(1e-300) >= 0.0);
        assert!(residual_bits(f64::NAN).is_nan());
    }
}
