//! WebP, GIF and BMP, through the `image` crate.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::{Measure, over_white, turn::turn};
use crate::{Picture, Pixels};

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

/// The picture of an image: grey stays grey, everything else becomes 8-bit RGB over white.
pub(super) fn opaque(image: DynamicImage) -> Result<Picture, String> {
    let (width, height) = (image.width(), image.height());
    let pixels = match image {
        DynamicImage::ImageLuma8(gray) => Pixels::Gray8(gray.into_raw()),
        DynamicImage::ImageLuma16(gray) => Pixels::Gray16(gray.into_raw()),
        DynamicImage::ImageRgb8(rgb) => Pixels::Rgb8(rgb.into_raw()),
        image if image.color().has_alpha() => Pixels::Rgb8(without_alpha(image.into_rgba8().into_raw())),
        image => Pixels::Rgb8(image.into_rgb8().into_raw()),
    };
    Picture::new(width, height, pixels).map_err(|error| error.to_string())
}

/// RGBA laid over white, in its own memory.
fn without_alpha(mut values: Vec<u8>) -> Vec<u8> {
    let area = values.len() / 4;
    for pixel in 0..area {
        let rgba = [0, 1, 2, 3].map(|channel| values[4 * pixel + channel]);
        values[3 * pixel..3 * pixel + 3].copy_from_slice(&over_white(rgba));
    }
    values.truncate(3 * area);
    values
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
