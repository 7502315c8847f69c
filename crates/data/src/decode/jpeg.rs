//! JPEG, strictly: what a lenient decoder would fill with grey is an error here.

use image::{DynamicImage, metadata::Orientation};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::{check_size, raster};
use crate::{Picture, Pixels};

pub(super) fn decode(bytes: &[u8]) -> Result<Picture, String> {
    if !has_end(bytes) {
        return Err("truncated JPEG: the mark of its end is missing".into());
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let damaged = |error| format!("truncated or damaged JPEG ({error:?})");
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder.dimensions().ok_or("a JPEG without a size")?;
    check_size(width as u64, height as u64)?;
    let gray = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let wanted = if gray { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let values = decoder.decode().map_err(damaged)?;
    let pixels = if gray { Pixels::Gray8(values) } else { Pixels::Rgb8(values) };
    let picture = Picture::new(width as u32, height as u32, pixels).map_err(|error| error.to_string())?;
    match decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif)) {
        None | Some(Orientation::NoTransforms) => Ok(picture),
        Some(orientation) => turn(picture, orientation),
    }
}

/// Whether the segments lead to the mark of the end, EOI (ITU-T T.81, annex B): what is missing at the very end of an
/// image can be filled up without the decoder's noticing.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[first, second]) = bytes.get(at..at + 2) {
        at += match (first, second) {
            (0xff, 0xd9) => return true,
            // Fill bytes, and marks without content: stuffing, TEM, RST0 to RST7, SOI.
            (0xff, 0xff) => 1,
            (0xff, 0x00 | 0x01 | 0xd0..=0xd8) => 2,
            (0xff, _) => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => 2 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
            _ => 1,
        };
    }
    false
}

pub(super) fn turn(picture: Picture, orientation: Orientation) -> Result<Picture, String> {
    let (width, height) = (picture.width(), picture.height());
    let image = match picture.into_pixels() {
        Pixels::Rgb8(values) => image::RgbImage::from_raw(width, height, values).map(DynamicImage::from),
        Pixels::Gray8(values) => image::GrayImage::from_raw(width, height, values).map(DynamicImage::from),
        Pixels::Gray16(_) => None,
    };
    let mut image = image.ok_or("a JPEG of another size than it declares")?;
    image.apply_orientation(orientation);
    raster::opaque(image)
}
