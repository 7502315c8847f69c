//! Similarity of each image and its reconstruction.

use serde::Serialize;
use tch::{Kind, Tensor};
use vqkit_losses::{Lpips, Perceptual};
use vqkit_metrics::{MS_SSIM_WEIGHTS, PixelError, Ssim};
use vqkit_recipe::InputSpec;

use crate::error::Result;

/// The shortest side of images that have five scales.
const FIVE_SCALES: u32 = 176;
/// The shortest side of images that the window of SSIM fits into.
const WINDOW: u32 = 11;

/// Means over images, with both sides rounded to 8 bits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Similarity {
    /// SSIM on `[0, 1]`, per channel; for images of at least 11 pixels.
    pub ssim: Option<f64>,
    /// MS-SSIM on `[0, 1]`; for images of at least 176 pixels.
    pub ms_ssim: Option<f64>,
    /// LPIPS 0.1 with VGG16; for colour images, where its weights are available.
    pub lpips: Option<f64>,
}

/// Accumulates the means.
#[derive(Debug)]
pub struct Compared<'l> {
    shape: InputSpec,
    lpips: Option<&'l Lpips>,
    sums: [f64; 3],
    count: usize,
}

impl<'l> Compared<'l> {
    /// An empty accumulator for images of this shape.
    pub fn new(shape: InputSpec, lpips: Option<&'l Lpips>) -> Self {
        let lpips = lpips.filter(|_| shape.channels == 3 && i64::from(shape.size) >= Lpips::LEAST_SIZE);
        Self { shape, lpips, sums: [0.0; 3], count: 0 }
    }

    /// Adds pairs `[B, C, H, W]` in `[-1, 1]`; waits for the device.
    ///
    /// # Errors
    /// When a network cannot take them.
    pub fn add(&mut self, reconstructions: &Tensor, images: &Tensor) -> Result<()> {
        if self.shape.labels {
            return Ok(());
        }
        let of_file = |images: &Tensor| PixelError::to_8_bits(images) / 255.0;
        let (fake, real) = (of_file(reconstructions), of_file(images));
        let sum = |of_each: Tensor| of_each.sum(Kind::Double).double_value(&[]);
        let ssim = Ssim::new(1.0);
        if self.shape.size >= WINDOW {
            self.sums[0] += sum(ssim.of_each(&fake, &real)?);
        }
        if self.shape.size >= FIVE_SCALES {
            self.sums[1] += sum(ssim.multi_scale_of_each(&fake, &real, &MS_SSIM_WEIGHTS)?);
        }
        if let Some(lpips) = self.lpips {
            let signed = |images: &Tensor| images * 2.0 - 1.0;
            self.sums[2] += sum(tch::no_grad(|| lpips.distance(&signed(&fake), &signed(&real)))?);
        }
        self.count += images.size()[0] as usize;
        Ok(())
    }

    /// The means; label maps have none.
    pub fn finish(self) -> Similarity {
        let mean = |index: usize, is_there: bool| {
            (is_there && !self.shape.labels && self.count > 0).then(|| self.sums[index] / self.count as f64)
        };
        Similarity {
            ssim: mean(0, self.shape.size >= WINDOW),
            ms_ssim: mean(1, self.shape.size >= FIVE_SCALES),
            lpips: mean(2, self.lpips.is_some()),
        }
    }
}
