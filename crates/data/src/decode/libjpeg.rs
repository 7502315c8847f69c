//! JPEG by libjpeg's own code, on whose pixels published results rest.

use image::{ImageDecoder, ImageFormat, ImageReader, metadata::Orientation};
use mozjpeg::Decompress;

use super::{jpeg, turn::turn};
use crate::{Picture, Pixels};

pub(super) fn decode(bytes: &[u8]) -> Result<Picture, String> {
    let damaged = |error: std::io::Error| format!("damaged JPEG ({error})");
    let decoder = Decompress::new_mem(bytes).map_err(damaged)?;
    let (width, height) = decoder.size();
    jpeg::check_size(bytes, width, height)?;
    let gray = decoder.color_space() == mozjpeg::ColorSpace::JCS_GRAYSCALE;
    // Four colours are rare, and there is no agreement on what they look like.
    if decoder.components().len() > 3 {
        return jpeg::decode(bytes);
    }
    let mut started = if gray { decoder.grayscale() } else { decoder.rgb() }.map_err(damaged)?;
    let values = started.read_scanlines::<u8>().map_err(damaged)?;
    started.finish().map_err(damaged)?;
    let pixels = if gray { Pixels::Gray8(values) } else { Pixels::Rgb8(values) };
    let picture = Picture::new(width as u32, height as u32, pixels).map_err(|error| error.to_string())?;
    turn(picture, orientation(bytes))
}

/// How EXIF says that the picture stands.
fn orientation(bytes: &[u8]) -> Orientation {
    let reader = ImageReader::with_format(std::io::Cursor::new(bytes), ImageFormat::Jpeg);
    let decoder = reader.into_decoder().ok();
    decoder.and_then(|mut decoder| decoder.orientation().ok()).unwrap_or(Orientation::NoTransforms)
}
