//! From the bytes of an image file to an upright, opaque picture.

mod alpha;
mod encoding;
mod format;
mod jpeg;
mod libjpeg;
mod measure;
mod png;
mod raster;
mod turn;

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::ImageFormat;

pub use encoding::Encoding;

use crate::{DataError, Picture, bounds::DEFAULT_MAX_DECODED_MB};
use measure::Measure;

/// Whether a file is in a format that is read, by its first bytes.
///
/// ```
/// assert!(vqkit_data::is_picture(b"P2 1 1 255 7"));
/// assert!(!vqkit_data::is_picture(b"%PDF-1.7"));
/// ```
pub fn is_picture(bytes: &[u8]) -> bool {
    format::of(bytes).is_ok()
}

/// Decodes a JPEG, PNG, WebP, GIF, BMP, TIFF or PNM; the content decides which, not the name.
///
/// What comes out is upright (the orientation in EXIF is applied) and opaque (transparency is laid over white). Palettes
/// are looked up, CMYK becomes RGB, the first frame or page stands for all. Grey stays grey, and 16-bit grey keeps its
/// 16 bits, which depth maps need; other 16-bit images are scaled to 8. Colour profiles are not applied.
///
/// A picture may take as much memory as `max_decoded_mb` of [`DataConfig`](crate::DataConfig) says by default;
/// [`PictureReader`](crate::PictureReader) reads with a bound of one's own, which threads share.
///
/// # Errors
/// [`DataError::Bad`] with `name` and the reason: an empty file, no image, more pixels than memory is given (before any
/// of it is taken), truncated or damaged content.
///
/// ```
/// let error = vqkit_data::decode(b"", "nothing.png").unwrap_err();
/// assert_eq!(error.to_string(), "nothing.png: the file is empty");
/// ```
pub fn decode(bytes: &[u8], name: &str) -> Result<Picture, DataError> {
    Encoded { bytes, name, how: How::Fast }.decode_alone()
}

/// Decodes as [`decode`] does, and a JPEG bit for bit as libjpeg and Pillow: by its own C code, without its assembly, at a third of the
/// speed or less. Published results rest on those pixels; [`decode`] rounds colours differently, by up to 4 of 255.
///
/// # Errors
/// As [`decode`].
pub fn decode_as_libjpeg(bytes: &[u8], name: &str) -> Result<Picture, DataError> {
    Encoded { bytes, name, how: How::AsLibjpeg }.decode_alone()
}

/// Decodes a label map: as [`decode`], but a palette PNG gives its indices instead of its colours, and grey of 1, 2 or 4 bits its
/// values as they lie there, not stretched to 8 bits. What would stretch them is an error: a TIFF of 1 bit, and a PNM whose greatest
/// value is not 255.
///
/// # Errors
/// As [`decode`].
pub fn decode_labels(bytes: &[u8], name: &str) -> Result<Picture, DataError> {
    Encoded { bytes, name, how: How::Labels }.decode_alone()
}

/// How a file becomes a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// As [`decode`].
    Fast,
    /// As [`decode_as_libjpeg`].
    AsLibjpeg,
    /// As [`decode_labels`].
    Labels,
}

/// An image file in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoded<'a> {
    pub bytes: &'a [u8],
    /// What errors call it.
    pub name: &'a str,
    pub how: How,
}

impl Encoded<'_> {
    /// What decoding takes; refuses what takes more than `most` bytes.
    ///
    /// # Errors
    /// As [`decode`].
    pub(crate) fn measure(&self, most: u64) -> Result<Measure, DataError> {
        let labels = self.how == How::Labels;
        let measured = guarded(self.bytes, |format| match format {
            ImageFormat::Jpeg => jpeg::measure(self.bytes),
            ImageFormat::Png => png::measure(self.bytes, labels),
            _ => raster::measure(self.bytes, format, labels),
        });
        let checked = measured.and_then(|measure| measure.check(most).map(|()| measure));
        checked.map_err(|reason| DataError::bad(self.name, reason))
    }

    /// Decodes what was measured.
    ///
    /// # Errors
    /// As [`decode`].
    pub(crate) fn decode(&self, measure: Measure) -> Result<Picture, DataError> {
        let bytes = self.bytes;
        guarded(bytes, |format| match (format, self.how) {
            (ImageFormat::Jpeg, How::AsLibjpeg) => libjpeg::decode(bytes),
            (ImageFormat::Jpeg, _) => jpeg::decode(bytes),
            (ImageFormat::Png, how) => png::decode(bytes, how == How::Labels),
            _ => raster::decode(bytes, format, measure.peak),
        })
        .map_err(|reason| DataError::bad(self.name, reason))
    }

    fn decode_alone(&self) -> Result<Picture, DataError> {
        self.decode(self.measure(DEFAULT_MAX_DECODED_MB << 20)?)
    }
}

/// Runs a decoder on content of a known format; a decoder that panics on hostile bytes is an error like another.
fn guarded<T>(bytes: &[u8], decoder: impl FnOnce(ImageFormat) -> Result<T, String>) -> Result<T, String> {
    let format = format::of(bytes)?;
    catch_unwind(AssertUnwindSafe(|| decoder(format)))
        .unwrap_or_else(|_| Err("the decoder gave up on this content, which is damaged".into()))
}

#[cfg(test)]
mod tests;
