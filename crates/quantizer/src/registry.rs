//! Every quantizer by its name in a recipe; a new one is one line here. The keys of the two that contain others are
//! here too, since they contain the enum that contains them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, nn};
use vqkit_torch::{attempt, memory};

use crate::member::{Assignment, Member};
use crate::{
    BinarySphericalQuantizerConfig, EmaVectorQuantizerConfig, FiniteScalarQuantizerConfig, GradientEstimate,
    GumbelQuantizerConfig, IndexBackpropagationQuantizerConfig, LookupFreeQuantizerConfig, Metric, QuantizeError,
    Quantizer, SimVectorQuantizerConfig, VectorQuantizerConfig,
};

vqkit_config::tagged! {
    /// `[tokenizer.quantizer]` of a recipe.
    pub enum QuantizerConfig {
        /// VQ: codes trained by gradient.
        "vq" => Vq(VectorQuantizerConfig),
        /// VQ with codes that are exponential moving averages of their latents.
        "ema" => Ema(EmaVectorQuantizerConfig),
        /// Gumbel-softmax: codes are sampled in training.
        "gumbel" => Gumbel(GumbelQuantizerConfig),
        /// SimVQ: frozen codes, transformed by one trained linear map.
        "simvq" => Sim(SimVectorQuantizerConfig),
        /// IBQ: every code learns from every position.
        "ibq" => IndexBackpropagation(IndexBackpropagationQuantizerConfig),
        /// FSQ: every channel is rounded to one of a few levels.
        "fsq" => FiniteScalar(FiniteScalarQuantizerConfig),
        /// LFQ: the sign of every channel.
        "lfq" => LookupFree(LookupFreeQuantizerConfig),
        /// BSQ: the sign of every channel, on the unit sphere.
        "bsq" => BinarySpherical(BinarySphericalQuantizerConfig),
        /// Residual quantization: every level quantizes what the levels before it left over.
        "residual" => Residual(ResidualQuantizerConfig),
        /// Product quantization: groups of channels are quantized separately.
        "product" => Product(ProductQuantizerConfig),
    }
    fn member -> dyn Member;
}

impl QuantizerConfig {
    /// Creates the quantizer for latents of width `dim`, with its variables at `vs`.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range; [`QuantizeError::Torch`] when there is less memory than its
    /// codes take.
    pub fn build(&self, vs: &nn::Path, dim: i64) -> Result<Box<dyn Quantizer>, QuantizeError> {
        self.validate()?;
        let numbers = self.least_parameters(dim);
        if vs.device() == Device::Cpu {
            memory::check(&format!("codebooks of {numbers} numbers"), numbers.unsigned_abs().saturating_mul(4))?;
        }
        attempt("the codebooks", || self.member().quantizer(vs, dim))
    }

    /// A lower bound of its number of parameters for latents of width `dim`: those of its tables of codes. Nothing is
    /// built.
    pub fn least_parameters(&self, dim: i64) -> i64 {
        self.member().least_parameters(dim.max(1))
    }

    /// Checks every value, without building anything.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range.
    pub fn validate(&self) -> Result<(), QuantizeError> {
        self.member().validate()
    }

    /// The quantizer of every level or group, where it contains others.
    pub fn inner(&self) -> Option<&Self> {
        match self {
            Self::Residual(config) => Some(&config.quantizer),
            Self::Product(config) => Some(&config.quantizer),
            _ => None,
        }
    }

    /// How it assigns a code to a latent; for this and all that follows, see [`inner`](Self::inner) where it contains
    /// others.
    pub fn assignment(&self) -> Assignment {
        self.member().assignment()
    }

    /// Metric by which latents and codes are compared; `None` where they are not compared, or not unchanged.
    pub fn metric(&self) -> Option<Metric> {
        self.member().metric()
    }

    /// Weight of the commitment loss, where there is one.
    pub fn commitment_weight(&self) -> Option<f64> {
        self.member().commitment_weight()
    }

    /// Weight of the entropies of soft assignments, which keep all codes in use, where there is one.
    pub fn entropy_weight(&self) -> Option<f64> {
        self.member().entropy_weight()
    }

    /// Whether the codes are initialized by k-means on the first batch, where that is a choice.
    pub fn kmeans_init(&self) -> Option<bool> {
        self.member().kmeans_init()
    }

    /// Steps without use after which a code is replaced by a latent of the batch, 0 for never; none where codes are never dead.
    pub fn revive_after(&self) -> Option<u64> {
        self.member().revive_after()
    }
}

/// `type = "residual"`: each level quantizes what the levels before it left over; the losses are sums over the levels.
///
/// ```
/// use tch::{Device, Kind, Tensor, nn};
/// use vqkit_quantizer::{EmaVectorQuantizerConfig, Mode, Quantizer, QuantizerConfig, ResidualQuantizerConfig};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let level = QuantizerConfig::Ema(EmaVectorQuantizerConfig::new(16));
/// let mut quantizer = ResidualQuantizerConfig::new(4, level).build(&vs.root(), 8)?;
/// let latents = Tensor::randn([2, 8, 4, 4], (Kind::Float, Device::Cpu));
/// quantizer.initialize(&latents)?;
/// let quantized = quantizer.quantize(&latents, None, Mode::Train { step: 0 })?;
/// assert_eq!(quantized.grid.indices.size(), [2, 4, 4, 4]);
/// # Ok::<(), vqkit_quantizer::QuantizeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResidualQuantizerConfig {
    /// Number of levels Q, 1 to 64.
    pub num_quantizers: i64,
    /// Share of the images of a training step, 0 to 1, for which only a random number of levels, at least one, is used,
    /// so that the first levels alone give a coarser image. SoundStream uses 1, the Descript Audio Codec 0.5. Default
    /// 0.
    #[serde(default)]
    pub quantize_dropout: f64,
    /// How the gradient of the decoder is passed to the encoder, over all levels at once. Default `"straight-through"`.
    #[serde(default)]
    pub gradient: GradientEstimate,
    /// The quantizer of every level, of type `"vq"`, `"ema"` or `"simvq"`; each level has its own codes.
    pub quantizer: Box<QuantizerConfig>,
}

/// `type = "product"`: the channels of a latent are divided into groups; the losses are means over the groups.
///
/// ```
/// use tch::{Device, Kind, Tensor, nn};
/// use vqkit_quantizer::{EmaVectorQuantizerConfig, Mode, ProductQuantizerConfig, Quantizer, QuantizerConfig};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let group = QuantizerConfig::Ema(EmaVectorQuantizerConfig::new(16));
/// let mut quantizer = ProductQuantizerConfig::new(2, group).build(&vs.root(), 8)?;
/// let latents = Tensor::randn([2, 8, 4, 4], (Kind::Float, Device::Cpu));
/// quantizer.initialize(&latents)?;
/// let quantized = quantizer.quantize(&latents, None, Mode::Train { step: 0 })?;
/// assert_eq!(quantized.grid.sizes, [16, 16]);
/// # Ok::<(), vqkit_quantizer::QuantizeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductQuantizerConfig {
    /// Number of groups, 1 to 64.
    pub groups: i64,
    /// Width of a group. Where the groups together are not as wide as the latents, linear maps project to that width
    /// and back. Default: the width of the latents divided by the number of groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codebook_dim: Option<i64>,
    /// The quantizer of every group; each group has its own codes.
    pub quantizer: Box<QuantizerConfig>,
}
