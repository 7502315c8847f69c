//! The sampler: stands outside the cursor, draws, guides, and forces given tokens, for every prior alike.

mod draw;
mod drawing;
mod given;
mod ngram;
mod noise;
mod options;
mod window;

use tch::{Device, Kind, Tensor};
use vqkit_torch::{TokenGrid, autocast, memory};

use self::drawing::{Candidate, Task};
use self::window::Windows;
use crate::{Condition, GridSpec, Prior, PriorError};

pub use draw::{min_p, top_k, top_p};
pub use given::Given;
pub use options::{CfgSchedule, Sampling, SamplingWeights};

/// Grids that were drawn, and how likely they are.
#[derive(Debug)]
pub struct Sampled {
    /// `[B, Q, H, W]`
    pub tokens: TokenGrid,
    /// Of each grid's tokens under the prior, in nats, `[B]`, f64: the sum over what was drawn of the logarithm of its
    /// conditional probability at temperature 1, without guidance and filters. Given tokens do not count.
    pub log_likelihood: Tensor,
}

/// Draws `batch` grids, the samples `first_sample..` of the sequence that `sampling.seed` names.
///
/// The noise of a token is a function of seed, number of the sample, candidate and position, so a sample is the same
/// whatever `batch` it is drawn in and whoever its neighbours are. With guidance, the cursor carries every row twice.
/// Returns `[B, Q, H, W]`, where positions that `given` names carry its tokens; runs of positions that are given in all rows
/// are read in one pass.
///
/// A grid larger than the prior's `[H, W]` ([`Sampling::size`]) is drawn through a window of that size: each token is
/// predicted from those of its window that precede it in raster order, and stands as near to the window's middle as the
/// borders allow (the sliding attention window of Esser et al. 2021, section 3.2). A cursor starts anew where the window moves,
/// and is handed in one piece what precedes. Condition grids are larger in the same proportion, and a window sees the part of them
/// that lies under it; so coordinates, which are a grid too, follow.
///
/// # Errors
/// [`PriorError::Config`] for a value of `sampling` that is not allowed, guidance of a prior without null condition, or a
/// larger grid of a prior that does not read in raster order; [`PriorError::Logits`] when the prior gives no numbers; otherwise as
/// [`Prior::start`].
pub fn sample(
    prior: &dyn Prior,
    condition: &Condition,
    batch: i64,
    sampling: &Sampling,
    first_sample: u64,
    given: Option<&Given>,
) -> Result<TokenGrid, PriorError> {
    let batch = Batch { batch, first_sample, given, scored: sampling.best_of > 1, is_stopped: &|| false };
    Ok(run(prior, condition, sampling, &batch)?.tokens)
}

/// As [`sample`], and says how likely each grid is. `is_stopped` is asked before every token, and stops the work.
///
/// ```
/// use tch::{Device, nn};
/// use vqkit_priors::{Condition, GatedPixelCnnConfig, PriorSpec, Sampling, sample_scored};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let prior = GatedPixelCnnConfig::new(8, 2).build(&vs.root(), &PriorSpec::new(vec![32], [4, 4]))?;
/// let sampling = Sampling { best_of: 3, size: Some([4, 7]), ..Sampling::default() };
/// let sampled = sample_scored(&prior, &Condition::none(), 2, &sampling, 0, None, &|| false)?;
/// assert_eq!(sampled.tokens.indices.size(), [2, 1, 4, 7]);
/// assert!(sampled.log_likelihood.max().double_value(&[]) < 0.0);
/// # Ok::<(), vqkit_priors::PriorError>(())
/// ```
///
/// # Errors
/// As [`sample`]; [`PriorError::Stopped`] when `is_stopped` said so.
pub fn sample_scored(
    prior: &dyn Prior,
    condition: &Condition,
    batch: i64,
    sampling: &Sampling,
    first_sample: u64,
    given: Option<&Given>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Sampled, PriorError> {
    run(prior, condition, sampling, &Batch { batch, first_sample, given, scored: true, is_stopped })
}

/// Which grids are drawn at once.
struct Batch<'b> {
    batch: i64,
    first_sample: u64,
    given: Option<&'b Given>,
    scored: bool,
    is_stopped: &'b dyn Fn() -> bool,
}

fn run(prior: &dyn Prior, condition: &Condition, sampling: &Sampling, batch: &Batch) -> Result<Sampled, PriorError> {
    let Batch { batch, first_sample, given, scored, is_stopped } = *batch;
    sampling.validate()?;
    if batch < 1 {
        return Err(PriorError::config("batch", format!("must be at least 1, got {batch}")));
    }
    let _guard = tch::no_grad_guard();
    let windows = Windows::new(prior, sampling.size)?;
    check_memory(prior, &windows, batch)?;
    let guided = sampling.guides(windows.positions());
    let grid = GridSpec { sizes: prior.spec().sizes.clone(), grid: windows.grid() };
    let places = prior.places().filter(|places| !places.is_sorted());
    let given = given.map(|given| given.in_order(&grid, places, batch)).transpose()?;
    let rows = padded_rows(batch, prior.row_multiple());
    let task = Task {
        prior,
        sampling,
        condition: padded(prior, &windows, condition, batch, &rows, guided)?,
        windows,
        given: given.map(|given| given.rows(&rows, prior.device())),
        num_rows: rows.size()[0],
        guided,
        first_sample,
        scored,
        is_stopped,
    };
    // A draw is fp32, but for weights that were prepared otherwise.
    let Candidate { tokens, log_likelihood } = autocast::disabled(prior.device(), || best(&task))?;
    Ok(Sampled {
        tokens: in_raster(&tokens.narrow(1, 0, batch), grid, places)?,
        log_likelihood: log_likelihood.narrow(0, 0, batch),
    })
}

/// What a batch takes at least, whatever the prior: tokens and noise of every position, and logits, probabilities and their sums of one.
fn check_memory(prior: &dyn Prior, windows: &Windows, batch: i64) -> Result<(), PriorError> {
    const OF_TOKEN: u64 = 16;
    const OF_CODE: u64 = 16;
    let positions = windows.positions().unsigned_abs();
    let codes = prior.spec().sizes.iter().max().map_or(0, |size| size.unsigned_abs());
    let of_row = positions.saturating_mul(OF_TOKEN).saturating_add(codes.saturating_mul(OF_CODE));
    let what = format!("drawing {batch} grids of {positions} tokens at once");
    Ok(memory::check(&what, of_row.saturating_mul(batch.unsigned_abs()))?)
}

/// Of every row, the likeliest of its candidates.
fn best(task: &Task) -> Result<Candidate, PriorError> {
    let mut best = task.draw(0)?;
    for index in 1..task.sampling.best_of as u64 {
        let other = task.draw(index)?;
        let better = other.log_likelihood.gt_tensor(&best.log_likelihood);
        best = Candidate {
            tokens: other.tokens.where_self(&better, &best.tokens),
            log_likelihood: other.log_likelihood.where_self(&better, &best.log_likelihood),
        };
    }
    Ok(best)
}

/// `[positions, B]` in the order of drawing as a grid.
fn in_raster(tokens: &Tensor, grid: GridSpec, places: Option<&[i64]>) -> Result<TokenGrid, PriorError> {
    let [height, width] = grid.grid;
    let (books, batch) = (grid.sizes.len() as i64, tokens.size()[1]);
    let mut by_place = tokens.reshape([height * width, books, batch]);
    if let Some(places) = places {
        let inverse = Tensor::from_slice(places).argsort(0, false).to_device(tokens.device());
        by_place = by_place.index_select(0, &inverse);
    }
    let indices = by_place.view([height, width, books, batch]).permute([3, 2, 0, 1]).contiguous();
    Ok(TokenGrid::new(indices, grid.sizes)?)
}

/// The rows of a batch, the last of them repeated: `[R]`, where `R` is a multiple of `multiple`.
fn padded_rows(batch: i64, multiple: i64) -> Tensor {
    let num_rows = (batch - 1) / multiple * multiple + multiple;
    Tensor::arange(num_rows, (Kind::Int64, Device::Cpu)).clamp_max(batch - 1)
}

/// The condition of the rows, and with guidance behind it their null condition.
fn padded(
    prior: &dyn Prior,
    windows: &Windows,
    condition: &Condition,
    batch: i64,
    rows: &Tensor,
    guided: bool,
) -> Result<Condition, PriorError> {
    // Where a null value may stand in for a missing class, `Prior::start` decides; guidance needs one to move away from.
    windows.whole(prior.spec()).check(condition, batch, !guided)?;
    let padded = condition.rows(rows);
    match guided {
        false => Ok(padded),
        true => Ok(padded.followed_by(&prior.null(&padded, rows.size()[0])?)),
    }
}
