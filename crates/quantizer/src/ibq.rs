//! Index backpropagation (Shi et al. 2024, "Scalable Image Tokenization with Index Backpropagation Quantization").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::{self, Init};
use vqkit_torch::TokenGrid;

use crate::codebook::lookup;
use crate::config::{self, check_codebook, check_dim, check_weight};
use crate::latents::{FlatLatents, mean_squared_error};
use crate::member::{Assignment, Member};
use crate::projection::kept_still;
use crate::soft::{Logits, Mixture, Noise, Question, Soft, soft};
use crate::temperature::check_temperature;
use crate::{CodebookView, Mode, QuantizeError, Quantized, Quantizer, QuantizerLosses};

/// `type = "ibq"`: the loss is
///
/// ```text
/// ||z - z_q||² + commitment_weight * ||z - sg[z_q]||² + codebook_weight * ||sg[z] - z_q||²
///     + entropy_weight * (sample_minimization_weight * H(p) - batch_maximization_weight * H(mean p))
/// ```
///
/// where the gradient of the first term passes through the soft assignments too.
///
/// ```
/// use tch::{Device, Kind, Tensor, nn};
/// use vqkit_quantizer::{IndexBackpropagationQuantizerConfig, Mode, Quantizer};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let quantizer = IndexBackpropagationQuantizerConfig::new(64).build(&vs.root(), 8)?;
/// let latents = Tensor::randn([2, 8, 4, 4], (Kind::Float, Device::Cpu));
/// let quantized = quantizer.quantize(&latents, None, Mode::Train { step: 0 })?;
/// assert_eq!(quantized.grid.indices.size(), [2, 1, 4, 4]);
/// # Ok::<(), vqkit_quantizer::QuantizeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexBackpropagationQuantizerConfig {
    /// Number of codes K, at least 2.
    pub codebook_size: i64,
    /// Weight of the commitment loss, which keeps latents near their codes, 0 or more. Default 1.
    #[serde(default = "config::one")]
    pub commitment_weight: f64,
    /// Weight of the loss that moves codes toward their latents, 0 or more. Default 0.25.
    #[serde(default = "config::commitment_weight")]
    pub codebook_weight: f64,
    /// Weight of the entropies of the soft assignments, 0 or more. Default 0.05.
    #[serde(default = "IndexBackpropagationQuantizerConfig::default_entropy_weight")]
    pub entropy_weight: f64,
    /// Temperature of the soft assignments in the entropies, above 0. Default 0.01.
    #[serde(default = "config::entropy_temperature")]
    pub entropy_temperature: f64,
    /// Weight of the mean entropy of each assignment inside the entropy term, 0 or more. Default 1.
    #[serde(default = "config::one")]
    pub sample_minimization_weight: f64,
    /// Weight of the entropy of the mean assignment inside the entropy term, 0 or more. Default 1.
    #[serde(default = "config::one")]
    pub batch_maximization_weight: f64,
}

impl IndexBackpropagationQuantizerConfig {
    /// `codebook_size` codes, and the default of every other key.
    pub fn new(codebook_size: i64) -> Self {
        Self {
            codebook_size,
            commitment_weight: config::one(),
            codebook_weight: config::commitment_weight(),
            entropy_weight: Self::default_entropy_weight(),
            entropy_temperature: config::entropy_temperature(),
            sample_minimization_weight: config::one(),
            batch_maximization_weight: config::one(),
        }
    }

    /// Creates the quantizer for latents of width `dim`, with its codes at `vs`, initialized from a normal
    /// distribution.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range, and when `dim` is not positive.
    pub fn build(&self, vs: &nn::Path, dim: i64) -> Result<IndexBackpropagationQuantizer, QuantizeError> {
        self.validate()?;
        check_dim(dim)?;
        let normal = Init::Randn { mean: 0.0, stdev: 1.0 };
        let embedding = (vs / "embedding").var("weight", &[self.codebook_size, dim], normal);
        Ok(IndexBackpropagationQuantizer { config: self.clone(), embedding })
    }

    fn default_entropy_weight() -> f64 {
        0.05
    }
}

impl Member for IndexBackpropagationQuantizerConfig {
    fn validate(&self) -> Result<(), QuantizeError> {
        check_codebook(self.codebook_size)?;
        check_weight("commitment_weight", self.commitment_weight)?;
        check_weight("codebook_weight", self.codebook_weight)?;
        check_weight("entropy_weight", self.entropy_weight)?;
        check_weight("sample_minimization_weight", self.sample_minimization_weight)?;
        check_weight("batch_maximization_weight", self.batch_maximization_weight)?;
        check_temperature("entropy_temperature", self.entropy_temperature)
    }

    fn quantizer(&self, vs: &nn::Path, dim: i64) -> Result<Box<dyn Quantizer>, QuantizeError> {
        Ok(Box::new(self.build(vs, dim)?))
    }

    fn least_parameters(&self, dim: i64) -> i64 {
        self.codebook_size.saturating_mul(dim)
    }

    fn assignment(&self) -> Assignment {
        Assignment::Product
    }

    fn commitment_weight(&self) -> Option<f64> {
        Some(self.commitment_weight)
    }

    fn entropy_weight(&self) -> Option<f64> {
        Some(self.entropy_weight)
    }
}

/// Every code of `embedding.weight` `[K, D]` learns from every position: the code with the largest product `e·z` is
/// chosen, and its gradient goes to the softmax of all products, `one_hot + softmax - sg[softmax]` times the codes. The
/// `N × K` probabilities are computed in blocks, and again in the backward pass. A code that is never chosen learns
/// too, so none is revived.
///
/// `losses.entropy` is `sample_minimization_weight * H(p) - batch_maximization_weight * H(mean p)`.
#[derive(Debug)]
pub struct IndexBackpropagationQuantizer {
    config: IndexBackpropagationQuantizerConfig,
    embedding: Tensor,
}

impl IndexBackpropagationQuantizer {
    /// Mean entropy `H(p)` of the soft assignments of latents `[B, D, *S]` at `entropy_temperature`, and entropy `H(mean p)`
    /// of their mean, in nats; scalars.
    ///
    /// # Errors
    /// When the latents or the mask do not have the shape the quantizer was built for.
    pub fn entropies(&self, latents: &Tensor, mask: Option<&Tensor>) -> Result<(Tensor, Tensor), QuantizeError> {
        let rows = FlatLatents::of(latents, self.dim())?;
        let weights = rows.weights(mask)?;
        let question = Question {
            logits: &Logits { weight: self.embedding.detach(), bias: None },
            weights: weights.as_ref(),
            entropy_temperature: self.config.entropy_temperature,
            mixture: None,
        };
        let found = soft(&rows.points, &question)?;
        let batch = found.batch_entropy();
        Ok((found.sample_entropy, batch))
    }

    fn entropy_loss(&self, found: &Soft) -> Tensor {
        &found.sample_entropy * self.config.sample_minimization_weight
            - found.batch_entropy() * self.config.batch_maximization_weight
    }
}

impl Quantizer for IndexBackpropagationQuantizer {
    /// The codes keep the values that they were built with.
    fn initialize(&mut self, latents: &Tensor) -> Result<(), QuantizeError> {
        FlatLatents::of(latents, self.dim()).map(drop)
    }

    fn quantize(&self, latents: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Quantized, QuantizeError> {
        let rows = FlatLatents::of(latents, self.dim())?;
        let weights = rows.weights(mask)?;
        let table = kept_still(&self.embedding, !matches!(mode, Mode::Train { .. }));
        let still = table.detach();
        let mixture = Mixture { table: &still, temperature: 1.0, noise: Noise::None };
        let question = Question {
            logits: &Logits { weight: table.shallow_clone(), bias: None },
            weights: weights.as_ref(),
            entropy_temperature: self.config.entropy_temperature,
            mixture: (table.requires_grad() || rows.points.requires_grad()).then_some(mixture),
        };
        let found = soft(&rows.points, &question)?;
        let hard = Tensor::embedding(&table, &found.indices, -1, false, false);
        let codes = found.hard(&table);
        let both = mean_squared_error(&codes, &rows.points, weights.as_ref());
        let commitment = mean_squared_error(&rows.points, &hard.detach(), weights.as_ref());
        let codebook = mean_squared_error(&hard, &rows.points.detach(), weights.as_ref());
        let entropy = self.entropy_loss(&found);
        let total = both
            + &commitment * self.config.commitment_weight
            + &codebook * self.config.codebook_weight
            + &entropy * self.config.entropy_weight;
        let codes = rows.restore(&codes);
        let grid = TokenGrid::new(rows.restore_indices(&found.indices), self.codebook_sizes())?;
        let losses = QuantizerLosses { codebook, commitment, entropy, total };
        Ok(Quantized::new(codes, grid, losses, mask))
    }

    /// Does nothing: the optimizer trains the codes.
    fn update(&mut self, _latents: &Tensor, _quantized: &Quantized) -> Result<(), QuantizeError> {
        Ok(())
    }

    fn lookup(&self, grid: &TokenGrid) -> Result<Tensor, QuantizeError> {
        lookup(&self.embedding.detach(), grid)
    }

    fn codebooks(&self) -> Vec<CodebookView> {
        vec![CodebookView { codes: self.embedding.detach(), ages: None }]
    }

    fn codebook_sizes(&self) -> Vec<i64> {
        vec![self.config.codebook_size]
    }

    fn dim(&self) -> i64 {
        self.embedding.size()[1]
    }
}
