//! Structural similarity, at one scale and at several.

use tch::{Device, Kind, Tensor};

use crate::MetricsError;

/// Weights of the scales of MS-SSIM, the finest first (Wang, Simoncelli & Bovik 2003, section 3.2).
pub const MS_SSIM_WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// Structural similarity of images (Wang et al. 2004), as torchmetrics computes it: a Gaussian window per channel, images padded by
/// reflection, the mean over the whole map.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use vqkit_metrics::Ssim;
///
/// let images = Tensor::rand([2, 3, 32, 32], (Kind::Float, Device::Cpu));
/// let same = Ssim::new(1.0).of_each(&images, &images)?;
/// assert!((same - 1.0).abs().max().double_value(&[]) < 1e-5);
/// # Ok::<(), vqkit_metrics::MetricsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ssim {
    /// The largest value less the smallest that an image can have: 1 for `[0, 1]`, 2 for `[-1, 1]`, which is not the same measure
    /// on the same pictures, since the luminance term knows where 0 is.
    pub data_range: f64,
    /// Standard deviation of the window in pixels, which is cut off at 3.5 of them. Default 1.5: 11 by 11 pixels.
    pub sigma: f64,
    /// Keeps the luminance term finite. Default 0.01.
    pub k1: f64,
    /// Keeps the contrast term finite. Default 0.03.
    pub k2: f64,
}

impl Ssim {
    /// The usual window and constants.
    pub fn new(data_range: f64) -> Self {
        Self { data_range, sigma: 1.5, k1: 0.01, k2: 0.03 }
    }

    /// The similarity of each image with its counterpart, at most 1.
    ///
    /// # Shapes
    /// Both `[B, C, H, W]`, real, to `[B]`, fp32.
    ///
    /// # Errors
    /// [`MetricsError::Shape`] where the two differ in shape, or are not larger than half the window.
    pub fn of_each(&self, images: &Tensor, others: &Tensor) -> Result<Tensor, MetricsError> {
        Ok(self.map(images, others)?.mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float))
    }

    /// The similarity around every pixel.
    ///
    /// # Shapes
    /// Both `[B, C, H, W]`, and the map too.
    ///
    /// # Errors
    /// As [`of_each`](Self::of_each).
    pub fn map(&self, images: &Tensor, others: &Tensor) -> Result<Tensor, MetricsError> {
        self.check(images, others, 1)?;
        Ok(self.terms(images, others).0)
    }

    /// MS-SSIM: the contrast terms of all scales and the whole similarity of the coarsest, each to the power of its weight; the
    /// means of a scale that are negative count as 0. Each scale is the one before, averaged 2 by 2.
    ///
    /// # Shapes
    /// Both `[B, C, H, W]`, to `[B]`, fp32; the coarsest scale is no smaller than the window, so that five scales take 176 pixels.
    ///
    /// # Errors
    /// [`MetricsError::Shape`] where the two differ in shape, or are too small.
    pub fn multi_scale_of_each(
        &self,
        images: &Tensor,
        others: &Tensor,
        weights: &[f64],
    ) -> Result<Tensor, MetricsError> {
        self.check(images, others, weights.len() as u32)?;
        let border = self.radius();
        let inside = |map: &Tensor| {
            let size = map.size();
            map.narrow(2, border, size[2] - 2 * border).narrow(3, border, size[3] - 2 * border)
        };
        let mean = |map: &Tensor| map.mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float).clamp_min(0.0);
        let halved = |x: &Tensor| x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>);
        let (mut here, mut there) = (images.to_kind(Kind::Float), others.to_kind(Kind::Float));
        let mut product = Tensor::ones([images.size()[0]], (Kind::Float, images.device()));
        for (scale, weight) in weights.iter().enumerate() {
            let (similarity, contrast) = self.terms(&here, &there);
            let is_last = scale + 1 == weights.len();
            let term = if is_last { mean(&similarity) } else { mean(&inside(&contrast)) };
            product *= term.pow_tensor_scalar(*weight);
            if !is_last {
                (here, there) = (halved(&here), halved(&there));
            }
        }
        Ok(product)
    }

    /// The similarity around every pixel, and its factor that knows contrast and structure only.
    fn terms(&self, images: &Tensor, others: &Tensor) -> (Tensor, Tensor) {
        let (x, y) = (images.to_kind(Kind::Float), others.to_kind(Kind::Float));
        let batch = x.size()[0];
        let moments = self.windowed(&Tensor::cat(&[&x, &y, &(&x * &x), &(&y * &y), &(&x * &y)], 0));
        let part = |index: i64| moments.narrow(0, index * batch, batch);
        let (mean_x, mean_y) = (part(0), part(1));
        let (squares, product) = (mean_x.square() + mean_y.square(), &mean_x * &mean_y);
        let variances = (part(2) - mean_x.square()).clamp_min(0.0) + (part(3) - mean_y.square()).clamp_min(0.0);
        let covariance = part(4) - &product;
        let (c1, c2) = ((self.k1 * self.data_range).powi(2), (self.k2 * self.data_range).powi(2));
        let contrast = (covariance * 2.0 + c2) / (variances + c2);
        let similarity = (product * 2.0 + c1) / (squares + c1) * &contrast;
        (similarity, contrast)
    }

    /// The mean of every pixel's neighbourhood under the window, which is a product of two of one dimension.
    fn windowed(&self, x: &Tensor) -> Tensor {
        let (radius, size) = (self.radius(), x.size());
        let steps = Tensor::arange_start(-radius, radius + 1, (Kind::Float, Device::Cpu)) / self.sigma;
        let window = (steps.square() * -0.5).exp();
        let window = (&window / window.sum(Kind::Float)).to_device(x.device());
        let planes = x.reshape([size[0] * size[1], 1, size[2], size[3]]).reflection_pad2d([radius; 4]);
        let along =
            |x: &Tensor, shape: [i64; 4]| x.conv2d(&window.view(shape), None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1);
        along(&along(&planes, [1, 1, -1, 1]), [1, 1, 1, -1]).view_as(x)
    }

    /// Pixels of the window on either side of its middle.
    fn radius(&self) -> i64 {
        (3.5 * self.sigma + 0.5) as i64
    }

    fn check(&self, images: &Tensor, others: &Tensor, scales: u32) -> Result<(), MetricsError> {
        let (got, radius) = (others.size(), self.radius());
        // Reflection takes more pixels than it gives; at several scales the border of the window is left out.
        let least = if scales == 1 { radius + 1 } else { (2 * radius + 1) << (scales - 1) };
        match images.size()[..] {
            [_, _, height, width] if images.size() == got && height.min(width) >= least => Ok(()),
            _ if images.size() != got => {
                Err(MetricsError::Shape { what: "the second images", want: format!("{:?}", images.size()), got })
            }
            _ => {
                let want = format!("[B, C, H, W] with sides of at least {least} for {scales} scales");
                Err(MetricsError::Shape { what: "images", want, got })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let zeros = |size: i64| Tensor::zeros([1, 3, size, size], (Kind::Float, Device::Cpu));
        let refuse = |a: i64, b: i64, scales: usize| {
            Ssim::new(1.0)
                .multi_scale_of_each(&zeros(a), &zeros(b), &MS_SSIM_WEIGHTS[..scales])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(refuse(8, 9, 1), "the second images must have shape [1, 3, 8, 8], got [1, 3, 9, 9]");
        assert!(refuse(5, 5, 1).contains("sides of at least 6"));
        assert!(refuse(175, 175, 5).contains("sides of at least 176 for 5 scales"));
    }
}
