//! What codebooks are called, and what their use is counted over.

use serde::Serialize;

/// One codebook of a tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodebookId {
    /// The level, coarse first.
    pub level: usize,
    /// The codebook of that level.
    pub codebook: usize,
}

/// What the use of codes was counted over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UsageSource {
    /// The run's token files of all training images.
    Tokens,
    /// The batches of the epoch in which the checkpoint was written, up to then.
    Epoch,
    /// Nothing: the use is unknown.
    Nothing,
}

/// What a codebook is called; `beside`: how many its level has.
pub fn name(place: CodebookId, beside: usize) -> String {
    let CodebookId { level, codebook } = place;
    if beside == 1 { format!("codebook {level}") } else { format!("codebook {level}.{codebook}") }
}

/// What its files are called; `beside`: how many codebooks its level has.
pub fn file(place: CodebookId, beside: usize) -> String {
    let CodebookId { level, codebook } = place;
    if beside == 1 { level.to_string() } else { format!("{level}.{codebook}") }
}
