//! Tokens: the grids of codebook indices that tokenizers write and priors read.

use tch::{Kind, Tensor};

use crate::TorchError;

/// One level of tokens: `Q` indices at every position of a spatial grid.
///
/// ```
/// use tch::{Kind, Tensor};
/// use vqkit_torch::TokenGrid;
///
/// let grid = TokenGrid::new(Tensor::zeros([2, 1, 8, 8], (Kind::Int64, tch::Device::Cpu)), vec![512])?;
/// assert_eq!(grid.batch(), 2);
/// assert_eq!(grid.positions(), 64);
/// # Ok::<(), vqkit_torch::TokenError>(())
/// ```
#[derive(Debug)]
pub struct TokenGrid {
    /// Indices, `[B, Q, *S]`, i64, `0 <= indices[:, q] < sizes[q]`.
    pub indices: Tensor,
    /// The number of codes `K` of each of the `Q` codebooks.
    pub sizes: Vec<i64>,
}

/// All levels of an image's tokens, coarse first (VQ-VAE-2: top, bottom).
pub type Tokens = Vec<TokenGrid>;

/// Why a tensor is not a grid of tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The tensor has another shape or kind than `[B, Q, *S]` i64.
    #[error("tokens must be i64 of shape [B, Q={codebooks}, *S], got {kind:?} of shape {shape:?}")]
    Shape {
        /// Number of codebooks expected.
        codebooks: usize,
        /// Kind found.
        kind: Kind,
        /// Shape found.
        shape: Vec<i64>,
    },
    /// An index lies outside its codebook.
    #[error("token {index} lies outside codebook {codebook} of {size} codes")]
    Range {
        /// The index found.
        index: i64,
        /// Which of the `Q` codebooks.
        codebook: usize,
        /// Its number of codes.
        size: i64,
    },
}

impl TokenGrid {
    /// Checks kind and rank of `indices` (`[B, Q, *S]`, i64); does not look at the values.
    ///
    /// # Errors
    /// [`TokenError::Shape`] when kind, rank or `Q` is not what `sizes` asks for.
    pub fn new(indices: Tensor, sizes: Vec<i64>) -> Result<Self, TokenError> {
        let shape = indices.size();
        if indices.kind() != Kind::Int64 || shape.len() < 3 || shape[1] != sizes.len() as i64 {
            return Err(TokenError::Shape { codebooks: sizes.len(), kind: indices.kind(), shape });
        }
        Ok(Self { indices, sizes })
    }

    /// Looks at every value: waits for the device once per codebook.
    ///
    /// # Errors
    /// [`TokenError::Range`] for the first codebook that has an index outside `0..K`.
    pub fn check_range(&self) -> Result<(), TokenError> {
        if self.indices.numel() == 0 {
            return Ok(());
        }
        for (codebook, &size) in self.sizes.iter().enumerate() {
            let of_book = self.indices.select(1, codebook as i64);
            for index in [of_book.min().int64_value(&[]), of_book.max().int64_value(&[])] {
                if index < 0 || index >= size {
                    return Err(TokenError::Range { index, codebook, size });
                }
            }
        }
        Ok(())
    }

    /// Number of images `B`.
    pub fn batch(&self) -> i64 {
        self.indices.size()[0]
    }

    /// Number of codebooks `Q`.
    pub fn codebooks(&self) -> usize {
        self.sizes.len()
    }

    /// The tokens of some images: `count` of them from `first` on; a view of the same memory.
    ///
    /// # Errors
    /// When there are not as many images.
    pub fn narrow(&self, first: i64, count: i64) -> Result<Self, TorchError> {
        Ok(Self { indices: self.indices.f_narrow(0, first, count)?, sizes: self.sizes.clone() })
    }

    /// All indices in row-major order of `[B, Q, *S]`; waits for the device.
    ///
    /// ```
    /// use tch::Tensor;
    /// use vqkit_torch::TokenGrid;
    ///
    /// let grid = TokenGrid::new(Tensor::from_slice(&[7i64, 1, 0, 5]).view([1, 1, 2, 2]), vec![8])?;
    /// assert_eq!(grid.to_vec()?, [7, 1, 0, 5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn to_vec(&self) -> Result<Vec<i64>, TorchError> {
        let flat = self.indices.f_flatten(0, -1)?.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
        Ok(Vec::try_from(flat)?)
    }

    /// The spatial axes `*S`.
    pub fn spatial(&self) -> Vec<i64> {
        self.indices.size()[2..].to_vec()
    }

    /// Number of positions of one image: the product of `*S`.
    pub fn positions(&self) -> i64 {
        self.spatial().iter().product()
    }

    /// The same grid on another device.
    pub fn to_device(&self, device: tch::Device) -> Self {
        Self { indices: self.indices.to_device(device), sizes: self.sizes.clone() }
    }

    /// A second handle on the same memory.
    pub fn shallow_clone(&self) -> Self {
        Self { indices: self.indices.shallow_clone(), sizes: self.sizes.clone() }
    }
}
