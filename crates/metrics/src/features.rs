//! Checks of features and their moments, which come before any metric.

use tch::{Kind, Tensor};

use crate::MetricsError;

/// How far a covariance may be from symmetric, and below zero in any direction, as a share of its largest variance: far more than
/// the rounding of f32 leaves.
const ROUNDING: f64 = 1e-5;

/// The width `D` of finite features `[N, D]`.
pub(crate) fn width(features: &Tensor) -> Result<i64, MetricsError> {
    match features.size().as_slice() {
        &[_, width] if width > 0 => finite("features", features).map(|()| width),
        _ => Err(MetricsError::Shape { what: "features", want: "[N, D]".into(), got: features.size() }),
    }
}

/// That both sides have as many features.
pub(crate) fn same_width(first: i64, second: i64) -> Result<(), MetricsError> {
    if first == second { Ok(()) } else { Err(MetricsError::Widths { first, second }) }
}

/// The width `D` of moments: a mean `[D]` and a covariance `[D, D]`, all of it finite.
pub(crate) fn moments(mean: &Tensor, covariance: &Tensor) -> Result<i64, MetricsError> {
    let (&[width], &[height, length]) = (mean.size().as_slice(), covariance.size().as_slice()) else {
        let what = "a mean and a covariance";
        return Err(MetricsError::Shape { what, want: "[D] and [D, D]".into(), got: covariance.size() });
    };
    if width < 1 || [height, length] != [width; 2] {
        let want = format!("[{width}, {width}], as its mean has {width} numbers");
        return Err(MetricsError::Shape { what: "a covariance", want, got: covariance.size() });
    }
    finite("a mean", mean)?;
    finite("a covariance", covariance)?;
    Ok(width)
}

/// Looks at moments that come from elsewhere: a mean `[D]` and a covariance `[D, D]`, f64, have to be finite, and the covariance
/// symmetric and without negative variances, but for rounding.
///
/// # Errors
/// [`MetricsError::Shape`], [`MetricsError::NotFinite`] or [`MetricsError::Covariance`] for the first that is not so.
pub fn check_moments(mean: &Tensor, covariance: &Tensor) -> Result<(), MetricsError> {
    moments(mean, covariance)?;
    let largest = number(&covariance.diagonal(0, 0, 1).f_max()?)?;
    // Without variance, all that is there is below zero in some direction.
    let scaled = if largest > 0.0 { covariance / largest } else { covariance.shallow_clone() };
    let allowed = if largest > 0.0 { ROUNDING } else { 0.0 };
    if number(&(&scaled - scaled.tr()).abs().f_max()?)? > allowed {
        return Err(MetricsError::Covariance("it is not symmetric"));
    }
    let is_nothing = || -> Result<bool, MetricsError> { Ok(number(&scaled.abs().f_max()?)? == 0.0) };
    let identity = Tensor::f_eye(mean.size()[0], (Kind::Double, covariance.device()))?;
    let (_, failed_at) = (&scaled + identity * ROUNDING).f_linalg_cholesky_ex(false, false)?;
    let has_factor = largest > 0.0 && failed_at.f_int64_value(&[])? == 0;
    match has_factor || is_nothing()? {
        true => Ok(()),
        false => Err(MetricsError::Covariance("it has negative variances, which no features have")),
    }
}

/// That all of a tensor is finite.
pub(crate) fn finite(what: &'static str, tensor: &Tensor) -> Result<(), MetricsError> {
    match tensor.isfinite().all().f_int64_value(&[])? {
        0 => Err(MetricsError::NotFinite(what)),
        _ => Ok(()),
    }
}

/// A metric, which has to be finite.
pub(crate) fn metric(what: &'static str, value: f64) -> Result<f64, MetricsError> {
    if value.is_finite() { Ok(value) } else { Err(MetricsError::NotFinite(what)) }
}

fn number(tensor: &Tensor) -> Result<f64, MetricsError> {
    Ok(tensor.f_double_value(&[])?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tch::Device;
    use vqkit_testing::generator;

    use super::*;
    use crate::{Gaussian, frechet_distance};

    const CPU: (Kind, Device) = (Kind::Double, Device::Cpu);

    /// Moments of so many random features; singular where there are few.
    fn gathered(count: i64, width: i64, scale: f64) -> (Tensor, Tensor) {
        let mut gaussian = Gaussian::new(width);
        gaussian.add(&(Tensor::randn([count, width], CPU) * scale));
        (gaussian.mean(), gaussian.covariance())
    }

    proptest! {
        #[test]
        fn moments_of_features_are_sound_and_their_distances_finite(
            seed in any::<i64>(), count in 2i64..30, width in 1i64..20, power in -60i32..60, single in any::<bool>(),
        ) {
            let _generator = generator(seed);
            let (mean, covariance) = gathered(count, width, 10f64.powi(power / 4));
            // As files of f32 keep it.
            let covariance = if single { covariance.to_kind(Kind::Float).to_kind(Kind::Double) } else { covariance };
            check_moments(&mean, &covariance).unwrap();
            let other = gathered(count, width, 1.0);
            let distance = frechet_distance((&mean, &covariance), (&other.0, &other.1)).unwrap();
            prop_assert!(distance >= 0.0 && distance.is_finite());
            prop_assert!(frechet_distance((&mean, &covariance), (&mean, &covariance)).unwrap() >= 0.0);
        }

        #[test]
        fn a_covariance_that_none_has_is_refused(seed in any::<i64>(), width in 2i64..12, at in 0i64..12, fault in 0..5) {
            let _generator = generator(seed);
            let (mean, covariance) = gathered(50, width, 3.0);
            let at = at % width;
            let element = covariance.get(at).get((at + 1) % width);
            let want = match fault {
                0 => { let _ = element.shallow_clone().fill_(f64::NAN); "not finite" }
                1 => { let _ = covariance.get(at).get(at).fill_(f64::INFINITY); "not finite" }
                2 => { let _ = element.shallow_clone().g_add_scalar_(1.0); "not symmetric" }
                3 => { let _ = covariance.get(at).get(at).fill_(-1.0); "negative variances" }
                _ => { let _ = mean.get(at).fill_(f64::NEG_INFINITY); "not finite" }
            };
            let error = check_moments(&mean, &covariance).unwrap_err().to_string();
            prop_assert!(error.contains(want), "{error}");
            if want == "not finite" {
                prop_assert!(frechet_distance((&mean, &covariance), (&mean, &covariance)).is_err());
            }
        }
    }

    #[test]
    fn features_without_variance_are_sound() {
        let nothing = |scale: f64| (Tensor::ones([3], CPU), Tensor::zeros([3, 3], CPU) * scale);
        let (mean, covariance) = nothing(1.0);
        check_moments(&mean, &covariance).unwrap();
        assert_eq!(frechet_distance((&mean, &covariance), (&mean, &covariance)).unwrap(), 0.0);
        let negative = Tensor::eye(3, CPU) * -1.0;
        assert!(check_moments(&mean, &negative).is_err());
    }

    #[test]
    fn other_shapes_and_widths_are_told() {
        let (mean, covariance) = gathered(9, 4, 1.0);
        let (other_mean, other_covariance) = gathered(9, 2, 1.0);
        let error = frechet_distance((&mean, &covariance), (&other_mean, &other_covariance)).unwrap_err();
        assert_eq!(error.to_string(), "the two sets have features of other widths: 4 and 2");
        for (mean, covariance) in [
            (&mean, &other_covariance),
            (&covariance, &covariance),
            (&mean, &mean),
            (&Tensor::zeros([0], CPU), &Tensor::zeros([0, 0], CPU)),
        ] {
            assert!(matches!(check_moments(mean, covariance), Err(MetricsError::Shape { .. })));
        }
    }

    #[test]
    fn what_overflows_on_the_way_is_no_figure() {
        let mean = Tensor::full([2], 1e200, CPU);
        let covariance = Tensor::eye(2, CPU) * 1e200;
        check_moments(&mean, &covariance).unwrap();
        let other = Tensor::zeros([2], CPU);
        let error = frechet_distance((&mean, &covariance), (&other, &covariance)).unwrap_err().to_string();
        assert_eq!(error, "the Fréchet distance is not finite");
    }
}
