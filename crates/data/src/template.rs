//! `[condition.template]`: the templates, and how they are derived from images.

use image::{GrayImage, imageops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DataError, Filter, GrayTemplate, LabelMap, PictureTemplate, TemplateKind};

vqkit_config::tagged! {
    /// `[condition.template]` of a recipe: what the templates are and where they come from.
    pub enum TemplateConfig {
        /// The templates that the source has.
        "given" => Given(GivenTemplate),
        /// Edges of the image (Canny 1986), as a label map of 2 labels.
        "edges" => Edges(EdgesTemplate),
        /// A smaller version of the image, for super-resolution.
        "downsampled" => Downsampled(DownsampledTemplate),
        /// A grey version of the image, for colourisation.
        "gray" => Gray(GrayedTemplate),
    }
}

/// The templates of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenTemplate {
    /// Width and height of the templates that a model receives, in pixels. Default: `data.image_size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

/// Edges, found by the gradient of the luma (0 to 255) after a blur of 1.4 pixels; an edge starts above `high` and
/// continues above `low`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EdgesTemplate {
    /// Hysteresis: the gradient of the luma (0 to 255) above which an edge continues; at least 0. Default 30.
    #[serde(default = "EdgesTemplate::default_low")]
    pub low: f32,
    /// Hysteresis: the gradient of the luma above which an edge starts; at least `low`, at most 1140. Default 80.
    #[serde(default = "EdgesTemplate::default_high")]
    pub high: f32,
}

/// The image, `factor` times smaller on each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DownsampledTemplate {
    /// How many times smaller the template is than the image, on each side; at least 2, divides `data.image_size`.
    pub factor: u32,
}

/// The luma of the image; no further keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrayedTemplate {}

/// The largest possible gradient.
const STEEPEST: f32 = 1140.0;

impl EdgesTemplate {
    fn default_low() -> f32 {
        30.0
    }

    fn default_high() -> f32 {
        80.0
    }
}

impl TemplateConfig {
    /// Checks every value for images of this size.
    ///
    /// # Errors
    /// [`DataError::Config`] with the key.
    pub(crate) fn validate(&self, image_size: u32) -> Result<(), DataError> {
        match self {
            Self::Given(GivenTemplate { size: Some(size) }) if !(1..=4096).contains(size) => {
                Err(DataError::config("template.size", format!("must be 1 to 4096, found {size}")))
            }
            Self::Edges(EdgesTemplate { low, high }) if !(*low >= 0.0 && low <= high && *high <= STEEPEST) => {
                let reason = format!("needs 0 <= low <= high <= {STEEPEST}, found low = {low} and high = {high}");
                Err(DataError::config("template.high", reason))
            }
            Self::Downsampled(DownsampledTemplate { factor })
                if *factor < 2 || !image_size.is_multiple_of(*factor) || image_size == *factor =>
            {
                let reason =
                    format!("must be at least 2, divide image_size = {image_size} and leave 2 pixels, found {factor}");
                Err(DataError::config("template.factor", reason))
            }
            _ => Ok(()),
        }
    }

    /// The kind of the templates; `None` where the source determines it.
    pub(crate) fn kind(&self) -> Option<TemplateKind> {
        match self {
            Self::Given(_) => None,
            Self::Edges(_) => Some(TemplateKind::Labels(LabelMap { count: 2, offset: 0 })),
            Self::Downsampled(_) => Some(TemplateKind::Picture(PictureTemplate {})),
            Self::Gray(_) => Some(TemplateKind::Gray(GrayTemplate {})),
        }
    }

    /// Width and height of the template, in pixels, for images of this size.
    pub(crate) fn size(&self, image_size: u32) -> u32 {
        match self {
            Self::Given(GivenTemplate { size }) => size.unwrap_or(image_size),
            Self::Downsampled(DownsampledTemplate { factor }) => image_size / factor,
            Self::Edges(_) | Self::Gray(_) => image_size,
        }
    }

    /// The template of an image `[C, H, W]` in [-1, 1], `size` pixels wide and high; `None` where the source has it.
    pub(crate) fn derive(&self, image: &[f32], size: u32, filter: Filter) -> Option<Vec<f32>> {
        match self {
            Self::Given(_) => None,
            Self::Edges(config) => Some(edges(image, size, config)),
            Self::Downsampled(DownsampledTemplate { factor }) => Some(downsampled(image, size, size / factor, filter)),
            Self::Gray(_) => Some(to_unit(&luma(image, size))),
        }
    }
}

fn byte(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}

fn to_unit(bytes: &[u8]) -> Vec<f32> {
    bytes.iter().map(|byte| f32::from(*byte) / 127.5 - 1.0).collect()
}

/// The luma of an image of 1 or 3 channels, 0 to 255.
fn luma(image: &[f32], size: u32) -> Vec<u8> {
    let area = (size * size) as usize;
    let channel = |index: usize, place: usize| byte(image[(index * area + place) % image.len()]);
    (0..area).map(|place| crate::picture::luma(channel(0, place), channel(1, place), channel(2, place))).collect()
}

fn edges(image: &[f32], size: u32, config: &EdgesTemplate) -> Vec<f32> {
    let Some(gray) = GrayImage::from_raw(size, size, luma(image, size)) else { return Vec::new() };
    let found = imageproc::edges::canny(&gray, config.low, config.high);
    found.into_raw().into_iter().map(|value| f32::from(u8::from(value > 0))).collect()
}

fn downsampled(image: &[f32], size: u32, to: u32, filter: Filter) -> Vec<f32> {
    let filter = match filter {
        Filter::Bilinear => imageops::FilterType::Triangle,
        Filter::Bicubic => imageops::FilterType::CatmullRom,
        Filter::Lanczos => imageops::FilterType::Lanczos3,
    };
    let area = (size * size) as usize;
    // Grey images have one channel, and this kind of template three.
    let channels = [0, 1, 2].map(|index| (index * area) % image.len());
    let planes = channels.into_iter().filter_map(|first| {
        let bytes = image[first..first + area].iter().map(|value| byte(*value)).collect();
        let plane = GrayImage::from_raw(size, size, bytes)?;
        Some(to_unit(imageops::resize(&plane, to, to, filter).as_raw()))
    });
    planes.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::Scene;

    fn scene(index: u64) -> (Vec<f32>, Vec<u8>) {
        let rendered = Scene::new(5, index, 2).render(64).unwrap();
        let rgb = rendered.image.to_rgb8();
        let planes =
            (0..3).flat_map(|channel| rgb[channel..].iter().step_by(3).map(|value| f32::from(*value) / 127.5 - 1.0));
        (planes.collect(), rendered.template.to_gray8())
    }

    /// Of a place, the labels of the pixels within two pixels of it.
    fn is_near_a_border(labels: &[u8], place: usize) -> bool {
        let (row, column) = (place as i64 / 64, place as i64 % 64);
        let near = |at: i64| (at - 2).max(0)..(at + 3).min(64);
        let around = near(row).flat_map(|y| near(column).map(move |x| labels[(y * 64 + x) as usize]));
        around.clone().min() != around.max()
    }

    #[test]
    fn edges_lie_on_the_borders_of_objects() {
        let config = EdgesTemplate { low: EdgesTemplate::default_low(), high: EdgesTemplate::default_high() };
        let (mut on_border, mut all) = (0u32, 0u32);
        for index in 0..20 {
            let (image, labels) = scene(index);
            let edges = edges(&image, 64, &config);
            let found: Vec<usize> = (0..edges.len()).filter(|place| edges[*place] == 1.0).collect();
            on_border += found.iter().filter(|place| is_near_a_border(&labels, **place)).count() as u32;
            all += found.len() as u32;
        }
        // An object as bright as its background has no edge.
        assert!(all > 20 * 40 && f64::from(on_border) > 0.98 * f64::from(all), "{on_border} of {all}");
    }

    #[test]
    fn a_smaller_picture_keeps_its_mean_and_gray_is_luma() {
        let (image, _) = scene(1);
        let small = downsampled(&image, 64, 16, Filter::Bicubic);
        assert_eq!(small.len(), 3 * 16 * 16);
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
        for channel in 0..3 {
            let (large, small) = (&image[channel * 4096..][..4096], &small[channel * 256..][..256]);
            assert!((mean(large) - mean(small)).abs() < 0.01);
        }
        let white = vec![1.0; 3 * 64];
        assert_eq!(to_unit(&luma(&white, 8)), vec![1.0; 64]);
        let red: Vec<f32> = [vec![1.0; 64], vec![-1.0; 128]].concat();
        assert_eq!(luma(&red, 8), vec![76; 64]);
        assert_eq!(luma(&vec![0.0; 64], 8), vec![128; 64]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let factor = |factor| TemplateConfig::Downsampled(DownsampledTemplate { factor }).validate(32);
        assert!(factor(4).is_ok());
        for wrong in [0, 1, 3, 32, 64] {
            assert!(factor(wrong).unwrap_err().to_string().contains("template.factor"), "{wrong}");
        }
        let edges = TemplateConfig::Edges(EdgesTemplate { low: 9.0, high: 3.0 });
        assert!(edges.validate(32).unwrap_err().to_string().contains("low = 9"));
    }
}
