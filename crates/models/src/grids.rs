//! Tokens of images.

use tch::{Kind, Tensor, no_grad};
use vqkit_quantizer::Mode;
use vqkit_run::Context;
use vqkit_torch::{Tokens, attempt};
use vqkit_vqvae::Tokenizer;

use crate::{error::ModelError, error::Result};

/// The tokens of images `[B, C, H, W]`, level by level, coarse first; detached, and without a change to the tokenizer.
///
/// # Errors
/// When the tokenizer cannot take the images.
pub fn grids(tokenizer: &Tokenizer, images: &Tensor, kind: Kind, context: &Context) -> Result<Tokens> {
    let levels = attempt(format!("the tokens of images of shape {:?}", images.size()), || {
        Ok::<_, ModelError>(no_grad(|| context.autocast(kind, || tokenizer.encode(images, Mode::Eval)))?)
    })?;
    Ok(levels.into_iter().map(|level| level.grid).collect())
}
