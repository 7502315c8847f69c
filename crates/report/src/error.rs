//! Errors of writing a page.

/// The result of everything in this crate.
pub type Result<T, E = ReportError> = std::result::Result<T, E>;

/// Errors of this crate; each message names the file, key or value, and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The recipe is wrong.
    #[error("{0}")]
    Recipe(#[from] vqkit_recipe::RecipeError),
    /// The run folder or the device.
    #[error("{0}")]
    Run(#[from] vqkit_run::RunError),
    /// The measures of a run.
    #[error("{0}")]
    Evaluate(#[from] vqkit_evaluate::EvaluateError),
}
