//! Soft assignments of latents to codes, in blocks of rows that are computed again in the backward pass: the `N × K` probabilities
//! are never held at once.

use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Kind, Tensor};
use vqkit_torch::{TorchError, autocast, autograd, rng};

use crate::QuantizeError;

/// Logits held at a time: 16 MiB of f32.
const BLOCK_LOGITS: i64 = 1 << 22;

/// Keeps the logarithm away from zero, as in the losses of MAGVIT and LlamaGen.
const EPS: f64 = 1e-5;

/// The logits `w·z + b` of latents `z` `[D]`.
pub(crate) struct Logits {
    /// `w` `[K, D]`.
    pub weight: Tensor,
    /// `b` `[K]`.
    pub bias: Option<Tensor>,
}

impl Logits {
    /// `-||z - e||²` of the codes `e` `[K, D]`, up to what all codes have in common.
    pub fn of_distances(codes: &Tensor) -> Self {
        let squares = codes.square().sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
        Self { weight: codes * 2.0, bias: Some(-squares) }
    }

    /// Logits `[N, K]` of points `[N, D]`.
    pub fn of(&self, points: &Tensor) -> Tensor {
        points.linear(&self.weight, self.bias.as_ref())
    }
}

/// What to compute from the soft assignments of points `[N, D]`.
pub(crate) struct Question<'a> {
    pub logits: &'a Logits,
    /// Which points count in the entropies, `[N]`.
    pub weights: Option<&'a Tensor>,
    /// The temperature at which entropies are computed.
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

/// The result.
pub(crate) struct Soft {
    /// `argmax(logits + noise)`, `[N]`.
    pub indices: Tensor,
    /// `[N, D']`, where one was requested.
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

    /// The codes `[N, D']` of the indices in `table` `[K, D']`, with the gradient of the mixture to the logits, where there is one.
    pub fn hard(&self, table: &Tensor) -> Tensor {
        let hard = Tensor::embedding(table, &self.indices, -1, false, false);
        match &self.mixture {
            Some(mixture) => hard + (mixture - mixture.detach()),
            None => hard,
        }
    }

    /// `sample entropy - batch entropy`: small where every assignment is certain and all codes are used.
    pub fn entropy_loss(&self) -> Tensor {
        &self.sample_entropy - self.batch_entropy()
    }
}

/// Answers for points `[N, D]`; in one piece where that is small.
pub(crate) fn soft(points: &Tensor, question: &Question) -> Result<Soft, QuantizeError> {
    soft_in_blocks(points, question, BLOCK_LOGITS / question.logits.weight.size()[0])
}

/// As [`soft`], of `rows` points at a time.
fn soft_in_blocks(points: &Tensor, question: &Question, rows: i64) -> Result<Soft, QuantizeError> {
    let (count, rows, options) = (points.size()[0], rows.max(1), (Kind::Float, points.device()));
    let ones = || Tensor::ones([count], options);
    let weights = question.weights.map_or_else(ones, Tensor::shallow_clone);
    let counted = weights.sum(Kind::Float).clamp_min(1.0);
    let (mut indices, mut mixtures) = (Vec::new(), Vec::new());
    let mut entropy = Tensor::zeros([0i64; 0], options);
    let mut shares = Tensor::zeros([question.logits.weight.size()[0]], options);
    let mut start = 0;
    for (points, weights) in points.f_split(rows, 0)?.iter().zip(weights.f_split(rows, 0)?) {
        let answer = answer(points, question, Block::of(question, weights, start)?, rows < count)?;
        start += points.size()[0];
        indices.push(answer[0].shallow_clone());
        entropy += &answer[1];
        shares += &answer[2];
        mixtures.extend(answer.into_iter().nth(3));
    }
    Ok(Soft {
        indices: Tensor::f_cat(&indices, 0)?,
        sample_entropy: entropy / &counted,
        mean: shares / counted,
        mixture: question.mixture.as_ref().map(|_| Tensor::f_cat(&mixtures, 0)).transpose()?,
    })
}

/// Indices, the sum of entropies, the sum of probabilities and perhaps the mixture of some points; kept in memory, or computed
/// again in the backward pass.
fn answer(points: &Tensor, question: &Question, block: Block, anew: bool) -> Result<Vec<Tensor>, QuantizeError> {
    let mut inputs = vec![points, &question.logits.weight];
    inputs.extend(&question.logits.bias);
    inputs.extend(question.mixture.as_ref().map(|mixture| mixture.table));
    let work = move |inputs: &[Tensor]| autocast::disabled(inputs[0].device(), || block.answer(inputs));
    if anew {
        return Ok(autograd::checkpoint(&inputs, work)?);
    }
    Ok(work(&inputs.iter().map(|input| input.shallow_clone()).collect::<Vec<_>>())?)
}

/// A [`Question`] about some of the points, without what takes a gradient.
struct Block {
    has_bias: bool,
    weights: Tensor,
    entropy_temperature: f64,
    mixture: Option<(f64, Draw)>,
}

impl Block {
    /// About as many points as there are weights, from `start` on.
    fn of(question: &Question, weights: Tensor, start: i64) -> Result<Self, QuantizeError> {
        let rows = weights.size()[0];
        let mixture = match &question.mixture {
            Some(mixture) => Some((mixture.temperature, Draw::of(mixture.noise, start, rows, &weights)?)),
            None => None,
        };
        Ok(Self {
            has_bias: question.logits.bias.is_some(),
            entropy_temperature: question.entropy_temperature,
            mixture,
            weights,
        })
    }

    fn answer(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
        let bias = self.has_bias.then(|| inputs[2].shallow_clone());
        let logits = Logits { weight: inputs[1].shallow_clone(), bias }.of(&inputs[0]);
        let log_shares = (&logits / self.entropy_temperature).log_softmax(-1, Kind::Float);
        let shares = log_shares.exp();
        let entropies = -(&shares * log_shares).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
        let sums = (entropies.dot(&self.weights), shares.transpose(0, 1).mv(&self.weights));
        let Some((temperature, draw)) = &self.mixture else {
            return Ok(vec![logits.argmax(-1, false), sums.0, sums.1]);
        };
        let table = &inputs[inputs.len() - 1];
        let perturbed = draw.add(logits)?;
        let mixture = (&perturbed / *temperature).softmax(-1, Kind::Float).matmul(table);
        Ok(vec![perturbed.argmax(-1, false), sums.0, sums.1, mixture])
    }
}

/// Noise that comes out the same every time.
enum Draw {
    None,
    Given(Tensor),
    Drawn {
        /// Of the device's default generator, before the first time.
        state: Tensor,
        again: AtomicBool,
    },
}

impl Draw {
    fn of(noise: Noise, start: i64, rows: i64, like: &Tensor) -> Result<Self, TorchError> {
        Ok(match noise {
            Noise::None => Self::None,
            Noise::Given(noise) => Self::Given(noise.narrow(0, start, rows)),
            Noise::Drawn => Self::Drawn { state: rng::state(like.device())?, again: AtomicBool::new(false) },
        })
    }

    /// The first time draws from the default generator of the device; any further time leaves that as it was.
    fn add(&self, logits: Tensor) -> Result<Tensor, TorchError> {
        let draw = || -logits.detach().empty_like().exponential_(1.0).log();
        match self {
            Self::None => Ok(logits),
            Self::Given(noise) => Ok(logits + noise),
            Self::Drawn { again, .. } if !again.swap(true, Ordering::Relaxed) => {
                let noise = draw();
                Ok(logits + noise)
            }
            Self::Drawn { state, .. } => {
                let device = logits.device();
                let now = rng::state(device)?;
                rng::set_state(device, state)?;
                let noise = draw();
                rng::set_state(device, &now)?;
                Ok(logits + noise)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;
    use vqkit_testing::{Draws, generator};

    /// Other numbers for every size.
    fn random(shape: &[i64]) -> Tensor {
        Draws::new(shape.iter().product::<i64>() as u64).randn(shape).set_requires_grad(true)
    }

    /// Everything that depends on the answer, and the gradients of it all.
    fn figures(points: &Tensor, codes: &Tensor, table: &Tensor, noise: Noise, rows: i64) -> Vec<Tensor> {
        let mixture = Some(Mixture { table, temperature: 0.7, noise });
        let weights = Tensor::arange(points.size()[0], (Kind::Float, Device::Cpu)).lt(5.0).to_kind(Kind::Float);
        let question = Question {
            logits: &Logits::of_distances(codes),
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
            logits: &Logits { weight: codes.shallow_clone(), bias: None },
            weights: None,
            entropy_temperature: 1.0,
            mixture: Some(Mixture { table: &codes, temperature: 0.1, noise: Noise::Drawn }),
        };
        let _generator = generator(2);
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
        let question =
            Question { logits: &Logits::of_distances(&codes), weights: None, entropy_temperature: 1.0, mixture: None };
        let found = soft(&codes, &question).unwrap();
        assert!(found.sample_entropy.double_value(&[]) < 1e-6);
        assert!((found.batch_entropy().double_value(&[]) - 4f64.ln()).abs() < 1e-3);
    }
}
