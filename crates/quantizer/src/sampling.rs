//! Sampling of codes, where nearer codes are likelier.

use tch::{Kind, Tensor};

use crate::QuantizeError;

/// Scores held at a time: 8 MiB of f32.
const BLOCK_SCORES: i64 = 1 << 21;

/// For every point `[N, D]` one code of `[K, D]`, sampled with the probabilities `softmax(-||z - e||² / temperature)`
/// (Roy et al. 2018, "Theory and Experiments on Vector Quantized Autoencoders") by the Gumbel-max trick from the
/// default generator of the device: indices `[N]`; without gradient.
pub(crate) fn sample(points: &Tensor, codes: &Tensor, temperature: f64) -> Result<Tensor, QuantizeError> {
    tch::no_grad(|| {
        let (points, codes) = (points.detach(), codes.detach());
        let norms = codes.square().sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
        let minus_twice = (&codes * -2.0).transpose(0, 1);
        let rows = (BLOCK_SCORES / codes.size()[0]).max(1);
        let mut drawn = vec![Tensor::zeros([0], (Kind::Int64, points.device()))];
        for block in points.f_split(rows, 0)? {
            let scores = Tensor::empty([block.size()[0], codes.size()[0]], (Kind::Float, points.device()));
            let noise = scores.empty_like().exponential_(1.0).log();
            // As in the search for the nearest: written into a given tensor, the product stays f32 under autocast.
            let scores = norms.f_addmm_out(&scores, &block, &minus_twice)? + noise * temperature;
            drawn.push(scores.argmin(-1, false));
        }
        Ok(Tensor::f_cat(&drawn, 0)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;
    use vqkit_testing::generator;

    #[test]
    fn chances_are_those_of_the_softmax() {
        let _generator = generator(1);
        let points = Tensor::zeros([40_000, 1], (Kind::Float, Device::Cpu));
        let codes = Tensor::from_slice2(&[[0.0f32], [1.0], [2.0]]);
        let drawn = sample(&points, &codes, 1.5).unwrap();
        let weights = [0.0f64, 1.0, 4.0].map(|square| (-square / 1.5).exp());
        for (code, weight) in weights.iter().enumerate() {
            let share = drawn.eq(code as i64).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
            let want = weight / weights.iter().sum::<f64>();
            // Four standard deviations of a mean of 40,000 draws.
            assert!((share - want).abs() < 0.01, "code {code}: {share} against {want}");
        }
    }
}
