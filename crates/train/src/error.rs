//! Errors of training.

/// The result of everything in this crate.
pub type Result<T, E = TrainError> = std::result::Result<T, E>;

/// Errors of this crate; each message names the file, key or value, and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Training diverged: a value is not finite.
    #[error("{stage}, step {step}: {reason}")]
    Diverged {
        /// The stage.
        stage: String,
        /// The step, counted from 1.
        step: u64,
        /// The cause and the remedy.
        reason: String,
    },
    /// Training went wrong, and its recipe wants it to stop or to step back then.
    #[error("{stage}, step {step}: {verdict} (fault `{}`)", fault.name())]
    Fault {
        /// The stage.
        stage: String,
        /// The step, counted from 1.
        step: u64,
        /// What is wrong.
        fault: vqkit_guard::Fault,
        /// The cause and the remedy.
        verdict: String,
    },
    /// The training images of a prior were requested before they were opened.
    #[error("the training images of the prior were not started")]
    NotStarted,
    /// A batch that was handed to batches of another kind than those it came from.
    #[error("the batch was made by another source than the one that was asked to read it")]
    OtherSource,
    /// The request cannot be fulfilled.
    #[error("{0}")]
    Invalid(#[from] vqkit_recipe::InvalidRequest),
    /// The recipe is wrong.
    #[error("{0}")]
    Recipe(#[from] vqkit_recipe::RecipeError),
    /// The run folder or the device.
    #[error("{0}")]
    Run(#[from] vqkit_run::RunError),
    /// A network cannot be built or loaded.
    #[error("{0}")]
    Model(#[from] vqkit_models::ModelError),
    /// From the crate of published weights.
    #[error("{0}")]
    Pretrained(#[from] vqkit_pretrained::PretrainedError),
    /// A checkpoint of another project.
    #[error("{0}")]
    Interop(#[from] vqkit_interop::InteropError),
    /// Token files or the data that they are made from.
    #[error("{0}")]
    TokenFiles(#[from] vqkit_tokens::TokensError),
    /// A comparison of sets of images.
    #[error("{0}")]
    Fidelity(#[from] vqkit_fidelity::FidelityError),
    /// From the data crate.
    #[error("{0}")]
    Data(#[from] vqkit_data::DataError),
    /// From the torch crate.
    #[error("{0}")]
    Weights(#[from] vqkit_torch::TorchError),
    /// From the quantizer crate.
    #[error("{0}")]
    Quantize(#[from] vqkit_quantizer::QuantizeError),
    /// From the tokenizer crate.
    #[error("{0}")]
    Tokenizer(#[from] vqkit_vqvae::TokenizerError),
    /// From the losses crate.
    #[error("{0}")]
    Loss(#[from] vqkit_losses::LossError),
    /// From the priors crate.
    #[error("{0}")]
    Prior(#[from] vqkit_priors::PriorError),
    /// A grid of tokens that does not fit.
    #[error("{0}")]
    Tokens(#[from] vqkit_torch::TokenError),
    /// libtorch refused.
    #[error("{0}")]
    Torch(#[from] vqkit_torch::LibtorchError),
}

impl From<tch::TchError> for TrainError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}
