//! The arithmetic that all perceptual distances share.

use tch::{Kind, Tensor, no_grad};

use super::features::Features;
use crate::LossError;

/// Keeps the length of a position's features above 0 (lpips' `normalize_tensor`).
const EPSILON: f64 = 1e-10;

/// The distances map by map, `[B, maps]` in fp32.
pub(super) fn layer_distances(a: &Features, b: &Features, weights: &[Tensor]) -> Result<Tensor, LossError> {
    check(a, b, weights)?;
    let pairs = a.maps().iter().zip(b.maps()).zip(weights);
    let layers: Vec<_> = pairs.map(|((a, b), weights)| layer_distance(a, b, weights)).collect();
    Ok(Tensor::f_stack(&layers, 1)?)
}

/// The mean distance of a batch, a scalar, and its gradients with respect to the maps of `a`, in their kinds; no graph is
/// built for it.
pub(super) fn layer_gradients(
    a: &Features,
    b: &Features,
    weights: &[Tensor],
) -> Result<(Tensor, Vec<Tensor>), LossError> {
    check(a, b, weights)?;
    let pairs = a.maps().iter().zip(b.maps()).zip(weights);
    let layers = no_grad(|| pairs.map(|((a, b), weights)| layer_gradient(a, b, weights)).collect::<Vec<_>>());
    let (distances, gradients): (Vec<Tensor>, Vec<Tensor>) = layers.into_iter().unzip();
    Ok((Tensor::f_stack(&distances, 0)?.sum(Kind::Float), gradients))
}

fn check(a: &Features, b: &Features, weights: &[Tensor]) -> Result<(), LossError> {
    let shapes = |features: &Features| features.maps().iter().map(Tensor::size).collect::<Vec<_>>();
    let (ours, theirs) = (shapes(a), shapes(b));
    if let Some((want, got)) = ours.iter().zip(&theirs).find(|(want, got)| want != got) {
        return Err(LossError::Shape { what: "features to compare with", want: format!("{want:?}"), got: got.clone() });
    }
    if ours.len() != theirs.len() || ours.len() != weights.len() {
        let want = format!("{} maps", weights.len());
        return Err(LossError::Shape { what: "features", want, got: vec![ours.len() as i64, theirs.len() as i64] });
    }
    Ok(())
}

/// The weighted squared difference of unit vectors, averaged over positions: `[B]`.
fn layer_distance(a: &Tensor, b: &Tensor, weights: &Tensor) -> Tensor {
    let squares = (unit(a) - unit(b)).square().mean_dim([2i64, 3].as_slice(), true, Kind::Float);
    (squares * weights).sum_dim_intlist([1i64, 2, 3].as_slice(), false, Kind::Float)
}

/// [`layer_distance`], averaged over the batch, and its gradient with respect to `a`.
///
/// With the length `n` of a position's features, `u = a / (n + ε)` and `g = ∂d/∂u`, the gradient is
/// `(g - u (u·g) (n + ε) / n) / (n + ε)`. Written out, it takes a third of the passes over memory that a recorded graph takes.
fn layer_gradient(a: &Tensor, b: &Tensor, weights: &Tensor) -> (Tensor, Tensor) {
    let (kind, batch, positions) = (a.kind(), a.size()[0], a.size()[2] * a.size()[3]);
    let channels = [1i64];
    let length = a.to_kind(Kind::Float).norm_scalaropt_dim(2, channels.as_slice(), true);
    let longer = &length + EPSILON;
    let u = a.to_kind(Kind::Float) / &longer;
    let mut g = &u - unit(b);
    let distance = (g.square() * weights).sum(Kind::Float) / (batch * positions) as f64;
    g *= weights * (2.0 / (batch * positions) as f64);
    let along = (&u * &g).sum_dim_intlist(channels.as_slice(), true, Kind::Float)
        * (&longer / &length).nan_to_num(0.0, 0.0, 0.0);
    let mut gradient = g - u * along;
    gradient /= longer;
    (distance, gradient.to_kind(kind))
}

/// Every position's features at length 1, in fp32.
///
/// Where all features are 0, lpips' length, the root of a sum of squares, has the gradient NaN, which only the ReLU that
/// ends each of its slices keeps back. The gradient of this norm is 0 there, so maps need not come out of a ReLU.
fn unit(map: &Tensor) -> Tensor {
    let map = map.to_kind(Kind::Float);
    let length = map.norm_scalaropt_dim(2, [1i64].as_slice(), true);
    map / (length + EPSILON)
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use vqkit_testing::Draws;

    use super::*;

    fn map(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).view([1, 2, 1, -1])
    }

    #[test]
    fn unit_vectors_are_compared_position_by_position() {
        // Two positions: (3, 4) against (4, 3), and (1, 0) against (2, 0).
        let (a, b) = (map(&[3.0, 1.0, 4.0, 0.0]), map(&[4.0, 2.0, 3.0, 0.0]));
        let weights = Tensor::from_slice(&[1.0f32, 2.0]).view([1, 2, 1, 1]);
        let distance = layer_distance(&a, &b, &weights).double_value(&[0]);
        assert!((distance - (0.04 + 2.0 * 0.04) / 2.0).abs() < 1e-6, "{distance}");
    }

    #[test]
    fn gradients_written_out_are_those_of_the_graph() {
        let draws = Draws::new(7);
        let random = || (draws.randn(&[3, 5, 4, 6]) - 0.3).relu();
        let weights = [draws.rand(&[1, 5, 1, 1])];
        let (a, b) = (random().set_requires_grad(true), Features::new(vec![random()]));
        let maps = Features::new(vec![a.shallow_clone()]);
        let (distance, gradients) = layer_gradients(&maps, &b, &weights).unwrap();
        let plain = layer_distances(&maps, &b, &weights).unwrap().sum(Kind::Float) / 3.0;
        plain.backward();
        assert!((distance - plain).abs().double_value(&[]) < 1e-6);
        let worst = (&gradients[0] - a.grad()).abs().max().double_value(&[]);
        assert!(worst < 1e-5 * a.grad().abs().max().double_value(&[]), "{worst}");
    }

    #[test]
    fn dead_positions_have_a_finite_gradient() {
        let weights = Tensor::ones([1, 2, 1, 1], (Kind::Float, Device::Cpu));
        let gradient = |make: fn(&Tensor) -> Tensor| {
            let dead = Tensor::zeros([1, 2, 1, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
            let distance = layer_distance(&make(&dead), &map(&[1.0, 0.0, 2.0, 0.0]), &weights).sum(Kind::Float);
            assert!((distance.double_value(&[]) - 0.5).abs() < 1e-6);
            distance.backward();
            dead.grad()
        };
        assert_eq!(gradient(Tensor::relu), weights.zeros_like().expand([1, 2, 1, 2], false));
        assert_eq!(gradient(Tensor::shallow_clone).isfinite().all().int64_value(&[]), 1);
    }

    #[test]
    fn maps_that_differ_in_number_or_shape_are_refused() {
        let maps = |count: usize, side: i64| {
            Features::new((0..count).map(|_| Tensor::ones([1, 2, side, side], (Kind::Float, Device::Cpu))).collect())
        };
        let weights = [Tensor::ones([1, 2, 1, 1], (Kind::Float, Device::Cpu))];
        let refuse = |a, b| layer_distances(&a, &b, &weights).unwrap_err().to_string();
        let message = refuse(maps(1, 2), maps(1, 3));
        assert_eq!(message, "features to compare with must have shape [1, 2, 2, 2], got [1, 2, 3, 3]");
        assert_eq!(refuse(maps(1, 2), maps(2, 2)), "features must have shape 1 maps, got [1, 2]");
    }
}
