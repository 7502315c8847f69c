//! Which sample stands at which position: arithmetic alone, so that any position can be resumed at and any rank knows its
//! share.

use crate::{LoaderConfig, Order, Permutation};

/// A sample at its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub epoch: u64,
    pub index: usize,
}

/// The positions of one rank. Position `p` of the stream belongs to rank `p mod world`, counted from `start`.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    len: u64,
    batch_size: u64,
    seed: u64,
    order: Order,
    start: u64,
    rank: u64,
    world: u64,
    drop_last: bool,
}

impl Plan {
    pub(super) fn new(len: usize, config: &LoaderConfig) -> Self {
        Self {
            len: len as u64,
            batch_size: config.batch_size as u64,
            seed: config.seed,
            order: config.order,
            start: config.start,
            rank: config.rank as u64,
            world: config.world as u64,
            drop_last: config.drop_last,
        }
    }

    /// The samples of this rank's batch number `batch`; none after the last one.
    pub(super) fn slots(&self, batch: u64) -> Vec<Slot> {
        let first =
            self.start.saturating_add(batch.saturating_mul(self.batch_size * self.world)).saturating_add(self.rank);
        let positions = (0..self.batch_size).map(|place| first.saturating_add(place * self.world));
        let slots: Vec<Slot> = match self.order {
            Order::Sequential => positions
                .take_while(|position| *position < self.len)
                .map(|position| Slot { epoch: 0, index: position as usize })
                .collect(),
            Order::Shuffled => self.shuffled(positions),
        };
        match self.drop_last && (slots.len() as u64) < self.batch_size {
            true => Vec::new(),
            false => slots,
        }
    }

    fn shuffled(&self, positions: impl Iterator<Item = u64>) -> Vec<Slot> {
        let mut current: Option<(u64, Permutation)> = None;
        positions
            .map(|position| {
                let (epoch, place) = (position / self.len, position % self.len);
                if current.as_ref().is_none_or(|(known, _)| *known != epoch) {
                    current = Some((epoch, epoch_order(self.len, self.seed, epoch)));
                }
                let index = current.as_ref().map_or(place, |(_, order)| order.at(place));
                Slot { epoch, index: index as usize }
            })
            .collect()
    }

    /// Samples consumed by all ranks once they have had their batch number `batch`.
    pub(super) fn consumed(&self, batch: u64) -> u64 {
        let batches = batch.saturating_add(1).saturating_mul(self.batch_size * self.world);
        let consumed = self.start.saturating_add(batches);
        match self.order {
            Order::Sequential => consumed.min(self.len),
            Order::Shuffled => consumed,
        }
    }
}

fn epoch_order(len: u64, seed: u64, epoch: u64) -> Permutation {
    Permutation::new(len, crate::random::Random::keyed(&[seed, epoch]).bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(config: &LoaderConfig, batches: std::ops::Range<u64>) -> Vec<usize> {
        let plan = Plan::new(10, config);
        batches.flat_map(|batch| plan.slots(batch)).map(|slot| slot.index).collect()
    }

    #[test]
    fn every_epoch_holds_every_sample_once_in_another_order() {
        let config = LoaderConfig { batch_size: 5, ..LoaderConfig::default() };
        let (mut first, mut second) = (indices(&config, 0..2), indices(&config, 2..4));
        assert_ne!(first, second);
        first.sort_unstable();
        second.sort_unstable();
        assert_eq!((&first, &second), (&(0..10).collect(), &(0..10).collect()));
    }

    #[test]
    fn a_stream_resumes_at_any_sample() {
        let whole = LoaderConfig { batch_size: 1, ..LoaderConfig::default() };
        let later = LoaderConfig { batch_size: 4, start: 7, ..LoaderConfig::default() };
        assert_eq!(indices(&whole, 7..27), indices(&later, 0..5));
    }

    #[test]
    fn ranks_share_the_stream() {
        let whole = LoaderConfig { batch_size: 6, ..LoaderConfig::default() };
        let rank = |rank| LoaderConfig { batch_size: 2, rank, world: 3, ..LoaderConfig::default() };
        let parts: Vec<Vec<usize>> = (0..3).map(|r| indices(&rank(r), 0..5)).collect();
        let merged: Vec<usize> = (0..30).map(|i| parts[i % 3][i / 3]).collect();
        assert_eq!(indices(&whole, 0..5), merged);
        assert_eq!(Plan::new(10, &rank(1)).consumed(4), 30);
    }

    #[test]
    fn one_pass_ends_and_may_drop_its_last_batch() {
        let config = LoaderConfig { batch_size: 4, order: Order::Sequential, ..LoaderConfig::default() };
        let plan = Plan::new(10, &config);
        assert_eq!([0, 1, 2, 3].map(|batch| plan.slots(batch).len()), [4, 4, 2, 0]);
        assert_eq!(plan.consumed(2), 10);
        let plan = Plan::new(10, &LoaderConfig { drop_last: true, ..config });
        assert_eq!([0, 1, 2].map(|batch| plan.slots(batch).len()), [4, 4, 0]);
    }
}
