//! The built-in shapes as a source.

use std::{ops::Range, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::open::{DataKeys, OpenSource, Opening};
use crate::{
    DataError, Held, PassedOver, PictureReader, Sample, Source, SourceInfo, TemplateKind,
    shapes::{Scene, Shape, Size},
};

/// `type = "shapes"`: procedural images of coloured shapes, see [`crate::shapes`]. They are rendered at `image_size`
/// and never resized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShapesConfig {
    /// Number of training samples.
    pub count: u32,
    /// Number of validation samples, which follow the training samples. Default 0.
    #[serde(default)]
    pub validation_count: u32,
    /// Seed: other seeds give other images. Default 0.
    #[serde(default)]
    pub seed: u64,
    /// Largest number of objects in an image, 1 to 3. Default 3.
    #[serde(default = "default_max_objects")]
    pub max_objects: u32,
    /// Size of an object that is alone in its image. Default: either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single: Option<Size>,
}

fn default_max_objects() -> u32 {
    3
}

impl OpenSource for ShapesConfig {
    fn validate(&self, data: &DataKeys) -> Result<(), DataError> {
        if self.count == 0 {
            return Err(DataError::config("source.count", "must be at least 1"));
        }
        if !(1..=3).contains(&self.max_objects) {
            return Err(DataError::config("source.max_objects", format!("must be 1 to 3, found {}", self.max_objects)));
        }
        if data.image_size < 24 {
            let reason = format!("shapes cannot be told apart below 24 pixels, found {}", data.image_size);
            return Err(DataError::config("image_size", reason));
        }
        if data.flip {
            return Err(DataError::config(
                "flip",
                "captions of shapes say left and right, which mirroring would swap; leave it off",
            ));
        }
        if data.has_class_names {
            return Err(DataError::config("class_names", "the classes of shapes already have names; leave it out"));
        }
        Ok(())
    }

    fn template(&self) -> Option<TemplateKind> {
        Some(Scene::template_kind())
    }

    fn train(&self, opening: &Opening) -> Result<Arc<dyn Source>, DataError> {
        Ok(Arc::new(Shapes::new(self, 0..self.count.into(), opening)))
    }

    fn validation(&self, opening: &Opening) -> Result<Option<Arc<dyn Source>>, DataError> {
        let indices = u64::from(self.count)..u64::from(self.count) + u64::from(self.validation_count);
        Ok(match indices.is_empty() {
            true => None,
            false => Some(Arc::new(Shapes::new(self, indices, opening))),
        })
    }
}

/// Bytes per pixel that rendering needs: three 64-bit numbers, and the output.
const RENDERING: u64 = 28;

struct Shapes {
    config: ShapesConfig,
    indices: Range<u64>,
    size: u32,
    reader: PictureReader,
    info: SourceInfo,
}

impl Shapes {
    fn new(config: &ShapesConfig, indices: Range<u64>, opening: &Opening) -> Self {
        let size = opening.image_size;
        let ShapesConfig { seed, max_objects, single, .. } = config;
        let meaning = format!("shapes 1 {seed} {max_objects} {single:?} {indices:?} {size}");
        let info = SourceInfo {
            class_names: Shape::ALL.map(|shape| shape.name().to_owned()).to_vec(),
            num_classes: Shape::ALL.len() as u32,
            has_captions: true,
            template: Some(Scene::template_kind()),
            rejected: Vec::new(),
            passed_over: PassedOver::default(),
            fingerprint: blake3::hash(meaning.as_bytes()).to_hex().to_string(),
        };
        Self { config: config.clone(), indices, size, reader: opening.reader.clone(), info }
    }

    fn scene(&self, index: usize) -> Scene {
        let ShapesConfig { seed, max_objects, single, .. } = self.config;
        Scene::with_single(seed, self.indices.start + index as u64, max_objects as usize, single)
    }
}

impl Source for Shapes {
    fn len(&self) -> usize {
        (self.indices.end - self.indices.start) as usize
    }

    fn class(&self, index: usize) -> Option<u32> {
        Some(self.scene(index).class())
    }

    fn caption(&self, index: usize) -> Result<Option<String>, DataError> {
        Ok(Some(self.scene(index).caption()))
    }

    fn hold(&self, index: usize) -> Result<Held<Sample>, DataError> {
        let area = u64::from(self.size) * u64::from(self.size);
        self.reader.make(area * RENDERING, || self.sample(index))
    }

    fn info(&self) -> &SourceInfo {
        &self.info
    }
}

impl Shapes {
    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        let scene = self.scene(index);
        let index = self.indices.start + index as u64;
        let rendered = scene.render(self.size)?;
        Ok(Sample {
            key: format!("{index:08}"),
            image: rendered.image,
            class: Some(scene.class()),
            caption: Some(scene.caption()),
            template: Some(rendered.template),
        })
    }
}
