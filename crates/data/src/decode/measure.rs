//! What an image will take in memory.

/// Bytes per pixel that resizing holds beside a picture, and turning it upright.
const RESIZING: u64 = 4;

/// Bytes that any decoder holds, however small the picture.
const OVERHEAD: u64 = 256 << 10;

/// What an image file declares, and what decoding and resizing it will take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measure {
    pub width: u64,
    pub height: u64,
    /// The most memory that is held at once, in bytes.
    pub peak: u64,
}

impl Measure {
    /// Of a picture of this size that comes out with `out` bytes per pixel, whose decoder holds `working` bytes beside it.
    pub(super) fn new(width: u64, height: u64, out: u64, working: u64) -> Self {
        let area = width.saturating_mul(height);
        let beside = working.max(area.saturating_mul(RESIZING));
        Self { width, height, peak: area.saturating_mul(out).saturating_add(beside).saturating_add(OVERHEAD) }
    }

    /// Why this is more than `most` bytes, if it is.
    pub(super) fn check(&self, most: u64) -> Result<(), String> {
        let Self { width, height, peak } = self;
        match peak {
            _ if width * height == 0 => Err(format!("declares {width}x{height} pixels, which is nothing")),
            peak if *peak > most => Err(format!(
                "declares {width}x{height} pixels, which take {needed} MiB to decode, more than the {} given; raise data.max_decoded_mb \
                 to {needed} to read it",
                most >> 20,
                needed = peak.div_ceil(1 << 20)
            )),
            _ => Ok(()),
        }
    }
}
