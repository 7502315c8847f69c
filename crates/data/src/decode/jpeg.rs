//! JPEG, strictly: what a lenient decoder would fill with grey is an error here.

use image::{DynamicImage, metadata::Orientation};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::{check_size, raster};
use crate::{Picture, Pixels};

pub(super) fn decode(bytes: &[u8]) -> Result<Picture, String> {
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

fn turn(picture: Picture, orientation: Orientation) -> Result<Picture, String> {
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
