//! The tokens of every level: the usage of codes, and their bits under a prior.

use std::f64::consts::LN_2;
use vqkit_models::load;
use vqkit_run::{Context, Run};
use vqkit_tokens::{Split, TokenUsage, bits, run_tokens};

use crate::{error::Result, metrics::LevelMetrics};

/// The metrics of every level, coarse first.
///
/// # Errors
/// When the run has no tokens, or a prior is missing.
pub fn of_run(run: &Run, context: &Context) -> Result<Vec<LevelMetrics>> {
    let recipe = run.recipe();
    let tokens = run_tokens::read_tokens(run, Split::Validation)?;
    let usage = TokenUsage::of(&tokens)?;
    let priors = load::priors(run, tokens.header.facts(), context)?;
    let mut levels = Vec::new();
    for (level, usage) in usage.levels().iter().enumerate() {
        let bits = match priors.get(level) {
            None => None,
            Some(prior) => {
                let prior = prior.as_ref();
                Some(bits::bits_per_token(prior, recipe, level, &tokens, tokens.len(), context)?)
            }
        };
        let shape = &tokens.shapes()[level];
        levels.push(LevelMetrics {
            positions: shape[1..].iter().product(),
            codebooks: shape[0],
            codes: tokens.header.sizes[level][0],
            usage: usage.usage(),
            perplexity: usage.perplexity(),
            unigram_bits_per_token: usage.entropy() / LN_2,
            prior_nats_per_token: bits.map(|bits| bits * LN_2),
            prior_bits_per_token: bits,
            prior_bits_per_dim: bits.map(|bits| bits::bits_per_dim(bits, shape, recipe)),
        });
    }
    Ok(levels)
}
