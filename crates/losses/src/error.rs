//! What can be wrong with losses and the networks behind them.

/// Errors of this crate; each message names the offending value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LossError {
    /// A value of a configuration is out of its range.
    #[error("`{field}`: {reason}")]
    Config {
        /// The key.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Weights that do not make the network they are meant for.
    #[error("{0}")]
    Weights(String),
}
