//! Residual quantization (Zeghidour et al. 2021, "SoundStream"; Lee et al. 2022, "Autoregressive Image Generation using
//! Residual Quantization").

use tch::{Kind, Tensor, nn};
use vqkit_torch::TokenGrid;

use crate::composite::{join_grids, join_losses, split_grid, update_inner};
use crate::config::{check_dim, check_share};
use crate::latents::FlatLatents;
use crate::member::Member;
use crate::quantized::InnerQuantized;
use crate::{
    CodebookView, GradientEstimate, Metric, Mode, QuantizeError, Quantized, Quantizer, QuantizerConfig,
    ResidualQuantizerConfig,
};

/// More levels are taken for a typing error.
const MOST_LEVELS: i64 = 64;

impl ResidualQuantizerConfig {
    /// `num_quantizers` levels, and the default of every other key.
    pub fn new(num_quantizers: i64, quantizer: QuantizerConfig) -> Self {
        Self {
            num_quantizers,
            quantize_dropout: 0.0,
            gradient: GradientEstimate::default(),
            quantizer: Box::new(quantizer),
        }
    }

    /// Creates the quantizer for latents of width `dim`, with the variables of level `i` at `layers.i` of `vs`.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range, and when `dim` is not positive.
    pub fn build(&self, vs: &nn::Path, dim: i64) -> Result<ResidualQuantizer, QuantizeError> {
        self.validate()?;
        check_dim(dim)?;
        let layer = |level| self.quantizer.build(&(vs / "layers" / level), dim);
        let layers = (0..self.num_quantizers).map(layer).collect::<Result<_, _>>()?;
        Ok(ResidualQuantizer { config: self.clone(), layers, dim })
    }
}

impl Member for ResidualQuantizerConfig {
    fn validate(&self) -> Result<(), QuantizeError> {
        if !(1..=MOST_LEVELS).contains(&self.num_quantizers) {
            let reason = format!("{} levels; it takes at least 1 and at most {MOST_LEVELS}", self.num_quantizers);
            return Err(QuantizeError::Config { field: "num_quantizers", reason });
        }
        check_share("quantize_dropout", self.quantize_dropout)?;
        match *self.quantizer {
            QuantizerConfig::Vq(_) | QuantizerConfig::Ema(_) if self.quantizer.metric() == Some(Metric::Cosine) => {
                let reason =
                    "levels cannot use the cosine metric, whose codes have length 1 whatever is left over".into();
                Err(QuantizeError::Config { field: "quantizer", reason })
            }
            QuantizerConfig::Vq(_) | QuantizerConfig::Ema(_) | QuantizerConfig::Sim(_) => self.quantizer.validate(),
            _ => {
                let found = self.quantizer.type_name();
                let reason = format!(
                    "levels cannot have type \"{found}\"; only \"vq\", \"ema\" and \"simvq\" learn from residuals alone"
                );
                Err(QuantizeError::Config { field: "quantizer", reason })
            }
        }
    }

    fn quantizer(&self, vs: &nn::Path, dim: i64) -> Result<Box<dyn Quantizer>, QuantizeError> {
        Ok(Box::new(self.build(vs, dim)?))
    }

    fn least_parameters(&self, dim: i64) -> i64 {
        self.num_quantizers.saturating_mul(self.quantizer.least_parameters(dim))
    }
}

/// The sum of the codes of all levels: with `r_0 = z`,
///
/// ```text
/// q_i = layer_i(r_i),   r_{i+1} = r_i - sg[q_i],   z_q = q_0 + ... + q_{Q-1}
/// ```
///
/// The gradient of `z_q` passes all levels as it would pass one; those of the levels' losses reach the latents too. A level
/// that is dropped for an image is left out of its codes and losses and learns nothing from it; the grid has its index
/// nevertheless, so that statistics of codes are of all images.
#[derive(Debug)]
pub struct ResidualQuantizer {
    config: ResidualQuantizerConfig,
    layers: Vec<Box<dyn Quantizer>>,
    dim: i64,
}

impl ResidualQuantizer {
    /// For every level, bool `[B]`: which images use it; `None` where all use all.
    fn used(&self, latents: &Tensor, mode: Mode) -> Option<Vec<Tensor>> {
        let dropout = self.config.quantize_dropout;
        if dropout == 0.0 || !matches!(mode, Mode::Train { .. }) {
            return None;
        }
        let options = (Kind::Float, latents.device());
        let (batch, levels) = (latents.size()[0], self.config.num_quantizers);
        let number = (Tensor::rand([batch], options) * levels as f64).floor() + 1.0;
        let all = Tensor::rand([batch], options).ge(dropout);
        Some((0..levels).map(|level| number.gt(level as f64).logical_or(&all)).collect())
    }
}

/// `mask` `[B, *S]`, and only the images `[B]` that are used.
fn masked(latents: &Tensor, mask: Option<&Tensor>, used: Option<&Tensor>) -> Option<Tensor> {
    let Some(used) = used else { return mask.map(Tensor::shallow_clone) };
    let used = per_image(used, latents.dim() - 1);
    let mut shape = latents.size();
    shape.remove(1);
    let both = |mask: &Tensor| mask.to_device(used.device()).logical_and(&used);
    Some(mask.map_or_else(|| used.expand(shape.as_slice(), false), both))
}

/// Values `[B]` as `[B, 1, ..]` with `axes` axes.
fn per_image(values: &Tensor, axes: usize) -> Tensor {
    let mut shape = vec![1; axes];
    shape[0] = -1;
    values.view(shape.as_slice())
}

impl Quantizer for ResidualQuantizer {
    fn initialize(&mut self, latents: &Tensor) -> Result<(), QuantizeError> {
        let mut residual = latents.detach().to_kind(Kind::Float);
        for layer in &mut self.layers {
            layer.initialize(&residual)?;
            residual = &residual - layer.quantize(&residual, None, Mode::Eval)?.codes;
        }
        Ok(())
    }

    /// `inner` has the residual of every level, and what it made of it.
    fn quantize(&self, latents: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Quantized, QuantizeError> {
        let rows = FlatLatents::of(latents, self.dim)?;
        rows.weights(mask)?;
        let used = self.used(latents, mode);
        let (mut residual, mut sum) = (latents.to_kind(Kind::Float), Tensor::zeros_like(latents).to_kind(Kind::Float));
        let mut inner = Vec::with_capacity(self.layers.len());
        for (level, layer) in self.layers.iter().enumerate() {
            let used = used.as_ref().map(|used| &used[level]);
            let quantized = layer.quantize(&residual, masked(latents, mask, used).as_ref(), mode)?;
            let codes = quantized.codes.detach();
            inner.push(InnerQuantized { latents: residual.detach(), quantized });
            residual = &residual - &codes;
            sum += used.map_or_else(|| codes.shallow_clone(), |used| &codes * per_image(used, codes.dim()));
        }
        let codes = self.config.gradient.apply(&FlatLatents::of(&sum, self.dim)?.points, &rows.points)?;
        Ok(Quantized {
            codes: rows.restore(&codes),
            grid: join_grids(&inner)?,
            losses: join_losses(&inner, |terms| terms.sum(Kind::Float)),
            mask: mask.map(Tensor::shallow_clone),
            inner,
        })
    }

    fn update(&mut self, _latents: &Tensor, quantized: &Quantized) -> Result<(), QuantizeError> {
        update_inner(&mut self.layers, quantized)
    }

    fn lookup(&self, grid: &TokenGrid) -> Result<Tensor, QuantizeError> {
        let grids = split_grid(grid, &self.layers)?;
        let codes = self.layers.iter().zip(&grids).map(|(layer, grid)| layer.lookup(grid));
        let codes = codes.collect::<Result<Vec<_>, _>>()?;
        // In the order of `quantize`, so that the sum comes out the same.
        Ok(codes.iter().fold(codes[0].zeros_like(), |sum, codes| sum + codes))
    }

    fn codebooks(&self) -> Vec<CodebookView> {
        self.layers.iter().flat_map(|layer| layer.codebooks()).collect()
    }

    fn codebook_sizes(&self) -> Vec<i64> {
        self.layers.iter().flat_map(|layer| layer.codebook_sizes()).collect()
    }

    fn dim(&self) -> i64 {
        self.dim
    }
}
