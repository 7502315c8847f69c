//! Codes whose channels have two values each: their indices, and the entropies of soft assignments to them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use vqkit_torch::{autocast, autograd};

use crate::QuantizeError;

/// Numbers held at a time: 16 MiB of f32.
const BLOCK: i64 = 1 << 22;
/// Keeps the logarithm away from zero where no floor is configured.
const LEAST: f64 = 1e-30;

/// Which bit of an index the first channel sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BitOrder {
    /// The highest bit, as in vector-quantize-pytorch.
    #[default]
    MsbFirst,
    /// The lowest bit, as in Open-MAGVIT2.
    LsbFirst,
}

/// All vectors of some channels that are `scale` or `-scale`. A channel's bit of an index is set where it is positive; the
/// channels may be divided into several indices.
#[derive(Debug)]
pub(crate) struct BinaryCodes {
    scale: f64,
    /// Number of channels of each index.
    factors: Vec<i64>,
    /// The index that a channel is in, `[bits]`, i64.
    factor_of: Tensor,
    /// The weight of a channel in its index, `[bits]`, i64.
    weight_of: Tensor,
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
    /// Added to mean probabilities under the logarithm, after the floor.
    pub eps: f64,
}

impl BinaryCodes {
    /// Codes of one index for each of `factors`, which has its number of channels; the first channels are in the first index.
    pub fn new(factors: &[i64], scale: f64, order: BitOrder, device: Device) -> Self {
        let (mut factor_of, mut weight_of) = (Vec::new(), Vec::new());
        for (factor, &bits) in factors.iter().enumerate() {
            factor_of.extend((0..bits).map(|_| factor as i64));
            weight_of.extend(channel_weights(bits, order));
        }
        let on_device = |numbers: &[i64]| Tensor::from_slice(numbers).to_device(device);
        Self { scale, factors: factors.to_vec(), factor_of: on_device(&factor_of), weight_of: on_device(&weight_of) }
    }

    /// Number of codes K of each index.
    pub fn sizes(&self) -> Vec<i64> {
        self.factors.iter().map(|bits| 1 << bits).collect()
    }

    /// Number of channels.
    fn bits(&self) -> i64 {
        self.factors.iter().sum()
    }

    /// Number of codes of all channels together.
    fn size(&self) -> i64 {
        1 << self.bits()
    }

    /// Codes `[N, bits]` and indices `[N, Q]` of points `[N, bits]`, by the signs; without gradient.
    pub fn choose(&self, points: &Tensor) -> (Tensor, Tensor) {
        tch::no_grad(|| {
            let set = points.gt(0.0).to_kind(Kind::Float);
            let of_index = self.factor_of.one_hot(self.factors.len() as i64);
            let weights = (of_index * self.weight_of.unsqueeze(1)).to_kind(Kind::Float);
            let indices = set.matmul(&weights).to_kind(Kind::Int64);
            (self.codes(&set), indices)
        })
    }

    /// Codes `[.., bits]` of indices `[.., Q]`.
    pub fn codes_of(&self, indices: &Tensor) -> Tensor {
        self.codes(&is_set(&indices.index_select(-1, &self.factor_of), &self.weight_of))
    }

    /// For each index, the channels `[K, bits]` that are its alone, of every code.
    pub fn tables(&self) -> Vec<Tensor> {
        let weights = self.weight_of.split_with_sizes(&self.factors, 0);
        let table = |weights: Tensor| {
            let indices = Tensor::arange(1i64 << weights.size()[0], (Kind::Int64, weights.device()));
            self.codes(&is_set(&indices.unsqueeze(-1), &weights))
        };
        weights.into_iter().map(table).collect()
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
        let width = if softness.floor > 0.0 { self.size() } else { 1 << ((self.bits() + 1) / 2) };
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
        let batch = floored_entropy(&(shares / &counted), softness.floor, softness.eps).sum(Kind::Float);
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
        floored_entropy(&shares, floor, 0.0).sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Float)
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

/// `-p ln(max(p, floor) + eps)`.
fn floored_entropy(shares: &Tensor, floor: f64, eps: f64) -> Tensor {
    -(shares * (shares.clamp_min(floor.max(LEAST)) + eps).log())
}

/// The weights in an index of its channels, the first channel's first.
fn channel_weights(bits: i64, order: BitOrder) -> Vec<i64> {
    let rising = (0..bits).map(|bit| 1 << bit);
    match order {
        BitOrder::LsbFirst => rising.collect(),
        BitOrder::MsbFirst => rising.rev().collect(),
    }
}

/// 1 where the bit of a channel's weight is set in an index, else 0.
fn is_set(indices: &Tensor, weights: &Tensor) -> Tensor {
    indices.bitwise_and_tensor(weights).ne(0).to_kind(Kind::Float)
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
        let all = codes.tables().remove(0).to_kind(Kind::Double);
        let logits = points.to_kind(Kind::Double).matmul(&all.transpose(0, 1)) * (2.0 * softness.inv_temperature);
        let shares = logits.softmax(-1, Kind::Double);
        let entropy = |shares: &Tensor, eps: f64| {
            floored_entropy(shares, softness.floor, eps).sum_dim_intlist([-1i64].as_slice(), false, Kind::Double)
        };
        let sample = entropy(&shares, 0.0).mean(Kind::Double).double_value(&[]);
        let mean = shares.mean_dim([0i64].as_slice(), false, Kind::Double);
        (sample, entropy(&mean, softness.eps).double_value(&[]))
    }

    #[test]
    fn entropies_are_those_of_the_probabilities_written_out() {
        let draws = Draws::new(1);
        for (bits, scale) in [(1, 1.0), (5, 1.0), (6, 0.4)] {
            let codes = BinaryCodes::new(&[bits], scale, BitOrder::default(), Device::Cpu);
            let points = draws.randn(&[40, bits]);
            for (inv_temperature, floor, eps) in
                [(0.5, 0.0, 0.0), (3.0, 0.0, 1e-3), (3.0, 1e-2, 0.0), (100.0, 1e-5, 1e-5)]
            {
                let softness = Softness { inv_temperature, floor, eps };
                let found = codes.entropies(&points, None, softness).unwrap();
                let (sample, batch) = written_out(&codes, &points, softness);
                assert!((found.sample.double_value(&[]) - sample).abs() < 1e-5, "{bits} bits, {softness:?}");
                assert!((found.batch.double_value(&[]) - batch).abs() < 1e-5, "{bits} bits, {softness:?}");
            }
        }
    }

    #[test]
    fn the_order_of_bits_and_the_division_of_channels_are_those_asked_for() {
        let points = Tensor::from_slice2(&[[1.0f32, -1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, -1.0, -1.0]]);
        for (factors, order, wanted) in [
            (&[5][..], BitOrder::MsbFirst, vec![0b10011i64, 0b01100]),
            (&[5], BitOrder::LsbFirst, vec![0b11001, 0b00110]),
            (&[2, 3], BitOrder::MsbFirst, vec![0b10, 0b011, 0b01, 0b100]),
            (&[2, 3], BitOrder::LsbFirst, vec![0b01, 0b110, 0b10, 0b001]),
        ] {
            let codes = BinaryCodes::new(factors, 1.0, order, Device::Cpu);
            let (chosen, indices) = codes.choose(&points);
            assert_eq!(indices.flatten(0, -1), Tensor::from_slice(&wanted), "{factors:?}, {order:?}");
            assert_eq!(chosen, points, "{factors:?}, {order:?}");
            assert_eq!(codes.codes_of(&indices), points, "{factors:?}, {order:?}");
            let parts = codes.tables().into_iter().enumerate();
            let parts = parts.map(|(part, table)| table.index_select(0, &indices.select(1, part as i64)));
            assert_eq!(Tensor::cat(&parts.collect::<Vec<_>>(), 1), points, "{factors:?}, {order:?}");
        }
    }

    #[test]
    fn blocks_and_masked_points_change_neither_values_nor_gradients() {
        let draws = Draws::new(2);
        let codes = BinaryCodes::new(&[5], 1.0, BitOrder::default(), Device::Cpu);
        let points = draws.randn(&[13, 5]);
        let junk = Tensor::cat(&[&points, &draws.randn(&[7, 5])], 0);
        let weights = Tensor::arange(20, F32).lt(13.0).to_kind(Kind::Float);
        for floor in [0.0, 1e-2] {
            let softness = Softness { inv_temperature: 2.0, floor, eps: 1e-4 };
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
        let codes = BinaryCodes::new(&[2], 1.0, BitOrder::default(), Device::Cpu);
        let points = (Tensor::from_slice2(&[[50.0f32, -50.0], [1e-30, 0.0]])).set_requires_grad(true);
        let softness = Softness { inv_temperature: 100.0, floor: 0.0, eps: 0.0 };
        let found = codes.entropies(&points, None, softness).unwrap();
        (found.sample - found.batch).backward();
        assert!(bool::try_from(points.grad().isfinite().all()).unwrap());
    }
}
