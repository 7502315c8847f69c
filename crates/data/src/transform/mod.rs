//! From a decoded sample to the values that a model sees.

use std::{borrow::Cow, fmt};

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};

use crate::{
    Color, Crop, DataConfig, DataError, Filter, LabelMap, Picture, Pixels, TemplateKind, random::Random, resize::resize,
};

/// Crop, antialiased resize, mirror, colour mode and value range of `[data]`.
///
/// The largest square is cut out of an image and resized to [`Transform::size`]. Templates get the same square and the
/// same mirroring. Images smaller than that are enlarged.
#[derive(Debug, Clone, PartialEq)]
pub struct Transform {
    size: u32,
    template_size: u32,
    short_side: Option<u32>,
    color: Color,
    crop: Crop,
    filter: Filter,
    flip: bool,
}

/// The part of a picture that a sample shows, in shares of the whole picture's height and width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CropRegion {
    /// From the top of the whole to that of the part.
    pub top: f32,
    /// From the left of the whole to that of the part.
    pub left: f32,
    /// Of the part.
    pub height: f32,
    /// Of the part.
    pub width: f32,
}

/// Which square of an image, and whether it is mirrored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cut {
    /// Where the square lies from left to right, and from top to bottom: 0 at the start, 1 at the end.
    along: [f64; 2],
    mirrored: bool,
}

impl Cut {
    /// The middle, as it is.
    pub(crate) const CENTER: Self = Self { along: [0.5; 2], mirrored: false };
}

/// Reusable memory of a thread that transforms.
#[derive(Default)]
pub(crate) struct Workspace(Resizer);

impl fmt::Debug for Workspace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Workspace")
    }
}

impl Transform {
    /// As `[data]` says.
    pub fn new(config: &DataConfig) -> Self {
        Self {
            size: config.image_size,
            template_size: config.template_size(),
            short_side: config.short_side,
            color: config.color,
            crop: config.crop,
            filter: config.resize,
            flip: config.flip,
        }
    }

    /// Width and height of what comes out, in pixels.
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// Width and height of the templates that come out, in pixels.
    pub fn template_size(&self) -> usize {
        self.template_size as usize
    }

    /// Channels of an image that comes out: 3 or 1.
    pub fn channels(&self) -> usize {
        self.color.channels()
    }

    /// The middle square of an image as `[C, H, W]` in [-1, 1], where a value is `v / 127.5 - 1`.
    ///
    /// # Errors
    /// [`DataError::Picture`] should the resize refuse the picture's size.
    pub fn image(&self, picture: &Picture) -> Result<Vec<f32>, DataError> {
        let mut values = vec![0.0; self.channels() * self.size() * self.size()];
        self.write_image(picture, Cut::CENTER, &mut Workspace::default(), &mut values)?;
        Ok(values)
    }

    /// The middle square of a template as `[C', H, W]`: labels as whole numbers, other kinds in [-1, 1].
    ///
    /// # Errors
    /// [`DataError::Bad`] where a label map holds a label that it should not.
    pub fn template(&self, picture: &Picture, kind: &TemplateKind) -> Result<Vec<f32>, DataError> {
        self.named_template("the template", picture, kind)
    }

    /// As [`template`](Self::template); errors call it `name`.
    pub(crate) fn named_template(
        &self,
        name: &str,
        picture: &Picture,
        kind: &TemplateKind,
    ) -> Result<Vec<f32>, DataError> {
        let mut values = vec![0.0; kind.channels() * self.template_size() * self.template_size()];
        self.write_template(name, picture, kind, Cut::CENTER, &mut Workspace::default(), &mut values)?;
        Ok(values)
    }

    /// A template `[C', H, W]` as large as it is: neither cut nor resized.
    pub(crate) fn whole_template(
        &self,
        name: &str,
        picture: &Picture,
        kind: &TemplateKind,
    ) -> Result<Vec<f32>, DataError> {
        let mut values = vec![0.0; kind.channels() * picture.width() as usize * picture.height() as usize];
        match (kind, picture.pixels()) {
            (TemplateKind::Labels(map), Pixels::Gray8(labels)) => write_labels(name, labels, map, &mut values)?,
            (TemplateKind::Labels(_), _) => return Err(no_labels(name, picture)),
            (TemplateKind::Depth(_), _) => stretch(&depths(picture), &depths(picture), &mut values),
            (TemplateKind::Picture(_), _) => planes::<3>(&picture.rgb8(), &mut values),
            (TemplateKind::Gray(_), _) => planes::<1>(&picture.gray8(), &mut values),
        }
        Ok(values)
    }

    /// The square and mirroring that belong to `key` while training.
    pub(crate) fn augmentation(&self, key: &[u64]) -> Cut {
        let mut random = Random::keyed(key);
        let (along, mirrored) = (random.unit(), random.bits() & 1 == 1);
        // Without `short_side` there is room along one side alone.
        let down = if self.short_side.is_some() { random.unit() } else { along };
        let along = if self.crop == Crop::Random { [along, down] } else { [0.5; 2] };
        Cut { along, mirrored: self.flip && mirrored }
    }

    /// The part of `picture` that `cut` shows.
    pub(crate) fn crop_region(&self, picture: &Picture, cut: Cut) -> CropRegion {
        let [left, top, side] = self.region(picture, cut);
        let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
        let left = if cut.mirrored { width - left - side } else { left };
        let [top, left, height, width] =
            [top / height, left / width, side / height, side / width].map(|share| share as f32);
        CropRegion { top, left, height, width }
    }

    /// Left, top and side of the square that `cut` names, in pixels.
    fn region(&self, picture: &Picture, cut: Cut) -> [f64; 3] {
        let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
        let short = width.min(height);
        let side = self.short_side.map_or(short, |whole| short * f64::from(self.size) / f64::from(whole));
        let first = |length: f64, along: f64| ((length - side) * along).floor();
        [first(width, cut.along[0]), first(height, cut.along[1]), side]
    }

    /// Writes an image as `[C, H, W]` in [-1, 1] into `out`.
    pub(crate) fn write_image(
        &self,
        picture: &Picture,
        cut: Cut,
        workspace: &mut Workspace,
        out: &mut [f32],
    ) -> Result<(), DataError> {
        let filter = convolution(self.filter);
        match (picture.pixels(), self.color) {
            (Pixels::Rgb8(values), Color::Rgb) => {
                let square = self.square(picture, values, PixelType::U8x3, filter, cut, self.size, workspace)?;
                planes::<3>(&square, out);
            }
            _ => {
                let square =
                    self.square(picture, &picture.gray8(), PixelType::U8, filter, cut, self.size, workspace)?;
                out.chunks_exact_mut(square.len()).for_each(|plane| planes::<1>(&square, plane));
            }
        }
        Ok(())
    }

    /// Writes a template as `[C', H, W]` into `out`.
    pub(crate) fn write_template(
        &self,
        name: &str,
        picture: &Picture,
        kind: &TemplateKind,
        cut: Cut,
        workspace: &mut Workspace,
        out: &mut [f32],
    ) -> Result<(), DataError> {
        let size = self.template_size;
        match kind {
            TemplateKind::Labels(map) => {
                let Pixels::Gray8(values) = picture.pixels() else {
                    return Err(no_labels(name, picture));
                };
                let square = self.square(picture, values, PixelType::U8, ResizeAlg::Nearest, cut, size, workspace)?;
                write_labels(name, &square, map, out)
            }
            TemplateKind::Depth(_) => self.write_depth(picture, cut, workspace, out),
            TemplateKind::Picture(_) => {
                let filter = convolution(self.filter);
                let square = self.square(picture, &picture.rgb8(), PixelType::U8x3, filter, cut, size, workspace)?;
                planes::<3>(&square, out);
                Ok(())
            }
            TemplateKind::Gray(_) => {
                let filter = convolution(self.filter);
                let square = self.square(picture, &picture.gray8(), PixelType::U8, filter, cut, size, workspace)?;
                planes::<1>(&square, out);
                Ok(())
            }
        }
    }

    /// `2 (d - min) / (max - min) - 1` over the whole picture, resized as 16-bit values; a flat picture becomes -1.
    fn write_depth(
        &self,
        picture: &Picture,
        cut: Cut,
        workspace: &mut Workspace,
        out: &mut [f32],
    ) -> Result<(), DataError> {
        let depths = depths(picture);
        let mut bytes = Vec::with_capacity(2 * depths.len());
        bytes.extend(depths.iter().flat_map(|depth| depth.to_ne_bytes()));
        let filter = convolution(Filter::Bilinear);
        let square = self.square(picture, &bytes, PixelType::U16, filter, cut, self.template_size, workspace)?;
        let cut: Vec<u16> = square.chunks_exact(2).map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]])).collect();
        stretch(&cut, &depths, out);
        Ok(())
    }

    /// The square that `cut` names, `size` pixels wide and high and mirrored: bytes, row by row, channels innermost.
    #[expect(clippy::too_many_arguments, reason = "a picture, how it is cut, and how it is resized")]
    fn square(
        &self,
        picture: &Picture,
        bytes: &[u8],
        kind: PixelType,
        algorithm: ResizeAlg,
        cut: Cut,
        size: u32,
        workspace: &mut Workspace,
    ) -> Result<Vec<u8>, DataError> {
        let (width, height) = (picture.width(), picture.height());
        let refused = || DataError::Picture { width, height, want: bytes.len(), got: bytes.len() };
        let [left, top, side] = self.region(picture, cut);
        let mut square = if (width, height) == (size, size) && side == f64::from(size) {
            bytes.to_vec()
        } else {
            let source = ImageRef::new(width, height, bytes, kind).map_err(|_| refused())?;
            let mut target = Image::new(size, size, kind);
            let options = ResizeOptions::new().resize_alg(algorithm).crop(left, top, side, side);
            resize(&mut workspace.0, &source, &mut target, &options).map_err(|_| refused())?;
            target.into_vec()
        };
        if cut.mirrored {
            mirror(&mut square, size as usize, kind.size());
        }
        Ok(square)
    }
}

fn no_labels(name: &str, picture: &Picture) -> DataError {
    let found = match picture.pixels() {
        Pixels::Gray16(_) => "16-bit grey",
        _ => "in colour",
    };
    let reason = format!("its label map is {found}; label maps are grey of at most 8 bits, or PNG with a palette");
    DataError::bad(name, reason)
}

fn depths(picture: &Picture) -> Cow<'_, [u16]> {
    match picture.pixels() {
        Pixels::Gray16(values) => Cow::Borrowed(values),
        _ => picture.gray8().iter().map(|value| u16::from(*value) * 257).collect(),
    }
}

/// Writes `2 (d - min) / (max - min) - 1` of the depths `of`, least and largest being those of `whole`.
fn stretch(of: &[u16], whole: &[u16], out: &mut [f32]) {
    let low = whole.iter().copied().min().unwrap_or(0);
    let range = f32::from(whole.iter().copied().max().unwrap_or(0) - low).max(1.0);
    for (value, depth) in out.iter_mut().zip(of) {
        *value = 2.0 * f32::from(depth.saturating_sub(low)) / range - 1.0;
    }
}

pub(crate) fn convolution(filter: Filter) -> ResizeAlg {
    ResizeAlg::Convolution(match filter {
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Bicubic => FilterType::CatmullRom,
        Filter::Lanczos => FilterType::Lanczos3,
    })
}

/// Mirrors rows of `width` pixels of `pixel` bytes left to right.
fn mirror(bytes: &mut [u8], width: usize, pixel: usize) {
    for row in bytes.chunks_exact_mut(width * pixel) {
        row.reverse();
        row.chunks_exact_mut(pixel).for_each(<[u8]>::reverse);
    }
}

/// Takes channels apart and maps 0..=255 to [-1, 1].
fn planes<const C: usize>(bytes: &[u8], out: &mut [f32]) {
    let area = bytes.len() / C;
    for (channel, plane) in out.chunks_exact_mut(area).enumerate() {
        for (value, pixel) in plane.iter_mut().zip(bytes.chunks_exact(C)) {
            *value = f32::from(pixel[channel]) / 127.5 - 1.0;
        }
    }
}

fn write_labels(name: &str, bytes: &[u8], map: &LabelMap, out: &mut [f32]) -> Result<(), DataError> {
    for (value, &byte) in out.iter_mut().zip(bytes) {
        let label = byte.wrapping_add(map.offset);
        if u32::from(label) >= map.count {
            let reason = format!(
                "its label map holds {byte}, which is label {label}, but `template` declares {} labels",
                map.count
            );
            return Err(DataError::bad(name, reason));
        }
        *value = f32::from(label);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
