//! Distance of a reconstruction from its image, pixel by pixel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

/// The pixel term of a tokenizer's loss: a mean over all elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReconstructionLoss {
    /// Mean squared error: `||x - D(z_q)||²` of van den Oord et al. 2017, eq. 3, up to its constant.
    #[default]
    L2,
    /// Mean absolute error, as in VQGAN (Esser et al. 2021); less blurry, and less sensitive to outliers.
    L1,
    /// Cross entropy over the channels, for label maps: the images are one-hot, the reconstructions are logits.
    CrossEntropy,
}

impl ReconstructionLoss {
    /// A scalar, computed in fp32 whatever the precision of its inputs.
    ///
    /// # Shapes
    /// Both `[B, C, H, W]`, in `[-1, 1]`; for cross entropy logits and one-hot labels of `C` kinds.
    pub fn loss(self, reconstruction: &Tensor, images: &Tensor) -> Tensor {
        let (reconstruction, images) = (reconstruction.to_kind(Kind::Float), images.to_kind(Kind::Float));
        match self {
            Self::L2 => reconstruction.mse_loss(&images, Reduction::Mean),
            Self::L1 => reconstruction.l1_loss(&images, Reduction::Mean),
            Self::CrossEntropy => -(reconstruction.log_softmax(1, Kind::Float) * images)
                .sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
                .mean(Kind::Float),
        }
    }
}

#[cfg(test)]
mod tests {
    use vqkit_testing::Draws;

    use super::*;

    #[test]
    fn a_mean_over_elements_in_fp32() {
        // torch 2.11: mse_loss(tensor([1., 2.]), tensor([3., 2.])) = 2.0, l1_loss of the same = 1.0
        let (a, b) = (Tensor::from_slice(&[1.0f32, 2.0]), Tensor::from_slice(&[3.0f32, 2.0]));
        assert_eq!(ReconstructionLoss::L2.loss(&a, &b).double_value(&[]), 2.0);
        assert_eq!(ReconstructionLoss::L1.loss(&a, &b).double_value(&[]), 1.0);
        let half = ReconstructionLoss::L2.loss(&a.to_kind(Kind::BFloat16), &b);
        assert_eq!((half.kind(), half.double_value(&[])), (Kind::Float, 2.0));
    }

    #[test]
    fn cross_entropy_is_that_of_libtorch() {
        let draws = Draws::new(0);
        let (logits, labels) = (draws.randn(&[2, 5, 3, 4]), draws.randint(5, &[2, 3, 4]));
        let one_hot = labels.one_hot(5).permute([0, 3, 1, 2]);
        let want = logits.cross_entropy_loss(&labels, None::<Tensor>, Reduction::Mean, -100, 0.0);
        let got = ReconstructionLoss::CrossEntropy.loss(&logits, &one_hot);
        assert!((got - want).abs().double_value(&[]) < 1e-6);
    }
}
