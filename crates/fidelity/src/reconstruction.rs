//! How far reconstructions are from what they should be: in pixels or labels, and as a set by features of the evaluation classifier.

use std::fmt;

use tch::{Device, Tensor};
use vqkit_metrics::{LabelAgreement, PixelError};
use vqkit_models::perceptual;
use vqkit_recipe::InputSpec;

use crate::{error::Result, extractor::Extractor, extractor::Features, statistics::FeatureAccumulator};

/// Gathers pairs of pictures and reconstructions.
#[derive(Debug)]
pub struct ReconstructionError {
    difference: Difference,
    sets: Vec<Pair>,
}

#[derive(Debug)]
enum Difference {
    Pixels(PixelError),
    Labels(LabelAgreement),
}

/// Features of both sides by one network.
#[derive(Debug)]
pub struct Pair {
    /// The network.
    pub extractor: Extractor,
    /// Of the pictures.
    pub images: FeatureAccumulator,
    reconstructions: FeatureAccumulator,
}

impl Pair {
    /// The Fréchet distance of reconstructions from pictures; `None` where they are too few to have a covariance.
    pub fn distance(&self) -> Option<f64> {
        self.images.frechet_distance(&self.reconstructions)
    }
}

impl ReconstructionError {
    /// No image yet, of `total` of this shape: features are taken of colour images that are large enough for the last stage of the evaluation classifier.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn new(shape: InputSpec, total: usize, device: Device) -> Result<Self> {
        let difference = match shape.labels {
            true => Difference::Labels(LabelAgreement::new(shape.channels as i64)),
            false => Difference::Pixels(PixelError::default()),
        };
        let mut error = Self { difference, sets: Vec::new() };
        if perceptual::judge_takes(shape, device)? {
            error.compare_by(Extractor::embedded(device)?, total);
        }
        Ok(error)
    }

    /// Lets another network look at both sides, of `total` pictures.
    pub fn compare_by(&mut self, extractor: Extractor, total: usize) {
        let nothing = || FeatureAccumulator::new(extractor.width(), total);
        self.sets.push(Pair { images: nothing(), reconstructions: nothing(), extractor });
    }

    /// Adds a batch; waits for the device.
    ///
    /// # Shapes
    /// Both `[B, C, H, W]`, in `[-1, 1]`, and both are rounded to 8 bits, as a file would hold them; of label maps logits and
    /// one-hot.
    ///
    /// # Errors
    /// When the evaluation classifier cannot take the images.
    pub fn add(&mut self, reconstructions: &Tensor, images: &Tensor) -> Result<()> {
        match &mut self.difference {
            Difference::Pixels(error) => error.add(reconstructions, images),
            Difference::Labels(agreement) => agreement.add(&reconstructions.argmax(1, false), &images.argmax(1, false)),
        }
        let of_file = |images: &Tensor| PixelError::to_8_bits(images) / 127.5 - 1.0;
        for Pair { extractor, images: real, reconstructions: fake } in &mut self.sets {
            real.add(extractor, &of_file(images))?;
            fake.add(extractor, &of_file(reconstructions))?;
        }
        Ok(())
    }

    /// PSNR in dB, or of label maps the share of pixels that are right; the more the better.
    pub fn fidelity(&self) -> f64 {
        match &self.difference {
            Difference::Pixels(error) => error.psnr_db(),
            Difference::Labels(agreement) => agreement.accuracy(),
        }
    }

    /// Error of pixels; of label maps there is none.
    pub fn pixels(&self) -> Option<&PixelError> {
        match &self.difference {
            Difference::Pixels(error) => Some(error),
            Difference::Labels(_) => None,
        }
    }

    /// Everything there is, by the names of the log.
    pub fn metrics(&self) -> Vec<(String, f64)> {
        let mut metrics = match &self.difference {
            Difference::Pixels(error) => vec![("validation_psnr_db".to_owned(), error.psnr_db())],
            Difference::Labels(agreement) => vec![
                ("validation_label_accuracy".to_owned(), agreement.accuracy()),
                ("validation_mean_iou".to_owned(), agreement.mean_iou()),
            ],
        };
        metrics.extend(self.fd_vgg_cifar10().map(|distance| ("validation_fd_vgg_cifar10".into(), distance)));
        metrics
    }

    /// Fréchet distance between the evaluation classifier's features of images and of reconstructions; `None` where the images are not in
    /// colour, too small, or too few to have a covariance.
    pub fn fd_vgg_cifar10(&self) -> Option<f64> {
        self.by(Features::VggCifar10).and_then(Pair::distance)
    }

    /// What a network saw; `None` where it does not look.
    pub fn by(&self, features: Features) -> Option<&Pair> {
        self.sets.iter().find(|pair| pair.extractor.kind() == features)
    }

    /// What every network saw.
    pub fn sets(&self) -> &[Pair] {
        &self.sets
    }
}

impl fmt::Display for ReconstructionError {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match &self.difference {
            Difference::Pixels(error) => write!(out, "PSNR {:.2} dB", error.psnr_db()),
            Difference::Labels(agreement) => {
                let (accuracy, iou) = (agreement.accuracy() * 100.0, agreement.mean_iou());
                write!(out, "labels {accuracy:.2} % right, mean IoU {iou:.3}")
            }
        }
    }
}
