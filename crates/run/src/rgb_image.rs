//! Images in 8-bit RGB, for people: grids, PNG files.

use std::{io::Cursor, path::Path};

use image::{ImageFormat, Rgb};
use tch::{Device, Kind, Tensor};
use vqkit_data::{PictureReader, Pixels};

use crate::{error::Result, error::RunError, files};

/// An image in 8-bit RGB.
#[derive(Debug, Clone)]
pub struct RgbImage(image::RgbImage);

/// Pixels between the cells of a grid.
const GAP: u32 = 2;

impl RgbImage {
    /// Every image of a batch.
    ///
    /// # Shapes
    /// `[B, C, H, W]` in `[-1, 1]`, `C` 1 (grey) or 3 (RGB); values outside are clamped.
    pub fn from_batch(images: &Tensor) -> Vec<Self> {
        let (height, width) = (images.size()[2], images.size()[3]);
        let bytes = ((images.to_kind(Kind::Float).clamp(-1.0, 1.0) + 1.0) * 127.5).round().to_kind(Kind::Uint8);
        let rgb = bytes.expand([-1, 3, -1, -1], false).permute([0, 2, 3, 1]).to_device(Device::Cpu).contiguous();
        (0..images.size()[0]).map(|index| Self::from_hwc(&rgb.get(index), width as u32, height as u32)).collect()
    }

    /// Label maps `[B, H, W]`, i64, in colours that distinguish consecutive labels; label 0 is dark grey.
    pub fn from_labels(labels: &Tensor) -> Vec<Self> {
        let most = labels.max().int64_value(&[]).max(0);
        let palette: Vec<u8> = (0..=most).flat_map(label_colour).collect();
        let palette = Tensor::from_slice(&palette).view([-1, 3]).to_device(labels.device());
        let (height, width) = (labels.size()[1], labels.size()[2]);
        let rgb = palette.index_select(0, &labels.flatten(0, -1)).view([-1, height, width, 3]).to_device(Device::Cpu);
        (0..rgb.size()[0]).map(|index| Self::from_hwc(&rgb.get(index), width as u32, height as u32)).collect()
    }

    /// Reads an image file.
    ///
    /// # Errors
    /// When it cannot be read, is not an image, or takes more memory than `reader` allows.
    pub fn read(path: &Path, reader: &PictureReader) -> Result<Self> {
        let picture = reader.read(path)?;
        Ok(Self::from_rgb(picture.to_rgb8(), picture.width(), picture.height()))
    }

    /// `[1, 3, H, W]` in `[-1, 1]`.
    pub fn to_tensor(&self) -> Tensor {
        let (width, height) = self.size();
        let pixels = Tensor::from_slice(self.0.as_raw()).view([1, height.into(), width.into(), 3]);
        pixels.permute([0, 3, 1, 2]).to_kind(Kind::Float) / 127.5 - 1.0
    }

    fn from_hwc(pixels: &Tensor, width: u32, height: u32) -> Self {
        let mut data = vec![0u8; pixels.numel()];
        pixels.copy_data(&mut data, pixels.numel());
        Self::from_rgb(data, width, height)
    }

    /// Rows of pixels, three bytes each; an empty image where they are not `width` by `height`.
    pub fn from_rgb(data: Vec<u8>, width: u32, height: u32) -> Self {
        Self(image::RgbImage::from_raw(width, height, data).unwrap_or_default())
    }

    /// Images of one size in rows of `columns`, on white.
    pub fn grid(cells: &[Self], columns: usize) -> Self {
        let (width, height) = cells.first().map_or((0, 0), Self::size);
        let columns = columns.clamp(1, cells.len().max(1));
        let rows = cells.len().div_ceil(columns);
        let side = |count: usize, length: u32| count as u32 * (length + GAP) + GAP;
        let mut grid = image::RgbImage::from_pixel(side(columns, width), side(rows, height), Rgb([255; 3]));
        for (index, cell) in cells.iter().enumerate() {
            let (x, y) = (side(index % columns, width), side(index / columns, height));
            image::imageops::replace(&mut grid, &cell.0, x.into(), y.into());
        }
        Self(grid)
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.0.dimensions()
    }

    /// The square in the middle, at most `side` pixels wide and high.
    pub fn center(&self, side: u32) -> Self {
        let (width, height) = self.size();
        let (across, down) = (side.min(width), side.min(height));
        let (x, y) = ((width - across) / 2, (height - down) / 2);
        Self(image::imageops::crop_imm(&self.0, x, y, across, down).to_image())
    }

    /// The same image, with each pixel enlarged to a square of `factor` pixels.
    pub fn enlarged(&self, factor: u32) -> Self {
        let (width, height) = self.size();
        let filter = image::imageops::FilterType::Nearest;
        Self(image::imageops::resize(&self.0, width * factor, height * factor, filter))
    }

    /// The same image, `size` pixels wide and high, without smoothing.
    pub fn resized(&self, size: u32) -> Self {
        Self(image::imageops::resize(&self.0, size, size, image::imageops::FilterType::Nearest))
    }

    /// As the data crate's type.
    ///
    /// # Errors
    /// When it has no pixels.
    pub fn to_data(&self) -> Result<vqkit_data::Picture> {
        let (width, height) = self.size();
        Ok(vqkit_data::Picture::new(width, height, Pixels::Rgb8(self.0.as_raw().clone()))?)
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// When the encoder refuses (an image without pixels).
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut bytes = Cursor::new(Vec::new());
        let encoded = self.0.write_to(&mut bytes, ImageFormat::Png);
        encoded.map_err(|error| RunError::Encode(error.to_string()))?;
        Ok(bytes.into_inner())
    }

    /// Writes a PNG file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        files::write(path, &self.png()?)
    }
}

/// A colour for a label: hues at multiples of the golden angle, which never come close, and three steps of brightness.
fn label_colour(label: i64) -> [u8; 3] {
    if label == 0 {
        return [40; 3];
    }
    let sixth = (label as f64 * 0.618_034).fract() * 6.0;
    let bright = [235.0, 190.0, 145.0][label as usize % 3];
    let channel = |at: f64| {
        let away = (sixth - at).rem_euclid(6.0);
        let share = (away.min(6.0 - away) - 1.0).clamp(0.0, 1.0);
        (bright * (1.0 - 0.85 * share)) as u8
    };
    [channel(0.0), channel(2.0), channel(4.0)]
}
