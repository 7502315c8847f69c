//! What images are conditioned on: as a caller asks, as a record has it, as people look at it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vqkit_run::RgbImage;
use vqkit_tokens::TokenRows;

use crate::embeddings::EmbeddingRef;

/// What a call asks for; what it leaves out, validation samples give, or the null condition.
#[derive(Debug, Clone, Default)]
pub struct PromptArgs {
    /// A class, by name or number.
    pub class: Option<String>,
    /// A text.
    pub text: Option<String>,
    /// A file with vectors.
    pub embedding: Option<PathBuf>,
    /// A file with a template.
    pub template: Option<PathBuf>,
    /// A file with an image, of which the template is derived.
    pub template_of: Option<PathBuf>,
    /// Whether there is to be no condition: what guidance moves away from.
    pub unconditional: bool,
}

impl PromptArgs {
    /// Whether it says of a template.
    pub fn has_template(&self) -> bool {
        self.template.is_some() || self.template_of.is_some()
    }

    /// Whether it says anything.
    pub fn asks(&self) -> bool {
        let words = self.class.is_some() || self.text.is_some() || self.embedding.is_some();
        words || self.unconditional || self.has_template()
    }
}

/// What a picture is conditioned on, as `samples.json` has it; with the run, the sampling and its number it gives the picture again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// The class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The indices of the template, level by level.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub template: Vec<TokenRows>,
    /// The vectors that the priors are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingRef>,
    /// The key of the validation sample that it was taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<String>,
}

/// A prompt, and what people and the checker see of it.
#[derive(Debug)]
pub struct ResolvedPrompt {
    /// What the priors are told.
    pub prompt: Prompt,
    /// The template, `[C', H, W]` as the data has it.
    pub template: Option<Tensor>,
    /// The validation image that belongs to it.
    pub truth: Option<RgbImage>,
}
