//! KID: the kernel distance between two sets of features.

use rand::{SeedableRng, seq::index};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use crate::MetricsError;
use crate::features::{metric, same_width, width};

/// How the kernel distance is estimated: over random subsets, whose spread tells how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelDistanceConfig {
    /// Subsets drawn, each without replacement. Default 100.
    pub subsets: usize,
    /// Features of a subset, of each side. Default 1,000.
    pub subset_size: usize,
    /// Seed of the draws. Default 0.
    pub seed: u64,
}

impl Default for KernelDistanceConfig {
    fn default() -> Self {
        Self { subsets: 100, subset_size: 1000, seed: 0 }
    }
}

/// The kernel distance, not multiplied by anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelDistance {
    /// Mean over the subsets; around 0, and below it too, for equal distributions.
    pub mean: f64,
    /// Standard deviation over the subsets, as of a population.
    pub std: f64,
}

impl KernelDistance {
    /// The unbiased squared maximum mean discrepancy under the kernel `(x·y / D + 1)³` (Bińkowski et al. 2018).
    ///
    /// # Shapes
    /// `[N, D]` and `[M, D]`.
    ///
    /// ```
    /// use tch::{Device, Kind, Tensor};
    /// use vqkit_metrics::{KernelDistance, KernelDistanceConfig};
    ///
    /// let features = Tensor::randn([60, 4], (Kind::Float, Device::Cpu));
    /// let config = KernelDistanceConfig { subsets: 10, subset_size: 50, seed: 0 };
    /// let far = KernelDistance::between(&features, &(&features + 3.0), &config)?;
    /// assert!(far.mean > 1.0);
    /// # Ok::<(), vqkit_metrics::MetricsError>(())
    /// ```
    ///
    /// # Errors
    /// [`MetricsError::Few`] where either side has fewer features than a subset, or a subset fewer than two; [`MetricsError::Shape`],
    /// [`MetricsError::Widths`] and [`MetricsError::NotFinite`] for features that cannot be compared.
    pub fn between(real: &Tensor, fake: &Tensor, config: &KernelDistanceConfig) -> Result<Self, MetricsError> {
        same_width(width(real)?, width(fake)?)?;
        let counts = [real, fake].map(|features| features.size()[0]);
        let (least, got) = (config.subset_size.max(2) as i64, counts[0].min(counts[1]));
        if got < least || config.subset_size < 2 {
            return Err(MetricsError::Few { metric: "the kernel distance", what: "features", least, got });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let mut draw = |features: &Tensor, count: i64| {
            let rows = index::sample(&mut rng, count as usize, config.subset_size);
            let rows: Vec<i64> = rows.into_iter().map(|row| row as i64).collect();
            features.index_select(0, &Tensor::from_slice(&rows).to_device(features.device())).to_kind(Kind::Double)
        };
        let discrepancies: Vec<f64> =
            (0..config.subsets.max(1)).map(|_| discrepancy(&draw(real, counts[0]), &draw(fake, counts[1]))).collect();
        let over = |sum: f64| sum / discrepancies.len() as f64;
        let mean = over(discrepancies.iter().sum());
        let std = over(discrepancies.iter().map(|value| (value - mean).powi(2)).sum()).sqrt();
        Ok(Self { mean: metric("the kernel distance", mean)?, std: metric("the kernel distance's deviation", std)? })
    }
}

/// Of two sets `[n, D]`, f64, of as many features.
fn discrepancy(real: &Tensor, fake: &Tensor) -> f64 {
    let size = real.size();
    let (count, width) = (size[0] as f64, size[1] as f64);
    let kernel = |a: &Tensor, b: &Tensor| (a.matmul(&b.tr()) / width + 1.0).pow_tensor_scalar(3);
    let number = |tensor: Tensor| tensor.sum(Kind::Double).double_value(&[]);
    let within = |x: &Tensor| {
        let kernel = kernel(x, x);
        number(kernel.shallow_clone()) - number(kernel.diagonal(0, 0, 1))
    };
    (within(real) + within(fake)) / (count * (count - 1.0)) - 2.0 * number(kernel(real, fake)) / (count * count)
}
