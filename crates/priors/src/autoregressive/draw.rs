//! From logits to tokens: filters and inverse-transform sampling, on the device and without waiting for it.

use tch::{Device, Kind, Tensor};

use crate::AutoregressiveSampling;

/// The least and the greatest temperature that f32 can divide by. Temperatures beyond act as the nearer of them: the likeliest token
/// is drawn, or the distribution is uniform.
const TEMPERATURES: [f64; 2] = [1e-37, 1e37];

/// Tokens of one position.
pub(super) struct Drawn {
    /// `[B]`, i64; any index of the row where its logits are not finite.
    pub tokens: Tensor,
    /// `[B]`: a number that is finite where the row's logits are.
    pub witness: Tensor,
}

/// Tokens drawn from `logits` `[B, K]` by inverting the cumulative distribution at `uniform` `[B]`, f64.
pub(super) fn draw(logits: &Tensor, sampling: &AutoregressiveSampling, uniform: &Tensor) -> Drawn {
    if sampling.temperature == 0.0 {
        let tokens = logits.argmax(-1, false);
        // NaN is what is largest, if any is there.
        let witness = logits.gather(-1, &tokens.unsqueeze(-1), false).squeeze_dim(-1);
        return Drawn { tokens, witness };
    }
    // Never in place: the logits may be the cursor's own memory.
    let logits = match logits.to_kind(Kind::Float) {
        same if sampling.temperature == 1.0 => same,
        // The largest is subtracted, so that no temperature makes a logit infinite.
        logits => (&logits - logits.amax([-1], true)) / sampling.temperature.clamp(TEMPERATURES[0], TEMPERATURES[1]),
    };
    let size = logits.size()[1];
    if let Some(k) = sampling.top_k.filter(|k| *k < size) {
        let (kept, tokens) = logits.topk(k, -1, true, true);
        let probabilities = kept.softmax(-1, Kind::Float);
        return Drawn::of(&probabilities, draw_sorted(&probabilities, &tokens, sampling, uniform));
    }
    if sampling.top_p.is_some() {
        let probabilities = logits.softmax(-1, Kind::Float);
        return Drawn::of(&probabilities, draw_nucleus(&probabilities, sampling, uniform, 16));
    }
    let logits = sampling.min_p.map_or(logits.shallow_clone(), |p| min_p(&logits, p));
    let probabilities = logits.softmax(-1, Kind::Float);
    let cumulative = cumulative(&probabilities);
    let tokens = invert(&cumulative, &cumulative.narrow(-1, -1, 1), uniform).squeeze_dim(-1);
    Drawn::of(&probabilities, tokens)
}

impl Drawn {
    /// A softmax makes all of a row NaN where one of its logits is NaN or +∞, or all are -∞.
    fn of(probabilities: &Tensor, tokens: Tensor) -> Self {
        Self { tokens, witness: probabilities.select(-1, 0) }
    }
}

/// Draws by `top_p` from probabilities `[B, K]`, which must be sorted. On the CPU the largest `1 / share` of them are mostly enough,
/// and found in a fraction of the time; else four times as many are taken, and so on. Whether they are enough can be read there
/// without waiting for a device.
fn draw_nucleus(probabilities: &Tensor, sampling: &AutoregressiveSampling, uniform: &Tensor, share: i64) -> Tensor {
    let few = probabilities.size()[1] / share;
    if share == 1 || few == 0 || probabilities.device() != Device::Cpu {
        let (sorted, tokens) = probabilities.sort(-1, true);
        return draw_sorted(&sorted, &tokens, sampling, uniform);
    }
    let (sorted, tokens) = probabilities.topk(few, -1, true, true);
    let drawn = draw_sorted(&sorted, &tokens, sampling, uniform);
    let p = sampling.top_p.unwrap_or(1.0);
    let too_few = sorted.sum_dim_intlist([-1i64].as_slice(), false, Kind::Double).le(p).nonzero().squeeze_dim(-1);
    if too_few.numel() == 0 {
        return drawn;
    }
    // Decided row by row, so that the order of equal probabilities does not depend on the other rows.
    let rows = |tensor: &Tensor| tensor.index_select(0, &too_few);
    drawn.index_copy(0, &too_few, &draw_nucleus(&rows(probabilities), sampling, &rows(uniform), share / 4))
}

/// Draws among `tokens` `[B, k]` by their probabilities, sorted, the largest first. `top_p` and `min_p` keep the first of them: so
/// they need no mask and no second softmax, only the index of the last that is kept.
fn draw_sorted(probabilities: &Tensor, tokens: &Tensor, sampling: &AutoregressiveSampling, uniform: &Tensor) -> Tensor {
    let cumulative = cumulative(probabilities);
    let mut last = cumulative.narrow(-1, -1, 1);
    let others = cumulative.size()[1] - 1;
    // The first is always kept, so the index of the last that is kept is the number of others that are kept.
    let mut end_at = |others: &Tensor| {
        let index = others.sum_dim_intlist([-1i64].as_slice(), true, Kind::Int64);
        last = last.minimum(&cumulative.gather(-1, &index, false));
    };
    if let Some(p) = sampling.top_p {
        end_at(&cumulative.narrow(-1, 0, others).le(p));
    }
    if let Some(p) = sampling.min_p {
        end_at(&probabilities.narrow(-1, 1, others).ge_tensor(&(probabilities.narrow(-1, 0, 1) * p)));
    }
    tokens.gather(-1, &invert(&cumulative, &last, uniform), false).squeeze_dim(-1)
}

/// `[B, K]`, f64, so that the rounding of a long sum shifts no token's share of the interval.
fn cumulative(probabilities: &Tensor) -> Tensor {
    probabilities.cumsum(-1, Kind::Double)
}

/// The first index `[B, 1]` at which `cumulative` `[B, K]` exceeds the share `uniform` `[B]` of `whole` `[B, 1]`; the last where
/// these are not finite.
fn invert(cumulative: &Tensor, whole: &Tensor, uniform: &Tensor) -> Tensor {
    let index = (whole * uniform.unsqueeze(-1)).searchsorted(cumulative, false, true, "right", None::<Tensor>);
    index.clamp_max(cumulative.size()[1] - 1)
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
    use proptest::prelude::*;
    use vqkit_testing::generator;

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
        let tokens = draw(&rows, &AutoregressiveSampling::default(), &points).tokens;
        assert_eq!(Vec::<i64>::try_from(tokens).unwrap(), [0, 1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn a_filtered_token_is_never_drawn() {
        let sampling = AutoregressiveSampling { top_k: Some(2), ..AutoregressiveSampling::default() };
        let points = Tensor::linspace(1e-9, 1.0 - 1e-9, 1001, (Kind::Double, tch::Device::Cpu));
        let tokens = draw(&logits().repeat([1001, 1]), &sampling, &points).tokens;
        let share = tokens.eq(1).to_kind(Kind::Double).mean(None).double_value(&[]);
        assert!((share - 0.4 / 0.7).abs() < 2e-3, "{share}");
        assert_eq!(tokens.eq(1).logical_or(&tokens.eq(3)).all().int64_value(&[]), 1);
    }

    /// Drawing from sorted probabilities gives the distribution that the filters leave.
    #[test]
    fn the_short_way_draws_what_the_filters_leave() {
        let _generator = generator(0);
        let logits = Tensor::randn([1, 40], (Kind::Float, tch::Device::Cpu)) * 2.0;
        let points = Tensor::linspace(1e-9, 1.0 - 1e-9, 20_001, (Kind::Double, tch::Device::Cpu));
        let filters = |k: Option<i64>, p: Option<f64>, m: Option<f64>| {
            let kept = k.map_or(logits.shallow_clone(), |k| top_k(&logits, k));
            let kept = p.map_or(kept.shallow_clone(), |p| top_p(&kept, p));
            m.map_or(kept.shallow_clone(), |m| min_p(&kept, m)).softmax(-1, Kind::Double).squeeze_dim(0)
        };
        let wide = logits.repeat([20_001, 1]);
        for k in [None, Some(1), Some(2), Some(7), Some(40), Some(99)] {
            for p in [None, Some(1e-9), Some(0.5), Some(0.9), Some(1.0)] {
                for m in [None, Some(0.0), Some(0.05), Some(1.0)] {
                    let sampling =
                        AutoregressiveSampling { top_k: k, top_p: p, min_p: m, ..AutoregressiveSampling::default() };
                    let counts = draw(&wide, &sampling, &points).tokens.bincount(None::<Tensor>, 40);
                    let shares = counts.to_kind(Kind::Double) / 20_001.0;
                    let worst = (shares - filters(k, p, m)).abs().max().double_value(&[]);
                    assert!(worst < 2e-4, "{k:?} {p:?} {m:?}: {worst}");
                }
            }
        }
    }

    #[test]
    fn temperature_sharpens_and_zero_takes_the_largest() {
        let points = Tensor::linspace(0.0, 0.999, 500, (Kind::Double, tch::Device::Cpu));
        let rows = logits().repeat([500, 1]);
        let share = |temperature: f64| {
            let sampling = AutoregressiveSampling { temperature, ..AutoregressiveSampling::default() };
            draw(&rows, &sampling, &points).tokens.eq(1).to_kind(Kind::Double).mean(None).double_value(&[])
        };
        assert_eq!(share(0.0), 1.0);
        // 0.4² / (0.1² + 0.4² + 0.2² + 0.3²)
        assert!((share(0.5) - 0.16 / 0.30).abs() < 5e-3);
    }

    /// Any number from `least` to `most`, of any magnitude.
    fn magnitudes(least: i32, most: i32) -> impl Strategy<Value = f64> {
        (least..most, 1.0..10.0f64).prop_map(|(power, digits)| digits * 10f64.powi(power))
    }

    fn samplings() -> impl Strategy<Value = AutoregressiveSampling> {
        let temperature = prop_oneof![Just(0.0), Just(1.0), Just(5e-324), Just(f64::MAX), magnitudes(-308, 308)];
        let share = || prop_oneof![Just(1.0), Just(5e-324), magnitudes(-308, 0).prop_map(|p| p.min(1.0))];
        let k = prop::option::of(prop_oneof![1i64..50, Just(i64::MAX)]);
        (temperature, k, prop::option::of(share()), prop::option::of(prop_oneof![Just(0.0), share()])).prop_map(
            |(temperature, top_k, top_p, min_p)| AutoregressiveSampling {
                temperature,
                top_k,
                top_p,
                min_p,
                ..AutoregressiveSampling::default()
            },
        )
    }

    proptest! {
        /// Finite logits draw a token that is not banned; others have a witness that is not finite.
        #[test]
        fn every_finite_option_and_logit_draws_a_token(
            sampling in samplings(),
            scale in magnitudes(-30, 36),
            seed in any::<i64>(),
            size in 1i64..40,
            broken in prop::option::of((0..40i64, prop::sample::select(vec![f64::NAN, f64::INFINITY]))),
        ) {
            prop_assert!(sampling.validate().is_ok());
            let _generator = generator(seed);
            let logits = Tensor::randn([4, size], (Kind::Float, Device::Cpu)) * scale;
            // A token that is banned, as by `no_repeat_ngram`.
            let banned = (size > 1).then(|| logits.select(1, 0).fill_(f64::NEG_INFINITY)).is_some();
            let points = Tensor::rand([4], (Kind::Double, Device::Cpu)).clamp(1e-9, 1.0 - 1e-9);
            let healthy = draw(&logits, &sampling, &points);
            prop_assert!(Vec::<bool>::try_from(healthy.witness.isfinite()).unwrap().iter().all(|finite| *finite));
            for token in Vec::<i64>::try_from(&healthy.tokens).unwrap() {
                prop_assert!((i64::from(banned)..size).contains(&token), "{token}");
            }
            if let Some((place, wrong)) = broken {
                let _ = logits.get(2).get(place % size).fill_(wrong);
                let drawn = draw(&logits, &sampling, &points);
                let finite = Vec::<bool>::try_from(drawn.witness.isfinite()).unwrap();
                prop_assert_eq!(finite, [true, true, false, true]);
                let tokens = Vec::<i64>::try_from(&drawn.tokens).unwrap();
                prop_assert!(tokens.iter().all(|token| (0..size).contains(token)), "{tokens:?}");
                let healthy = Vec::<i64>::try_from(&healthy.tokens).unwrap();
                prop_assert_eq!((tokens[0], tokens[1], tokens[3]), (healthy[0], healthy[1], healthy[3]));
            }
        }
    }

    #[test]
    fn the_least_temperature_is_greedy() {
        let points = Tensor::linspace(0.001, 0.999, 50, (Kind::Double, Device::Cpu));
        for temperature in [5e-324, 1e-300, 1e-40, 1e-20] {
            let sampling = AutoregressiveSampling { temperature, ..AutoregressiveSampling::default() };
            let tokens = draw(&logits().repeat([50, 1]), &sampling, &points).tokens;
            assert_eq!(tokens.eq(1).all().int64_value(&[]), 1, "{temperature}");
        }
    }
}
