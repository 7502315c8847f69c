//! The codebook of exponential moving averages of the latents (van den Oord et al. 2017, appendix A.1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, nn};
use vqkit_torch::TokenGrid;

use crate::codebook::{Codebook, CodebookConfig, Revival};
use crate::config::{self, check_codebook, check_weight};
use crate::kmeans::totals;
use crate::latents::mean_squared_error;
use crate::member::Member;
use crate::{CodebookView, GradientEstimate, Metric, Mode, QuantizeError, Quantized, Quantizer, QuantizerLosses};

/// `type = "ema"`: the loss is `commitment_weight * ||z - sg[z_q]||²`; the codes are updated without the optimizer.
///
/// ```
/// use tch::{Device, Kind, Tensor, nn};
/// use vqkit_quantizer::{EmaVectorQuantizerConfig, Mode, Quantizer};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let mut quantizer = EmaVectorQuantizerConfig::new(64).build(&vs.root(), 8)?;
/// let latents = Tensor::randn([2, 8, 4, 4], (Kind::Float, Device::Cpu));
/// quantizer.initialize(&latents)?;
/// let quantized = quantizer.quantize(&latents, None, Mode::Train { step: 0 })?;
/// quantizer.update(&latents, &quantized)?;
/// assert_eq!(quantized.grid.indices.size(), [2, 1, 4, 4]);
/// # Ok::<(), vqkit_quantizer::QuantizeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmaVectorQuantizerConfig {
    /// Number of codes K, at least 2.
    pub codebook_size: i64,
    /// Metric by which latents and codes are compared. Default `"euclidean"`.
    #[serde(default)]
    pub metric: Metric,
    /// Decay of the moving averages per step, in [0, 1). Default 0.99, as in the paper.
    #[serde(default = "config::decay")]
    pub decay: f64,
    /// Added to every cluster size (Laplace smoothing), above 0. Default 1e-5.
    #[serde(default = "config::eps")]
    pub eps: f64,
    /// Weight of the commitment loss, which keeps latents near their codes, 0 or more. Default 0.25, the paper's beta.
    #[serde(default = "config::commitment_weight")]
    pub commitment_weight: f64,
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

impl EmaVectorQuantizerConfig {
    /// `codebook_size` codes, and the default of every other key.
    pub fn new(codebook_size: i64) -> Self {
        Self {
            codebook_size,
            metric: Metric::default(),
            decay: config::decay(),
            eps: config::eps(),
            commitment_weight: config::commitment_weight(),
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
    pub fn build(&self, vs: &nn::Path, dim: i64) -> Result<EmaVectorQuantizer, QuantizeError> {
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
                trainable: false,
            },
        );
        let mut embed_avg = vs.zeros_no_train("embed_avg", &[self.codebook_size, dim]);
        embed_avg.copy_(&codebook.weight);
        let cluster_size = vs.ones_no_train("cluster_size", &[self.codebook_size]);
        Ok(EmaVectorQuantizer { config: self.clone(), codebook, cluster_size, embed_avg })
    }
}

impl Member for EmaVectorQuantizerConfig {
    fn validate(&self) -> Result<(), QuantizeError> {
        check_codebook(self.codebook_size)?;
        check_weight("commitment_weight", self.commitment_weight)?;
        check_weight("sample_temperature", self.sample_temperature)?;
        if !(0.0..1.0).contains(&self.decay) {
            let reason = format!("{} must be at least 0 and below 1", self.decay);
            return Err(QuantizeError::Config { field: "decay", reason });
        }
        if !(self.eps > 0.0 && self.eps.is_finite()) {
            return Err(QuantizeError::Config { field: "eps", reason: format!("{} must be above 0", self.eps) });
        }
        Ok(())
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

    fn kmeans_init(&self) -> Option<bool> {
        Some(self.kmeans_init)
    }

    fn revive_after(&self) -> Option<u64> {
        Some(self.revive_after)
    }
}

/// Each code is the average of the latents assigned to it: with counts `n` and sums `s` of a batch,
///
/// ```text
/// cluster_size <- decay * cluster_size + (1 - decay) * n
/// embed_avg    <- decay * embed_avg    + (1 - decay) * s
/// smoothed      = (cluster_size + eps) / (sum(cluster_size) + K * eps) * sum(cluster_size)
/// codes        <- embed_avg / smoothed
/// ```
///
/// as in vector-quantize-pytorch and rosinality's VQ-VAE-2. With the cosine metric, the latents have length 1, and the
/// codes are normalised to length 1 again. A new codebook counts each code once. A revived code starts again with
/// `cluster_size = 1` and `embed_avg` at its latent.
#[derive(Debug)]
pub struct EmaVectorQuantizer {
    config: EmaVectorQuantizerConfig,
    codebook: Codebook,
    /// `cluster_size` `[K]`.
    cluster_size: Tensor,
    /// `embed_avg` `[K, D]`.
    embed_avg: Tensor,
}

impl EmaVectorQuantizer {
    /// In place, since the table and its sums may be the largest things in memory; gives the counts of the batch.
    fn follow(&mut self, points: &Tensor, indices: &Tensor, weights: Option<&Tensor>) -> Result<Tensor, QuantizeError> {
        let (sums, counts) = totals(points, indices, self.codebook.size(), weights);
        let rate = 1.0 - self.config.decay;
        let _ = self.cluster_size.lerp_(&counts, rate);
        let _ = self.embed_avg.lerp_(&sums, rate);
        let total = self.cluster_size.sum(Kind::Float);
        let smoothing = self.config.eps * self.codebook.size() as f64;
        let smoothed = (&self.cluster_size + self.config.eps) / (&total + smoothing) * &total;
        let _ = self.embed_avg.f_divide_out(&self.codebook.weight, &smoothed.unsqueeze(-1))?;
        if self.config.metric == Metric::Cosine {
            let codes = self.config.metric.apply(&self.codebook.weight);
            self.codebook.weight.copy_(&codes);
        }
        Ok(counts)
    }

    fn revive(&mut self, revival: &Revival) {
        revival.renew(&mut self.codebook.weight, &revival.replacements);
        revival.renew(&mut self.embed_avg, &revival.replacements);
        let once = self.cluster_size.ones_like();
        revival.renew(&mut self.cluster_size, &once);
    }
}

impl Quantizer for EmaVectorQuantizer {
    fn initialize(&mut self, latents: &Tensor) -> Result<(), QuantizeError> {
        if let Some(clusters) = self.codebook.initialize(latents)? {
            let sizes = clusters.sizes.clamp_min(1.0);
            self.embed_avg.copy_(&(&clusters.centres * sizes.unsqueeze(-1)));
            self.cluster_size.copy_(&sizes);
        }
        Ok(())
    }

    fn quantize(&self, latents: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Quantized, QuantizeError> {
        let rows = self.codebook.rows(latents)?;
        let weights = rows.weights(mask)?;
        let table = self.codebook.table(false);
        let indices = self.codebook.assign(&rows.points, &table, mode)?;
        let codes = Tensor::embedding(&table, &indices, -1, false, false);
        let commitment = mean_squared_error(&rows.points, &codes, weights.as_ref());
        let total = &commitment * self.config.commitment_weight;
        let none = QuantizerLosses::none(total.device());
        let codes = rows.restore(&self.config.gradient.apply(&codes, &rows.points)?);
        let grid = TokenGrid::new(rows.restore_indices(&indices), self.codebook_sizes())?;
        let losses = QuantizerLosses { commitment, total, ..none };
        Ok(Quantized::new(codes, grid, losses, mask))
    }

    fn update(&mut self, latents: &Tensor, quantized: &Quantized) -> Result<(), QuantizeError> {
        tch::no_grad(|| {
            let rows = self.codebook.rows(&latents.detach())?;
            let weights = rows.weights(quantized.mask.as_ref())?;
            let indices = rows.indices(&quantized.grid)?;
            let counts = self.follow(&rows.points, &indices, weights.as_ref())?;
            if let Some(revival) = self.codebook.grow_old(&rows.points, &counts, weights.as_ref()) {
                self.revive(&revival);
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
