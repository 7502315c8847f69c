//! LlamaGen's transformer: rotary positions on the grid, root-mean-square normalisation, SwiGLU.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::{Init, Path};

use super::block::{Attention, Block, Linear, Mlp, Norm, Projections};
use super::cost::Sizes;
use super::init::table;
use super::layout::Layout;
use super::model::Gpt;
use super::network::Network;
use super::options::{ConditionDropoutMode, Options, Vocabulary, divides};
use super::order::TokenOrder;
use super::prefix::{Prefix, Projection, TextTable};
use super::rotary::rotary_table;
use super::transformer::Transformer;
use crate::autoregressive::Abilities;
use crate::limits::{MOST_CHANNELS, MOST_LAYERS, check_size, probability};
use crate::{BuildPrior, ConditionNames, Cost, Prior, PriorError, PriorSpec, Sampling, WeightDtype};

/// Parameters of [`Gpt`] as in LlamaGen (Sun et al. 2024); names and defaults are upstream's.
///
/// ```
/// use vqkit_priors::{BuildPrior, LlamaConfig};
///
/// let config = LlamaConfig::new(12, 12, 768);
/// assert_eq!(config.hidden(), 2048);
/// assert!(LlamaConfig { n_kv_head: Some(5), ..config }.validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LlamaConfig {
    /// Number of blocks.
    pub n_layer: i64,
    /// Number of attention heads; divides `dim`, and `dim / n_head` must be a multiple of 4.
    pub n_head: i64,
    /// Width `D` of the embeddings and of the blocks.
    pub dim: i64,
    /// Number of heads of keys and values (grouped-query attention); divides `n_head`. Default: `n_head`.
    #[serde(default)]
    pub n_kv_head: Option<i64>,
    /// The width of the MLP's hidden layer is rounded up to a multiple of this. Default 256.
    #[serde(default = "multiple")]
    pub multiple_of: i64,
    /// Factor on the width of the MLP's hidden layer, which is `8 / 3 · dim` before. Default 1.
    #[serde(default)]
    pub ffn_dim_multiplier: Option<f64>,
    /// Base of the frequencies of rotary position embeddings. Default 10000.
    #[serde(default = "base")]
    pub rope_base: f64,
    /// RMS normalisation: added to the mean square before the root. Default 1e-5.
    #[serde(default = "eps")]
    pub norm_eps: f64,
    /// Dropout rate of the embedded tokens. Default 0.1.
    #[serde(default = "tenth")]
    pub token_dropout_p: f64,
    /// Dropout rate of the output of attention. Default 0.1.
    #[serde(default = "tenth")]
    pub resid_dropout_p: f64,
    /// Dropout rate of the output of the MLP. Default 0.1.
    #[serde(default = "tenth")]
    pub ffn_dropout_p: f64,
    /// Dropout rate of the attention weights. Default 0.
    #[serde(default)]
    pub attn_dropout_p: f64,
    /// Probability, in (0, 1], with which an input token is kept in training; otherwise it is replaced by a random one.
    /// Default 1.
    #[serde(default = "one")]
    pub pkeep: f64,
    /// Order in which the positions of the grid are predicted. Default `"raster"`.
    #[serde(default)]
    pub order: TokenOrder,
    /// Whether the output layer shares its weights with the token embeddings. Default false.
    #[serde(default)]
    pub tied_head: bool,
    /// Weight of the loss on the text, 0 or more; above 0, the prior also predicts the text's ids (DALL·E uses 1/7 of
    /// the image's weight). Default 0.
    #[serde(default)]
    pub text_loss_weight: f64,
    /// Probability with which a sample's condition is dropped in training: class, text and embedding, or the condition
    /// grids where there are none of these. Classifier-free guidance needs a value above 0. Upstream calls this
    /// `class_dropout_prob` and uses 0.1. Default 0.
    #[serde(default)]
    pub condition_dropout: f64,
    /// Which parts of the condition are dropped together. Default `"together"`.
    #[serde(default)]
    pub condition_dropout_mode: ConditionDropoutMode,
    /// Whether blocks are recomputed in the backward pass instead of keeping their activations: less memory, more time.
    /// Default false.
    #[serde(default)]
    pub activation_checkpointing: bool,
}

fn multiple() -> i64 {
    256
}

fn base() -> f64 {
    10_000.0
}

fn eps() -> f64 {
    1e-5
}

fn tenth() -> f64 {
    0.1
}

fn one() -> f64 {
    1.0
}

/// The widest hidden layer: far more than any model has.
const WIDEST: i64 = 1 << 24;

impl LlamaConfig {
    /// Depth, heads and width, and the default of every other key.
    pub fn new(n_layer: i64, n_head: i64, dim: i64) -> Self {
        Self {
            n_layer,
            n_head,
            dim,
            n_kv_head: None,
            multiple_of: multiple(),
            ffn_dim_multiplier: None,
            rope_base: base(),
            norm_eps: eps(),
            token_dropout_p: tenth(),
            resid_dropout_p: tenth(),
            ffn_dropout_p: tenth(),
            attn_dropout_p: 0.0,
            pkeep: one(),
            order: TokenOrder::default(),
            tied_head: false,
            text_loss_weight: 0.0,
            condition_dropout: 0.0,
            condition_dropout_mode: ConditionDropoutMode::default(),
            activation_checkpointing: false,
        }
    }

    /// Width of the hidden layer of a block's MLP.
    pub fn hidden(&self) -> i64 {
        let wide = 2 * 4 * self.dim / 3;
        let wide = self.ffn_dim_multiplier.map_or(wide, |factor| (factor * wide as f64) as i64);
        let multiple = self.multiple_of.max(1);
        wide.saturating_add(multiple - 1) / multiple * multiple
    }

    /// The prior with its parameters under `vs`.
    ///
    /// # Errors
    /// As [`BuildPrior::check`].
    pub fn build(&self, vs: &Path, spec: &PriorSpec) -> Result<Gpt, PriorError> {
        self.check(spec)?;
        let (options, layout) = (self.options(), Layout::new(spec, self.order)?);
        let rows = options.rows(spec);
        let tokens = table(&(vs / "tok_embeddings"), rows, self.dim);
        let head = || (vs / "output").var("weight", &[rows, self.dim], Init::Const(0.0));
        let head = if self.tied_head { tokens.shallow_clone() } else { head() };
        let network = Network {
            prefix: self.prefix(vs, spec, &options, layout.has_class),
            blocks: (0..self.n_layer).map(|index| self.block(vs / "layers" / index)).collect(),
            norm: self.norm(&(vs / "norm")),
            positions: None,
            head,
            tokens,
            text_head: options.predicted_ids(spec).map(|ids| table(&(vs / "text_output"), ids, self.dim)),
            embedding_dropout: self.token_dropout_p,
        };
        let rotation = rotary_table(&layout.positions(spec), self.dim / self.n_head, self.rope_base);
        let rotation = Some(rotation.to_device(vs.device()));
        Ok(Gpt::new(Transformer::new(network, rotation, options, layout, spec)?))
    }

    fn kv_heads(&self) -> i64 {
        self.n_kv_head.unwrap_or(self.n_head)
    }

    fn options(&self) -> Options {
        Options {
            vocabulary: Vocabulary::Separate,
            pkeep: self.pkeep,
            condition_dropout: self.condition_dropout,
            dropout_mode: self.condition_dropout_mode,
            n_unmasked: 0,
            text_loss_weight: self.text_loss_weight,
            checkpoint: self.activation_checkpointing,
        }
    }

    fn prefix(&self, vs: &Path, spec: &PriorSpec, options: &Options, has_class: bool) -> Prefix {
        let condition = vs / "cls_embedding";
        let grids = spec.condition_grids.iter().enumerate().map(|(index, grid)| {
            let rows = options.grid_rows(spec, grid.codes());
            Some(table(&(vs / "grid_embeddings" / index), rows, self.dim))
        });
        let captions = &condition / "cap_proj";
        let embedding = spec.embedding.as_ref();
        Prefix {
            classes: has_class.then(|| table(&(&condition / "embedding_table"), options.class_rows(spec), self.dim)),
            text: spec.text.as_ref().zip(options.text_rows(spec)).map(|(text, rows)| TextTable {
                ids: table(&(vs / "text_embeddings"), rows, self.dim),
                positions: Some(table(&(vs / "text_positions"), text.length, self.dim)),
            }),
            grids: grids.collect(),
            embedding: embedding.map_or(Projection::None, |embedding| {
                let first = linear(&(&captions / "fc1"), embedding.dim, self.dim);
                Projection::Mlp(first, linear(&(&captions / "fc2"), self.dim, self.dim))
            }),
            null_embedding: embedding.filter(|_| options.has_null()).map(|embedding| {
                let scale = (embedding.dim as f64).sqrt().recip();
                let values = Tensor::randn([embedding.length, embedding.dim], (tch::Kind::Float, vs.device())) * scale;
                condition.add("uncond_embedding", values, false)
            }),
        }
    }

    fn block(&self, vs: Path) -> Block {
        let (attention, mlp) = (&vs / "attention", &vs / "feed_forward");
        let kv_width = self.dim / self.n_head * self.kv_heads();
        let hidden = self.hidden();
        Block {
            attention_norm: self.norm(&(&vs / "attention_norm")),
            attention: Attention {
                projections: Projections::Fused(linear(&(&attention / "wqkv"), self.dim, self.dim + 2 * kv_width)),
                out: linear(&(&attention / "wo"), self.dim, self.dim),
                heads: self.n_head,
                kv_heads: self.kv_heads(),
                dropout: self.attn_dropout_p,
            },
            mlp_norm: self.norm(&(&vs / "ffn_norm")),
            mlp: Mlp::SwiGlu {
                gate: linear(&(&mlp / "w1"), self.dim, hidden),
                up: linear(&(&mlp / "w3"), self.dim, hidden),
                down: linear(&(&mlp / "w2"), hidden, self.dim),
            },
            residual_dropout: self.resid_dropout_p,
            mlp_dropout: self.ffn_dropout_p,
        }
    }

    fn norm(&self, vs: &Path) -> Norm {
        Norm::Rms { weight: vs.var("weight", &[self.dim], Init::Const(1.0)), eps: self.norm_eps }
    }
}

impl BuildPrior for LlamaConfig {
    fn validate(&self) -> Result<(), PriorError> {
        check_size("n_layer", self.n_layer, 1, MOST_LAYERS)?;
        for (field, value) in [("n_head", self.n_head), ("dim", self.dim), ("n_kv_head", self.kv_heads())] {
            check_size(field, value, 1, MOST_CHANNELS)?;
        }
        check_size("multiple_of", self.multiple_of, 1, MOST_CHANNELS)?;
        divides("n_head", self.n_head, self.dim, "dim")?;
        divides("n_kv_head", self.kv_heads(), self.n_head, "n_head")?;
        if self.dim / self.n_head % 4 != 0 {
            let reason = format!("heads must be a multiple of 4 wide, dim / n_head is {}", self.dim / self.n_head);
            return Err(PriorError::config("n_head", reason));
        }
        let positive = [
            ("rope_base", self.rope_base),
            ("norm_eps", self.norm_eps),
            ("ffn_dim_multiplier", self.ffn_dim_multiplier.unwrap_or(1.0)),
        ];
        if let Some((field, value)) = positive.into_iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            return Err(PriorError::config(field, format!("must be a positive number, got {value}")));
        }
        if !(1..=WIDEST).contains(&self.hidden()) {
            let reason = format!("makes the hidden layer {} wide; must lie in 1..={WIDEST}", self.hidden());
            return Err(PriorError::config("ffn_dim_multiplier", reason));
        }
        probability("token_dropout_p", self.token_dropout_p)?;
        probability("resid_dropout_p", self.resid_dropout_p)?;
        probability("ffn_dropout_p", self.ffn_dropout_p)?;
        probability("attn_dropout_p", self.attn_dropout_p)?;
        self.options().validate()
    }

    fn check(&self, spec: &PriorSpec) -> Result<(), PriorError> {
        self.validate()?;
        spec.validate()?;
        spec.refuse_levels("llama")?;
        self.options().check(spec, Layout::new(spec, self.order)?.prefix())
    }

    fn check_sampling(&self, sampling: &Sampling, dtype: WeightDtype, spec: &PriorSpec) -> Result<(), PriorError> {
        let abilities = Abilities { has_null: self.options().has_null(), dtypes: &WeightDtype::ALL };
        abilities.check(sampling, dtype, spec)
    }

    fn cost(&self, spec: &PriorSpec) -> Result<Cost, PriorError> {
        self.check(spec)?;
        let width = self.dim;
        let kv_width = width / self.n_head * self.kv_heads();
        let (options, positions) = (self.options(), spec.text.as_ref().map_or(0, |text| text.length));
        let text = options.text_rows(spec).unwrap_or(0) + options.predicted_ids(spec).unwrap_or(0) + positions;
        let embedding = spec.embedding.as_ref().map_or(0, |embedding| embedding.dim * width + width * width);
        let condition = text * width + embedding;
        let sizes = Sizes {
            layers: self.n_layer,
            width,
            kv_width,
            block_weights: 2 * width * width + 2 * width * kv_width + 3 * width * self.hidden(),
            block_others: 2 * width,
            last_norm: width,
            positions: 0,
            tied_head: self.tied_head,
        };
        Ok(sizes.cost(spec, &Layout::new(spec, self.order)?, &self.options(), condition))
    }

    fn build_boxed(&self, vs: &Path, spec: &PriorSpec) -> Result<Box<dyn Prior>, PriorError> {
        Ok(Box::new(self.build(vs, spec)?))
    }

    fn condition_names(&self) -> ConditionNames {
        ConditionNames {
            class_tables: &["embedding_table"],
            conditions: &["cls_embedding", "text_embeddings", "text_positions", "grid_embeddings"],
        }
    }
}

fn linear(vs: &Path, inputs: i64, outputs: i64) -> Linear {
    Linear { weight: table(vs, outputs, inputs), bias: None }
}
