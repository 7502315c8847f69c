//! Distance between a run's samples and validation images, as sets.

use serde::Serialize;
use tch::Tensor;
use vqkit_data::{PictureReader, default_workers, read_ahead};
use vqkit_fidelity::{FeatureAccumulator, MetricValues, Pair, set_metrics};
use vqkit_run::{Context, RgbImage};
use vqkit_sample::SampleFile;

use crate::error::Result;

/// Number of images that pass through a network at once.
const BATCH: usize = 100;

/// Number of images that each thread decodes ahead.
const AHEAD: usize = 64;

/// Number of images on each side below which no metrics are given: with few images the estimates are too large, the
/// more so the fewer there are (Chong & Forsyth 2020), and with fewer images than the features have dimensions, this
/// bias dominates.
const LEAST: usize = 1000;

/// The metrics, and the numbers of images; compare only metrics whose numbers of images are the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SamplesAsSet {
    /// Number of samples.
    pub samples: usize,
    /// Number of validation images; all are used.
    pub validation_images: usize,
    /// Metrics by name; `fid` is the gFID.
    pub metrics: MetricValues,
}

impl SamplesAsSet {
    /// Compares samples with the validation images whose statistics were computed; `None` with fewer than 1,000 on
    /// either side, or without a
    /// network.
    ///
    /// # Errors
    /// When an image cannot be read, or a network cannot take it.
    pub fn of(pictures: &[SampleFile], validation: &[Pair], context: &Context) -> Result<Option<Self>> {
        let validation_images = validation.first().map_or(0, |pair| pair.images.count());
        if pictures.len() < LEAST || validation_images < LEAST {
            return Ok(None);
        }
        let mut gathered: Vec<FeatureAccumulator> =
            validation.iter().map(|pair| FeatureAccumulator::new(pair.extractor.width(), pictures.len())).collect();
        for_each_batch(pictures, context, |images| {
            let images = images.to_device(context.device);
            Ok(gathered
                .iter_mut()
                .zip(validation)
                .try_for_each(|(gathered, pair)| gathered.add(&pair.extractor, &images))?)
        })?;
        let mut metrics = MetricValues::new();
        for (fake, pair) in gathered.iter().zip(validation) {
            let (real, kind) = (pair.images.finish(None), pair.extractor.kind());
            metrics.extend(set_metrics::compare_statistics(&real, &fake.finish(None), fake.score(), kind)?);
        }
        Ok(Some(Self { samples: pictures.len(), validation_images, metrics }))
    }
}

/// Calls `each` with batches of all images, `[B, 3, H, W]` in `[-1, 1]`, decoded ahead.
fn for_each_batch(
    pictures: &[SampleFile],
    context: &Context,
    mut each: impl FnMut(Tensor) -> Result<()>,
) -> Result<()> {
    let paths: Vec<_> = pictures.iter().map(|drawn| drawn.path.clone()).collect();
    let reader = PictureReader::default();
    let read = move |index: usize| RgbImage::read(&paths[index], &reader);
    let mut batch = Vec::with_capacity(BATCH);
    for (index, picture) in read_ahead(pictures.len(), default_workers(), AHEAD, read).enumerate() {
        context.interrupt.check()?;
        batch.push(picture?.to_tensor());
        if batch.len() == BATCH || index + 1 == pictures.len() {
            each(Tensor::f_cat(&batch, 0)?)?;
            batch.clear();
        }
    }
    Ok(())
}
