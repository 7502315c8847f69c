//! The options that `gpt2` and `llama` have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::classes::Classes;
use crate::limits::probability;
use crate::{PriorError, PriorSpec};

/// Embedding tables of the indices of conditions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Vocabulary {
    /// Conditions have their own tables.
    #[default]
    Separate,
    /// A condition index has the embedding of the image token with the same index, as in taming-transformers.
    Shared,
}

/// Which parts of a condition are dropped together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConditionDropoutMode {
    /// Class, text and embedding all at once; condition grids only where there are none of these.
    #[default]
    Together,
    /// Each part by itself, condition grids too, and all at once as often: any part of the condition may then be left out.
    Each,
}

/// The options of a prior that do not depend on the kind of its blocks.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub vocabulary: Vocabulary,
    pub pkeep: f64,
    pub condition_dropout: f64,
    pub dropout_mode: ConditionDropoutMode,
    pub n_unmasked: i64,
    pub text_loss_weight: f64,
    pub checkpoint: bool,
}

impl Options {
    pub(super) fn validate(&self) -> Result<(), PriorError> {
        if !(self.pkeep > 0.0 && self.pkeep <= 1.0) {
            return Err(PriorError::config("pkeep", format!("must lie in (0, 1], got {}", self.pkeep)));
        }
        if self.n_unmasked < 0 {
            return Err(PriorError::config("n_unmasked", format!("must be 0 or more, got {}", self.n_unmasked)));
        }
        if !(self.text_loss_weight >= 0.0 && self.text_loss_weight.is_finite()) {
            let reason = format!("must be 0 or more, got {}", self.text_loss_weight);
            return Err(PriorError::config("text_loss_weight", reason));
        }
        if self.text_loss_weight > 0.0 && self.n_unmasked > 0 {
            let reason = "must be 0 where the text is predicted: its tokens would attend to what they predict";
            return Err(PriorError::config("n_unmasked", reason));
        }
        probability("condition_dropout", self.condition_dropout)
    }

    /// Whether there is a null condition.
    pub(super) fn has_null(&self) -> bool {
        self.condition_dropout > 0.0
    }

    /// Compares with what a prior is to be built for; `prefix` counts the positions of the conditions.
    pub(super) fn check(&self, spec: &PriorSpec, prefix: i64) -> Result<(), PriorError> {
        if self.has_null() && !spec.has_condition() {
            return Err(PriorError::config("condition_dropout", "needs a condition to drop; set it to 0"));
        }
        if self.text_loss_weight > 0.0 && spec.text.is_none() {
            return Err(PriorError::config("text_loss_weight", "needs a text to predict; set it to 0"));
        }
        if self.n_unmasked > prefix {
            let reason = format!(
                "must be at most the {prefix} positions of the condition, got {}: image tokens would attend to what they predict",
                self.n_unmasked
            );
            return Err(PriorError::config("n_unmasked", reason));
        }
        Ok(())
    }

    /// Rows of the table of image tokens: more than there are codes where conditions share it.
    pub(super) fn rows(&self, spec: &PriorSpec) -> i64 {
        let codes = spec.target.codes();
        match self.vocabulary {
            Vocabulary::Separate => codes,
            Vocabulary::Shared => {
                let grids = spec.condition_grids.iter().map(|grid| self.grid_rows(spec, grid.codes()));
                grids.chain([codes, self.class_rows(spec)]).max().unwrap_or(codes)
            }
        }
    }

    /// Rows of the table of classes: one more for the null class, and one alone where nothing else starts a sequence.
    pub(super) fn class_rows(&self, spec: &PriorSpec) -> i64 {
        Classes::of(spec, self.condition_dropout).map_or(1, Classes::rows)
    }

    /// Rows of the table of the ids of a text, where there is one.
    pub(super) fn text_rows(&self, spec: &PriorSpec) -> Option<i64> {
        spec.text.as_ref().map(|text| text.vocabulary + i64::from(self.has_null()))
    }

    /// The number of ids that are predicted, where a text is.
    pub(super) fn predicted_ids(&self, spec: &PriorSpec) -> Option<i64> {
        spec.text.as_ref().filter(|_| self.text_loss_weight > 0.0).map(|text| text.vocabulary)
    }

    /// Rows of the table of a condition grid with `codes` codes.
    pub(super) fn grid_rows(&self, spec: &PriorSpec, codes: i64) -> i64 {
        codes + i64::from(self.drops_grids(spec))
    }

    /// Whether guidance moves away from the condition grids: where there is no other condition, or each part is dropped.
    pub(super) fn drops_grids(&self, spec: &PriorSpec) -> bool {
        self.has_null() && (!spec.has_words() || self.dropout_mode == ConditionDropoutMode::Each)
    }
}

/// Heads that share a width.
pub(super) fn divides(field: &'static str, value: i64, whole: i64, of: &str) -> Result<(), PriorError> {
    match whole % value {
        0 => Ok(()),
        _ => Err(PriorError::config(field, format!("must divide {of} = {whole}, got {value}"))),
    }
}
