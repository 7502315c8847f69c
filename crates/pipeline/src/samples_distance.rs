//! How far the pictures that a run drew are, as a set, from held-out images in the eyes of the judge.

use serde::Serialize;
use tch::{Device, Tensor};
use vqkit_metrics::Gaussian;

use crate::{error::Result, perceptual, pictures::Picture, sample::Drawn};

/// Pictures judged at a time.
const BATCH: usize = 100;

/// Pictures on each side below which no distance is given: the estimate is too large for few pictures, the more the fewer
/// they are (Chong & Forsyth 2020), and with fewer than the features are wide it says little else.
const LEAST: usize = 1000;

/// The distance, and the counts without which it says nothing: compare only figures whose counts are the same.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SamplesDistance {
    /// Pictures that were drawn.
    pub samples: usize,
    /// Held-out images, all there are.
    pub held_out_images: usize,
    /// Fréchet distance of the judge's features.
    pub distance: f64,
}

impl SamplesDistance {
    /// The distance of pictures from the features of `held_out`; `None` with fewer than 1,000 on either side.
    ///
    /// # Errors
    /// When a picture cannot be read, or is too small for the judge.
    pub fn of(pictures: &[Drawn], held_out: &Gaussian, device: Device) -> Result<Option<Self>> {
        if pictures.len() < LEAST || (held_out.count() as usize) < LEAST {
            return Ok(None);
        }
        let judge = perceptual::judge(device)?;
        let mut features = Gaussian::new(judge.width());
        for pictures in pictures.chunks(BATCH) {
            let images = pictures.iter().map(|drawn| Ok(Picture::read(&drawn.path)?.to_tensor()));
            let images = Tensor::f_cat(&images.collect::<Result<Vec<_>>>()?, 0)?.to_device(device);
            features.add(&judge.pooled(&images)?);
        }
        let distance = held_out.frechet_distance(&features);
        Ok(Some(Self { samples: pictures.len(), held_out_images: held_out.count() as usize, distance }))
    }
}
