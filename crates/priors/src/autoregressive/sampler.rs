//! The sampler of autoregressive priors: draws tokens from a cursor's logits, applies guidance, and writes known tokens.

use tch::{Device, Kind, Tensor};
use vqkit_torch::{TokenGrid, autocast, memory};

use super::drawing::{Candidate, Task};
use super::known::KnownSequence;
use super::window::Windows;
use crate::{Autoregressive, Condition, GridSpec, KnownTokens, PriorError, SampleOptions, Sampled, Sampling};

/// Draws a batch of grids token by token; [`Prior::generate`](crate::Prior::generate) of an autoregressive prior.
///
/// The noise of a token is a function of seed, number of the sample, candidate and position, so a sample is the same
/// whatever batch it is drawn in. With guidance, or to compare candidates by their condition, the cursor carries every row twice. Positions at which tokens are known
/// carry these; runs of positions that are known in all rows are read in one pass.
///
/// A grid larger than the prior's `[H, W]` ([`AutoregressiveSampling::size`](crate::AutoregressiveSampling::size)) is drawn through a
/// window of that size: each token is predicted from those of its window that precede it in raster order, and the window is placed
/// so that the token is as near to its middle as the borders allow (the sliding attention window of Esser et al. 2021, section 3.2).
/// Where the window moves, a new cursor starts and reads in one pass what precedes. Condition grids are larger in the same proportion, and a window sees the part of them
/// that lies under it; so coordinates, which are a grid too, follow.
///
/// ```
/// use tch::{Device, nn};
/// use vqkit_priors::{AutoregressiveSampling, Condition, GatedPixelCnnConfig, Prior, PriorSpec, SampleOptions};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let prior = GatedPixelCnnConfig::new(8, 2).build(&vs.root(), &PriorSpec::new(vec![32], [4, 4]))?;
/// let sampling = AutoregressiveSampling { best_of: 3, size: Some([4, 7]), ..Default::default() }.into();
/// let options = SampleOptions { sampling, log_likelihood: true, ..SampleOptions::new(2) };
/// let sampled = prior.generate(&Condition::none(), &options)?;
/// assert_eq!(sampled.tokens[0].indices.size(), [2, 1, 4, 7]);
/// assert!(sampled.log_likelihood.is_some_and(|nats| nats.max().double_value(&[]) < 0.0));
/// # Ok::<(), vqkit_priors::PriorError>(())
/// ```
///
/// # Errors
/// [`PriorError::Config`] for an option that is not allowed, a prior without null condition where one is needed, or a
/// larger grid of a prior that does not read in raster order; [`PriorError::Logits`] when the prior gives NaN or infinities;
/// [`PriorError::Stopped`] when `is_stopped` says so; otherwise as [`Autoregressive::start`].
pub fn sample(
    prior: &dyn Autoregressive,
    condition: &Condition,
    options: &SampleOptions,
) -> Result<Sampled, PriorError> {
    let Sampling::Autoregressive(sampling) = &options.sampling;
    sampling.validate()?;
    let batch = options.batch;
    if batch < 1 {
        return Err(PriorError::config("batch", format!("must be at least 1, got {batch}")));
    }
    let _guard = tch::no_grad_guard();
    let windows = Windows::new(prior, sampling.size)?;
    check_memory(prior, &windows, batch)?;
    let with_null = sampling.needs_null(windows.positions());
    let grid = GridSpec { sizes: prior.spec().target.sizes.clone(), grid: windows.grid() };
    let order = prior.token_order().filter(|order| !order.is_sorted());
    let known = only(options.known)?.map(|known| KnownSequence::new(known, &grid, order, batch)).transpose()?;
    let rows = padded_rows(batch, prior.row_multiple());
    let task = Task {
        prior,
        sampling,
        condition: padded(prior, &windows, condition, batch, &rows, with_null)?,
        windows,
        known: known.map(|known| known.rows(&rows, prior.device())),
        num_rows: rows.size()[0],
        with_null,
        first_sample: options.first_sample,
        scored: options.log_likelihood || sampling.best_of > 1,
        is_stopped: options.is_stopped,
    };
    // Drawing is fp32, but for weights that were prepared otherwise.
    let Candidate { tokens, log_likelihood, .. } = autocast::disabled(prior.device(), || best(&task))?;
    Ok(Sampled {
        tokens: vec![in_raster(&tokens.narrow(1, 0, batch), grid, order)?],
        log_likelihood: options.log_likelihood.then(|| log_likelihood.narrow(0, 0, batch)),
    })
}

/// Whether [`sample`] can draw with these options; draws nothing. [`Prior::check_sampling`](crate::Prior::check_sampling) of an autoregressive prior.
///
/// # Errors
/// As [`sample`] for a value of `sampling`.
pub fn check(prior: &dyn Autoregressive, sampling: &Sampling) -> Result<(), PriorError> {
    let Sampling::Autoregressive(sampling) = sampling;
    sampling.validate()?;
    let windows = Windows::new(prior, sampling.size)?;
    if sampling.needs_null(windows.positions()) {
        prior.null(&Condition::none(), 1)?;
    }
    Ok(())
}

/// The known tokens of the one level that an autoregressive prior predicts.
fn only(known: &[KnownTokens]) -> Result<Option<&KnownTokens>, PriorError> {
    match known {
        [] => Ok(None),
        [known] => Ok(Some(known)),
        several => {
            let (want, got) = ("of one level".into(), format!("{} levels", several.len()));
            Err(PriorError::Shape { what: "known tokens".into(), want, got })
        }
    }
}

/// Whether there is memory for what a batch takes at least, whatever the prior: tokens and noise of every position, and logits,
/// probabilities and cumulative sums of one position.
fn check_memory(prior: &dyn Autoregressive, windows: &Windows, batch: i64) -> Result<(), PriorError> {
    const OF_TOKEN: u64 = 16;
    const OF_CODE: u64 = 16;
    let positions = windows.positions().unsigned_abs();
    let codes = prior.spec().target.sizes.iter().max().map_or(0, |size| size.unsigned_abs());
    let of_row = positions.saturating_mul(OF_TOKEN).saturating_add(codes.saturating_mul(OF_CODE));
    let what = format!("drawing {batch} grids of {positions} tokens at once");
    Ok(memory::check(&what, of_row.saturating_mul(batch.unsigned_abs()))?)
}

/// The best candidate of every row.
fn best(task: &Task) -> Result<Candidate, PriorError> {
    let mut best = task.draw(0)?;
    for index in 1..task.sampling.best_of as u64 {
        let other = task.draw(index)?;
        let better = other.score.gt_tensor(&best.score);
        best = Candidate {
            tokens: other.tokens.where_self(&better, &best.tokens),
            log_likelihood: other.log_likelihood.where_self(&better, &best.log_likelihood),
            score: other.score.where_self(&better, &best.score),
        };
    }
    Ok(best)
}

/// `[positions, B]` in the order of drawing as a grid.
fn in_raster(tokens: &Tensor, grid: GridSpec, order: Option<&[i64]>) -> Result<TokenGrid, PriorError> {
    let [height, width] = grid.grid;
    let (books, batch) = (grid.sizes.len() as i64, tokens.size()[1]);
    let mut raster = tokens.reshape([height * width, books, batch]);
    if let Some(order) = order {
        let inverse = Tensor::from_slice(order).argsort(0, false).to_device(tokens.device());
        raster = raster.index_select(0, &inverse);
    }
    let indices = raster.view([height, width, books, batch]).permute([3, 2, 0, 1]).contiguous();
    Ok(TokenGrid::new(indices, grid.sizes)?)
}

/// The rows of a batch, the last of them repeated: `[R]`, where `R` is a multiple of `multiple`.
fn padded_rows(batch: i64, multiple: i64) -> Tensor {
    let num_rows = (batch - 1) / multiple * multiple + multiple;
    Tensor::arange(num_rows, (Kind::Int64, Device::Cpu)).clamp_max(batch - 1)
}

/// The condition of the rows. Where it is needed their null condition follows, and its null values stand in for the kinds that are missing.
fn padded(
    prior: &dyn Autoregressive,
    windows: &Windows,
    condition: &Condition,
    batch: i64,
    rows: &Tensor,
    with_null: bool,
) -> Result<Condition, PriorError> {
    // `Autoregressive::start` decides whether a null value may replace a kind that is missing.
    windows.whole(prior.spec()).check(condition, batch, true)?;
    let padded = condition.rows(rows);
    if !with_null {
        return Ok(padded);
    }
    let null = prior.null(&padded, rows.size()[0])?;
    Ok(padded.or(&null).followed_by(&null))
}
