//! The codebook trained by gradient (van den Oord et al. 2017, "Neural Discrete Representation Learning").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};
use vqkit_torch::TokenGrid;

use crate::codebook::{Codebook, CodebookConfig};
use crate::config::{self, check_codebook, check_weight};
use crate::kmeans::counts;
use crate::latents::mean_squared_error;
use crate::member::Member;
use crate::soft::{Logits, Question, soft};
use crate::temperature::check_temperature;
use crate::{CodebookView, GradientEstimate, Metric, Mode, QuantizeError, Quantized, Quantizer, QuantizerLosses};

/// `type = "vq"`: the loss is `codebook_weight * ||sg[z] - z_q||² + commitment_weight * ||z - sg[z_q]||²`, and
/// optionally an entropy term.
///
/// ```
/// use tch::{Device, Kind, Tensor, nn};
/// use vqkit_quantizer::{Metric, Mode, Quantizer, VectorQuantizerConfig};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let config = VectorQuantizerConfig { metric: Metric::Cosine, ..VectorQuantizerConfig::new(64) };
/// let mut quantizer = config.build(&vs.root(), 8)?;
/// let latents = Tensor::randn([2, 8, 4, 4], (Kind::Float, Device::Cpu));
/// quantizer.initialize(&latents)?;
/// let quantized = quantizer.quantize(&latents, None, Mode::Train { step: 0 })?;
/// quantized.losses.total.backward();
/// assert!(vs.variables()["embedding.weight"].grad().defined());
/// # Ok::<(), vqkit_quantizer::QuantizeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VectorQuantizerConfig {
    /// Number of codes K, at least 2.
    pub codebook_size: i64,
    /// Metric by which latents and codes are compared. Default `"euclidean"`.
    #[serde(default)]
    pub metric: Metric,
    /// Weight of the loss that moves codes toward their latents, 0 or more. Default 1, as in equation 3 of the paper.
    #[serde(default = "config::codebook_weight")]
    pub codebook_weight: f64,
    /// Weight of the commitment loss, which keeps latents near their codes, 0 or more. Default 0.25, the paper's beta.
    #[serde(default = "config::commitment_weight")]
    pub commitment_weight: f64,
    /// Weight of `H(p) - H(mean p)`, in nats, of the soft assignments `p = softmax(-||z - e||² / entropy_temperature)`:
    /// small where each assignment is certain and all codes are used (LlamaGen's `entropy_loss_ratio`). Default 0.
    #[serde(default)]
    pub entropy_weight: f64,
    /// Temperature of the soft assignments, above 0. Default 0.01, as in LlamaGen.
    #[serde(default = "config::entropy_temperature")]
    pub entropy_temperature: f64,
    /// Whether the codes are initialized by k-means on the first batch. Default true.
    #[serde(default = "config::kmeans_init")]
    pub kmeans_init: bool,
    /// Revival: steps without use after which a code is moved to a random latent of the batch; 0 for never. Default
    /// 100.
    #[serde(default = "config::revive_after")]
    pub revive_after: u64,
    /// How the gradient of the decoder is passed to the encoder. Default `"straight-through"`.
    #[serde(default)]
    pub gradient: GradientEstimate,
    /// In training, sample codes with the probabilities `softmax(-||z - e||² / sample_temperature)`. Default 0: always
    /// the nearest code.
    #[serde(default)]
    pub sample_temperature: f64,
}

impl VectorQuantizerConfig {
    /// `codebook_size` codes, and the default of every other key.
    pub fn new(codebook_size: i64) -> Self {
        Self {
            codebook_size,
            metric: Metric::default(),
            codebook_weight: config::codebook_weight(),
            commitment_weight: config::commitment_weight(),
            entropy_weight: 0.0,
            entropy_temperature: config::entropy_temperature(),
            kmeans_init: config::kmeans_init(),
            revive_after: config::revive_after(),
            gradient: GradientEstimate::default(),
            sample_temperature: 0.0,
        }
    }

    /// Creates the quantizer for latents of width `dim`, with its codes and its state at `vs`.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range, and when `dim` is not positive.
    pub fn build(&self, vs: &nn::Path, dim: i64) -> Result<VectorQuantizer, QuantizeError> {
        self.validate()?;
        config::check_dim(dim)?;
        let codebook = Codebook::new(
            vs,
            &CodebookConfig {
                size: self.codebook_size,
                dim,
                metric: self.metric,
                sample_temperature: self.sample_temperature,
                kmeans_init: self.kmeans_init,
                revive_after: self.revive_after,
                trainable: true,
            },
        );
        Ok(VectorQuantizer { config: self.clone(), codebook })
    }
}

impl Member for VectorQuantizerConfig {
    fn validate(&self) -> Result<(), QuantizeError> {
        check_codebook(self.codebook_size)?;
        check_weight("codebook_weight", self.codebook_weight)?;
        check_weight("commitment_weight", self.commitment_weight)?;
        check_weight("entropy_weight", self.entropy_weight)?;
        check_temperature("entropy_temperature", self.entropy_temperature)?;
        check_weight("sample_temperature", self.sample_temperature)
    }

    fn quantizer(&self, vs: &nn::Path, dim: i64) -> Result<Box<dyn Quantizer>, QuantizeError> {
        Ok(Box::new(self.build(vs, dim)?))
    }

    fn least_parameters(&self, dim: i64) -> i64 {
        self.codebook_size.saturating_mul(dim)
    }

    fn metric(&self) -> Option<Metric> {
        Some(self.metric)
    }

    fn commitment_weight(&self) -> Option<f64> {
        Some(self.commitment_weight)
    }

    fn entropy_weight(&self) -> Option<f64> {
        Some(self.entropy_weight)
    }

    fn kmeans_init(&self) -> Option<bool> {
        Some(self.kmeans_init)
    }

    fn revive_after(&self) -> Option<u64> {
        Some(self.revive_after)
    }
}

/// Codes that the optimizer trains: `embedding.weight` `[K, D]` is a trainable variable.
#[derive(Debug)]
pub struct VectorQuantizer {
    config: VectorQuantizerConfig,
    codebook: Codebook,
}

impl VectorQuantizer {
    fn losses(
        &self,
        points: &Tensor,
        codes: &Tensor,
        table: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<QuantizerLosses, QuantizeError> {
        let VectorQuantizerConfig { codebook_weight, commitment_weight, entropy_weight, .. } = self.config;
        let codebook = mean_squared_error(codes, &points.detach(), weights);
        let commitment = mean_squared_error(points, &codes.detach(), weights);
        let total = &codebook * codebook_weight + &commitment * commitment_weight;
        if entropy_weight == 0.0 {
            let entropy = total.detach().zeros_like();
            return Ok(QuantizerLosses { codebook, commitment, entropy, total });
        }
        let question = Question {
            logits: &Logits::of_distances(table),
            weights,
            entropy_temperature: self.config.entropy_temperature,
            mixture: None,
        };
        let entropy = soft(points, &question)?.entropy_loss();
        let total = total + &entropy * entropy_weight;
        Ok(QuantizerLosses { codebook, commitment, entropy, total })
    }
}

impl Quantizer for VectorQuantizer {
    fn initialize(&mut self, latents: &Tensor) -> Result<(), QuantizeError> {
        self.codebook.initialize(latents).map(|_| ())
    }

    fn quantize(&self, latents: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Quantized, QuantizeError> {
        let rows = self.codebook.rows(latents)?;
        let weights = rows.weights(mask)?;
        let table = self.codebook.table(matches!(mode, Mode::Train { .. }));
        let indices = self.codebook.assign(&rows.points, &table, mode)?;
        let codes = Tensor::embedding(&table, &indices, -1, false, false);
        let losses = self.losses(&rows.points, &codes, &table, weights.as_ref())?;
        let codes = rows.restore(&self.config.gradient.apply(&codes, &rows.points)?);
        let grid = TokenGrid::new(rows.restore_indices(&indices), self.codebook_sizes())?;
        Ok(Quantized::new(codes, grid, losses, mask))
    }

    /// Counts the ages of the codes and revives dead ones; the optimizer does the rest.
    fn update(&mut self, latents: &Tensor, quantized: &Quantized) -> Result<(), QuantizeError> {
        tch::no_grad(|| {
            let rows = self.codebook.rows(&latents.detach())?;
            let weights = rows.weights(quantized.mask.as_ref())?;
            let indices = rows.indices(&quantized.grid)?;
            let used = counts(&indices, self.codebook.size(), weights.as_ref());
            if let Some(revival) = self.codebook.grow_old(&rows.points, &used, weights.as_ref()) {
                revival.renew(&mut self.codebook.weight, &revival.replacements);
            }
            Ok(())
        })
    }

    fn lookup(&self, grid: &TokenGrid) -> Result<Tensor, QuantizeError> {
        self.codebook.lookup(grid)
    }

    fn codebooks(&self) -> Vec<CodebookView> {
        vec![self.codebook.view()]
    }

    fn codebook_sizes(&self) -> Vec<i64> {
        vec![self.codebook.size()]
    }

    fn dim(&self) -> i64 {
        self.codebook.dim()
    }
}
