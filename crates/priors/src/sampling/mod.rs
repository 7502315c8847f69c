//! The sampler: stands outside the cursor, draws, guides, and forces given tokens, for every prior alike.

mod draw;
mod given;
mod noise;
mod weights;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use vqkit_torch::TokenGrid;

use self::given::{At, InOrder};
use crate::{Condition, Cursor, Prior, PriorError};

pub use draw::{min_p, top_k, top_p};
pub use given::Given;
pub use weights::SamplingWeights;

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
/// `batch` it is drawn in and whoever its neighbours are. With guidance, the cursor carries every row twice.
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
    if batch < 1 {
        return Err(PriorError::config("batch", format!("must be at least 1, got {batch}")));
    }
    let _guard = tch::no_grad_guard();
    let spec = prior.spec();
    let given = given.map(|given| given.in_order(spec, &prior.places(), batch)).transpose()?;
    let rows = padded_rows(batch, prior.row_multiple());
    let num_rows = rows.size()[0];
    let mut drawing = Drawing {
        cursor: start(prior, condition, batch, &rows, sampling)?,
        sampling,
        num_rows,
        noise: noise::uniform(sampling.seed, first_sample, num_rows, spec.positions()).to_device(prior.device()),
        given: given.map(|given| given.rows(&rows, prior.device())),
    };
    let tokens = Tensor::empty([spec.positions(), num_rows], (Kind::Int64, prior.device()));
    for position in 0..spec.positions() {
        tokens.get(position).copy_(&drawing.advance(position)?);
    }
    let [height, width] = spec.grid;
    let raster = Tensor::from_slice(&prior.places()).argsort(0, false).to_device(prior.device());
    let tokens = tokens.view([height * width, spec.sizes.len() as i64, num_rows]).narrow(2, 0, batch);
    let tokens = tokens.index_select(0, &raster).permute([2, 1, 0]).contiguous();
    Ok(TokenGrid::new(tokens.view([batch, -1, height, width]), spec.sizes.clone())?)
}

/// The rows of a batch, the last of them repeated: `[R]`, where `R` is a multiple of `multiple`.
fn padded_rows(batch: i64, multiple: i64) -> Tensor {
    let num_rows = (batch - 1) / multiple * multiple + multiple;
    Tensor::arange(num_rows, (Kind::Int64, Device::Cpu)).clamp_max(batch - 1)
}

fn start<'a>(
    prior: &'a dyn Prior,
    condition: &Condition,
    batch: i64,
    rows: &Tensor,
    sampling: &Sampling,
) -> Result<Box<dyn Cursor + 'a>, PriorError> {
    // Where a null value may stand in for a missing class, `Prior::start` decides; guidance needs one to move away from.
    prior.spec().check(condition, batch, !sampling.guides())?;
    let padded = condition.rows(rows);
    let num_rows = rows.size()[0];
    if !sampling.guides() {
        return prior.start(&padded, num_rows);
    }
    prior.start(&padded.followed_by(&prior.null(&padded, num_rows)?), 2 * num_rows)
}

/// A batch being drawn.
struct Drawing<'a> {
    cursor: Box<dyn Cursor + 'a>,
    sampling: &'a Sampling,
    num_rows: i64,
    /// `[positions, R]`
    noise: Tensor,
    given: Option<InOrder>,
}

impl Drawing<'_> {
    /// Draws and pushes the tokens `[R]` of a position.
    fn advance(&mut self, position: i64) -> Result<Tensor, PriorError> {
        let given = self.given.as_ref().and_then(|given| given.at(position));
        let tokens = match given {
            Some(At { tokens, mask: None }) => tokens,
            Some(At { tokens, mask: Some(mask) }) => tokens.where_self(&mask, &self.draw(position)?),
            None => self.draw(position)?,
        };
        if self.sampling.guides() {
            self.cursor.push(&tokens.repeat([2]))?;
        } else {
            self.cursor.push(&tokens)?;
        }
        Ok(tokens)
    }

    fn draw(&mut self, position: i64) -> Result<Tensor, PriorError> {
        let logits = self.cursor.logits()?;
        let noise = self.noise.get(position);
        if !self.sampling.guides() {
            return Ok(draw::draw(&logits, self.sampling, &noise));
        }
        let [conditional, null] = [0, self.num_rows].map(|first| logits.narrow(0, first, self.num_rows));
        Ok(draw::draw(&null.lerp(&conditional, self.sampling.cfg_scale), self.sampling, &noise))
    }
}
