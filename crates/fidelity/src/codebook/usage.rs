//! Names of codebooks, and the tokens over which their usage is counted.

use serde::Serialize;

/// One codebook of a tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodebookId {
    /// The level, coarse first.
    pub level: usize,
    /// The codebook of that level.
    pub codebook: usize,
}

/// The tokens over which the usage of codes was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UsageSource {
    /// The run's token files of all training images.
    Tokens,
    /// The batches of the epoch in which the checkpoint was written, up to then.
    Epoch,
    /// None: the usage is unknown.
    Nothing,
}

/// The name of a codebook in text; `beside`: how many codebooks its level has.
pub fn name(place: CodebookId, beside: usize) -> String {
    let CodebookId { level, codebook } = place;
    if beside == 1 { format!("codebook {level}") } else { format!("codebook {level}.{codebook}") }
}

/// The name of a codebook in file names; `beside`: how many codebooks its level has.
pub fn file(place: CodebookId, beside: usize) -> String {
    let CodebookId { level, codebook } = place;
    if beside == 1 { level.to_string() } else { format!("{level}.{codebook}") }
}
