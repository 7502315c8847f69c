//! One side of a comparison: statistics, and the images that they come from.

use crate::{image_set::Origin, image_set::PictureSet, statistics::Statistics};

/// One side of a comparison.
pub struct Side {
    /// Of its images, as a network sees them.
    pub statistics: Statistics,
    /// The images, where they are at hand.
    pub set: Option<PictureSet>,
    /// Whether the statistics were there already.
    pub from_cache: bool,
}

impl Side {
    /// The pictures, where the statistics say.
    pub fn origin(&self) -> Option<&Origin> {
        self.statistics.header.as_ref().map(|header| &header.origin)
    }
}
