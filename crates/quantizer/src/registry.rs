//! Every quantizer by its name in a recipe; a new one is one line here. The keys of the two that are made of others stand here too,
//! since they hold the enum that holds them.

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
        /// Codes trained by gradient.
        "vq" => Vq(VectorQuantizerConfig),
        /// Codes that are moving averages.
        "ema" => Ema(EmaVectorQuantizerConfig),
        /// Codes that are drawn in training.
        "gumbel" => Gumbel(GumbelQuantizerConfig),
        /// Frozen codes seen through one trained map.
        "simvq" => Sim(SimVectorQuantizerConfig),
        /// Codes that all learn from every position.
        "ibq" => IndexBackpropagation(IndexBackpropagationQuantizerConfig),
        /// Channels rounded to a few levels.
        "fsq" => FiniteScalar(FiniteScalarQuantizerConfig),
        /// Signs of channels.
        "lfq" => LookupFree(LookupFreeQuantizerConfig),
        /// Signs of channels, on the unit sphere.
        "bsq" => BinarySpherical(BinarySphericalQuantizerConfig),
        /// Levels, each of what those before it left over.
        "residual" => Residual(ResidualQuantizerConfig),
        /// Groups of channels, each by itself.
        "product" => Product(ProductQuantizerConfig),
    }
    fn member -> dyn Member;
}

impl QuantizerConfig {
    /// Makes the quantizer for latents of width `dim`, with its variables at `vs`.
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

    /// A number of parameters that it has at least for latents of width `dim`: those of its tables of codes. Nothing is built.
    pub fn least_parameters(&self, dim: i64) -> i64 {
        self.member().least_parameters(dim.max(1))
    }

    /// Looks at every value, and builds nothing.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range.
    pub fn validate(&self) -> Result<(), QuantizeError> {
        self.member().validate()
    }

    /// What every level or group is, of one that is made of others.
    pub fn inner(&self) -> Option<&Self> {
        match self {
            Self::Residual(config) => Some(&config.quantizer),
            Self::Product(config) => Some(&config.quantizer),
            _ => None,
        }
    }

    /// How it gives a latent its code; as all that follows, of one that is made of others see [`inner`](Self::inner).
    pub fn assignment(&self) -> Assignment {
        self.member().assignment()
    }

    /// What latents and codes are compared by; none where they are not, or not as they come.
    pub fn metric(&self) -> Option<Metric> {
        self.member().metric()
    }

    /// Weight of the term that holds the latents to their codes, where there is one.
    pub fn commitment_weight(&self) -> Option<f64> {
        self.member().commitment_weight()
    }

    /// Weight of the term that keeps all codes in use by the entropies of soft choices, where there is one.
    pub fn entropy_weight(&self) -> Option<f64> {
        self.member().entropy_weight()
    }

    /// Whether the codes start as the k-means of the first batch, where that is a choice.
    pub fn kmeans_init(&self) -> Option<bool> {
        self.member().kmeans_init()
    }

    /// Steps without use after which a code is replaced by a latent of the batch, 0 for never; none where codes are never dead.
    pub fn revive_after(&self) -> Option<u64> {
        self.member().revive_after()
    }
}

/// `type = "residual"`: each level quantizes what those before it left over; the losses are the sums of the levels'.
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
    /// Number of levels Q, at least 1.
    pub num_quantizers: i64,
    /// Share of the images of a training step for which only a random number of levels, at least one, is used: so fewer
    /// levels give a coarser picture later; default 0. SoundStream has 1, the Descript Audio Codec 0.5.
    #[serde(default)]
    pub quantize_dropout: f64,
    /// How the decoder's gradient reaches the encoder past all levels at once; default `"straight-through"`.
    #[serde(default)]
    pub gradient: GradientEstimate,
    /// What every level is: `"vq"`, `"ema"` or `"simvq"`, each level with codes of its own.
    pub quantizer: Box<QuantizerConfig>,
}

/// `type = "product"`: the channels of a latent are cut into groups; the losses are the means of the groups'.
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
    /// Number of groups, at least 1.
    pub groups: i64,
    /// Width of a group. Where the groups together are not as wide as the latents, linear maps lead there and back. Default
    /// the latents' width divided by the groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codebook_dim: Option<i64>,
    /// What every group is quantized by, each group with codes of its own.
    pub quantizer: Box<QuantizerConfig>,
}
