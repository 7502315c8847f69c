//! Resizing a whole picture without rounding.

use fast_image_resize::{
    PixelType, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};

use crate::{DataError, Filter, Picture, Pixels, picture::to_8_bits, resize::resize, transform::convolution};

/// A picture at another size, its sides each stretched to it: antialiased, channel by channel in f32 and not rounded, values cut to
/// 0 to 255. So clean-fid resizes (Parmar, Zhang & Zhu 2022), with the bicubic filter.
///
/// # Shapes
/// `[3, height, width]`, row by row; grey pictures are repeated.
///
/// ```
/// use vqkit_data::{Filter, Picture, Pixels, resample};
///
/// let picture = Picture::new(2, 2, Pixels::Gray8(vec![7; 4]))?;
/// let values = resample(&picture, 5, 3, Filter::Bicubic)?;
/// assert!(values.len() == 45 && values.iter().all(|value| (value - 7.0).abs() < 1e-4));
/// # Ok::<(), vqkit_data::DataError>(())
/// ```
///
/// # Errors
/// [`DataError::Picture`] should the resize refuse a size.
pub fn resample(picture: &Picture, width: u32, height: u32, filter: Filter) -> Result<Vec<f32>, DataError> {
    let (from_width, from_height) = (picture.width(), picture.height());
    let area = from_width as usize * from_height as usize;
    let refused = || DataError::Picture { width, height, want: area, got: area };
    let options = ResizeOptions::new().resize_alg(convolution(filter));
    let mut resizer = Resizer::new();
    let mut values = Vec::with_capacity(3 * width as usize * height as usize);
    for channel in 0..3 {
        let mut plane = plane(picture, channel);
        if (from_width, from_height) != (width, height) {
            let source = ImageRef::new(from_width, from_height, &plane, PixelType::F32).map_err(|_| refused())?;
            let mut target = Image::new(width, height, PixelType::F32);
            resize(&mut resizer, &source, &mut target, &options).map_err(|_| refused())?;
            plane = target.into_vec();
        }
        let numbers = plane.chunks_exact(4).map(|bytes| f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        values.extend(numbers.map(|value| value.clamp(0.0, 255.0)));
    }
    Ok(values)
}

/// The bytes of one channel in f32, 0 to 255.
fn plane(picture: &Picture, channel: usize) -> Vec<u8> {
    fn bytes(levels: impl ExactSizeIterator<Item = u8>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 * levels.len());
        bytes.extend(levels.flat_map(|level| f32::from(level).to_ne_bytes()));
        bytes
    }
    match picture.pixels() {
        Pixels::Rgb8(values) => bytes(values.chunks_exact(3).map(|rgb| rgb[channel])),
        Pixels::Gray8(values) => bytes(values.iter().copied()),
        Pixels::Gray16(values) => bytes(values.iter().copied().map(to_8_bits)),
    }
}
