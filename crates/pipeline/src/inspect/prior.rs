//! The priors that a recipe would build: size, work and memory, from their configurations alone.

use std::fmt;

use serde::Serialize;
use vqkit_models::{ConditionVocabulary, Tokenizers};
use vqkit_priors::Cost;
use vqkit_recipe::{Recipe, stage_names};

use crate::error::Result;

/// The prior of one level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PriorPlan {
    /// Its stage.
    pub stage: String,
    /// The `type` of its network.
    pub network: &'static str,
    /// Tokens of an image's grid at this level, of all codebooks.
    pub tokens_per_image: i64,
    /// Parameters, work and state in numbers.
    pub cost: Cost,
    /// Floating-point operations of a training step per token, three times those of a forward pass.
    pub training_flops_per_token: i64,
    /// Bytes in memory.
    pub bytes: Bytes,
}

/// Bytes in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// The weights in fp32, as they are trained.
    pub weights_fp32: i64,
    /// The weights in bf16.
    pub weights_bf16: i64,
    /// The gradients, in fp32.
    pub gradients: i64,
    /// The optimizer's state: two fp32 numbers per parameter; Muon keeps only one for the weights that it trains.
    pub optimizer_at_most: i64,
    /// The averaged weights, where the recipe keeps them.
    pub average: i64,
    /// The cache of sampling per sample, in fp32.
    pub cache_per_sample_fp32: i64,
    /// The same in bf16.
    pub cache_per_sample_bf16: i64,
}

impl Bytes {
    fn of(cost: &Cost, averages: bool) -> Self {
        let (parameters, cache) = (cost.parameters, cost.cache_values_per_sample);
        Self {
            weights_fp32: 4 * parameters,
            weights_bf16: 2 * parameters,
            gradients: 4 * parameters,
            optimizer_at_most: 8 * parameters,
            average: if averages { 4 * parameters } else { 0 },
            cache_per_sample_fp32: 4 * cache,
            cache_per_sample_bf16: 2 * cache,
        }
    }
}

/// The plan of the prior of a level.
///
/// # Errors
/// When it cannot be built for the tokenizer's grids.
pub fn of_level(
    recipe: &Recipe,
    tokenizers: &Tokenizers,
    level: usize,
    facts: ConditionVocabulary,
) -> Result<PriorPlan> {
    let spec = tokenizers.prior_spec(recipe, level, facts)?;
    let prior = &recipe.priors[level];
    let cost = prior.network.cost(&spec)?;
    Ok(PriorPlan {
        stage: stage_names::stages(recipe)[level].clone(),
        network: prior.network.type_name(),
        tokens_per_image: spec.positions(),
        training_flops_per_token: cost.training_flops_per_token(),
        bytes: Bytes::of(&cost, prior.train.ema_decay > 0.0),
        cost,
    })
}

impl fmt::Display for PriorPlan {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let Self { stage, network, tokens_per_image, cost, training_flops_per_token, bytes } = self;
        let parameters = count(cost.parameters);
        writeln!(out, "{stage}: {network}, {parameters} parameters, {tokens_per_image} tokens per image")?;
        let (forward, training) = (count(cost.forward_flops_per_token), count(*training_flops_per_token));
        writeln!(out, "    work per token: {forward} FLOP forward, {training} FLOP in training")?;
        let (fp32, bf16) = (size(bytes.weights_fp32), size(bytes.weights_bf16));
        let (gradients, optimizer) = (size(bytes.gradients), size(bytes.optimizer_at_most));
        write!(out, "    memory: weights {fp32} in fp32, {bf16} in bf16; ")?;
        write!(out, "in training also gradients {gradients}, optimizer at most {optimizer}")?;
        match bytes.average {
            0 => writeln!(out)?,
            average => writeln!(out, ", averaged weights {}", size(average))?,
        }
        let (fp32, bf16) = (size(bytes.cache_per_sample_fp32), size(bytes.cache_per_sample_bf16));
        writeln!(out, "    sampling cache per sample: {fp32} in fp32, {bf16} in bf16")
    }
}

/// Three digits, with the unit's prefix.
pub fn count(value: i64) -> String {
    scaled(value, &["", " k", " M", " G", " T", " P"])
}

fn size(bytes: i64) -> String {
    scaled(bytes, &[" B", " kB", " MB", " GB", " TB", " PB"])
}

fn scaled(value: i64, units: &[&str]) -> String {
    let (mut scaled, mut step) = (value as f64, 0);
    while scaled >= 999.5 && step + 1 < units.len() {
        (scaled, step) = (scaled / 1000.0, step + 1);
    }
    let digits = match scaled {
        _ if step == 0 => 0,
        99.95.. => 0,
        9.995.. => 1,
        _ => 2,
    };
    format!("{scaled:.digits$}{}", units[step])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let said = [0, 7, 999, 1000, 1234, 99_940, 99_960, 999_600, 3_040_000_000].map(count);
        assert_eq!(said, ["0", "7", "999", "1.00 k", "1.23 k", "99.9 k", "100 k", "1.00 M", "3.04 G"]);
        assert_eq!(size(12_300_000), "12.3 MB");
    }
}
