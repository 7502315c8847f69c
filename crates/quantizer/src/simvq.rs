//! SimVQ (Zhu et al. 2024, "Addressing Representation Collapse in Vector Quantized Models with One Linear Layer").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::nn::{self, Init};
use tch::{Kind, Tensor};
use vqkit_torch::{TokenGrid, autocast};

use crate::config::{self, check_codebook, check_dim, check_weight, check_width};
use crate::latents::{FlatLatents, mean_squared_error};
use crate::member::Member;
use crate::nearest::nearest;
use crate::projection::kept_still;
use crate::quantized::one_codebook;
use crate::{CodebookView, GradientEstimate, Mode, QuantizeError, Quantized, Quantizer, QuantizerLosses};

/// `type = "simvq"`: the loss is `codebook_weight * ||sg[z] - z_q||² + commitment_weight * ||z - sg[z_q]||²`.
///
/// ```
/// use tch::{Device, Kind, Tensor, nn};
/// use vqkit_quantizer::{Mode, Quantizer, SimVectorQuantizerConfig};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let quantizer = SimVectorQuantizerConfig::new(64).build(&vs.root(), 8)?;
/// let latents = Tensor::randn([2, 8, 4, 4], (Kind::Float, Device::Cpu));
/// let quantized = quantizer.quantize(&latents, None, Mode::Train { step: 0 })?;
/// quantized.losses.total.backward();
/// assert!(!vs.variables()["frozen_codebook"].grad().defined());
/// # Ok::<(), vqkit_quantizer::QuantizeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimVectorQuantizerConfig {
    /// Number of codes K, at least 2.
    pub codebook_size: i64,
    /// Width of the frozen vectors. Default: that of the latents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_codebook_dim: Option<i64>,
    /// Weight of the loss that moves codes toward their latents, 0 or more. Default 1.
    #[serde(default = "config::codebook_weight")]
    pub codebook_weight: f64,
    /// Weight of the commitment loss, which keeps latents near their codes, 0 or more. Default 0.25.
    #[serde(default = "config::commitment_weight")]
    pub commitment_weight: f64,
    /// How the gradient of the decoder is passed to the encoder. Default `"rotation"`, as in vector-quantize-pytorch.
    #[serde(default = "SimVectorQuantizerConfig::default_gradient")]
    pub gradient: GradientEstimate,
}

impl SimVectorQuantizerConfig {
    /// `codebook_size` codes, and the default of every other key.
    pub fn new(codebook_size: i64) -> Self {
        Self {
            codebook_size,
            frozen_codebook_dim: None,
            codebook_weight: config::codebook_weight(),
            commitment_weight: config::commitment_weight(),
            gradient: Self::default_gradient(),
        }
    }

    /// Creates the quantizer for latents of width `dim`, with its variables at `vs` under upstream's names.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range, and when `dim` is not positive.
    pub fn build(&self, vs: &nn::Path, dim: i64) -> Result<SimVectorQuantizer, QuantizeError> {
        self.validate()?;
        check_dim(dim)?;
        let width = self.frozen_codebook_dim.unwrap_or(dim);
        let bound = 1.0 / (width as f64).sqrt();
        let frozen = Tensor::randn([self.codebook_size, width], (Kind::Float, vs.device())) * bound;
        let transform = Init::Uniform { lo: -bound, up: bound };
        Ok(SimVectorQuantizer {
            config: self.clone(),
            frozen: vs.add("frozen_codebook", frozen, false),
            transform: (vs / "code_transform").var("weight", &[dim, width], transform),
        })
    }

    fn default_gradient() -> GradientEstimate {
        GradientEstimate::Rotation
    }
}

impl Member for SimVectorQuantizerConfig {
    fn validate(&self) -> Result<(), QuantizeError> {
        check_codebook(self.codebook_size)?;
        check_width("frozen_codebook_dim", self.frozen_codebook_dim)?;
        check_weight("codebook_weight", self.codebook_weight)?;
        check_weight("commitment_weight", self.commitment_weight)
    }

    fn quantizer(&self, vs: &nn::Path, dim: i64) -> Result<Box<dyn Quantizer>, QuantizeError> {
        Ok(Box::new(self.build(vs, dim)?))
    }

    fn least_parameters(&self, dim: i64) -> i64 {
        self.codebook_size.saturating_mul(self.frozen_codebook_dim.unwrap_or(dim))
    }

    fn commitment_weight(&self) -> Option<f64> {
        Some(self.commitment_weight)
    }
}

/// Codes that move together: `frozen_codebook` `[K, D']`, random and never changed, is transformed by one trained
/// linear map, `code_transform.weight` `[D, D']`. All codes change with the map, so none needs revival.
#[derive(Debug)]
pub struct SimVectorQuantizer {
    config: SimVectorQuantizerConfig,
    frozen: Tensor,
    transform: Tensor,
}

impl SimVectorQuantizer {
    /// Codes `[N, D]` of frozen vectors `[N, D']`; with a gradient to the map where `train`.
    fn codes(&self, frozen: &Tensor, train: bool) -> Tensor {
        frozen.linear(&kept_still(&self.transform, !train), None::<&Tensor>)
    }

    /// The frozen vectors `[N, D']` of indices of any shape with `N` entries.
    fn frozen_of(&self, indices: &Tensor) -> Tensor {
        self.frozen.index_select(0, &indices.reshape([-1]))
    }
}

impl Quantizer for SimVectorQuantizer {
    /// The vectors and the map keep the values that they were built with.
    fn initialize(&mut self, latents: &Tensor) -> Result<(), QuantizeError> {
        FlatLatents::of(latents, self.dim()).map(drop)
    }

    fn quantize(&self, latents: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Quantized, QuantizeError> {
        let rows = FlatLatents::of(latents, self.dim())?;
        let weights = rows.weights(mask)?;
        autocast::disabled(latents.device(), || {
            let indices = nearest(&rows.points, &self.codes(&self.frozen, false))?.indices;
            let codes = self.codes(&self.frozen_of(&indices), matches!(mode, Mode::Train { .. }));
            let codebook = mean_squared_error(&codes, &rows.points.detach(), weights.as_ref());
            let commitment = mean_squared_error(&rows.points, &codes.detach(), weights.as_ref());
            let total = &codebook * self.config.codebook_weight + &commitment * self.config.commitment_weight;
            let none = QuantizerLosses::none(latents.device());
            let codes = rows.restore(&self.config.gradient.apply(&codes, &rows.points)?);
            let grid = TokenGrid::new(rows.restore_indices(&indices), self.codebook_sizes())?;
            let losses = QuantizerLosses { codebook, commitment, total, ..none };
            Ok(Quantized::new(codes, grid, losses, mask))
        })
    }

    /// Does nothing: the optimizer trains the map.
    fn update(&mut self, _latents: &Tensor, _quantized: &Quantized) -> Result<(), QuantizeError> {
        Ok(())
    }

    fn lookup(&self, grid: &TokenGrid) -> Result<Tensor, QuantizeError> {
        let indices = one_codebook(grid, self.config.codebook_size)?;
        let mut shape = indices.size();
        shape.push(self.dim());
        let codes = autocast::disabled(indices.device(), || self.codes(&self.frozen_of(&indices), false));
        Ok(codes.view(shape.as_slice()).movedim_int(-1, 1))
    }

    fn codebooks(&self) -> Vec<CodebookView> {
        let codes = autocast::disabled(self.frozen.device(), || self.codes(&self.frozen, false));
        vec![CodebookView { codes, ages: None }]
    }

    fn codebook_sizes(&self) -> Vec<i64> {
        vec![self.config.codebook_size]
    }

    fn dim(&self) -> i64 {
        self.transform.size()[0]
    }
}
