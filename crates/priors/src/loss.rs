//! The loss that a prior is trained by.

use std::f64::consts::LN_2;

use tch::{Reduction, Tensor};

use crate::PriorError;

/// The loss of a batch, in nats per token.
#[derive(Debug)]
pub struct PriorLoss {
    /// Mean over the image tokens, a scalar.
    pub image: Tensor,
    /// Mean over the text tokens, for priors that model these too.
    pub text: Option<Tensor>,
    /// What training minimises: the image loss, and the text loss with its weight.
    pub total: Tensor,
}

impl PriorLoss {
    /// That of a prior that models no text.
    pub(crate) fn of_image(image: Tensor) -> Self {
        Self { total: image.shallow_clone(), image, text: None }
    }

    /// The image loss in bits per token; waits for the device.
    pub fn bits_per_token(&self) -> f64 {
        self.image.double_value(&[]) / LN_2
    }

    /// The bits that an image's `tokens` take, per dimension of an image of `dims = C · H · W` values.
    ///
    /// The rate of the tokens, as the VQ-VAE literature reports it; no bound on the likelihood of the image.
    pub fn bits_per_dim(&self, tokens: i64, dims: i64) -> f64 {
        self.bits_per_token() * tokens as f64 / dims as f64
    }
}

/// The mean cross entropy of tokens `[B, H, W]` under logits `[B, K, H, W]`, a scalar in nats.
///
/// Flattened, since libtorch's loss of maps is not deterministic on a GPU.
pub(crate) fn cross_entropy_of_maps(logits: &Tensor, tokens: &Tensor) -> Result<Tensor, PriorError> {
    let rows = logits.f_permute([0, 2, 3, 1])?.f_flatten(0, 2)?;
    Ok(rows.f_cross_entropy_loss(&tokens.f_flatten(0, -1)?, None::<Tensor>, Reduction::Mean, -100, 0.0)?)
}
