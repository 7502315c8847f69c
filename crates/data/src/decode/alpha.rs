//! Pictures without transparency: it is laid over white.

use image::DynamicImage;

use crate::{Picture, Pixels};

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

/// `round(alpha * colour + (1 - alpha) * white)`.
pub(super) fn over_white([red, green, blue, alpha]: [u8; 4]) -> [u8; 3] {
    let alpha = u32::from(alpha);
    [red, green, blue].map(|value| ((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
}
