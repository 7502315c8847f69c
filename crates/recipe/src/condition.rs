//! `[condition]`: what steers the priors.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vqkit_config::{ConfigError, Section};
use vqkit_data::TemplateConfig;

/// `[condition]`: what steers the priors; several kinds can be combined.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Whether the priors are conditioned on the class. Default false.
    #[serde(default)]
    pub class: bool,
    /// Number of classes. Default: that of the data; a number that is given must equal that of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_classes: Option<u32>,
    /// Condition the priors on each token's position in the whole image, quantized to this many levels, 2 to 65536: the
    /// coordinates of taming-transformers, for images larger than those in training. Default: no such condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<i64>,
    /// `[condition.text]`: captions, as token ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextCondition>,
    /// `[condition.embedding]`: vectors computed elsewhere, such as those of a text encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingCondition>,
    /// `[condition.template]`: an image, which the tokenizer of `[template]` turns into indices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateConfig>,
}

/// `[condition.text]`: how captions become token ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TextCondition {
    /// A `tokenizer.json` of Hugging Face's tokenizers. Default: a byte-pair encoding is trained on the captions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// Largest vocabulary of a byte-pair encoding trained on the captions, 16 to 1048576 tokens. Default 1024.
    pub vocabulary: usize,
    /// Largest number of tokens of a caption, 3 to 4096, including one that starts it and one that ends it; longer
    /// captions are cut. Default 32.
    pub length: usize,
}

impl Default for TextCondition {
    fn default() -> Self {
        Self { tokenizer: None, vocabulary: 1024, length: 32 }
    }
}

/// `[condition.embedding]`: a sequence of vectors for every sample, by its key, in safetensors files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingCondition {
    /// Files with the embeddings of the training samples, relative to `data.root`. Without data there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub train: Vec<PathBuf>,
    /// Files with the embeddings of the validation samples. Default: those of `train`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<PathBuf>,
    /// Largest number of vectors per sample, 1 to 65536; further ones are ignored.
    pub length: i64,
    /// Width of a vector, 1 to 65536.
    pub dim: i64,
}

impl Condition {
    pub(super) fn from_section(section: Option<&Section>) -> Result<Self, ConfigError> {
        let Some(section) = section else { return Ok(Self::default()) };
        let condition: Self = section.read()?;
        condition.validate().map_err(|(key, reason)| section.error_at(key, &reason))?;
        Ok(condition)
    }

    /// Checks every value; an error is the key and what is wrong with it.
    fn validate(&self) -> Result<(), (&'static str, String)> {
        match self.num_classes {
            Some(0) => return Err(("num_classes", "must be at least 1".into())),
            Some(_) if !self.class => {
                return Err(("num_classes", "needs condition.class = true".into()));
            }
            _ => {}
        }
        if let Some(levels) = self.coordinates.filter(|levels| !(2..=1 << 16).contains(levels)) {
            return Err(("coordinates", format!("must be 2 to 65536 levels, found {levels}")));
        }
        self.text.as_ref().map_or(Ok(()), TextCondition::validate)?;
        self.embedding.as_ref().map_or(Ok(()), EmbeddingCondition::validate)
    }

    /// The conditions that a run takes, for messages.
    pub fn describe(&self) -> String {
        let kinds = [
            (self.class, "class"),
            (self.text.is_some(), "text"),
            (self.template.is_some(), "template"),
            (self.embedding.is_some(), "embedding"),
        ];
        let kinds: Vec<&str> = kinds.into_iter().filter(|(takes, _)| *takes).map(|(_, kind)| kind).collect();
        match kinds.as_slice() {
            [] => "this run was trained without a condition".into(),
            kinds => format!("this run takes {}", kinds.join(" and ")),
        }
    }
}

impl TextCondition {
    fn validate(&self) -> Result<(), (&'static str, String)> {
        if !(3..=4096).contains(&self.length) {
            return Err(("text.length", format!("must be 3 to 4096, found {}", self.length)));
        }
        match (16..=1 << 20).contains(&self.vocabulary) {
            true => Ok(()),
            false => Err(("text.vocabulary", format!("must be 16 to 1048576, found {}", self.vocabulary))),
        }
    }
}

impl EmbeddingCondition {
    fn validate(&self) -> Result<(), (&'static str, String)> {
        for (key, value) in [("embedding.length", self.length), ("embedding.dim", self.dim)] {
            if !(1..=1 << 16).contains(&value) {
                return Err((key, format!("must be 1 to 65536, found {value}")));
            }
        }
        Ok(())
    }
}
