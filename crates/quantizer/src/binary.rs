//! Codes whose channels have two values each: their indices, and the entropies of soft assignments to them.

use tch::{Device, Kind, Tensor};
use vqkit_torch::{autocast, autograd};

use crate::QuantizeError;

/// Numbers held at a time: 16 MiB of f32.
const BLOCK: i64 = 1 << 22;
/// Keeps the logarithm away from zero where no floor is configured.
const LEAST: f64 = 1e-30;

/// All vectors of `bits` channels that are `scale` or `-scale`. In an index, the first channel is the highest bit, set where
/// the channel is positive.
#[derive(Debug)]
pub(crate) struct BinaryCodes {
    bits: i64,
    scale: f64,
    /// `[bits]`, i64: the weight of every channel in an index.
    basis: Tensor,
}

/// Entropies of soft choices, in nats.
pub(crate) struct BinaryEntropies {
    /// Mean over the points; a scalar.
    pub sample: Tensor,
    /// Of the mean of all points' probabilities; a scalar.
    pub batch: Tensor,
}

/// How entropies are computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Softness {
    /// Sharpness of the choices: the logit of a code is `2 inv_temperature <z, code>`.
    pub inv_temperature: f64,
    /// Probabilities below this count as this under the logarithm; 0 for the exact entropy.
    pub floor: f64,
}

impl BinaryCodes {
    pub fn new(bits: i64, scale: f64, device: Device) -> Self {
        let weights: Vec<i64> = (0..bits).rev().map(|bit| 1 << bit).collect();
        Self { bits, scale, basis: Tensor::from_slice(&weights).to_device(device) }
    }

    /// Number of codes K.
    pub fn size(&self) -> i64 {
        1 << self.bits
    }

    /// Codes `[N, bits]` and indices `[N]` of points `[N, bits]`, by the signs; without gradient.
    pub fn choose(&self, points: &Tensor) -> (Tensor, Tensor) {
        tch::no_grad(|| {
            let set = points.gt(0.0).to_kind(Kind::Float);
            let indices = set.matmul(&self.basis.to_kind(Kind::Float)).to_kind(Kind::Int64);
            (self.codes(&set), indices)
        })
    }

    /// Codes `[.., bits]` of indices `[..]`.
    pub fn codes_of(&self, indices: &Tensor) -> Tensor {
        self.codes(&indices.unsqueeze(-1).bitwise_and_tensor(&self.basis).ne(0).to_kind(Kind::Float))
    }

    /// The indices `0..K`.
    pub fn all_indices(&self) -> Tensor {
        Tensor::arange(self.size(), (Kind::Int64, self.basis.device()))
    }

    fn codes(&self, set: &Tensor) -> Tensor {
        set * (2.0 * self.scale) - self.scale
    }

    /// Entropies of the choices `softmax(2 inv_temperature <z, code>)` of points `[N, bits]`.
    ///
    /// The channels of such a choice are independent: the probability of a code is the product of its channels', so the
    /// entropy of a point is the sum over its channels, and the mean over points is a product of two matrices, each with the
    /// probabilities of half of the channels. Neither needs the `N × K` probabilities; only a floor under them does, and then
    /// they are made in blocks and computed again in the backward pass.
    pub fn entropies(
        &self,
        points: &Tensor,
        weights: Option<&Tensor>,
        softness: Softness,
    ) -> Result<BinaryEntropies, QuantizeError> {
        let width = if softness.floor > 0.0 { self.size() } else { 1 << ((self.bits + 1) / 2) };
        self.entropies_in_blocks(points, weights, softness, BLOCK / width)
    }

    /// As [`entropies`](Self::entropies), of `rows` points at a time.
    fn entropies_in_blocks(
        &self,
        points: &Tensor,
        weights: Option<&Tensor>,
        softness: Softness,
        rows: i64,
    ) -> Result<BinaryEntropies, QuantizeError> {
        let (count, rows) = (points.size()[0], rows.max(1));
        let options = (Kind::Float, points.device());
        let weights = weights.map_or_else(|| Tensor::ones([count], options), Tensor::shallow_clone);
        let counted = weights.sum(Kind::Float).clamp_min(1.0);
        let logits = points * (4.0 * softness.inv_temperature * self.scale);
        let (mut sample, mut shares) = (Tensor::zeros([0i64; 0], options), Tensor::zeros([self.size()], options));
        for (logits, weights) in logits.f_split(rows, 0)?.iter().zip(weights.f_split(rows, 0)?) {
            let work = move |inputs: &[Tensor]| {
                Ok(autocast::disabled(inputs[0].device(), || entropies_of(&inputs[0], &weights, softness.floor)))
            };
            let found = match rows < count {
                true => autograd::checkpoint(&[logits], work)?,
                false => work(&[logits.shallow_clone()])?,
            };
            sample += &found[0];
            shares += &found[1];
        }
        let batch = floored_entropy(&(shares / &counted), softness.floor).sum(Kind::Float);
        Ok(BinaryEntropies { sample: sample / counted, batch })
    }
}

/// The weighted sums of entropies (a scalar) and of probabilities `[K]` of channels with the logits `[N, bits]`.
fn entropies_of(logits: &Tensor, weights: &Tensor, floor: f64) -> Vec<Tensor> {
    let half = logits.size()[1] / 2;
    let set = logits.sigmoid();
    let [high, low] = [set.narrow(1, 0, half), set.narrow(1, half, logits.size()[1] - half)].map(|set| joint(&set));
    let entropies = if floor > 0.0 {
        let shares = high.unsqueeze(2) * low.unsqueeze(1);
        floored_entropy(&shares, floor).sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Float)
    } else {
        entropy_of_logits(logits).sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
    };
    vec![entropies.dot(weights), (high * weights.unsqueeze(1)).transpose(0, 1).matmul(&low).flatten(0, -1)]
}

/// Probabilities `[N, 2^C]` of all combinations of channels that are set with the chances `[N, C]`, the first channel the
/// highest bit.
fn joint(set: &Tensor) -> Tensor {
    let mut shares = Tensor::ones([set.size()[0], 1], (Kind::Float, set.device()));
    for channel in set.unbind(1) {
        let channel = channel.unsqueeze(1);
        let both = [&shares * (1.0 - &channel), &shares * channel];
        shares = Tensor::stack(&both, 2).flatten(1, 2);
    }
    shares
}

/// `-p ln(max(p, floor))`.
fn floored_entropy(shares: &Tensor, floor: f64) -> Tensor {
    -(shares * shares.clamp_min(floor.max(LEAST)).log())
}

/// The entropy of a channel that is set with the chance `sigmoid(logit)`, without the cancellation of large logits.
fn entropy_of_logits(logits: &Tensor) -> Tensor {
    let away = -logits.abs();
    away.softplus() - &away * away.sigmoid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vqkit_testing::Draws;

    const F32: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// Entropies of the probabilities written out, `[N, K]` and in f64.
    fn written_out(codes: &BinaryCodes, points: &Tensor, softness: Softness) -> (f64, f64) {
        let all = codes.codes_of(&codes.all_indices()).to_kind(Kind::Double);
        let logits = points.to_kind(Kind::Double).matmul(&all.transpose(0, 1)) * (2.0 * softness.inv_temperature);
        let shares = logits.softmax(-1, Kind::Double);
        let entropy = |shares: &Tensor| {
            floored_entropy(shares, softness.floor).sum_dim_intlist([-1i64].as_slice(), false, Kind::Double)
        };
        let sample = entropy(&shares).mean(Kind::Double).double_value(&[]);
        (sample, entropy(&shares.mean_dim([0i64].as_slice(), false, Kind::Double)).double_value(&[]))
    }

    #[test]
    fn entropies_are_those_of_the_probabilities_written_out() {
        let draws = Draws::new(1);
        for (bits, scale) in [(1, 1.0), (5, 1.0), (6, 0.4)] {
            let codes = BinaryCodes::new(bits, scale, Device::Cpu);
            let points = draws.randn(&[40, bits]);
            for (inv_temperature, floor) in [(0.5, 0.0), (3.0, 0.0), (3.0, 1e-2), (100.0, 1e-5)] {
                let softness = Softness { inv_temperature, floor };
                let found = codes.entropies(&points, None, softness).unwrap();
                let (sample, batch) = written_out(&codes, &points, softness);
                assert!((found.sample.double_value(&[]) - sample).abs() < 1e-5, "{bits} bits, {softness:?}");
                assert!((found.batch.double_value(&[]) - batch).abs() < 1e-5, "{bits} bits, {softness:?}");
            }
        }
    }

    #[test]
    fn blocks_and_masked_points_change_neither_values_nor_gradients() {
        let draws = Draws::new(2);
        let codes = BinaryCodes::new(5, 1.0, Device::Cpu);
        let points = draws.randn(&[13, 5]);
        let junk = Tensor::cat(&[&points, &draws.randn(&[7, 5])], 0);
        let weights = Tensor::arange(20, F32).lt(13.0).to_kind(Kind::Float);
        for floor in [0.0, 1e-2] {
            let softness = Softness { inv_temperature: 2.0, floor };
            let figures = |points: &Tensor, weights: Option<&Tensor>, rows| {
                let points = points.detach().set_requires_grad(true);
                let found = codes.entropies_in_blocks(&points, weights, softness, rows).unwrap();
                let loss = found.sample - found.batch * 0.7;
                loss.backward();
                (loss.double_value(&[]), points.grad().narrow(0, 0, 13))
            };
            let (value, gradient) = figures(&points, None, 13);
            for rows in [1, 4, 20] {
                let (masked, masked_gradient) = figures(&junk, Some(&weights), rows);
                assert!((masked - value).abs() < 1e-5, "{rows} rows, floor {floor}");
                assert!(masked_gradient.allclose(&gradient, 1e-4, 1e-6, false), "{rows} rows, floor {floor}");
            }
        }
    }

    #[test]
    fn sure_channels_have_no_entropy_and_a_finite_gradient() {
        let codes = BinaryCodes::new(2, 1.0, Device::Cpu);
        let points = (Tensor::from_slice2(&[[50.0f32, -50.0], [1e-30, 0.0]])).set_requires_grad(true);
        let softness = Softness { inv_temperature: 100.0, floor: 0.0 };
        let found = codes.entropies(&points, None, softness).unwrap();
        (found.sample - found.batch).backward();
        assert!(bool::try_from(points.grad().isfinite().all()).unwrap());
    }
}
