//! Which tokens a training step reads, and which of them a prior predicts from which.

use tch::{Device, Kind, Tensor};
use vqkit_data::Permutation;
use vqkit_priors::Condition;
use vqkit_recipe::Recipe;
use vqkit_torch::{TokenGrid, Tokens};

use crate::{condition_encoder::with_grids, error::Result, token_set::TokenSet};

/// The grids of token files to predict, and the condition that they are predicted from.
///
/// # Errors
/// When libtorch refuses.
pub fn batch(
    tokens: &TokenSet,
    recipe: &Recipe,
    level: usize,
    places: &Tensor,
    device: Device,
) -> Result<(TokenGrid, Condition)> {
    let mut condition = tokens.condition(places, device)?;
    if recipe.condition.class {
        condition = condition.with_class(tokens.classes.f_index_select(0, places)?.f_to_device(device)?);
    }
    let levels = (0..=level).map(|level| tokens.grid(level, places, device)).collect::<Result<_>>()?;
    Ok(conditioned_on_coarser(condition, levels))
}

/// The last of several levels, at least one, and a condition with the coarser ones.
pub fn conditioned_on_coarser(condition: Condition, mut levels: Tokens) -> (TokenGrid, Condition) {
    let target = levels.remove(levels.len() - 1);
    (target, with_grids(condition, levels))
}

/// The samples of a step: one permutation of all samples per epoch, computed from the position alone.
pub fn places(seed: u64, position: u64, batch_size: usize, samples: usize) -> Tensor {
    let samples = samples as u64;
    let place = |position: u64| {
        let epoch = position / samples;
        Permutation::new(samples, (seed << 32) ^ epoch).at(position % samples) as i64
    };
    Tensor::from_slice(&(position..position + batch_size as u64).map(place).collect::<Vec<_>>())
}

/// All places from `start` to `end`.
pub fn places_between(start: usize, end: usize) -> Tensor {
    Tensor::arange_start(start as i64, end as i64, (Kind::Int64, Device::Cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_every_sample_once_whatever_the_batch_size() {
        let visited = |batch_size: usize| -> Vec<i64> {
            let starts = (0..60).step_by(batch_size);
            starts.flat_map(|at| Vec::<i64>::try_from(places(3, at as u64, batch_size, 20)).unwrap()).collect()
        };
        assert_eq!(visited(4), visited(6));
        for epoch in visited(4).chunks(20) {
            let mut epoch = epoch.to_vec();
            epoch.sort_unstable();
            assert!(epoch.into_iter().eq(0..20));
        }
    }
}
