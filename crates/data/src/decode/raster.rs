//! WebP, GIF and BMP, through the `image` crate.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::{alpha::opaque, measure::Measure, turn::turn};
use crate::Picture;

/// Bytes per pixel that these decoders hold beside what comes out: frames, planes, and the canvas of an animation.
const WORKING: u64 = 12;

/// What decoding takes, from the headers alone.
pub(super) fn measure(bytes: &[u8], format: ImageFormat) -> Result<Measure, String> {
    let (width, height) = open(bytes, format, None)?.dimensions();
    let area = u64::from(width) * u64::from(height);
    Ok(Measure::new(width.into(), height.into(), 4, area.saturating_mul(WORKING)))
}

pub(super) fn decode(bytes: &[u8], format: ImageFormat, most: u64) -> Result<Picture, String> {
    let damaged = |error| damaged(format, error);
    let mut decoder = open(bytes, format, Some(most))?;
    let orientation = decoder.orientation().map_err(damaged)?;
    let image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    turn(opaque(image)?, orientation)
}

fn open(bytes: &[u8], format: ImageFormat, most: Option<u64>) -> Result<impl ImageDecoder, String> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = most;
    reader.limits(limits);
    reader.into_decoder().map_err(|error| damaged(format, error))
}

fn damaged(format: ImageFormat, error: ImageError) -> String {
    format!("truncated or damaged {} ({error})", name(format))
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::WebP => "WebP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Bmp => "BMP",
        _ => "image",
    }
}
