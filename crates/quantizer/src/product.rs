//! Product quantization: groups of channels, each with codes of its own (Jégou et al. 2011; the heads of
//! vector-quantize-pytorch).

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, nn};
use vqkit_torch::{TokenGrid, autocast};

use crate::latents::Rows;
use crate::parts::{join_grids, join_losses, split_grid, update_parts};
use crate::projection::Projection;
use crate::quantized::Part;
use crate::registry::{check_dim, check_width};
use crate::{CodebookView, Mode, QuantizeError, Quantized, Quantizer, QuantizerConfig};

/// More groups are a typing error.
const MOST_GROUPS: i64 = 64;

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

impl ProductQuantizerConfig {
    /// `groups` groups, and everything else by default.
    pub fn new(groups: i64, quantizer: QuantizerConfig) -> Self {
        Self { groups, codebook_dim: None, quantizer: Box::new(quantizer) }
    }

    /// Looks at every value.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range.
    pub fn validate(&self) -> Result<(), QuantizeError> {
        if !(1..=MOST_GROUPS).contains(&self.groups) {
            let reason = format!("{} groups; it takes at least 1 and at most {MOST_GROUPS}", self.groups);
            return Err(QuantizeError::Config { field: "groups", reason });
        }
        check_width("codebook_dim", self.codebook_dim)?;
        self.quantizer.validate()
    }

    /// Makes the quantizer for latents of width `dim`, with the maps, where there are any, at `vs`, and the variables of group
    /// `i` at `groups.i`.
    ///
    /// # Errors
    /// As [`ProductQuantizerConfig::validate`], and when the groups do not divide `dim` and `codebook_dim` is not given.
    pub fn build(&self, vs: &nn::Path, dim: i64) -> Result<ProductQuantizer, QuantizeError> {
        self.validate()?;
        check_dim(dim)?;
        let width = match self.codebook_dim {
            Some(width) => width,
            None if dim % self.groups == 0 => dim / self.groups,
            None => {
                let reason = format!("{} do not divide the latents' {dim} channels; set `codebook_dim`", self.groups);
                return Err(QuantizeError::Config { field: "groups", reason });
            }
        };
        let group = |index| self.quantizer.build(&(vs / "groups" / index), width);
        let groups: Vec<_> = (0..self.groups).map(group).collect::<Result<_, _>>()?;
        let codes: i64 = groups.iter().map(|group| group.code_dim()).sum();
        if codes != width * self.groups {
            let reason = "its codes have another width than its latents".into();
            return Err(QuantizeError::Config { field: "quantizer", reason });
        }
        Ok(ProductQuantizer { projection: Projection::new(vs, dim, codes), groups, width })
    }
}

/// Groups of channels, quantized each by itself and put side by side again.
#[derive(Debug)]
pub struct ProductQuantizer {
    projection: Projection,
    groups: Vec<Box<dyn Quantizer>>,
    width: i64,
}

impl ProductQuantizer {
    /// Latents `[B, D, *S]` as the latents `[B, D / G, *S]` of every group.
    fn split(&self, latents: &Tensor, train: bool) -> Result<Vec<Tensor>, QuantizeError> {
        let rows = Rows::of(latents, self.projection.dim())?;
        let enter = || rows.restore(&self.projection.enter(&rows.points, train));
        Ok(autocast::disabled(latents.device(), enter).f_split(self.width, 1)?)
    }

    /// The codes of all groups as codes `[B, D, *S]`.
    fn join(&self, codes: &[Tensor], train: bool) -> Tensor {
        let together = Tensor::cat(codes, 1).movedim_int(1, -1);
        autocast::disabled(together.device(), || self.projection.leave(&together, train)).movedim_int(-1, 1)
    }
}

impl Quantizer for ProductQuantizer {
    fn initialize(&mut self, latents: &Tensor) -> Result<(), QuantizeError> {
        let split = tch::no_grad(|| self.split(latents, false))?;
        self.groups.iter_mut().zip(&split).try_for_each(|(group, latents)| group.initialize(latents))
    }

    /// `parts` has the channels of every group, and what it made of them.
    fn quantize(&self, latents: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Quantized, QuantizeError> {
        let train = matches!(mode, Mode::Train { .. });
        let split = self.split(latents, train)?;
        let mut parts = Vec::with_capacity(split.len());
        for (group, latents) in self.groups.iter().zip(&split) {
            parts.push(Part { latents: latents.detach(), quantized: group.quantize(latents, mask, mode)? });
        }
        let codes: Vec<_> = parts.iter().map(|part| part.quantized.codes.shallow_clone()).collect();
        Ok(Quantized {
            codes: self.join(&codes, train),
            grid: join_grids(&parts)?,
            losses: join_losses(&parts, |terms| terms.mean(Kind::Float)),
            mask: mask.map(Tensor::shallow_clone),
            parts,
        })
    }

    fn update(&mut self, _latents: &Tensor, quantized: &Quantized) -> Result<(), QuantizeError> {
        update_parts(&mut self.groups, quantized)
    }

    fn lookup(&self, grid: &TokenGrid) -> Result<Tensor, QuantizeError> {
        let grids = split_grid(grid, &self.groups)?;
        let codes = self.groups.iter().zip(&grids).map(|(group, grid)| group.lookup(grid));
        Ok(self.join(&codes.collect::<Result<Vec<_>, _>>()?, false))
    }

    fn codebooks(&self) -> Vec<CodebookView> {
        self.groups.iter().flat_map(|group| group.codebooks()).collect()
    }

    fn has_tables(&self) -> bool {
        self.groups.iter().any(|group| group.has_tables())
    }

    fn sizes(&self) -> Vec<i64> {
        self.groups.iter().flat_map(|group| group.sizes()).collect()
    }

    fn dim(&self) -> i64 {
        self.projection.dim()
    }
}
