//! Samples of priors that predict one level, as most tests want them.

use vqkit_priors::{AutoregressiveSampling, Condition, KnownTokens, Prior, PriorError, SampleOptions, Sampled};
use vqkit_torch::TokenGrid;

/// The samples `first_sample..` of a batch, as [`Prior::generate`] draws them.
pub fn sample(
    prior: &dyn Prior,
    condition: &Condition,
    batch: i64,
    sampling: &AutoregressiveSampling,
    first_sample: u64,
    known: Option<&KnownTokens>,
) -> Result<TokenGrid, PriorError> {
    let options = options(batch, sampling, first_sample, known);
    prior.generate(condition, &options).map(only_grid)
}

/// The options of such a call.
pub fn options<'k>(
    batch: i64,
    sampling: &AutoregressiveSampling,
    first_sample: u64,
    known: Option<&'k KnownTokens>,
) -> SampleOptions<'k> {
    let known = known.map_or(&[][..], std::slice::from_ref);
    SampleOptions { sampling: sampling.clone().into(), first_sample, known, ..SampleOptions::new(batch) }
}

/// The grid of the only level.
pub fn only_grid(mut sampled: Sampled) -> TokenGrid {
    assert_eq!(sampled.tokens.len(), 1);
    sampled.tokens.remove(0)
}
