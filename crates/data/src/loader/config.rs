//! How a loader goes through a view.

use std::thread;

use crate::{
    DataError, View,
    bounds::{MAX_PREFETCH, MAX_WORKERS, within},
};

/// The most samples of a batch.
const MAX_BATCH: u64 = 1 << 20;

/// The most ranks.
const MAX_WORLD: u64 = 1 << 16;

/// The last place that a stream begins at; no sum of places leaves 64 bits.
const MAX_START: u64 = 1 << 62;

/// In which order a loader goes through a view.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Epoch after epoch without end, each in an order of its own; batches run on over the ends of epochs.
    #[default]
    Shuffled,
    /// Once, from the first to the last.
    Sequential,
}

/// How a loader goes through a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Samples of a batch, per rank. Default 1.
    pub batch_size: usize,
    /// Decides order and augmentation. Default 0.
    pub seed: u64,
    /// Default [`Order::Shuffled`].
    pub order: Order,
    /// Samples that all ranks together have consumed already: [`Batch::position`](crate::Batch::position) of the last batch. Default 0.
    pub start: u64,
    /// Which rank this is, below `world`. Default 0.
    pub rank: usize,
    /// The number of ranks that share the stream. Default 1.
    pub world: usize,
    /// Decoding threads. Default: as `[data]` says.
    pub workers: Option<usize>,
    /// Batches decoded ahead. Default: as `[data]` says.
    pub prefetch: Option<usize>,
    /// Whether to mirror and to crop at random, where `[data]` says so; otherwise the middle is taken as it is. Default
    /// false.
    pub augment: bool,
    /// Whether to leave out a last batch that is not full, in a single pass. Default false.
    pub drop_last: bool,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            batch_size: 1,
            seed: 0,
            order: Order::Shuffled,
            start: 0,
            rank: 0,
            world: 1,
            workers: None,
            prefetch: None,
            augment: false,
            drop_last: false,
        }
    }
}

impl LoaderConfig {
    pub(super) fn validate(&self, view: &View) -> Result<(), DataError> {
        if view.is_empty() {
            return Err(DataError::config("validation", "there are no samples in this part of the data"));
        }
        within("batch_size", self.batch_size as u64, MAX_BATCH)?;
        self.workers.map_or(Ok(()), |workers| within("workers", workers as u64, MAX_WORKERS as u64))?;
        self.prefetch.map_or(Ok(()), |prefetch| within("prefetch", prefetch as u64, MAX_PREFETCH as u64))?;
        within("world", self.world as u64, MAX_WORLD)?;
        if self.start > MAX_START {
            return Err(DataError::config("start", format!("must be 0 to {MAX_START}, found {}", self.start)));
        }
        if self.rank >= self.world {
            let reason = format!("rank {} of a world of {}", self.rank, self.world);
            return Err(DataError::config("rank", reason));
        }
        Ok(())
    }
}

/// Decoding threads where nothing is said: a quarter of the cores, 1 to 8, so that the rest are left to the threads that
/// compute.
pub fn default_workers() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get() / 4).clamp(1, 8)
}
