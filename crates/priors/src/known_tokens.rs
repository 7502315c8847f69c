//! Tokens that are given and not drawn, as in inpainting.

use tch::{Kind, Tensor};
use vqkit_torch::TokenGrid;

use crate::PriorError;

/// Tokens that [`Prior::generate`](crate::Prior::generate) keeps instead of drawing them; a clone is a second handle on the same memory.
///
/// ```
/// use tch::{Kind, Tensor};
/// use vqkit_priors::KnownTokens;
/// use vqkit_torch::TokenGrid;
///
/// let tokens = TokenGrid::new(Tensor::zeros([2, 1, 8, 8], (Kind::Int64, tch::Device::Cpu)), vec![512])?;
/// let top_half = Tensor::arange(8, (Kind::Int64, tch::Device::Cpu)).lt(4).view([8, 1]).expand([2, 8, 8], false);
/// let known = KnownTokens::new(tokens, top_half)?;
/// # Ok::<(), vqkit_priors::PriorError>(())
/// ```
#[derive(Debug)]
pub struct KnownTokens {
    tokens: TokenGrid,
    mask: Tensor,
}

impl KnownTokens {
    /// `tokens` `[B, Q, H, W]` at the positions where `mask` `[B, H, W]`, bool, is true.
    ///
    /// # Errors
    /// [`PriorError::Shape`] when the mask does not fit the tokens, [`PriorError::Tokens`] for an index outside its
    /// codebook.
    pub fn new(tokens: TokenGrid, mask: Tensor) -> Result<Self, PriorError> {
        let mut shape = vec![tokens.batch()];
        shape.extend(tokens.spatial());
        if mask.kind() != Kind::Bool || mask.size() != shape {
            return Err(PriorError::shape("the mask of known tokens", format!("Bool {shape:?}"), &mask));
        }
        tokens.check_range()?;
        Ok(Self { tokens, mask })
    }

    /// The tokens, `[B, Q, H, W]`; those at unknown positions mean nothing.
    pub fn tokens(&self) -> &TokenGrid {
        &self.tokens
    }

    /// Where they are known, `[B, H, W]`, bool.
    pub fn mask(&self) -> &Tensor {
        &self.mask
    }
}

impl Clone for KnownTokens {
    fn clone(&self) -> Self {
        Self { tokens: self.tokens.shallow_clone(), mask: self.mask.shallow_clone() }
    }
}
