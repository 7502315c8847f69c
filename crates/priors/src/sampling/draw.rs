//! From logits to tokens: the filters and the draw, on the device and without waiting for it.

use tch::{Kind, Tensor};

use super::Sampling;

/// Tokens `[B]`, i64, drawn from `logits` `[B, K]` by inverting the cumulative distribution at `uniform` `[B]`, f64.
pub(super) fn draw(logits: &Tensor, sampling: &Sampling, uniform: &Tensor) -> Tensor {
    if sampling.temperature == 0.0 {
        return logits.argmax(-1, false);
    }
    let mut logits = logits.to_kind(Kind::Float) / sampling.temperature;
    if let Some(k) = sampling.top_k {
        logits = top_k(&logits, k);
    }
    if let Some(p) = sampling.top_p {
        logits = top_p(&logits, p);
    }
    if let Some(p) = sampling.min_p {
        logits = min_p(&logits, p);
    }
    // In f64, the rounding of a long sum shifts no token's share of the interval.
    let cumulative = logits.softmax(-1, Kind::Float).cumsum(-1, Kind::Double);
    let point = cumulative.narrow(-1, -1, 1) * uniform.unsqueeze(-1);
    point.searchsorted(&cumulative, false, true, "right", None::<Tensor>).squeeze_dim(-1)
}

/// Keeps the `k >= 1` largest of `logits` `[B, K]`, and what ties with the least of them; the others become -∞.
pub fn top_k(logits: &Tensor, k: i64) -> Tensor {
    let k = k.min(logits.size()[1]);
    let (kept, _) = logits.topk(k, -1, true, true);
    logits.masked_fill(&logits.lt_tensor(&kept.narrow(-1, k - 1, 1)), f64::NEG_INFINITY)
}

/// Keeps the likeliest tokens of `logits` `[B, K]` until their probabilities exceed `p`, the one that crosses `p`
/// included (Holtzman et al. 2020); the others become -∞. The likeliest is always kept.
pub fn top_p(logits: &Tensor, p: f64) -> Tensor {
    let (sorted, order) = logits.sort(-1, true);
    let probabilities = sorted.softmax(-1, Kind::Float);
    let before = probabilities.cumsum(-1, Kind::Float) - &probabilities;
    let removed = before.gt(p);
    let _ = removed.narrow(-1, 0, 1).fill_(0);
    let removed = removed.zeros_like().scatter(-1, &order, &removed);
    logits.masked_fill(&removed, f64::NEG_INFINITY)
}

/// Keeps tokens of `logits` `[B, K]` at least `p` times as probable as the likeliest (Nguyen et al. 2024); the others
/// become -∞.
pub fn min_p(logits: &Tensor, p: f64) -> Tensor {
    let limit = logits.amax([-1], true) + p.ln();
    logits.masked_fill(&logits.lt_tensor(&limit), f64::NEG_INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probabilities 0.1, 0.4, 0.2, 0.3.
    fn logits() -> Tensor {
        Tensor::from_slice(&[0.1f32, 0.4, 0.2, 0.3]).log().unsqueeze(0)
    }

    fn kept(filtered: &Tensor) -> Vec<i64> {
        Vec::try_from(filtered.isfinite().squeeze().nonzero().flatten(0, -1)).unwrap()
    }

    #[test]
    fn filters_keep_what_their_papers_say() {
        assert_eq!(kept(&top_k(&logits(), 2)), [1, 3]);
        assert_eq!(kept(&top_k(&logits(), 9)), [0, 1, 2, 3]);
        assert_eq!(kept(&top_p(&logits(), 0.5)), [1, 3]);
        assert_eq!(kept(&top_p(&logits(), 0.75)), [1, 2, 3]);
        assert_eq!(kept(&top_p(&logits(), 1e-9)), [1]);
        assert_eq!(kept(&top_p(&logits(), 1.0)), [0, 1, 2, 3]);
        assert_eq!(kept(&min_p(&logits(), 0.6)), [1, 3]);
        assert_eq!(kept(&min_p(&logits(), 0.0)), [0, 1, 2, 3]);
    }

    #[test]
    fn top_k_keeps_ties() {
        let tied = Tensor::from_slice(&[1f32, 3.0, 1.0, 0.0]).unsqueeze(0);
        assert_eq!(kept(&top_k(&tied, 2)), [0, 1, 2]);
    }

    #[test]
    fn uniform_numbers_are_cut_at_the_cumulative_probabilities() {
        let points = Tensor::from_slice(&[0.05f64, 0.11, 0.49, 0.51, 0.69, 0.71, 0.9999]);
        let rows = logits().repeat([7, 1]);
        let tokens = draw(&rows, &Sampling::default(), &points);
        assert_eq!(Vec::<i64>::try_from(tokens).unwrap(), [0, 1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn a_filtered_token_is_never_drawn() {
        let sampling = Sampling { top_k: Some(2), ..Sampling::default() };
        let points = Tensor::linspace(1e-9, 1.0 - 1e-9, 1001, (Kind::Double, tch::Device::Cpu));
        let tokens = draw(&logits().repeat([1001, 1]), &sampling, &points);
        let share = tokens.eq(1).to_kind(Kind::Double).mean(None).double_value(&[]);
        assert!((share - 0.4 / 0.7).abs() < 2e-3, "{share}");
        assert_eq!(tokens.eq(1).logical_or(&tokens.eq(3)).all().int64_value(&[]), 1);
    }

    #[test]
    fn temperature_sharpens_and_zero_takes_the_largest() {
        let points = Tensor::linspace(0.0, 0.999, 500, (Kind::Double, tch::Device::Cpu));
        let rows = logits().repeat([500, 1]);
        let share = |temperature: f64| {
            let sampling = Sampling { temperature, ..Sampling::default() };
            draw(&rows, &sampling, &points).eq(1).to_kind(Kind::Double).mean(None).double_value(&[])
        };
        assert_eq!(share(0.0), 1.0);
        // 0.4² / (0.1² + 0.4² + 0.2² + 0.3²)
        assert!((share(0.5) - 0.16 / 0.30).abs() < 5e-3);
    }
}
