//! Lookup-free quantization (Yu et al. 2023, "Language Model Beats Diffusion: Tokenizer is Key to Visual Generation").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, nn};
use vqkit_torch::{TokenGrid, autocast};

use crate::binary::{BinaryCodes, BitOrder, Softness};
use crate::config::{self, MOST_CODES, check_dim, check_weight};
use crate::gradient::straight_through;
use crate::latents::{FlatLatents, mean_squared_error};
use crate::member::{Assignment, Member};
use crate::metric::normalized;
use crate::projection::Projection;
use crate::quantized::check_grid;
use crate::{Anneal, AnnealCurve, CodebookView, Mode, QuantizeError, Quantized, Quantizer, QuantizerLosses};

/// `type = "lfq"`: every channel becomes `1` or `-1`, its sign; the loss is
/// `entropy_weight * (H(p) - diversity_gamma * H(mean p)) + commitment_weight * ||z - sg[z_q]||²`.
///
/// ```
/// use tch::{Device, Kind, Tensor, nn};
/// use vqkit_quantizer::{LookupFreeQuantizerConfig, Mode, Quantizer};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let quantizer = LookupFreeQuantizerConfig::new(1 << 8).build(&vs.root(), 8)?;
/// let latents = Tensor::randn([2, 8, 4, 4], (Kind::Float, Device::Cpu));
/// let quantized = quantizer.quantize(&latents, None, Mode::Eval)?;
/// assert_eq!(quantized.codes, latents.sign());
/// # Ok::<(), vqkit_quantizer::QuantizeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupFreeQuantizerConfig {
    /// Number of codes K, a power of two; there are `log2(K)` channels.
    pub codebook_size: i64,
    /// Weight of the entropies, 0 or more. Default 0.1.
    #[serde(default = "config::binary_entropy_weight")]
    pub entropy_weight: f64,
    /// How that weight changes after the first step; Open-MAGVIT2 lowers it over the first steps. Default: it stays the
    /// same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entropy_anneal: Option<Anneal>,
    /// Share of the positions, chosen at random in every training step, on which the entropies are computed; above 0,
    /// at most 1. Default 1: all.
    #[serde(default = "config::one")]
    pub entropy_fraction: f64,
    /// Lower bound of probabilities inside the logarithm. Default 0: the exact entropy, which needs no table of the
    /// probabilities of all codes at all positions; vector-quantize-pytorch uses 1e-5, which needs them.
    #[serde(default)]
    pub entropy_floor: f64,
    /// Added to the mean probabilities inside the logarithm, 0 or more. Default 0; Open-MAGVIT2 uses 1e-5.
    #[serde(default)]
    pub entropy_eps: f64,
    /// Weight of the entropy of the mean assignment, relative to the mean entropy of each assignment, 0 or more.
    /// Default 1.
    #[serde(default = "config::one")]
    pub diversity_gamma: f64,
    /// Inverse temperature of the soft assignments `p = softmax(2 inv_temperature <z, code>)`, above 0. Default 100.
    #[serde(default = "config::inv_temperature")]
    pub inv_temperature: f64,
    /// Weight of the commitment loss, which keeps latents near their codes, 0 or more. Default 0.25.
    #[serde(default = "config::commitment_weight")]
    pub commitment_weight: f64,
    /// Bit of an index that the first channel sets: `"msb-first"`, the highest, or `"lsb-first"`, the lowest. Default
    /// `"msb-first"`; Open-MAGVIT2 has `"lsb-first"`.
    #[serde(default)]
    pub bit_order: BitOrder,
    /// Divides the channels into several indices, the first channels in the first: the number of channels of each, which
    /// together are `log2(K)`. A position then has one token for each of them (`token_factorization` of Open-MAGVIT2).
    /// The losses stay those of the undivided code. Default: one index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factorized_bits: Option<Vec<i64>>,
}

impl LookupFreeQuantizerConfig {
    /// `codebook_size` codes, and the default of every other key.
    pub fn new(codebook_size: i64) -> Self {
        Self {
            codebook_size,
            entropy_weight: config::binary_entropy_weight(),
            entropy_anneal: None,
            entropy_fraction: config::one(),
            entropy_floor: 0.0,
            entropy_eps: 0.0,
            diversity_gamma: config::one(),
            inv_temperature: config::inv_temperature(),
            commitment_weight: config::commitment_weight(),
            bit_order: BitOrder::default(),
            factorized_bits: None,
        }
    }

    /// Creates the quantizer for latents of width `dim`. Where that differs from the number of channels, linear maps
    /// project to the channels and back, with their variables at `vs`.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range, and when `dim` is not positive.
    pub fn build(&self, vs: &nn::Path, dim: i64) -> Result<LookupFreeQuantizer, QuantizeError> {
        self.build_on(vs, dim, false)
    }

    /// As [`build`](Self::build), with latents and codes of length 1 where `spherical`.
    pub(crate) fn build_on(
        &self,
        vs: &nn::Path,
        dim: i64,
        spherical: bool,
    ) -> Result<LookupFreeQuantizer, QuantizeError> {
        self.validate()?;
        check_dim(dim)?;
        let bits = self.bits();
        let factors = self.factorized_bits.clone().unwrap_or_else(|| vec![bits]);
        let scale = if spherical { 1.0 / (bits as f64).sqrt() } else { 1.0 };
        Ok(LookupFreeQuantizer {
            config: self.clone(),
            projection: Projection::new(vs, dim, bits),
            codes: BinaryCodes::new(&factors, scale, self.bit_order, vs.device()),
            spherical,
        })
    }

    /// Number of channels.
    fn bits(&self) -> i64 {
        i64::from(self.codebook_size.ilog2())
    }

    fn check_factors(&self) -> Result<(), QuantizeError> {
        let (Some(factors), bits) = (&self.factorized_bits, self.bits()) else { return Ok(()) };
        let sum = factors.iter().fold(0i64, |sum, factor| sum.saturating_add(*factor));
        if factors.iter().all(|factor| *factor >= 1) && sum == bits {
            return Ok(());
        }
        let reason = format!("{factors:?}; it takes numbers of channels, at least 1 each, whose sum is {bits}");
        Err(QuantizeError::Config { field: "factorized_bits", reason })
    }

    /// The weight of the entropies at a training step, counted from 0.
    pub fn entropy_weight_at(&self, step: u64) -> f64 {
        self.entropy_anneal.as_ref().map_or(self.entropy_weight, |anneal| anneal.value(self.entropy_weight, step))
    }
}

impl Member for LookupFreeQuantizerConfig {
    fn validate(&self) -> Result<(), QuantizeError> {
        let wrong = |field, reason| Err(QuantizeError::Config { field, reason });
        let size = self.codebook_size;
        if !((2..=MOST_CODES).contains(&size) && size.count_ones() == 1) {
            return wrong(
                "codebook_size",
                format!("{size} codes; it takes a power of two, at least 2 and at most {MOST_CODES}"),
            );
        }
        check_weight("entropy_weight", self.entropy_weight)?;
        check_weight("entropy_floor", self.entropy_floor)?;
        check_weight("entropy_eps", self.entropy_eps)?;
        check_weight("diversity_gamma", self.diversity_gamma)?;
        check_weight("commitment_weight", self.commitment_weight)?;
        if !(self.entropy_fraction > 0.0 && self.entropy_fraction <= 1.0) {
            return wrong("entropy_fraction", format!("{} must be above 0 and at most 1", self.entropy_fraction));
        }
        if !(self.inv_temperature > 0.0 && self.inv_temperature.is_finite()) {
            return wrong("inv_temperature", format!("{} must be above 0 and finite", self.inv_temperature));
        }
        self.check_factors()?;
        let Some(anneal) = &self.entropy_anneal else { return Ok(()) };
        if self.entropy_weight == 0.0 && anneal.curve == AnnealCurve::Exponential {
            return wrong("entropy_anneal", "an exponential curve cannot start from `entropy_weight = 0`".into());
        }
        anneal.validate()
    }

    fn quantizer(&self, vs: &nn::Path, dim: i64) -> Result<Box<dyn Quantizer>, QuantizeError> {
        Ok(Box::new(self.build(vs, dim)?))
    }

    fn least_parameters(&self, _dim: i64) -> i64 {
        0
    }

    fn assignment(&self) -> Assignment {
        Assignment::Rule
    }

    fn commitment_weight(&self) -> Option<f64> {
        Some(self.commitment_weight)
    }

    fn entropy_weight(&self) -> Option<f64> {
        Some(self.entropy_weight)
    }
}

/// The sign of every channel, or with [`BinarySphericalQuantizerConfig`](crate::BinarySphericalQuantizerConfig) the
/// nearest corner of a cube in the unit sphere. The gradient of the codes is passed to the latents unchanged.
///
/// `losses.entropy` is `H(p) - diversity_gamma * H(mean p)`.
#[derive(Debug)]
pub struct LookupFreeQuantizer {
    config: LookupFreeQuantizerConfig,
    projection: Projection,
    codes: BinaryCodes,
    spherical: bool,
}

impl LookupFreeQuantizer {
    /// Mean entropy `H(p)` of the soft choices of latents `[B, D, *S]` and entropy `H(mean p)` of their mean, in nats; scalars.
    ///
    /// # Errors
    /// When the latents or the mask do not have the shape the quantizer was built for.
    pub fn entropies(&self, latents: &Tensor, mask: Option<&Tensor>) -> Result<(Tensor, Tensor), QuantizeError> {
        let rows = FlatLatents::of(latents, self.dim())?;
        let weights = rows.weights(mask)?;
        autocast::disabled(latents.device(), || {
            let found = self.codes.entropies(&self.enter(&rows.points, false), weights.as_ref(), self.softness())?;
            Ok((found.sample, found.batch))
        })
    }

    fn softness(&self) -> Softness {
        let LookupFreeQuantizerConfig { inv_temperature, entropy_floor, entropy_eps, .. } = self.config;
        Softness { inv_temperature, floor: entropy_floor, eps: entropy_eps }
    }

    /// Latents `[N, D]` as channels `[N, log2(K)]`.
    fn enter(&self, latents: &Tensor, train: bool) -> Tensor {
        let points = self.projection.enter(latents, train);
        if self.spherical { normalized(&points) } else { points }
    }

    fn losses(
        &self,
        points: &Tensor,
        codes: &Tensor,
        weights: Option<&Tensor>,
        mode: Mode,
    ) -> Result<QuantizerLosses, QuantizeError> {
        let entropy_weight = match mode {
            Mode::Train { step } => self.config.entropy_weight_at(step),
            Mode::Frozen | Mode::Eval => self.config.entropy_weight_at(u64::MAX),
        };
        let commitment = mean_squared_error(points, codes, weights);
        let (points, weights) = self.subset(points, weights, mode);
        let entropies = self.codes.entropies(&points, weights.as_ref(), self.softness())?;
        let entropy = entropies.sample - entropies.batch * self.config.diversity_gamma;
        let total = &entropy * entropy_weight + &commitment * self.config.commitment_weight;
        Ok(QuantizerLosses { commitment, entropy, total, ..QuantizerLosses::none(codes.device()) })
    }

    /// The points on which entropies are computed.
    fn subset(&self, points: &Tensor, weights: Option<&Tensor>, mode: Mode) -> (Tensor, Option<Tensor>) {
        let (count, fraction) = (points.size()[0], self.config.entropy_fraction);
        if fraction == 1.0 || !matches!(mode, Mode::Train { .. }) {
            return (points.shallow_clone(), weights.map(Tensor::shallow_clone));
        }
        let wanted = (count as f64 * fraction).ceil() as i64;
        let drawn = Tensor::randperm(count, (Kind::Int64, points.device())).narrow(0, 0, wanted);
        (points.index_select(0, &drawn), weights.map(|weights| weights.index_select(0, &drawn)))
    }
}

impl Quantizer for LookupFreeQuantizer {
    /// Does nothing but check the latents.
    fn initialize(&mut self, latents: &Tensor) -> Result<(), QuantizeError> {
        FlatLatents::of(latents, self.dim()).map(drop)
    }

    fn quantize(&self, latents: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Quantized, QuantizeError> {
        let rows = FlatLatents::of(latents, self.dim())?;
        let weights = rows.weights(mask)?;
        let train = matches!(mode, Mode::Train { .. });
        autocast::disabled(latents.device(), || {
            let points = self.enter(&rows.points, train);
            let (codes, indices) = self.codes.choose(&points);
            let losses = self.losses(&points, &codes, weights.as_ref(), mode)?;
            let codes = straight_through(&codes, &points)?;
            let codes = rows.restore(&self.projection.leave(&codes, train));
            let grid = TokenGrid::new(rows.restore(&indices).contiguous(), self.codebook_sizes())?;
            Ok(Quantized::new(codes, grid, losses, mask))
        })
    }

    /// Does nothing: the optimizer trains the projections, where there are any.
    fn update(&mut self, _latents: &Tensor, _quantized: &Quantized) -> Result<(), QuantizeError> {
        Ok(())
    }

    fn lookup(&self, grid: &TokenGrid) -> Result<Tensor, QuantizeError> {
        check_grid(grid, &self.codes.sizes())?;
        let indices = grid.indices.movedim_int(1, -1);
        let leave = || self.projection.leave(&self.codes.codes_of(&indices), false);
        Ok(autocast::disabled(indices.device(), leave).movedim_int(-1, 1))
    }

    fn codebooks(&self) -> Vec<CodebookView> {
        self.codes.tables().into_iter().map(|codes| CodebookView { codes, ages: None }).collect()
    }

    fn has_tables(&self) -> bool {
        false
    }

    fn codebook_sizes(&self) -> Vec<i64> {
        self.codes.sizes()
    }

    fn dim(&self) -> i64 {
        self.projection.dim()
    }
}
