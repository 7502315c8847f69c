//! PNG, WebP, GIF and BMP, through the `image` crate.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, Rgba};

use super::check_size;
use crate::{Picture, Pixels};

/// Memory that a decoder may take: [`super::MAX_PIXELS`] of 16-bit RGBA.
const MAX_ALLOC: u64 = super::MAX_PIXELS * 8;

pub(super) fn decode(bytes: &[u8], format: ImageFormat) -> Result<Picture, String> {
    let damaged = |error| format!("truncated or damaged {} ({error})", name(format));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    check_size(u64::from(width), u64::from(height))?;
    let orientation = decoder.orientation().map_err(damaged)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    image.apply_orientation(orientation);
    opaque(image)
}

/// The picture of an image: grey stays grey, everything else becomes 8-bit RGB over white.
pub(super) fn opaque(image: DynamicImage) -> Result<Picture, String> {
    let (width, height) = (image.width(), image.height());
    let pixels = match image {
        DynamicImage::ImageLuma8(gray) => Pixels::Gray8(gray.into_raw()),
        DynamicImage::ImageLuma16(gray) => Pixels::Gray16(gray.into_raw()),
        DynamicImage::ImageRgb8(rgb) => Pixels::Rgb8(rgb.into_raw()),
        image if image.color().has_alpha() => Pixels::Rgb8(image.into_rgba8().pixels().flat_map(over_white).collect()),
        image => Pixels::Rgb8(image.into_rgb8().into_raw()),
    };
    Picture::new(width, height, pixels).map_err(|error| error.to_string())
}

/// `round(alpha * colour + (1 - alpha) * white)`.
fn over_white(pixel: &Rgba<u8>) -> [u8; 3] {
    let [red, green, blue, alpha] = pixel.0.map(u32::from);
    [red, green, blue].map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
}

/// The indices of a palette PNG of 8 bits; `None` for every other content.
pub(super) fn palette_indices(bytes: &[u8]) -> Option<Result<Picture, String>> {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().ok()?;
    let (width, height) = reader.info().size();
    if reader.output_color_type() != (png::ColorType::Indexed, png::BitDepth::Eight) {
        return None;
    }
    let indices = check_size(u64::from(width), u64::from(height)).and_then(|()| {
        let mut values = vec![0; width as usize * height as usize];
        reader.next_frame(&mut values).map_err(|error| format!("truncated or damaged PNG ({error})"))?;
        Picture::new(width, height, Pixels::Gray8(values)).map_err(|error| error.to_string())
    });
    Some(indices)
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Bmp => "BMP",
        _ => "image",
    }
}
