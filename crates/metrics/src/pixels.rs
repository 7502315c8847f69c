//! Mean squared error and PSNR over a whole set.

use tch::{Kind, Tensor};

/// Accumulates the squared error of reconstructions, both sides rounded to 8 bits as a file would hold them.
///
/// The PSNR is taken of the mean squared error over the whole set, not averaged over images.
#[derive(Debug, Clone, Copy, Default)]
pub struct PixelError {
    squared: f64,
    elements: i64,
}

impl PixelError {
    /// Adds a batch; waits for the device.
    ///
    /// # Shapes
    /// Both `[B, C, H, W]`, in `[-1, 1]`; values outside are clamped.
    pub fn add(&mut self, reconstructions: &Tensor, images: &Tensor) {
        let difference = Self::to_8_bits(reconstructions) - Self::to_8_bits(images);
        self.squared += difference.square().sum(Kind::Double).double_value(&[]);
        self.elements += images.numel() as i64;
    }

    /// Mean squared error in units of `1/255`; NaN before the first batch.
    pub fn mse(&self) -> f64 {
        self.squared / self.elements as f64
    }

    /// Peak signal-to-noise ratio, `10 log10(255² / mse)`; infinite where nothing differs.
    pub fn psnr_db(&self) -> f64 {
        10.0 * (255.0f64.powi(2) / self.mse()).log10()
    }

    /// PSNR of each image by itself, in dB, both sides rounded to 8 bits; infinite where nothing differs.
    ///
    /// # Shapes
    /// Both `[B, C, H, W]`, in `[-1, 1]` → `[B]`, f64.
    pub fn psnr_db_of_each(reconstructions: &Tensor, images: &Tensor) -> Tensor {
        let difference = Self::to_8_bits(reconstructions) - Self::to_8_bits(images);
        let mse = difference.square().mean_dim([1i64, 2, 3].as_slice(), false, Kind::Double);
        (255.0f64.powi(2) / mse).log10() * 10.0
    }

    /// `[-1, 1]` to the integers `0..=255`, still as floats; what lies outside is clamped.
    pub fn to_8_bits(images: &Tensor) -> Tensor {
        ((images.to_kind(Kind::Float).clamp(-1.0, 1.0) + 1.0) * 127.5).round()
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn pools_the_error_over_batches_before_the_logarithm() {
        let black = -Tensor::ones([1, 3, 4, 4], (Kind::Float, Device::Cpu));
        let mut error = PixelError::default();
        error.add(&(&black + 2.0 * 51.0 / 255.0), &black);
        error.add(&black, &black);
        assert!((error.mse() - 51.0 * 51.0 / 2.0).abs() < 1e-9, "{}", error.mse());
        assert!((error.psnr_db() - 10.0 * (2.0 * 25.0f64).log10()).abs() < 1e-9);
    }

    #[test]
    fn each_image_has_a_psnr_of_its_own() {
        let black = -Tensor::ones([2, 3, 4, 4], (Kind::Float, Device::Cpu));
        let other = &black + Tensor::from_slice(&[2.0f32 * 51.0 / 255.0, 0.0]).view([2, 1, 1, 1]);
        let found = Vec::<f64>::try_from(PixelError::psnr_db_of_each(&other, &black)).unwrap();
        assert!((found[0] - 10.0 * 25.0f64.log10()).abs() < 1e-9, "{found:?}");
        assert_eq!(found[1], f64::INFINITY);
    }

    #[test]
    fn rounds_and_clamps_as_a_file_would() {
        let white = Tensor::ones([1, 1, 2, 2], (Kind::Float, Device::Cpu));
        let mut error = PixelError::default();
        error.add(&(&white + 3.0), &(&white - 0.4 / 127.5));
        assert_eq!(error.mse(), 0.0);
        assert_eq!(error.psnr_db(), f64::INFINITY);
    }
}
