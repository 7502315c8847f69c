//! From the bytes of an image file to an upright, opaque picture.

mod encoding;
mod jpeg;
mod libjpeg;
mod raster;

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::ImageFormat;

pub use encoding::Encoding;

use crate::{DataError, Picture};

/// The most pixels that an image may declare: 8192x8192, some 200 MB of RGB. More is taken for a decompression bomb.
pub const MAX_PIXELS: u64 = 1 << 26;

/// The largest image file that is read, in bytes.
pub const MAX_BYTES: u64 = 1 << 28;

/// Decodes a JPEG, PNG, WebP, GIF or BMP; the content decides which, not the name.
///
/// What comes out is upright (the orientation in EXIF is applied) and opaque (transparency is laid over white). Palettes
/// are looked up, CMYK becomes RGB, the first frame stands for an animation. Grey stays grey, and 16-bit grey keeps its
/// 16 bits, which depth maps need; other 16-bit images are scaled to 8. Colour profiles are not applied.
///
/// # Errors
/// [`DataError::Bad`] with `name` and the reason: an empty file, no image, more than [`MAX_PIXELS`] pixels (before any
/// memory is taken), truncated or damaged content.
///
/// ```
/// let error = vqkit_data::decode(b"", "nothing.png").unwrap_err();
/// assert_eq!(error.to_string(), "nothing.png: the file is empty");
/// ```
pub fn decode(bytes: &[u8], name: &str) -> Result<Picture, DataError> {
    guarded(bytes, |format| match format {
        ImageFormat::Jpeg => jpeg::decode(bytes),
        _ => raster::decode(bytes, format),
    })
    .map_err(|reason| DataError::bad(name, reason))
}

/// Decodes as [`decode`] does, and a JPEG bit for bit as libjpeg and Pillow: by its own C code, without its assembly, at a third of the
/// speed or less. Figures that were published rest on those pixels; [`decode`] rounds colours differently, by up to 4 of 255.
///
/// # Errors
/// As [`decode`].
pub fn decode_as_libjpeg(bytes: &[u8], name: &str) -> Result<Picture, DataError> {
    guarded(bytes, |format| match format {
        ImageFormat::Jpeg => libjpeg::decode(bytes),
        _ => raster::decode(bytes, format),
    })
    .map_err(|reason| DataError::bad(name, reason))
}

/// Decodes a label map: as [`decode`], but an 8-bit palette PNG gives its indices instead of its colours.
///
/// # Errors
/// As [`decode`].
pub fn decode_labels(bytes: &[u8], name: &str) -> Result<Picture, DataError> {
    match raster::palette_indices(bytes) {
        Some(indices) => indices.map_err(|reason| DataError::bad(name, reason)),
        None => decode(bytes, name),
    }
}

/// Runs a decoder on content of a known format; a decoder that panics on hostile bytes is an error like another.
fn guarded(bytes: &[u8], decoder: impl FnOnce(ImageFormat) -> Result<Picture, String>) -> Result<Picture, String> {
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    let format = image::guess_format(bytes)
        .map_err(|_| "the content is not an image (JPEG, PNG, WebP, GIF and BMP are read)".to_owned())?;
    catch_unwind(AssertUnwindSafe(|| decoder(format)))
        .unwrap_or_else(|_| Err("the decoder gave up on this content, which is damaged".into()))
}

/// Refuses a size before memory is taken for it.
fn check_size(width: u64, height: u64) -> Result<(), String> {
    match width.saturating_mul(height) {
        0 => Err(format!("declares {width}x{height} pixels, which is nothing")),
        1..=MAX_PIXELS => Ok(()),
        _ => Err(format!("declares {width}x{height} pixels, more than the {MAX_PIXELS} that are read")),
    }
}

#[cfg(test)]
mod tests;
