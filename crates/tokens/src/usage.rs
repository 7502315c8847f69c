//! Codebook usage of every level of a tokenizer, over an epoch of training.

use tch::{Device, Tensor};
use vqkit_quantizer::{QuantizeError, Usage};
use vqkit_run::Tensors;
use vqkit_torch::TokenGrid;

use crate::{error::Result, level_order::places_between, token_set::TokenSet};

/// Number of images whose tokens are counted at once.
const COUNTED_AT_ONCE: usize = 4096;

/// One [`Usage`] per level, coarse first.
#[derive(Debug)]
pub struct TokenUsage {
    levels: Vec<Usage>,
    device: Device,
}

impl TokenUsage {
    /// Nothing counted yet. `sizes`: the codebooks' sizes of every level.
    pub fn new(sizes: &[Vec<i64>], device: Device) -> Self {
        Self { levels: sizes.iter().map(|sizes| Usage::new(sizes, device)).collect(), device }
    }

    /// Counts what [`save`](Self::save) saved.
    pub fn restore(sizes: &[Vec<i64>], device: Device, saved: &Tensors) -> Self {
        let usage = Self::new(sizes, device);
        for (name, mut counts) in usage.counts() {
            if let Some(saved) = saved.get(&name).filter(|saved| saved.size() == counts.size()) {
                counts.copy_(saved);
            }
        }
        usage
    }

    /// The usage over all tokens of a set.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn of(tokens: &TokenSet) -> Result<Self> {
        let mut usage = Self::new(&tokens.header.sizes, Device::Cpu);
        usage.count(tokens)?;
        Ok(usage)
    }

    /// Counts all tokens of a set.
    ///
    /// # Errors
    /// When they belong to other codebooks.
    pub fn count(&mut self, tokens: &TokenSet) -> Result<()> {
        for start in (0..tokens.len()).step_by(COUNTED_AT_ONCE) {
            let places = places_between(start, tokens.len().min(start + COUNTED_AT_ONCE));
            let grids = (0..tokens.shapes().len()).map(|level| tokens.grid(level, &places, self.device));
            self.add(&grids.collect::<Result<Vec<_>>>()?)?;
        }
        Ok(())
    }

    /// The counts by name.
    pub fn save(&self) -> Tensors {
        self.counts().collect()
    }

    /// Counts the grids of a batch, one per level.
    ///
    /// # Errors
    /// When a grid has other codebooks.
    pub fn add<'g>(&mut self, grids: impl IntoIterator<Item = &'g TokenGrid>) -> Result<(), QuantizeError> {
        self.levels.iter_mut().zip(grids).try_for_each(|(level, grid)| level.add(grid))
    }

    /// Resets all counts to zero.
    pub fn reset(&mut self) {
        let sizes: Vec<Vec<i64>> = self.levels.iter().map(sizes).collect();
        *self = Self::new(&sizes, self.device);
    }

    /// Each level by itself.
    pub fn levels(&self) -> &[Usage] {
        &self.levels
    }

    fn counts(&self) -> impl Iterator<Item = (String, Tensor)> + '_ {
        self.levels.iter().enumerate().flat_map(|(level, usage)| {
            let codebooks = usage.codebooks().iter().enumerate();
            codebooks.map(move |(q, codebook)| (format!("usage.{level}.{q}"), codebook.counts().shallow_clone()))
        })
    }
}

fn sizes(usage: &Usage) -> Vec<i64> {
    usage.codebooks().iter().map(|codebook| codebook.counts().size()[0]).collect()
}
