//! The sampler: stands outside the cursor, draws, guides, and forces given tokens, for every prior alike.

mod draw;
mod given;
mod noise;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vqkit_torch::TokenGrid;

use crate::{Condition, Cursor, Prior, PriorError};

pub use draw::{min_p, top_k, top_p};
pub use given::Given;

/// How tokens are drawn from logits. The filters act in the order temperature, `top_k`, `top_p`, `min_p`.
///
/// ```
/// use vqkit_priors::Sampling;
///
/// let sampling = Sampling { top_p: Some(0.9), ..Sampling::default() };
/// assert!(sampling.validate().is_ok());
/// assert!(Sampling { temperature: -1.0, ..sampling }.validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token. Default 1.
    pub temperature: f64,
    /// Keeps the `k` likeliest tokens; a `k` above the vocabulary keeps all. Default: all.
    pub top_k: Option<i64>,
    /// Keeps the likeliest tokens until their probabilities exceed `p`, `0 < p <= 1`
    /// (Holtzman et al. 2020). Default: all.
    pub top_p: Option<f64>,
    /// Keeps tokens at least `p` times as probable as the likeliest, `0 <= p <= 1` (Nguyen et al. 2024). Default: all.
    pub min_p: Option<f64>,
    /// Classifier-free guidance (Ho & Salimans 2022): `null + cfg_scale · (conditional - null)`. Default 1: none.
    pub cfg_scale: f64,
    /// Seed of the noise. Default 0.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: None, top_p: None, min_p: None, cfg_scale: 1.0, seed: 0 }
    }
}

impl Sampling {
    /// Looks at every value.
    ///
    /// # Errors
    /// [`PriorError::Config`] for the first value that is not allowed.
    pub fn validate(&self) -> Result<(), PriorError> {
        let check = |allowed: bool, field, reason: String| match allowed {
            true => Ok(()),
            false => Err(PriorError::config(field, reason)),
        };
        let Self { temperature, top_k, top_p, min_p, cfg_scale, seed: _ } = self;
        let finite = |value: f64| (0.0..f64::INFINITY).contains(&value);
        check(finite(*temperature), "temperature", format!("must be 0 (greedy) or positive, got {temperature}"))?;
        check(finite(*cfg_scale), "cfg_scale", format!("must be 0 or positive, got {cfg_scale}"))?;
        if let Some(k) = top_k {
            check(*k >= 1, "top_k", format!("must be at least 1, got {k}"))?;
        }
        if let Some(p) = top_p {
            check(*p > 0.0 && *p <= 1.0, "top_p", format!("must lie in (0, 1], got {p}"))?;
        }
        if let Some(p) = min_p {
            check((0.0..=1.0).contains(p), "min_p", format!("must lie in [0, 1], got {p}"))?;
        }
        Ok(())
    }

    fn guides(&self) -> bool {
        self.cfg_scale != 1.0
    }
}

/// Draws `batch` grids, the samples `first_sample..` of the sequence that `sampling.seed` names.
///
/// The noise of a token is a function of seed, number of the sample and position, so a sample is the same whatever
/// `batch` it is drawn in and whoever its neighbours are. With guidance, the cursor carries `2 · batch` rows.
/// Returns `[B, Q, H, W]`, where positions that `given` names carry its tokens.
///
/// # Errors
/// [`PriorError::Config`] for a value of `sampling` that is not allowed, or guidance of a prior without null condition;
/// otherwise as [`Prior::start`].
pub fn sample(
    prior: &dyn Prior,
    condition: &Condition,
    batch: i64,
    sampling: &Sampling,
    first_sample: u64,
    given: Option<&Given>,
) -> Result<TokenGrid, PriorError> {
    sampling.validate()?;
    let _guard = tch::no_grad_guard();
    let spec = prior.spec();
    let given = given.map(|given| given.in_order(spec, batch, prior.device())).transpose()?;
    let mut cursor = start(prior, condition, batch, sampling)?;
    let noise = noise::uniform(sampling.seed, first_sample, batch, cursor.len()).to_device(prior.device());
    let tokens = Tensor::empty([cursor.len(), batch], (Kind::Int64, prior.device()));
    for position in 0..cursor.len() {
        let mut draw = || draw_next(cursor.as_mut(), batch, sampling, &noise.get(position));
        let drawn = match &given {
            Some(given) => given.force(position, draw)?,
            None => draw()?,
        };
        tokens.get(position).copy_(&drawn);
        cursor.push(&if sampling.guides() { drawn.repeat([2]) } else { drawn })?;
    }
    let [height, width] = spec.grid;
    let shape = [height, width, spec.sizes.len() as i64, batch];
    Ok(TokenGrid::new(tokens.view(shape).permute([3, 2, 0, 1]).contiguous(), spec.sizes.clone())?)
}

fn start<'a>(
    prior: &'a dyn Prior,
    condition: &Condition,
    batch: i64,
    sampling: &Sampling,
) -> Result<Box<dyn Cursor + 'a>, PriorError> {
    if !sampling.guides() {
        return prior.start(condition, batch);
    }
    let null = prior.null(condition, batch)?;
    prior.spec().check(condition, batch, false)?;
    prior.start(&condition.followed_by(&null), 2 * batch)
}

fn draw_next(cursor: &mut dyn Cursor, batch: i64, sampling: &Sampling, uniform: &Tensor) -> Result<Tensor, PriorError> {
    let logits = cursor.logits()?;
    if !sampling.guides() {
        return Ok(draw::draw(&logits, sampling, uniform));
    }
    let (conditional, null) = (logits.narrow(0, 0, batch), logits.narrow(0, batch, batch));
    Ok(draw::draw(&null.lerp(&conditional, sampling.cfg_scale), sampling, uniform))
}
