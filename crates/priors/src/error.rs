//! Errors in tokens, conditions and configurations.

/// Errors of this crate; each message names the value found and the one wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PriorError {
    /// A key of the configuration.
    #[error("`{field}`: {reason}")]
    Config {
        /// The key.
        field: &'static str,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// A tensor of another shape or kind.
    #[error("{what} must be {want}, got {got}")]
    Shape {
        /// Which tensor.
        what: String,
        /// Description of the expected kind and shape.
        want: String,
        /// Kind and shape found.
        got: String,
    },
    /// A condition that the prior cannot take, or one that it needs and did not get.
    #[error("{what}; this prior takes {takes}")]
    Condition {
        /// What was given or is missing.
        what: String,
        /// The conditions that the prior was built for.
        takes: String,
    },
    /// A class label outside the classes of the prior.
    #[error("class {class} is not one of 0..{classes}")]
    Class {
        /// The label found.
        class: i64,
        /// The number of classes.
        classes: i64,
    },
    /// An id of a text outside its vocabulary.
    #[error("id {id} of a text is not one of 0..{vocabulary}")]
    Text {
        /// The id found.
        id: i64,
        /// The number of ids.
        vocabulary: i64,
    },
    /// A cursor that is past the last position.
    #[error("all {0} positions of the grid are filled: start another cursor")]
    Finished(
        /// The number of positions.
        i64,
    ),
    /// Logits that are NaN or infinite.
    #[error(
        "the prior's logits for sample {sample} are not finite, so no token can be sampled: its weights are damaged, or too \
         large for the precision"
    )]
    Logits {
        /// The number of the sample.
        sample: u64,
    },
    /// Generation was stopped by the caller.
    #[error("stopped while tokens were sampled")]
    Stopped,
    /// A tensor that is not a grid of tokens.
    #[error(transparent)]
    Tokens(#[from] vqkit_torch::TokenError),
    /// Autograd, the random state, or a lack of memory.
    #[error(transparent)]
    Autograd(#[from] vqkit_torch::TorchError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] vqkit_torch::LibtorchError),
}

impl From<tch::TchError> for PriorError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}

impl PriorError {
    /// A wrong value of the key `field`.
    pub(crate) fn config(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Config { field, reason: reason.into() }
    }

    /// A tensor that is not as `want` says.
    pub(crate) fn shape(what: impl Into<String>, want: impl Into<String>, found: &tch::Tensor) -> Self {
        Self::Shape { what: what.into(), want: want.into(), got: format!("{:?} {:?}", found.kind(), found.size()) }
    }
}
