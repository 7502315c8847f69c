//! The sizes of a batch, and how it is cut into parts.

use tch::Tensor;

/// Numbers in a part: they stay in the cache, and are many beside what a part costs. A part does not depend on the number of
/// threads, so neither does a sum.
const NUMBERS_PER_PART: usize = 16 << 10;

/// Numbers in a stretch at least: vector instructions are slow to start.
const NUMBERS_PER_STRETCH: usize = 256;

/// The sizes of `[B, H, W, C]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub images: usize,
    /// H times W.
    pub positions: usize,
    pub channels: usize,
    pub groups: usize,
    /// The numbers of some neighbouring positions, which a loop runs over at once.
    pub stretch: usize,
    /// Positions in a part, whole stretches; the last part of an image may have fewer.
    positions_per_part: usize,
}

/// Where a part lies.
pub(super) struct Part {
    pub image: usize,
    /// The first of its numbers.
    pub first: usize,
    /// How many numbers it has: those of whole positions.
    pub count: usize,
}

impl Sizes {
    /// # Panics
    /// When the groups do not divide the channels.
    pub fn of(rows: &Tensor, groups: i64) -> Self {
        let size: Vec<usize> = rows.size().into_iter().map(|side| side as usize).collect();
        let (channels, groups) = (size[3], usize::try_from(groups).unwrap_or(0));
        assert!(groups > 0 && channels.is_multiple_of(groups), "{groups} groups of {channels} channels");
        let positions_per_stretch = NUMBERS_PER_STRETCH.div_ceil(channels);
        let stretch = positions_per_stretch * channels;
        let positions_per_part = (NUMBERS_PER_PART / stretch).max(1) * positions_per_stretch;
        Self { images: size[0], positions: size[1] * size[2], channels, groups, stretch, positions_per_part }
    }

    pub fn channels_per_group(&self) -> usize {
        self.channels / self.groups
    }

    pub fn parts_per_image(&self) -> usize {
        self.positions.div_ceil(self.positions_per_part)
    }

    pub fn parts(&self) -> usize {
        self.images * self.parts_per_image()
    }

    #[inline(always)]
    pub fn part(&self, part: usize) -> Part {
        let (image, of_image) = (part / self.parts_per_image(), part % self.parts_per_image());
        let first = of_image * self.positions_per_part;
        let count = self.positions_per_part.min(self.positions - first);
        Part { image, first: (image * self.positions + first) * self.channels, count: count * self.channels }
    }
}
