//! Codes sampled with the Gumbel-softmax (Jang et al. 2017, "Categorical Reparameterization with Gumbel-Softmax"), as
//! in `GumbelQuantize` of taming-transformers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::nn::{self, Init};
use tch::{Kind, Tensor};
use vqkit_torch::{TokenGrid, autocast};

use crate::codebook::lookup;
use crate::config::{check_codebook, check_dim, check_weight, check_width};
use crate::latents::FlatLatents;
use crate::member::{Assignment, Member};
use crate::projection::kept_still;
use crate::soft::{Logits, Mixture, Noise, Question, soft};
use crate::temperature::check_temperature;
use crate::{Anneal, CodebookView, Mode, QuantizeError, Quantized, Quantizer, QuantizerLosses};

/// `type = "gumbel"`: the loss is `kl_weight * KL(softmax(logits) || uniform)`.
///
/// ```
/// use tch::{Device, Kind, Tensor, nn};
/// use vqkit_quantizer::{Anneal, AnnealCurve, GumbelQuantizerConfig, Mode, Quantizer};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let anneal = Some(Anneal { end: 1.0 / 16.0, steps: 10_000, curve: AnnealCurve::Cosine });
/// let config = GumbelQuantizerConfig { anneal, ..GumbelQuantizerConfig::new(64) };
/// let quantizer = config.build(&vs.root(), 8)?;
/// let latents = Tensor::randn([2, 8, 4, 4], (Kind::Float, Device::Cpu));
/// let quantized = quantizer.quantize(&latents, None, Mode::Train { step: 5_000 })?;
/// assert_eq!(quantized.codes.size(), [2, 8, 4, 4]);
/// assert!(config.temperature(5_000) < 0.6);
/// # Ok::<(), vqkit_quantizer::QuantizeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GumbelQuantizerConfig {
    /// Number of codes K, at least 2.
    pub codebook_size: i64,
    /// Width D' of the codes; a tokenizer needs that of the latents. Default: that of the latents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_dim: Option<i64>,
    /// Whether, in training, the decoder receives the sampled code, with the gradient of the soft mixture of codes;
    /// otherwise it receives the mixture itself. Default true.
    #[serde(default = "GumbelQuantizerConfig::default_straight_through")]
    pub straight_through: bool,
    /// Weight of the KL divergence from the uniform distribution, which keeps all codes in use, 0 or more. Default
    /// 5e-4, as upstream.
    #[serde(default = "GumbelQuantizerConfig::default_kl_weight")]
    pub kl_weight: f64,
    /// Temperature of the softmax at the first step, above 0; the lower, the closer a mixture is to one code. Default
    /// 1.
    #[serde(default = "GumbelQuantizerConfig::default_temp_init")]
    pub temp_init: f64,
    /// How the temperature changes after the first step. Default: it stays the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anneal: Option<Anneal>,
}

impl GumbelQuantizerConfig {
    /// `codebook_size` codes, and the default of every other key.
    pub fn new(codebook_size: i64) -> Self {
        Self {
            codebook_size,
            embedding_dim: None,
            straight_through: Self::default_straight_through(),
            kl_weight: Self::default_kl_weight(),
            temp_init: Self::default_temp_init(),
            anneal: None,
        }
    }

    /// Creates the quantizer for latents of width `dim`, with its variables at `vs` under upstream's names. They are
    /// initialized as PyTorch does for a convolution and an embedding.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range, and when `dim` is not positive.
    pub fn build(&self, vs: &nn::Path, dim: i64) -> Result<GumbelQuantizer, QuantizeError> {
        self.validate()?;
        check_dim(dim)?;
        let (size, bound) = (self.codebook_size, 1.0 / (dim as f64).sqrt());
        let (uniform, normal) = (Init::Uniform { lo: -bound, up: bound }, Init::Randn { mean: 0.0, stdev: 1.0 });
        let (proj, embed) = (vs / "proj", vs / "embed");
        Ok(GumbelQuantizer {
            config: self.clone(),
            weight: proj.var("weight", &[size, dim, 1, 1], uniform),
            bias: proj.var("bias", &[size], uniform),
            embed: embed.var("weight", &[size, self.embedding_dim.unwrap_or(dim)], normal),
        })
    }

    /// The temperature of a training step, counted from 0.
    pub fn temperature(&self, step: u64) -> f64 {
        self.anneal.as_ref().map_or(self.temp_init, |anneal| anneal.value(self.temp_init, step))
    }

    fn default_straight_through() -> bool {
        true
    }

    fn default_kl_weight() -> f64 {
        5e-4
    }

    fn default_temp_init() -> f64 {
        1.0
    }
}

impl Member for GumbelQuantizerConfig {
    fn validate(&self) -> Result<(), QuantizeError> {
        check_codebook(self.codebook_size)?;
        check_width("embedding_dim", self.embedding_dim)?;
        check_weight("kl_weight", self.kl_weight)?;
        check_temperature("temp_init", self.temp_init)?;
        self.anneal.as_ref().map_or(Ok(()), Anneal::validate)
    }

    fn quantizer(&self, vs: &nn::Path, dim: i64) -> Result<Box<dyn Quantizer>, QuantizeError> {
        Ok(Box::new(self.build(vs, dim)?))
    }

    fn least_parameters(&self, dim: i64) -> i64 {
        self.codebook_size.saturating_mul(dim)
    }

    fn assignment(&self) -> Assignment {
        Assignment::Logits
    }
}

/// Logits of the codes by a 1×1 convolution, `proj.weight` `[K, D, 1, 1]` and `proj.bias`; the codes are `embed.weight`
/// `[K, D']`.
///
/// Training samples the code of every position with the default random generator. Upstream samples in evaluation too;
/// here [`Mode::Frozen`] and [`Mode::Eval`] take the likeliest code, so that an image always has the same tokens.
#[derive(Debug)]
pub struct GumbelQuantizer {
    config: GumbelQuantizerConfig,
    weight: Tensor,
    bias: Tensor,
    embed: Tensor,
}

/// The settings of a forward pass.
struct Pass<'a> {
    noise: Noise<'a>,
    temperature: f64,
    train: bool,
}

impl GumbelQuantizer {
    /// Logits `[B, K, *S]`, f32, of latents `[B, D, *S]`.
    ///
    /// # Errors
    /// When the latents do not have the shape the quantizer was built for.
    pub fn logits(&self, latents: &Tensor) -> Result<Tensor, QuantizeError> {
        let rows = FlatLatents::of(latents, self.dim())?;
        let logits = || self.logits_of(true).of(&rows.points);
        Ok(rows.restore(&autocast::disabled(latents.device(), logits)))
    }

    /// What [`Mode::Train`] gives for the draw `noise` `[B, K, *S]`, a sample of the standard Gumbel distribution, which
    /// decides the codes: `argmax(logits + noise)`.
    ///
    /// # Errors
    /// As [`Quantizer::quantize`], and when the noise has not the logits' shape.
    pub fn quantize_with(
        &self,
        latents: &Tensor,
        mask: Option<&Tensor>,
        noise: &Tensor,
        temperature: f64,
    ) -> Result<Quantized, QuantizeError> {
        let rows = FlatLatents::of(latents, self.dim())?;
        let mut want = latents.size();
        want[1] = self.config.codebook_size;
        if noise.size() != want {
            return Err(QuantizeError::Shape { what: "noise", want: format!("{want:?}"), got: noise.size() });
        }
        let noise = FlatLatents::of(noise, self.config.codebook_size)?.points;
        self.pass(&rows, mask, &Pass { noise: Noise::Given(&noise), temperature, train: true })
    }

    fn pass(&self, rows: &FlatLatents, mask: Option<&Tensor>, pass: &Pass) -> Result<Quantized, QuantizeError> {
        let weights = rows.weights(mask)?;
        let logits = self.logits_of(pass.train);
        let mixes = pass.train && !self.config.straight_through;
        let table = if mixes { self.embed.shallow_clone() } else { self.embed.detach() };
        let mixture = || Mixture { table: &table, temperature: pass.temperature, noise: pass.noise };
        let asked = Question {
            logits: &logits,
            weights: weights.as_ref(),
            entropy_temperature: 1.0,
            mixture: (pass.train || rows.points.requires_grad()).then(mixture),
        };
        let found = soft(&rows.points, &asked)?;
        let codes = match &found.mixture {
            Some(mixture) if mixes => mixture.shallow_clone(),
            _ => found.hard(&kept_still(&self.embed, !pass.train)),
        };
        // KL(p || uniform) = ln K - H(p), and nothing where no position counts.
        let uniform = (self.config.codebook_size as f64).ln();
        let divergence = match &weights {
            None => uniform - found.sample_entropy,
            Some(weights) => weights.sum(Kind::Float).clamp_max(1.0) * uniform - found.sample_entropy,
        };
        let codes = rows.restore(&codes);
        let grid = TokenGrid::new(rows.restore_indices(&found.indices), self.codebook_sizes())?;
        let losses = QuantizerLosses {
            total: divergence * self.config.kl_weight,
            ..QuantizerLosses::none(rows.points.device())
        };
        Ok(Quantized::new(codes, grid, losses, mask))
    }

    /// The logits by `proj.weight` and `proj.bias`, with a gradient to them where `train`.
    fn logits_of(&self, train: bool) -> Logits {
        let weight = kept_still(&self.weight, !train).flatten(1, -1);
        Logits { weight, bias: Some(kept_still(&self.bias, !train)) }
    }
}

impl Quantizer for GumbelQuantizer {
    /// The weights keep the values that they were built with.
    fn initialize(&mut self, latents: &Tensor) -> Result<(), QuantizeError> {
        FlatLatents::of(latents, self.dim()).map(drop)
    }

    /// In [`Mode::Frozen`] and [`Mode::Eval`] the latents get the gradient of a mixture at the last temperature.
    fn quantize(&self, latents: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Quantized, QuantizeError> {
        let rows = FlatLatents::of(latents, self.dim())?;
        let pass = match mode {
            Mode::Train { step } => {
                Pass { noise: Noise::Drawn, temperature: self.config.temperature(step), train: true }
            }
            Mode::Frozen | Mode::Eval => {
                Pass { noise: Noise::None, temperature: self.config.temperature(u64::MAX), train: false }
            }
        };
        self.pass(&rows, mask, &pass)
    }

    /// Does nothing: the optimizer trains every weight.
    fn update(&mut self, _latents: &Tensor, _quantized: &Quantized) -> Result<(), QuantizeError> {
        Ok(())
    }

    fn lookup(&self, grid: &TokenGrid) -> Result<Tensor, QuantizeError> {
        lookup(&self.embed.detach(), grid)
    }

    fn codebooks(&self) -> Vec<CodebookView> {
        vec![CodebookView { codes: self.embed.detach(), ages: None }]
    }

    fn codebook_sizes(&self) -> Vec<i64> {
        vec![self.config.codebook_size]
    }

    fn dim(&self) -> i64 {
        self.weight.size()[1]
    }

    fn code_dim(&self) -> i64 {
        self.embed.size()[1]
    }
}
