//! Errors of reconstructions: in pixels or labels, and as a set in the features of the evaluation classifier.

use std::fmt;

use tch::{Device, Tensor};
use vqkit_metrics::{LabelAgreement, PixelError};
use vqkit_recipe::InputSpec;

use crate::{error::Result, extractor::Extractor, extractor::Features, statistics::FeatureAccumulator};

/// Accumulates pairs of images and reconstructions.
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
    /// Features of the images.
    pub images: FeatureAccumulator,
    reconstructions: FeatureAccumulator,
}

impl Pair {
    /// The Fréchet distance between reconstructions and images; `None` where there are too few for a covariance.
    pub fn distance(&self) -> Option<f64> {
        self.images.frechet_distance(&self.reconstructions)
    }
}

impl ReconstructionError {
    /// An empty accumulator for `total` images of this shape; features are computed for colour images that are large
    /// enough for the last stage of the evaluation classifier.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn new(shape: InputSpec, total: usize, device: Device) -> Result<Self> {
        let difference = match shape.labels {
            true => Difference::Labels(LabelAgreement::new(shape.channels as i64)),
            false => Difference::Pixels(PixelError::default()),
        };
        let mut error = Self { difference, sets: Vec::new() };
        let extractor = Extractor::embedded(device)?;
        if extractor.takes(shape) {
            error.compare_by(extractor, total);
        }
        Ok(error)
    }

    /// Adds another network for the features of both sides, of `total` images.
    pub fn compare_by(&mut self, extractor: Extractor, total: usize) {
        let nothing = || FeatureAccumulator::new(extractor.width(), total);
        self.sets.push(Pair { images: nothing(), reconstructions: nothing(), extractor });
    }

    /// Adds a batch; waits for the device.
    ///
    /// # Shapes
    /// Both `[B, C, H, W]`, in `[-1, 1]`, and both are rounded to 8 bits, as in a file; for label maps logits and
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

    /// PSNR in dB, or for label maps the share of pixels that are right; more is better.
    pub fn fidelity(&self) -> f64 {
        match &self.difference {
            Difference::Pixels(error) => error.psnr_db(),
            Difference::Labels(agreement) => agreement.accuracy(),
        }
    }

    /// Error of pixels; label maps have none.
    pub fn pixels(&self) -> Option<&PixelError> {
        match &self.difference {
            Difference::Pixels(error) => Some(error),
            Difference::Labels(_) => None,
        }
    }

    /// All metrics, by the names of the log.
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

    /// Statistics of a network's features; `None` where the network is not used.
    pub fn by(&self, features: Features) -> Option<&Pair> {
        self.sets.iter().find(|pair| pair.extractor.kind() == features)
    }

    /// Statistics of every network's features.
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
