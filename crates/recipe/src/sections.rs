//! The small sections of a recipe.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vqkit_priors::{PriorError, Sampling, WeightDtype};

/// Arithmetic of encoder, decoder and prior; distances, losses and the optimizer are fp32 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// bf16 where the hardware has it, else fp32.
    #[default]
    Auto,
    /// 32-bit floats.
    Fp32,
    /// bfloat16 under autocast.
    Bf16,
}

/// Where a prior's training tokens come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenSource {
    /// The token files of the stage `tokens`: every image always has the same tokens, and no image is decoded.
    #[default]
    Files,
    /// The frozen tokenizer, which looks at training images as they are augmented anew in every epoch.
    Encode,
}

/// `[sample]`: the pictures that a run ends with, and the defaults of `vqkit sample`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sample {
    /// How many. Default 64. From 1,000 on, the report compares them with validation images as a set.
    pub count: usize,
    /// How many in a row have the same condition, where conditions are taken from validation samples. Default 1.
    pub samples_per_condition: usize,
    /// How many are drawn at once; the pictures do not depend on it. Default 64.
    pub batch_size: usize,
    /// Arithmetic of the priors' weights while they draw: `fp32`, and what else a prior has. Default `fp32`.
    pub weight_dtype: WeightDtype,
    /// Height and width of the pictures in pixels, at least `data.image_size`: larger ones are drawn through a window of
    /// that size. Default: `data.image_size`.
    pub size: Option<[u32; 2]>,
    /// How each token is drawn.
    pub sampling: Sampling,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            count: 64,
            samples_per_condition: 1,
            batch_size: 64,
            weight_dtype: WeightDtype::default(),
            size: None,
            sampling: Sampling::default(),
        }
    }
}

impl Sample {
    /// Whether every value is possible; else the key and what is wrong with it.
    ///
    /// # Errors
    /// The key, and what is wrong.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        self.validate_keys().map_err(|(key, reason)| match key {
            "count" | "samples_per_condition" | "batch_size" => (key, reason),
            key => ("sampling", format!("`{key}`: {reason}")),
        })
    }

    /// As [`Sample::validate`], where keys of `sampling` go by their own names.
    ///
    /// # Errors
    /// The key, and what is wrong.
    pub fn validate_keys(&self) -> Result<(), (&'static str, String)> {
        for (key, value) in [
            ("count", self.count),
            ("samples_per_condition", self.samples_per_condition),
            ("batch_size", self.batch_size),
        ] {
            if value == 0 {
                return Err((key, "must be at least 1".into()));
            }
        }
        if self.sampling.size().is_some() {
            return Err(("size", "is a key of [sample] and counts pixels".into()));
        }
        self.sampling.validate().map_err(|error| match error {
            PriorError::Config { field, reason } => (field, reason),
            other => ("sampling", other.to_string()),
        })
    }
}

/// `[evaluate]`: how the metrics of the report are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluate {
    /// Images decoded or grids scored at once. Default 250.
    pub batch_size: usize,
}

impl Default for Evaluate {
    fn default() -> Self {
        Self { batch_size: 250 }
    }
}
