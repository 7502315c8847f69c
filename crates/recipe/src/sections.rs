//! The small sections of a recipe.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vqkit_priors::{PriorError, Sampling, WeightDtype};

/// Number format of the computations of encoder, decoder and prior; distances, losses and the optimizer always use
/// fp32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// bf16 where the hardware supports it, else fp32.
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
    /// The token files that the stage `tokens` writes: every image always has the same tokens, and no image is read
    /// again.
    #[default]
    Files,
    /// The frozen tokenizer encodes the training images in every epoch, augmented differently each time.
    Encode,
}

/// `[sample]`: the images that a run generates at its end, and the defaults of `vqkit sample`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sample {
    /// Number of images. From 1,000 on, the report compares their distribution with that of the validation images.
    /// Default 64.
    pub count: usize,
    /// Number of consecutive images with the same condition, where conditions come from validation samples. Default 1.
    pub samples_per_condition: usize,
    /// Number of images generated at once; the images do not depend on it. Default 64.
    pub batch_size: usize,
    /// Data type of the priors' weights while sampling; `"bf16"` and `"int8"` only where a prior supports them. Default
    /// `"fp32"`.
    pub weight_dtype: WeightDtype,
    /// Height and width of the images in pixels, each at least `data.image_size`; larger images are generated through a
    /// sliding window of that size. Default: `data.image_size`.
    pub size: Option<[u32; 2]>,
    /// How each token is sampled.
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
    /// Checks every value.
    ///
    /// # Errors
    /// The key, and what is wrong with it.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        self.validate_keys().map_err(|(key, reason)| match key {
            "count" | "samples_per_condition" | "batch_size" => (key, reason),
            key => ("sampling", format!("`{key}`: {reason}")),
        })
    }

    /// As [`Sample::validate`], but errors name keys of `sampling` directly.
    ///
    /// # Errors
    /// The key, and what is wrong with it.
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
            return Err(("size", "belongs in [sample], where it counts pixels".into()));
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
    /// Number of images decoded, or of token grids scored, at once. Default 250.
    pub batch_size: usize,
}

impl Default for Evaluate {
    fn default() -> Self {
        Self { batch_size: 250 }
    }
}
