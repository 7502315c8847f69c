//! What can go wrong in this crate.

use std::path::PathBuf;

/// Why a tokenizer cannot be written as a graph.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The weights lack one that the graph computes with.
    #[error("there is no weight `{name}`; give all tensors of the tokenizer's checkpoint")]
    Weight {
        /// The name of the weight.
        name: String,
    },
    /// A graph larger than an ONNX file can be.
    #[error(
        "{}: the graph has {bytes} bytes, and an ONNX file holds at most {most}; write TorchScript instead",
        path.display()
    )]
    TooLarge {
        /// The file that was to be written.
        path: PathBuf,
        /// The size of the encoded graph.
        bytes: u64,
        /// The format's limit.
        most: u64,
    },
    /// The configuration of the tokenizer or of its quantizer.
    #[error(transparent)]
    Tokenizer(#[from] vqkit_vqvae::TokenizerError),
    /// The weights do not fit, libtorch refused, or a file cannot be written.
    #[error(transparent)]
    Torch(#[from] vqkit_torch::TorchError),
}

impl From<tch::TchError> for GraphError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}
