//! WebP, GIF, BMP, TIFF and PNM, through the `image` crate.

use std::io::Cursor;

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
    codecs::pnm::PnmDecoder,
};

use super::{alpha::opaque, measure::Measure, turn::turn};
use crate::Picture;

/// Bytes per pixel that these decoders hold at least beside what comes out: frames, planes, and the canvas of an animation.
const WORKING: u64 = 12;

/// How often these decoders hold a pixel as the file has it: as it is read, as it comes out, and a strip of a TIFF.
const COPIES: u64 = 3;

/// What decoding takes, from the headers alone; `labels` asks for values as they lie there.
pub(super) fn measure(bytes: &[u8], format: ImageFormat, labels: bool) -> Result<Measure, String> {
    let decoder = open(bytes, format, None)?;
    if labels {
        check_labels(bytes, format, decoder.original_color_type())?;
    }
    let (width, height) = decoder.dimensions();
    let area = u64::from(width) * u64::from(height);
    let pixel = u64::from(decoder.color_type().bytes_per_pixel());
    let working = area.saturating_mul(WORKING.max(COPIES * pixel));
    Ok(Measure::new(width.into(), height.into(), 4, working))
}

/// Refuses label maps whose values are stretched to 8 bits when they are decoded.
fn check_labels(bytes: &[u8], format: ImageFormat, color: ExtendedColorType) -> Result<(), String> {
    let greatest = match format {
        ImageFormat::Pnm => PnmDecoder::new(bytes).map_err(|error| damaged(format, error))?.header().maximal_sample(),
        ImageFormat::Tiff if color == ExtendedColorType::L1 => 1,
        _ => 255,
    };
    match greatest {
        255 => Ok(()),
        _ => Err(format!(
            "is a {} whose greatest value is {greatest}, not 255, which stretches labels; save the label map as an 8-bit PNG",
            name(format)
        )),
    }
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
    match error {
        ImageError::Unsupported(_) => format!("is a {} of a kind that is not read ({error})", name(format)),
        _ => format!("truncated or damaged {} ({error})", name(format)),
    }
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::WebP => "WebP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::Pnm => "PNM",
        _ => "image",
    }
}
