//! What images are conditioned on: as requested by a caller, as recorded, and as shown to people.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vqkit_run::RgbImage;
use vqkit_tokens::TokenRows;

use crate::embeddings::EmbeddingRef;

/// The conditions that a caller requests; what is left out comes from validation samples, or is the null condition.
#[derive(Debug, Clone, Default)]
pub struct PromptArgs {
    /// A class, by name; by position too where no name is a number.
    pub class: Option<String>,
    /// A class, by its position among the classes, from 0.
    pub class_index: Option<usize>,
    /// Texts, which are used in turn; none: no text.
    pub texts: Vec<String>,
    /// A file with vectors.
    pub embedding: Option<PathBuf>,
    /// A file with a template.
    pub template: Option<PathBuf>,
    /// A file with an image from which the template is derived.
    pub template_of: Option<PathBuf>,
    /// Whether to use the null condition, from which guidance moves away.
    pub unconditional: bool,
}

impl PromptArgs {
    /// Whether it names a class.
    pub fn has_class(&self) -> bool {
        self.class.is_some() || self.class_index.is_some()
    }

    /// Whether it names a template.
    pub fn has_template(&self) -> bool {
        self.template.is_some() || self.template_of.is_some()
    }

    /// Whether it names any condition.
    pub fn asks(&self) -> bool {
        let words = self.has_class() || !self.texts.is_empty() || self.embedding.is_some();
        words || self.unconditional || self.has_template()
    }
}

/// What an image is conditioned on, as `samples.json` records it; with the run, the sampling options and the image's
/// number, it reproduces the image.
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
    /// The vectors that the priors are conditioned on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingRef>,
    /// The key of the validation sample that the condition comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<String>,
}

/// A prompt, and what is shown of it to people and to the checker.
#[derive(Debug)]
pub struct ResolvedPrompt {
    /// What the priors are conditioned on.
    pub prompt: Prompt,
    /// The template, `[C', H, W]`, as in the data.
    pub template: Option<Tensor>,
    /// The validation image that belongs to it.
    pub truth: Option<RgbImage>,
}
