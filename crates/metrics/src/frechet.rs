//! The Fréchet distance between two sets of features, each taken as a Gaussian.

use tch::{Kind, Tensor};

use crate::MetricsError;
use crate::features::{finite, metric, moments, same_width};

/// Mean and covariance of features, gathered batch by batch in fp64.
///
/// ```
/// use tch::Tensor;
/// use vqkit_metrics::Gaussian;
///
/// let mut here = Gaussian::new(2);
/// here.add(&Tensor::from_slice2(&[[0.0f32, 1.0], [2.0, 3.0], [1.0, 5.0]]));
/// let mut there = Gaussian::new(2);
/// there.add(&Tensor::from_slice2(&[[3.0f32, 5.0], [5.0, 7.0], [4.0, 9.0]]));
/// // The same shape, moved by (3, 4).
/// assert!((here.frechet_distance(&there)? - 25.0).abs() < 1e-9);
/// # Ok::<(), vqkit_metrics::MetricsError>(())
/// ```
#[derive(Debug)]
pub struct Gaussian {
    count: i64,
    /// `[D]`
    sum: Tensor,
    /// `[D, D]`: sum of outer products.
    products: Tensor,
}

impl Gaussian {
    /// Nothing gathered yet, of features of this width.
    pub fn new(width: i64) -> Self {
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Double, tch::Device::Cpu));
        Self { count: 0, sum: zeros(&[width]), products: zeros(&[width, width]) }
    }

    /// Adds features `[B, D]`.
    ///
    /// # Panics
    /// When they are not of the width that was promised.
    pub fn add(&mut self, features: &Tensor) {
        let features = features.detach().to_device(tch::Device::Cpu).to_kind(Kind::Double);
        self.count += features.size()[0];
        self.sum += features.sum_dim_intlist([0i64].as_slice(), false, None);
        self.products += features.tr().matmul(&features);
    }

    /// How many features were gathered.
    pub fn count(&self) -> i64 {
        self.count
    }

    /// The mean `[D]`.
    pub fn mean(&self) -> Tensor {
        &self.sum / self.count as f64
    }

    /// The covariance `[D, D]`, with divisor N - 1.
    pub fn covariance(&self) -> Tensor {
        let centred = &self.products - self.sum.outer(&self.sum) / self.count as f64;
        centred / (self.count - 1) as f64
    }

    /// [`frechet_distance`] between this and another.
    ///
    /// # Errors
    /// As there; of fewer than two features, the covariance is not finite.
    pub fn frechet_distance(&self, other: &Self) -> Result<f64, MetricsError> {
        frechet_distance((&self.mean(), &self.covariance()), (&other.mean(), &other.covariance()))
    }
}

/// `|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½)` of two Gaussians (Dowson and Landau 1982; Heusel et al. 2017, eq. 6).
///
/// The trace of the root is that of the symmetric `(Lᵀ Σ₂ L)^½` for any `L Lᵀ = Σ₁`, whose eigenvalues are never negative but by
/// rounding; so singular covariances need no small constant on their diagonal. `L` is a Cholesky factor where there is one, else the root.
///
/// Where rounding would make it negative, it is 0.
///
/// # Shapes
/// Means `[D]` and covariances `[D, D]`, fp64.
///
/// # Errors
/// [`MetricsError::Shape`] and [`MetricsError::Widths`] for other shapes; [`MetricsError::NotFinite`] when a number of them, or the
/// distance, is not finite.
pub fn frechet_distance(first: (&Tensor, &Tensor), second: (&Tensor, &Tensor)) -> Result<f64, MetricsError> {
    const METRIC: &str = "the Fréchet distance";
    let ((mean, covariance), (other_mean, other_covariance)) = (first, second);
    same_width(moments(mean, covariance)?, moments(other_mean, other_covariance)?)?;
    let first = || Ok::<_, MetricsError>(cholesky(covariance)?.map(|factor| (factor, other_covariance)));
    let second = || Ok::<_, MetricsError>(cholesky(other_covariance)?.map(|factor| (factor, covariance)));
    let (factor, between) = match first()? {
        Some(factored) => factored,
        None => second()?.map_or_else(|| Ok::<_, MetricsError>((square_root(covariance)?, other_covariance)), Ok)?,
    };
    let product = factor.f_tr()?.f_matmul(between)?.f_matmul(&factor)?;
    finite(METRIC, &product)?;
    let eigenvalues = symmetric(&product).f_linalg_eigvalsh("L")?.clamp_min(0.0);
    let number = |tensor: Tensor| tensor.sum(Kind::Double).double_value(&[]);
    let traces = number(covariance.trace()) + number(other_covariance.trace());
    let distance = number((mean - other_mean).square()) + traces - 2.0 * number(eigenvalues.sqrt());
    metric(METRIC, distance).map(|distance| distance.max(0.0))
}

/// The lower factor of a symmetric matrix; `None` where it is not positive definite, or too close to singular to tell.
fn cholesky(matrix: &Tensor) -> Result<Option<Tensor>, MetricsError> {
    let (factor, failed_at) = symmetric(matrix).f_linalg_cholesky_ex(false, false)?;
    Ok((failed_at.f_int64_value(&[])? == 0).then_some(factor))
}

/// The root of a symmetric matrix without negative eigenvalues.
fn square_root(matrix: &Tensor) -> Result<Tensor, MetricsError> {
    let (values, vectors) = symmetric(matrix).f_linalg_eigh("L")?;
    Ok((&vectors * values.clamp_min(0.0).sqrt()).f_matmul(&vectors.tr())?)
}

/// Without the asymmetry of rounding.
fn symmetric(matrix: &Tensor) -> Tensor {
    (matrix + matrix.tr()) * 0.5
}
