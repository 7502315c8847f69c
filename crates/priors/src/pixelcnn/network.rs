//! The parameters of Gated PixelCNN, and its pass over a whole grid.

use tch::Tensor;
use tch::nn::{self, Module};

use super::config::GatedPixelCnnConfig;
use super::context::Context;
use super::grid_encoder::GridEncoder;
use super::init::{conv, embedding};
use super::layer::{GatedLayer, Shape};
use crate::classes::Classes;
use crate::{Condition, PriorError, PriorSpec};

/// All parameters.
#[derive(Debug)]
pub(super) struct Network {
    /// `[K, D]`
    pub embedding: Tensor,
    pub layers: Vec<GatedLayer>,
    /// To the hidden layer, then to logits.
    pub head: [nn::Conv<[i64; 2]>; 2],
    grid_encoders: Vec<GridEncoder>,
    /// Probability with which a gated unit of the horizontal stack is dropped in training.
    dropout: f64,
}

impl Network {
    pub(super) fn new(config: &GatedPixelCnnConfig, vs: &nn::Path, spec: &PriorSpec) -> Self {
        let GatedPixelCnnConfig { dim, num_layers, head_width, condition_blocks, .. } = *config;
        let vocabulary = spec.target.sizes[0];
        let shape = |layer: i64| Shape {
            dim,
            kernel_size: if layer == 0 { config.first_kernel_size } else { config.kernel_size },
            first: layer == 0,
            classes: Classes::of(spec, config.class_dropout).map(Classes::rows),
            has_features: !spec.condition_grids.is_empty(),
        };
        let layers = (0..num_layers).map(|layer| GatedLayer::new(vs / "layers" / layer, shape(layer)));
        let head = vs / "output_conv";
        let encoders = spec.condition_grids.iter().enumerate();
        let encoders =
            encoders.map(|(index, grid)| GridEncoder::new(vs / "conditions" / index, grid, dim, condition_blocks));
        Self {
            embedding: embedding(&(vs / "embedding"), vocabulary, dim),
            layers: layers.collect(),
            head: [
                conv(&head / 0, [dim, head_width], [1, 1], [0, 0]),
                conv(&head / 2, [head_width, vocabulary], [1, 1], [0, 0]),
            ],
            grid_encoders: encoders.collect(),
            dropout: config.dropout,
        }
    }

    /// Logits `[B, K, H, W]` of tokens `[B, H, W]`.
    pub(super) fn forward(&self, tokens: &Tensor, context: &Context, train: bool) -> Result<Tensor, PriorError> {
        let embedded = Tensor::f_embedding(&self.embedding, tokens, -1, false, false)?.permute([0, 3, 1, 2]);
        let (mut vertical, mut horizontal) = (embedded.shallow_clone(), embedded);
        for layer in &self.layers {
            let bias = layer.bias(context)?;
            (vertical, horizontal) = layer.forward(&vertical, &horizontal, bias.as_ref(), self.dropout, train);
        }
        let [narrow, wide] = &self.head;
        Ok(wide.forward(&narrow.forward(&horizontal).relu()))
    }

    /// Features `[B, D, H, W]` of all condition grids, for a target of `grid` `[H, W]`.
    pub(super) fn features(&self, condition: &Condition, grid: [i64; 2]) -> Result<Option<Tensor>, PriorError> {
        let mut sum: Option<Tensor> = None;
        for (encoder, tokens) in self.grid_encoders.iter().zip(&condition.grids) {
            let features = encoder.forward(&tokens.to_device(self.embedding.device()), grid)?;
            sum = Some(sum.map_or_else(|| features.shallow_clone(), |sum| sum + &features));
        }
        Ok(sum)
    }
}
