//! Metrics of two sets of features.

use serde::Serialize;
use serde_json::{Map, Value};
use tch::Tensor;
use vqkit_metrics::{KernelDistance, KernelDistanceConfig, Manifold, Neighbours, Overlap, frechet_distance};
use vqkit_torch::numpy;

use crate::{error::FidelityError, error::Result, extractor::Features, statistics::Spread, statistics::Statistics};

/// Number of images from which on the Fréchet distance is usually reported; below, its bias is measured and reported.
pub const MANY: usize = 10_000;

/// Metrics by name, in the order in which they are shown.
pub type MetricValues = Map<String, Value>;

/// All metrics for which there are features, of generated images against real ones.
///
/// # Errors
/// When the sets have features of different widths, or a metric is not finite.
pub fn compare_statistics(
    real: &Statistics,
    fake: &Statistics,
    score: Option<Spread>,
    features: Features,
) -> Result<MetricValues> {
    let mut metrics = MetricValues::new();
    let mut put = |name: &str, value: f64| {
        let name = features.metric_name(name);
        if !value.is_finite() {
            return Err(FidelityError::NotFinite { name: name.to_string() });
        }
        metrics.insert(name, value.into());
        Ok(())
    };
    let frechet = Frechet::between(real, fake)?;
    put("frechet_distance", frechet.distance)?;
    if let Some(bias) = frechet.bias_to_expect {
        put("frechet_bias_to_expect", bias)?;
    }
    if let Some(Spread { mean, std }) = score {
        put("inception_score", mean)?;
        put("inception_score_std", std)?;
    }
    let (Some(real), Some(fake)) = (&real.kept, &fake.kept) else { return Ok(metrics) };
    let fewest = real.size()[0].min(fake.size()[0]);
    let kernel = KernelDistanceConfig::default();
    // Subsets of all would not spread; the mean is unbiased at every size.
    let subset_size = kernel.subset_size.min(fewest as usize / 2).max(2);
    let kernel = KernelDistanceConfig { subset_size, ..kernel };
    let KernelDistance { mean, std } = KernelDistance::between(real, fake, &kernel)?;
    put("kid", mean)?;
    put("kid_std", std)?;
    let neighbours = Neighbours::default();
    if fewest > neighbours.density {
        let manifold = |features: &Tensor| Manifold::new(features, neighbours.density);
        let overlap = Overlap::between(&manifold(real)?, &manifold(fake)?, neighbours);
        put("precision", overlap.precision())?;
        put("recall", overlap.recall())?;
        put("density", overlap.density())?;
        put("coverage", overlap.coverage())?;
    }
    Ok(metrics)
}

/// The Fréchet distance of two sets, and how much of it is due to their sizes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Frechet {
    /// The distance.
    pub distance: f64,
    /// Estimate of how much too large it is, where a set has fewer than [`MANY`] images.
    pub bias_to_expect: Option<f64>,
}

impl Frechet {
    /// The distance between generated and real images.
    ///
    /// # Errors
    /// When the sets have features of different widths, or the features are not finite.
    pub fn between(real: &Statistics, fake: &Statistics) -> Result<Self> {
        Ok(Self { distance: distance(real, fake)?, bias_to_expect: frechet_bias(real, fake)? })
    }
}

fn distance(real: &Statistics, fake: &Statistics) -> Result<f64> {
    Ok(frechet_distance((&real.mean, &real.covariance), (&fake.mean, &fake.covariance))?)
}

/// Estimate of how much too large the Fréchet distance is for so few images: its bias is proportional to one over their
/// number (Chong & Forsyth 2020), so halving the number adds as much again. Measured on a fixed random half of the images
/// of the sides that are few, and never below 0; `None` where neither is, or where their features are missing.
fn frechet_bias(real: &Statistics, fake: &Statistics) -> Result<Option<f64>> {
    let is_few = |side: &Statistics| side.pictures.is_some_and(|count| (4..MANY).contains(&count));
    if !is_few(real) && !is_few(fake) {
        return Ok(None);
    }
    let halved = |side: &Statistics| match is_few(side) {
        true => side.kept.as_ref().map(|features| moments(&half(features))),
        false => Some((side.mean.shallow_clone(), side.covariance.shallow_clone())),
    };
    let (Some((mean, covariance)), Some((other_mean, other_covariance))) = (halved(real), halved(fake)) else {
        return Ok(None);
    };
    let of_half = frechet_distance((&mean, &covariance), (&other_mean, &other_covariance))?;
    Ok(Some((of_half - distance(real, fake)?).max(0.0)))
}

/// A fixed random half of features `[N, D]`: every other one may be of one kind, if names are sorted by it.
fn half(features: &Tensor) -> Tensor {
    let rows = numpy::permutation(0, features.size()[0]);
    features.index_select(0, &Tensor::from_slice(&rows[..rows.len().div_ceil(2)]))
}

fn moments(features: &Tensor) -> (Tensor, Tensor) {
    let mut gaussian = vqkit_metrics::Gaussian::new(features.size()[1]);
    gaussian.add(features);
    (gaussian.mean(), gaussian.covariance())
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn statistics(features: &Tensor) -> Statistics {
        let (mean, covariance) = moments(features);
        Statistics {
            header: None,
            mean,
            covariance,
            kept: Some(features.shallow_clone()),
            pictures: Some(features.size()[0] as usize),
        }
    }

    #[test]
    fn only_sides_that_are_few_are_halved() {
        let draw = |count: i64| Tensor::randn([count, 8], (Kind::Float, Device::Cpu));
        let few = statistics(&draw(200));
        // Of many images only a part of the features is kept; halving that part would not measure the bias of the
        // whole.
        let many = Statistics { pictures: Some(50_000), ..statistics(&draw(100)) };
        let half = statistics(&half(few.kept.as_ref().unwrap()));
        let wanted = (distance(&many, &half).unwrap() - distance(&many, &few).unwrap()).max(0.0);
        assert!((frechet_bias(&many, &few).unwrap().unwrap() - wanted).abs() < 1e-9);
        assert!(frechet_bias(&many, &many).unwrap().is_none());
        assert!(frechet_bias(&few, &Statistics { kept: None, ..statistics(&draw(50)) }).unwrap().is_none());
    }

    #[test]
    fn what_gives_no_figure_is_an_error() {
        let draw = |count: i64, width: i64| Tensor::randn([count, width], (Kind::Float, Device::Cpu));
        let real = statistics(&draw(60, 8));
        let refusal =
            |fake: &Statistics| compare_statistics(&real, fake, None, Features::Inception).unwrap_err().to_string();
        assert!(refusal(&statistics(&draw(60, 5))).contains("other widths: 8 and 5"));
        assert!(refusal(&statistics(&(draw(60, 8) * f64::NAN))).contains("is not finite"));
        let score = Spread { mean: f64::NAN, std: 0.0 };
        let metrics = compare_statistics(&real, &statistics(&draw(60, 8)), Some(score), Features::Inception);
        assert!(metrics.unwrap_err().to_string().starts_with("`inception_score` is not finite"));
    }
}
