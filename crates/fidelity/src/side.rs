//! One side of a comparison: statistics, and the images that they come from.

use crate::{image_set::Origin, image_set::PictureSet, statistics::Statistics};

/// One side of a comparison.
pub struct Side {
    /// Statistics of the features of its images.
    pub statistics: Statistics,
    /// The images, where they are available.
    pub set: Option<PictureSet>,
    /// Whether the statistics came from the cache.
    pub from_cache: bool,
}

impl Side {
    /// Where the images come from, where the statistics say so.
    pub fn origin(&self) -> Option<&Origin> {
        self.statistics.header.as_ref().map(|header| &header.origin)
    }
}
