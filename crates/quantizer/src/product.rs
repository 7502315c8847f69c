//! Product quantization: groups of channels, each with its own codes (Jégou et al. 2011; the heads of
//! vector-quantize-pytorch).

use tch::{Kind, Tensor, nn};
use vqkit_torch::{TokenGrid, autocast};

use crate::composite::{join_grids, join_losses, split_grid, update_inner};
use crate::config::{check_dim, check_width};
use crate::latents::FlatLatents;
use crate::member::Member;
use crate::projection::Projection;
use crate::quantized::InnerQuantized;
use crate::{CodebookView, Mode, ProductQuantizerConfig, QuantizeError, Quantized, Quantizer, QuantizerConfig};

/// More groups are taken for a typing error.
const MOST_GROUPS: i64 = 64;

impl ProductQuantizerConfig {
    /// `groups` groups, and the default of every other key.
    pub fn new(groups: i64, quantizer: QuantizerConfig) -> Self {
        Self { groups, codebook_dim: None, quantizer: Box::new(quantizer) }
    }

    /// Creates the quantizer for latents of width `dim`, with the maps, where there are any, at `vs`, and the variables
    /// of group `i` at `groups.i`.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range, and when the groups do not divide `dim` and `codebook_dim` is not given.
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

impl Member for ProductQuantizerConfig {
    fn validate(&self) -> Result<(), QuantizeError> {
        if !(1..=MOST_GROUPS).contains(&self.groups) {
            let reason = format!("{} groups; it takes at least 1 and at most {MOST_GROUPS}", self.groups);
            return Err(QuantizeError::Config { field: "groups", reason });
        }
        check_width("codebook_dim", self.codebook_dim)?;
        self.quantizer.validate()
    }

    fn quantizer(&self, vs: &nn::Path, dim: i64) -> Result<Box<dyn Quantizer>, QuantizeError> {
        Ok(Box::new(self.build(vs, dim)?))
    }

    fn least_parameters(&self, dim: i64) -> i64 {
        let width = self.codebook_dim.unwrap_or(dim / self.groups.max(1));
        self.groups.saturating_mul(self.quantizer.least_parameters(width))
    }
}

/// Groups of channels that are quantized separately and then concatenated.
#[derive(Debug)]
pub struct ProductQuantizer {
    projection: Projection,
    groups: Vec<Box<dyn Quantizer>>,
    width: i64,
}

impl ProductQuantizer {
    /// Latents `[B, D, *S]` as the latents `[B, D / G, *S]` of every group.
    fn split(&self, latents: &Tensor, train: bool) -> Result<Vec<Tensor>, QuantizeError> {
        let rows = FlatLatents::of(latents, self.projection.dim())?;
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

    /// `inner` has the channels of every group, and what it made of them.
    fn quantize(&self, latents: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Quantized, QuantizeError> {
        let train = matches!(mode, Mode::Train { .. });
        let split = self.split(latents, train)?;
        let mut inner = Vec::with_capacity(split.len());
        for (group, latents) in self.groups.iter().zip(&split) {
            inner.push(InnerQuantized { latents: latents.detach(), quantized: group.quantize(latents, mask, mode)? });
        }
        let codes: Vec<_> = inner.iter().map(|part| part.quantized.codes.shallow_clone()).collect();
        Ok(Quantized {
            codes: self.join(&codes, train),
            grid: join_grids(&inner)?,
            losses: join_losses(&inner, |terms| terms.mean(Kind::Float)),
            mask: mask.map(Tensor::shallow_clone),
            inner,
        })
    }

    fn update(&mut self, _latents: &Tensor, quantized: &Quantized) -> Result<(), QuantizeError> {
        update_inner(&mut self.groups, quantized)
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

    fn codebook_sizes(&self) -> Vec<i64> {
        self.groups.iter().flat_map(|group| group.codebook_sizes()).collect()
    }

    fn dim(&self) -> i64 {
        self.projection.dim()
    }
}
