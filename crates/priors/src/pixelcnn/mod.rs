//! Gated PixelCNN (van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders").
//!
//! A vertical stack sees all rows above, a horizontal stack the positions to the left and, layer by layer, what the
//! vertical stack made of the rows above; so there is no blind spot. Parameters carry the names of
//! ritheshkumar95/pytorch-vqvae, whose order of operations this is: no residual in the first layer, none in the
//! vertical stack, the class added to both gates of every layer. Departures: grids need not be squares, kernels and the
//! width of the head are parameters, there may be a null class, and grids can be a condition.

mod config;
mod cost;
mod cursor;
mod grid_encoder;
mod layer;

use tch::nn::{self, Module};
use tch::{Device, Tensor};
use vqkit_torch::TokenGrid;

use self::cursor::PixelCnnCursor;
use self::grid_encoder::GridEncoder;
use self::layer::{GatedLayer, Shape};
use crate::classes::Classes;
use crate::prior::cross_entropy_of_maps;
use crate::{Condition, Cursor, Prior, PriorError, PriorLoss, PriorSpec};

pub use config::GatedPixelCnnConfig;

/// Gated PixelCNN over one grid of tokens with one codebook; made by [`GatedPixelCnnConfig::build`].
#[derive(Debug)]
pub struct GatedPixelCnn {
    config: GatedPixelCnnConfig,
    spec: PriorSpec,
    embedding: Tensor,
    layers: Vec<GatedLayer>,
    head: [nn::Conv<[i64; 2]>; 2],
    grid_encoders: Vec<GridEncoder>,
}

/// What acts on every layer: `class` `[B]`, and the features `[B, D, H, W]` of the condition grids.
#[derive(Debug)]
struct Context {
    class: Option<Tensor>,
    features: Option<Tensor>,
}

impl GatedPixelCnn {
    fn new(config: &GatedPixelCnnConfig, vs: &nn::Path, spec: &PriorSpec) -> Self {
        let GatedPixelCnnConfig { dim, num_layers, head_width, condition_blocks, .. } = *config;
        let vocabulary = spec.sizes[0];
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
                layer::conv(&head / 0, [dim, head_width], [1, 1], [0, 0]),
                layer::conv(&head / 2, [head_width, vocabulary], [1, 1], [0, 0]),
            ],
            grid_encoders: encoders.collect(),
            config: config.clone(),
            spec: spec.clone(),
        }
    }

    /// Logits `[B, K, H, W]` of tokens `[B, H, W]`.
    fn forward(&self, tokens: &Tensor, context: &Context, train: bool) -> Result<Tensor, PriorError> {
        let embedded = Tensor::f_embedding(&self.embedding, tokens, -1, false, false)?.permute([0, 3, 1, 2]);
        let (mut vertical, mut horizontal) = (embedded.shallow_clone(), embedded);
        for layer in &self.layers {
            let bias = layer.bias(context)?;
            (vertical, horizontal) = layer.forward(&vertical, &horizontal, bias.as_ref(), self.config.dropout, train);
        }
        let [narrow, wide] = &self.head;
        Ok(wide.forward(&narrow.forward(&horizontal).relu()))
    }

    fn context(&self, condition: &Condition, batch: i64, train: bool) -> Result<Context, PriorError> {
        self.spec.check(condition, batch, self.config.has_null())?;
        let labels = |classes: Classes| classes.labels(condition, batch, self.device(), train);
        Ok(Context { class: self.classes().map(labels), features: self.features(condition)? })
    }

    fn features(&self, condition: &Condition) -> Result<Option<Tensor>, PriorError> {
        let mut sum: Option<Tensor> = None;
        for (encoder, grid) in self.grid_encoders.iter().zip(&condition.grids) {
            let features = encoder.forward(&grid.to_device(self.device()), self.spec.grid)?;
            sum = Some(sum.map_or_else(|| features.shallow_clone(), |sum| sum + &features));
        }
        Ok(sum)
    }

    /// Looks at the values of a condition.
    fn check_range(&self, condition: &Condition) -> Result<(), PriorError> {
        for grid in &condition.grids {
            grid.check_range()?;
        }
        self.classes().map_or(Ok(()), |classes| classes.check(condition))
    }

    fn classes(&self) -> Option<Classes> {
        Classes::of(&self.spec, self.config.class_dropout)
    }
}

impl Prior for GatedPixelCnn {
    fn spec(&self) -> &PriorSpec {
        &self.spec
    }

    fn device(&self) -> Device {
        self.embedding.device()
    }

    fn loss(&self, target: &TokenGrid, condition: &Condition, train: bool) -> Result<PriorLoss, PriorError> {
        self.spec.target().check(target, "the target")?;
        let context = self.context(condition, target.batch(), train)?;
        let tokens = target.indices.squeeze_dim(1).to_device(self.device());
        let logits = self.forward(&tokens, &context, train)?;
        Ok(PriorLoss::of_image(cross_entropy_of_maps(&logits, &tokens)?))
    }

    fn logits(&self, target: &TokenGrid, condition: &Condition) -> Result<Tensor, PriorError> {
        self.spec.target().check(target, "the target")?;
        let context = self.context(condition, target.batch(), false)?;
        self.forward(&target.indices.squeeze_dim(1).to_device(self.device()), &context, false)
    }

    fn start(&self, condition: &Condition, batch: i64) -> Result<Box<dyn Cursor + '_>, PriorError> {
        if batch < 1 {
            return Err(PriorError::config("batch", format!("must be at least 1, got {batch}")));
        }
        let _guard = tch::no_grad_guard();
        self.spec.check(condition, batch, self.config.has_null())?;
        self.check_range(condition)?;
        let context = self.context(condition, batch, false)?;
        Ok(Box::new(PixelCnnCursor::new(self, &context, batch)?))
    }

    fn null(&self, condition: &Condition, batch: i64) -> Result<Condition, PriorError> {
        Classes::null(self.classes(), condition, batch, self.device())
    }
}

/// A table `weight` `[rows, dim]`, standard normal at first.
fn embedding(vs: &nn::Path, rows: i64, dim: i64) -> Tensor {
    vs.var("weight", &[rows, dim], nn::Init::Randn { mean: 0.0, stdev: 1.0 })
}
