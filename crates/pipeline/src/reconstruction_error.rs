//! How far reconstructions are from their images: in pixels, and as a set in the eyes of the judge.

use tch::{Device, Tensor};
use vqkit_data::DataConfig;
use vqkit_losses::FrozenVgg;
use vqkit_metrics::{Gaussian, PixelError};

use crate::{error::Result, perceptual};

/// Gathers pairs of images and reconstructions.
#[derive(Debug)]
pub struct ReconstructionError {
    /// Error of pixels.
    pub pixels: PixelError,
    judged: Option<Judged>,
}

/// Features of both sides.
#[derive(Debug)]
struct Judged {
    judge: FrozenVgg,
    images: Gaussian,
    reconstructions: Gaussian,
}

impl ReconstructionError {
    /// Nothing gathered yet, of the images that `data` asks for: the judge looks at those in colour that reach its last stage.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn new(data: &DataConfig, device: Device) -> Result<Self> {
        let judge = perceptual::judge(device)?;
        let in_colour = judge.in_channels() == data.color.channels() as i64;
        let judged = (in_colour && i64::from(data.image_size) >= judge.least_size()).then(|| Judged {
            images: Gaussian::new(judge.width()),
            reconstructions: Gaussian::new(judge.width()),
            judge,
        });
        Ok(Self { pixels: PixelError::default(), judged })
    }

    /// Adds a batch; waits for the device.
    ///
    /// # Shapes
    /// Both `[B, C, H, W]`, in `[-1, 1]`; both are rounded to 8 bits, as a file would hold them.
    ///
    /// # Errors
    /// When the judge cannot take the images.
    pub fn add(&mut self, reconstructions: &Tensor, images: &Tensor) -> Result<()> {
        self.pixels.add(reconstructions, images);
        if let Some(Judged { judge, images: real, reconstructions: fake }) = &mut self.judged {
            let of_file = |images: &Tensor| PixelError::to_8_bits(images) / 127.5 - 1.0;
            real.add(&judge.pooled(&of_file(images))?);
            fake.add(&judge.pooled(&of_file(reconstructions))?);
        }
        Ok(())
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
