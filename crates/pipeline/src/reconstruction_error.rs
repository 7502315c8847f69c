//! How far reconstructions are from what they should be: in pixels or labels, and as a set in the eyes of the judge.

use std::fmt;

use tch::{Device, Tensor};
use vqkit_losses::FrozenVgg;
use vqkit_metrics::{Gaussian, LabelAgreement, PixelError};

use crate::{domain::Shape, error::Result, perceptual};

/// Gathers pairs of pictures and reconstructions.
#[derive(Debug)]
pub struct ReconstructionError {
    difference: Difference,
    judged: Option<Judged>,
}

#[derive(Debug)]
enum Difference {
    Pixels(PixelError),
    Labels(LabelAgreement),
}

/// Features of both sides.
#[derive(Debug)]
struct Judged {
    judge: FrozenVgg,
    images: Gaussian,
    reconstructions: Gaussian,
}

impl ReconstructionError {
    /// Nothing gathered yet, of pictures of this shape: the judge looks at those in colour that reach its last stage.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn new(shape: Shape, device: Device) -> Result<Self> {
        if shape.labels {
            return Ok(Self {
                difference: Difference::Labels(LabelAgreement::new(shape.channels as i64)),
                judged: None,
            });
        }
        let judge = perceptual::judge(device)?;
        let in_colour = judge.in_channels() == shape.channels as i64;
        let judged = (in_colour && i64::from(shape.size) >= judge.least_size()).then(|| Judged {
            images: Gaussian::new(judge.width()),
            reconstructions: Gaussian::new(judge.width()),
            judge,
        });
        Ok(Self { difference: Difference::Pixels(PixelError::default()), judged })
    }

    /// Adds a batch; waits for the device.
    ///
    /// # Shapes
    /// Both `[B, C, H, W]`, in `[-1, 1]`, and both are rounded to 8 bits, as a file would hold them; of label maps logits and
    /// one-hot.
    ///
    /// # Errors
    /// When the judge cannot take the images.
    pub fn add(&mut self, reconstructions: &Tensor, images: &Tensor) -> Result<()> {
        match &mut self.difference {
            Difference::Pixels(error) => error.add(reconstructions, images),
            Difference::Labels(agreement) => agreement.add(&reconstructions.argmax(1, false), &images.argmax(1, false)),
        }
        if let Some(Judged { judge, images: real, reconstructions: fake }) = &mut self.judged {
            let of_file = |images: &Tensor| PixelError::to_8_bits(images) / 127.5 - 1.0;
            real.add(&judge.pooled(&of_file(images))?);
            fake.add(&judge.pooled(&of_file(reconstructions))?);
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
    pub fn figures(&self) -> Vec<(String, f64)> {
        let mut figures = match &self.difference {
            Difference::Pixels(error) => vec![("held_out_psnr_db".to_owned(), error.psnr_db())],
            Difference::Labels(agreement) => vec![
                ("held_out_label_accuracy".to_owned(), agreement.accuracy()),
                ("held_out_mean_iou".to_owned(), agreement.mean_iou()),
            ],
        };
        figures.extend(self.fd_vgg_cifar10().map(|distance| ("held_out_fd_vgg_cifar10".into(), distance)));
        figures
    }

    /// Fréchet distance between the judge's features of images and of reconstructions; `None` where the images are not in
    /// colour, too small, or too few to have a covariance.
    pub fn fd_vgg_cifar10(&self) -> Option<f64> {
        let judged = self.judged.as_ref().filter(|judged| judged.images.count() > 1)?;
        Some(judged.images.frechet_distance(&judged.reconstructions))
    }

    /// The judge's features of the images; `None` where it does not look at them.
    pub fn judged_images(&self) -> Option<&Gaussian> {
        self.judged.as_ref().map(|judged| &judged.images)
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
