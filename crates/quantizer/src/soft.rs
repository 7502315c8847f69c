//! Soft assignments of latents to codes, in blocks of rows that are computed anew on the way back: the `N × K` probabilities
//! are never held at once.

use tch::{Kind, Tensor};
use vqkit_torch::{TorchError, autocast, autograd, rng};

use crate::QuantizeError;

/// Logits held at a time: 16 MiB of f32.
const BLOCK_LOGITS: i64 = 1 << 22;

/// Kept away from the logarithm of zero, as in the losses of MAGVIT and LlamaGen.
const EPS: f64 = 1e-5;

/// What the logit of a latent `z` `[D]` and a code is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Affinity {
    /// `w·z + b` of the parameters `w` `[K, D]` and `b` `[K]`.
    Linear,
    /// `e·z` of the codes `e` `[K, D]`.
    Product,
    /// `-||z - e||²` of the codes `e` `[K, D]`, up to what all codes have in common.
    Distance,
}

impl Affinity {
    /// Logits `[N, K]` of points `[N, D]`.
    pub fn logits(self, points: &Tensor, parameters: &[Tensor]) -> Tensor {
        match self {
            Self::Linear => points.linear(&parameters[0], Some(&parameters[1])),
            Self::Product => points.linear(&parameters[0], None::<&Tensor>),
            Self::Distance => {
                let squares = parameters[0].square().sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
                points.linear(&(&parameters[0] * 2.0), Some(-squares))
            }
        }
    }
}

/// What is asked of the soft assignments of points `[N, D]`.
pub(crate) struct Question<'a> {
    pub affinity: Affinity,
    pub parameters: &'a [&'a Tensor],
    /// Which points count in the entropies, `[N]`.
    pub weights: Option<&'a Tensor>,
    /// The temperature at which entropies are taken.
    pub entropy_temperature: f64,
    /// The mixture of codes, where one is wanted.
    pub mixture: Option<Mixture<'a>>,
}

/// A mixture of the rows of `table` `[K, D']` by `softmax((logits + noise) / temperature)`.
pub(crate) struct Mixture<'a> {
    pub table: &'a Tensor,
    pub temperature: f64,
    pub noise: Noise<'a>,
}

/// What is added to the logits of a mixture.
#[derive(Clone, Copy)]
pub(crate) enum Noise<'a> {
    None,
    /// `[N, K]`.
    Given(&'a Tensor),
    /// A sample of the standard Gumbel distribution.
    Drawn,
}

/// The answer.
pub(crate) struct Soft {
    /// `argmax(logits + noise)`, `[N]`.
    pub indices: Tensor,
    /// `[N, D']`, where one was asked for.
    pub mixture: Option<Tensor>,
    /// Mean entropy of the probabilities of a point, in nats; a scalar.
    pub sample_entropy: Tensor,
    /// The mean probability of every code, `[K]`.
    pub mean: Tensor,
}

impl Soft {
    /// `H(p) = -Σ p ln(p + 1e-5)` of the mean probabilities, in nats; a scalar.
    pub fn batch_entropy(&self) -> Tensor {
        -(&self.mean * (&self.mean + EPS).log()).sum(Kind::Float)
    }

    /// `sample entropy - batch entropy`: small where every choice is sure and all codes are chosen.
    pub fn entropy_loss(&self) -> Tensor {
        &self.sample_entropy - self.batch_entropy()
    }
}

/// Answers for points `[N, D]`; in one piece where that is small.
pub(crate) fn soft(points: &Tensor, question: &Question) -> Result<Soft, QuantizeError> {
    let codes = question.parameters[0].size()[0];
    soft_in_blocks(points, question, BLOCK_LOGITS / codes)
}

/// As [`soft`], of `rows` points at a time.
fn soft_in_blocks(points: &Tensor, question: &Question, rows: i64) -> Result<Soft, QuantizeError> {
    let count = points.size()[0];
    let rows = rows.clamp(1, count.max(1));
    let whole = rows >= count;
    let mut blocks = Vec::new();
    for start in (0..count.max(1)).step_by(rows as usize) {
        blocks.push(block(points, question, start, rows.min(count - start), whole)?);
    }
    let column = |place: usize| blocks.iter().map(|block: &Vec<Tensor>| &block[place]).collect::<Vec<_>>();
    let total = |place| Tensor::stack(&column(place), 0).sum_dim_intlist([0i64].as_slice(), false, Kind::Float);
    let all = || Tensor::full([0i64; 0], count as f64, (Kind::Float, points.device()));
    let counted = question.weights.map_or_else(all, |weights| weights.sum(Kind::Float)).clamp_min(1.0);
    Ok(Soft {
        indices: Tensor::cat(&column(0), 0),
        sample_entropy: total(1) / &counted,
        mean: total(2) / &counted,
        mixture: question.mixture.as_ref().map(|_| Tensor::cat(&column(3), 0)),
    })
}

/// Indices, the sum of entropies, the sum of probabilities and perhaps the mixture of `rows` points from `start` on.
fn block(
    points: &Tensor,
    question: &Question,
    start: i64,
    rows: i64,
    whole: bool,
) -> Result<Vec<Tensor>, QuantizeError> {
    let points = points.narrow(0, start, rows);
    let mut inputs = vec![&points];
    inputs.extend(question.parameters);
    inputs.extend(question.mixture.as_ref().map(|mixture| mixture.table));
    let block = Block {
        affinity: question.affinity,
        parameters: question.parameters.len(),
        weights: question.weights.map(|weights| weights.narrow(0, start, rows)),
        entropy_temperature: question.entropy_temperature,
        mixture: question.mixture.as_ref().map(|mixture| (mixture.temperature, Draw::of(mixture.noise, start, rows))),
    };
    let work = move |inputs: &[Tensor]| autocast::disabled(inputs[0].device(), || block.answer(inputs));
    if whole {
        return Ok(work(&inputs.iter().map(|input| input.shallow_clone()).collect::<Vec<_>>())?);
    }
    Ok(autograd::checkpoint(&inputs, work)?)
}

/// A [`Question`] about some of the points, without what takes a gradient.
struct Block {
    affinity: Affinity,
    parameters: usize,
    weights: Option<Tensor>,
    entropy_temperature: f64,
    mixture: Option<(f64, Draw)>,
}

impl Block {
    fn answer(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
        let (points, rest) = (&inputs[0], &inputs[1..]);
        let logits = self.affinity.logits(points, &rest[..self.parameters]);
        let log_shares = (&logits / self.entropy_temperature).log_softmax(-1, Kind::Float);
        let shares = log_shares.exp();
        let entropies = -(&shares * log_shares).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
        let (entropy, sum) = match &self.weights {
            None => (entropies.sum(Kind::Float), shares.sum_dim_intlist([0i64].as_slice(), false, Kind::Float)),
            Some(weights) => (entropies.dot(weights), shares.transpose(0, 1).mv(weights)),
        };
        let Some((temperature, draw)) = &self.mixture else {
            return Ok(vec![logits.argmax(-1, false), entropy, sum]);
        };
        let perturbed = draw.add(logits)?;
        let mixture = (&perturbed / *temperature).softmax(-1, Kind::Float).matmul(&rest[self.parameters]);
        Ok(vec![perturbed.argmax(-1, false), entropy, sum, mixture])
    }
}

/// Noise that comes out the same every time.
enum Draw {
    None,
    Given(Tensor),
    Seeded(u64),
}

impl Draw {
    /// The seeds come from the default generator of the CPU.
    fn of(noise: Noise, start: i64, rows: i64) -> Self {
        match noise {
            Noise::None => Self::None,
            Noise::Given(noise) => Self::Given(noise.narrow(0, start, rows)),
            Noise::Drawn => {
                let seed = Tensor::randint(1 << 62, [1], (Kind::Int64, tch::Device::Cpu));
                Self::Seeded(seed.int64_value(&[0]).unsigned_abs())
            }
        }
    }

    /// Leaves the default generators as they were.
    fn add(&self, logits: Tensor) -> Result<Tensor, TorchError> {
        match self {
            Self::None => Ok(logits),
            Self::Given(noise) => Ok(logits + noise),
            Self::Seeded(seed) => {
                let (cpu, device) = (tch::Device::Cpu, logits.device());
                let states = (rng::state(cpu)?, rng::state(device)?);
                rng::manual_seed(device, *seed)?;
                let noise = -logits.detach().empty_like().exponential_(1.0).log();
                rng::set_state(device, &states.1)?;
                rng::set_state(cpu, &states.0)?;
                Ok(logits + noise)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true)
    }

    /// Everything that depends on the answer, and the gradients of it all.
    fn figures(points: &Tensor, codes: &Tensor, table: &Tensor, noise: Noise, rows: i64) -> Vec<Tensor> {
        let mixture = Some(Mixture { table, temperature: 0.7, noise });
        let weights = Tensor::arange(points.size()[0], (Kind::Float, Device::Cpu)).lt(5.0).to_kind(Kind::Float);
        let question = Question {
            affinity: Affinity::Distance,
            parameters: &[codes],
            weights: Some(&weights),
            entropy_temperature: 0.5,
            mixture,
        };
        let found = soft_in_blocks(points, &question, rows).unwrap();
        let mixture = found.mixture.as_ref().unwrap();
        let loss = found.entropy_loss() + (mixture * mixture.cos().detach()).sum(Kind::Float);
        let gradients = autograd::grad(&[(&loss, &loss.ones_like())], &[points, codes, table], autograd::Graph::Free);
        [found.indices, loss].into_iter().chain(gradients.unwrap()).collect()
    }

    #[test]
    fn blocks_change_neither_values_nor_gradients() {
        tch::manual_seed(1);
        let (points, codes, table) = (random(&[11, 3]), random(&[7, 3]), random(&[7, 2]));
        let noise = random(&[11, 7]).detach();
        let whole = figures(&points, &codes, &table, Noise::Given(&noise), 11);
        for rows in [1, 4, 10] {
            for (whole, part) in whole.iter().zip(figures(&points, &codes, &table, Noise::Given(&noise), rows)) {
                assert!(whole.allclose(&part, 1e-5, 1e-6, false), "{rows} rows");
            }
        }
    }

    #[test]
    fn what_is_drawn_is_drawn_again_on_the_way_back_and_differs_between_blocks() {
        let (points, codes) =
            (Tensor::zeros([40, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true), random(&[64, 2]));
        let question = Question {
            affinity: Affinity::Product,
            parameters: &[&codes],
            weights: None,
            entropy_temperature: 1.0,
            mixture: Some(Mixture { table: &codes, temperature: 0.1, noise: Noise::Drawn }),
        };
        tch::manual_seed(2);
        let found = soft_in_blocks(&points, &question, 20).unwrap();
        assert_ne!(found.indices.narrow(0, 0, 20), found.indices.narrow(0, 20, 20));
        let mixture = found.mixture.unwrap();
        // The softmax at logits of zero plus the same noise has the same gradient only if the noise is drawn anew alike.
        tch::manual_seed(2);
        let again = soft_in_blocks(&points, &question, 20).unwrap().mixture.unwrap();
        assert_eq!(mixture, again);
        let gradient = |mixture: &Tensor| {
            autograd::grad(&[(mixture, &mixture.ones_like())], &[&points, &codes], autograd::Graph::Free).unwrap()
        };
        let _ = Tensor::rand([3], (Kind::Float, Device::Cpu));
        assert_eq!(gradient(&mixture), gradient(&again));
    }

    #[test]
    fn one_sure_choice_of_every_code_has_the_least_loss() {
        let codes = Tensor::eye(4, (Kind::Float, Device::Cpu)) * 10.0;
        let question = Question {
            affinity: Affinity::Distance,
            parameters: &[&codes],
            weights: None,
            entropy_temperature: 1.0,
            mixture: None,
        };
        let found = soft(&codes, &question).unwrap();
        assert!(found.sample_entropy.double_value(&[]) < 1e-6);
        assert!((found.batch_entropy().double_value(&[]) - 4f64.ln()).abs() < 1e-3);
    }
}
