//! Pictures the right way up.

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, RgbImage, metadata::Orientation};

use super::alpha::opaque;
use crate::{Picture, Pixels};

/// The picture as its orientation in EXIF says that it stands.
pub(super) fn turn(picture: Picture, orientation: Orientation) -> Result<Picture, String> {
    if orientation == Orientation::NoTransforms {
        return Ok(picture);
    }
    let (width, height) = (picture.width(), picture.height());
    let image = match picture.into_pixels() {
        Pixels::Rgb8(values) => RgbImage::from_raw(width, height, values).map(DynamicImage::from),
        Pixels::Gray8(values) => GrayImage::from_raw(width, height, values).map(DynamicImage::from),
        Pixels::Gray16(values) => ImageBuffer::<Luma<u16>, _>::from_raw(width, height, values).map(DynamicImage::from),
    };
    let mut image = image.ok_or("a picture of another size than it declares")?;
    image.apply_orientation(orientation);
    opaque(image)
}
