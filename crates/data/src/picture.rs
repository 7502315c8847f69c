//! A decoded picture.

use std::{borrow::Cow, io::Cursor};

use image::{ExtendedColorType, ImageFormat};

use crate::DataError;

/// The values of a picture, row by row from the top left, channels innermost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pixels {
    /// Red, green and blue, 0 to 255.
    Rgb8(Vec<u8>),
    /// Grey levels, or labels of a label map, 0 to 255.
    Gray8(Vec<u8>),
    /// Grey levels or depths, 0 to 65535.
    Gray16(Vec<u16>),
}

/// A decoded picture: upright, opaque, of its own size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    pixels: Pixels,
}

impl Picture {
    /// A picture of these values.
    ///
    /// # Errors
    /// [`DataError::Picture`] where their number is not that of the size, or the size is zero.
    ///
    /// ```
    /// use vqkit_data::{Picture, Pixels};
    ///
    /// let picture = Picture::new(2, 1, Pixels::Gray8(vec![0, 255]))?;
    /// assert_eq!(picture.rgb(1, 0), [255, 255, 255]);
    /// assert!(Picture::new(2, 2, Pixels::Gray8(vec![0, 255])).is_err());
    /// # Ok::<(), vqkit_data::DataError>(())
    /// ```
    pub fn new(width: u32, height: u32, pixels: Pixels) -> Result<Self, DataError> {
        let area = width as usize * height as usize;
        let (want, got) = match &pixels {
            Pixels::Rgb8(values) => (3 * area, values.len()),
            Pixels::Gray8(values) => (area, values.len()),
            Pixels::Gray16(values) => (area, values.len()),
        };
        match want == got && area > 0 {
            true => Ok(Self { width, height, pixels }),
            false => Err(DataError::Picture { width, height, want, got }),
        }
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The values.
    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// The values, without the size.
    pub(crate) fn into_pixels(self) -> Pixels {
        self.pixels
    }

    /// The pixel in column `x` and row `y` as 8-bit red, green and blue.
    ///
    /// # Panics
    /// Where the place is outside, as indexing does.
    pub fn rgb(&self, x: u32, y: u32) -> [u8; 3] {
        let place = y as usize * self.width as usize + x as usize;
        match &self.pixels {
            Pixels::Rgb8(values) => [values[3 * place], values[3 * place + 1], values[3 * place + 2]],
            Pixels::Gray8(values) => [values[place]; 3],
            Pixels::Gray16(values) => [to_8_bits(values[place]); 3],
        }
    }

    /// The same picture as 8-bit RGB: grey becomes three equal channels, 16 bits are scaled to 8.
    pub fn to_rgb8(&self) -> Vec<u8> {
        self.rgb8().into_owned()
    }

    /// As [`to_rgb8`](Self::to_rgb8), and no copy where there is none to make.
    pub(crate) fn rgb8(&self) -> Cow<'_, [u8]> {
        match &self.pixels {
            Pixels::Rgb8(values) => Cow::Borrowed(values),
            Pixels::Gray8(values) => Cow::Owned(repeated(values.iter().copied())),
            Pixels::Gray16(values) => Cow::Owned(repeated(values.iter().copied().map(to_8_bits))),
        }
    }

    /// The bytes of a PNG file, in the picture's own kind of pixels.
    ///
    /// ```
    /// use vqkit_data::{Picture, Pixels};
    ///
    /// let picture = Picture::new(2, 1, Pixels::Rgb8(vec![255, 0, 0, 0, 0, 255]))?;
    /// assert_eq!(vqkit_data::decode(&picture.png()?, "picture.png")?, picture);
    /// # Ok::<(), vqkit_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Encode`] where the encoder refuses.
    pub fn png(&self) -> Result<Vec<u8>, DataError> {
        let (values, kind) = match &self.pixels {
            Pixels::Rgb8(values) => (Cow::Borrowed(values.as_slice()), ExtendedColorType::Rgb8),
            Pixels::Gray8(values) => (Cow::Borrowed(values.as_slice()), ExtendedColorType::L8),
            Pixels::Gray16(values) => {
                (values.iter().flat_map(|value| value.to_ne_bytes()).collect(), ExtendedColorType::L16)
            }
        };
        let mut bytes = Cursor::new(Vec::new());
        image::write_buffer_with_format(&mut bytes, &values, self.width, self.height, kind, ImageFormat::Png)
            .map_err(|error| DataError::Encode(error.to_string()))?;
        Ok(bytes.into_inner())
    }

    /// The same picture as 8-bit grey: colours by the luma of ITU-R BT.601, 16 bits scaled to 8.
    pub fn to_gray8(&self) -> Vec<u8> {
        self.gray8().into_owned()
    }

    /// As [`to_gray8`](Self::to_gray8), and no copy where there is none to make.
    pub(crate) fn gray8(&self) -> Cow<'_, [u8]> {
        match &self.pixels {
            Pixels::Rgb8(values) => values.chunks_exact(3).map(|rgb| luma(rgb[0], rgb[1], rgb[2])).collect(),
            Pixels::Gray8(values) => Cow::Borrowed(values),
            Pixels::Gray16(values) => values.iter().copied().map(to_8_bits).collect(),
        }
    }
}

/// Every level three times.
fn repeated(levels: impl ExactSizeIterator<Item = u8>) -> Vec<u8> {
    let mut values = Vec::with_capacity(3 * levels.len());
    values.extend(levels.flat_map(|level| [level; 3]));
    values
}

/// `round(value / 257)`, which maps 65535 to 255.
pub(crate) fn to_8_bits(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

/// `round(0.299 r + 0.587 g + 0.114 b)`.
pub(crate) fn luma(red: u8, green: u8, blue: u8) -> u8 {
    ((299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue) + 500) / 1000) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_depths_convert_by_their_formulas() {
        let picture = Picture::new(2, 1, Pixels::Rgb8(vec![255, 0, 0, 255, 255, 255])).unwrap();
        assert_eq!(picture.to_gray8(), [76, 255]);
        let picture = Picture::new(4, 1, Pixels::Gray16(vec![0, 16384, 32768, 65535])).unwrap();
        assert_eq!(picture.to_gray8(), [0, 64, 128, 255]);
        assert_eq!(picture.to_rgb8()[3..6], [64, 64, 64]);
    }

    #[test]
    fn every_kind_of_pixels_survives_a_png_file() {
        for pixels in [
            Pixels::Rgb8((0..24).collect()),
            Pixels::Gray8((0..8).collect()),
            Pixels::Gray16((0..8).map(|value| value * 8191).collect()),
        ] {
            let picture = Picture::new(4, 2, pixels).unwrap();
            assert_eq!(crate::decode(&picture.png().unwrap(), "it").unwrap(), picture);
        }
    }

    #[test]
    fn a_picture_of_no_area_is_refused() {
        let error = Picture::new(0, 3, Pixels::Gray8(vec![])).unwrap_err();
        assert_eq!(error.to_string(), "an image of 0x3 needs 0 values, got 0");
    }
}
