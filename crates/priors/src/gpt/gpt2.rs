//! taming-transformers' GPT (`minGPT`): learned positions, layer normalisation, GELU.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::{Init, Path};

use super::block::{Attention, Block, Linear, Mlp, Norm, Projections};
use super::cost::Sizes;
use super::init::{STDEV, table};
use super::layout::Layout;
use super::model::Gpt;
use super::network::Network;
use super::options::{ConditionDropoutMode, Options, Vocabulary, divides};
use super::order::TokenOrder;
use super::positions::interpolated;
use super::prefix::{Prefix, Projection, TextTable};
use super::transformer::Transformer;
use crate::autoregressive::Abilities;
use crate::limits::{MOST_CHANNELS, MOST_LAYERS, MOST_POSITIONS, check_size, probability};
use crate::{BuildPrior, ConditionNames, Cost, Prior, PriorError, PriorSpec, Sampling, WeightDtype};

/// Parameters of [`Gpt`] as in taming-transformers (Esser et al. 2021); names and defaults are upstream's.
///
/// ```
/// use vqkit_priors::{BuildPrior, Gpt2Config};
///
/// let config = Gpt2Config::new(12, 8, 512);
/// assert!(Gpt2Config { n_head: 7, ..config }.validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gpt2Config {
    /// Number of blocks.
    pub n_layer: i64,
    /// Number of attention heads; divides `n_embd`.
    pub n_head: i64,
    /// Width `D` of the embeddings and of the blocks.
    pub n_embd: i64,
    /// Number of learned position embeddings, the longest sequence. Default: as many as the target and its conditions
    /// need.
    #[serde(default)]
    pub block_size: Option<i64>,
    /// Dropout rate of the embedded tokens. Default 0.
    #[serde(default)]
    pub embd_pdrop: f64,
    /// Dropout rate of the outputs of attention and MLP. Default 0.
    #[serde(default)]
    pub resid_pdrop: f64,
    /// Dropout rate of the attention weights. Above 0, libtorch computes attention step by step: on a CPU, a training step of 280
    /// tokens then takes two and a half times as long. Default 0.
    #[serde(default)]
    pub attn_pdrop: f64,
    /// Number of first positions that attend to each other in both directions; at most the length of the condition.
    /// Default 0.
    #[serde(default)]
    pub n_unmasked: i64,
    /// Probability, in (0, 1], with which an input token is kept in training; otherwise it is replaced by a random one.
    /// Default 1.
    #[serde(default = "one")]
    pub pkeep: f64,
    /// Order in which the positions of the grid are predicted. Default `"raster"`.
    #[serde(default)]
    pub order: TokenOrder,
    /// Embedding tables of the indices of conditions; upstream uses `"shared"`. Default `"separate"`.
    #[serde(default)]
    pub vocabulary: Vocabulary,
    /// Whether the output layer shares its weights with the token embeddings. Default false.
    #[serde(default)]
    pub tied_head: bool,
    /// Weight of the loss on the text, 0 or more; above 0, the prior also predicts the text's ids (DALL·E uses 1/7 of
    /// the image's weight). Default 0.
    #[serde(default)]
    pub text_loss_weight: f64,
    /// Probability with which a sample's condition is dropped in training: class, text and embedding, or the condition
    /// grids where there are none of these. Classifier-free guidance needs a value above 0. Default 0.
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

fn one() -> f64 {
    1.0
}

impl Gpt2Config {
    /// Depth, heads and width, and the default of every other key.
    pub fn new(n_layer: i64, n_head: i64, n_embd: i64) -> Self {
        Self {
            n_layer,
            n_head,
            n_embd,
            block_size: None,
            embd_pdrop: 0.0,
            resid_pdrop: 0.0,
            attn_pdrop: 0.0,
            n_unmasked: 0,
            pkeep: one(),
            order: TokenOrder::default(),
            vocabulary: Vocabulary::default(),
            tied_head: false,
            text_loss_weight: 0.0,
            condition_dropout: 0.0,
            condition_dropout_mode: ConditionDropoutMode::default(),
            activation_checkpointing: false,
        }
    }

    /// The prior with its parameters under `vs`.
    ///
    /// # Errors
    /// As [`BuildPrior::check`].
    pub fn build(&self, vs: &Path, spec: &PriorSpec) -> Result<Gpt, PriorError> {
        self.check(spec)?;
        let (options, layout) = (self.options(), Layout::new(spec, self.order)?);
        let width = self.n_embd;
        let rows = options.rows(spec);
        let tokens = table(&(vs / "tok_emb"), rows, width);
        let positions = vs.var(POSITIONS, &[1, self.block_size.unwrap_or(layout.length()), width], Init::Const(0.0));
        let head = if self.tied_head { tokens.shallow_clone() } else { table(&(vs / "head"), rows, width) };
        let network = Network {
            prefix: self.prefix(vs, spec, &options, layout.has_class),
            blocks: (0..self.n_layer).map(|index| self.block(vs / "blocks" / index)).collect(),
            norm: norm(&(vs / "ln_f"), width),
            positions: Some(positions),
            head,
            tokens,
            text_head: options.predicted_ids(spec).map(|ids| table(&(vs / "text_head"), ids, width)),
            embedding_dropout: self.embd_pdrop,
        };
        Ok(Gpt::new(Transformer::new(network, None, options, layout, spec)?))
    }

    fn options(&self) -> Options {
        Options {
            vocabulary: self.vocabulary,
            pkeep: self.pkeep,
            condition_dropout: self.condition_dropout,
            dropout_mode: self.condition_dropout_mode,
            n_unmasked: self.n_unmasked,
            text_loss_weight: self.text_loss_weight,
            checkpoint: self.activation_checkpointing,
        }
    }

    fn prefix(&self, vs: &Path, spec: &PriorSpec, options: &Options, has_class: bool) -> Prefix {
        let width = self.n_embd;
        let own = self.vocabulary == Vocabulary::Separate;
        let grids = spec.condition_grids.iter().enumerate().map(|(index, grid)| {
            let rows = options.grid_rows(spec, grid.codes());
            own.then(|| table(&(vs / "grid_emb" / index), rows, width))
        });
        let embedding = spec.embedding.as_ref();
        let foreign = embedding.filter(|embedding| embedding.dim != width);
        let null = embedding.filter(|_| options.has_null());
        Prefix {
            classes: (own && has_class).then(|| table(&(vs / "class_emb"), options.class_rows(spec), width)),
            text: options
                .text_rows(spec)
                .map(|rows| TextTable { ids: table(&(vs / "text_emb"), rows, width), positions: None }),
            grids: grids.collect(),
            embedding: foreign.map_or(Projection::None, |embedding| {
                Projection::Linear(linear(&(vs / "embedding_proj"), embedding.dim, width))
            }),
            null_embedding: null.map(|embedding| {
                vs.var("null_embedding", &[embedding.length, embedding.dim], Init::Randn { mean: 0.0, stdev: STDEV })
            }),
        }
    }

    fn block(&self, vs: Path) -> Block {
        let width = self.n_embd;
        let (attn, mlp) = (&vs / "attn", &vs / "mlp");
        let projection = |name: &str| linear(&(&attn / name), width, width);
        Block {
            attention_norm: norm(&(&vs / "ln1"), width),
            attention: Attention {
                projections: Projections::Separate([projection("query"), projection("key"), projection("value")]),
                out: projection("proj"),
                heads: self.n_head,
                kv_heads: self.n_head,
                dropout: self.attn_pdrop,
            },
            mlp_norm: norm(&(&vs / "ln2"), width),
            mlp: Mlp::Gelu { up: linear(&(&mlp / 0), width, 4 * width), down: linear(&(&mlp / 2), 4 * width, width) },
            residual_dropout: self.resid_pdrop,
            mlp_dropout: self.resid_pdrop,
        }
    }
}

impl BuildPrior for Gpt2Config {
    fn validate(&self) -> Result<(), PriorError> {
        check_size("n_layer", self.n_layer, 1, MOST_LAYERS)?;
        check_size("n_head", self.n_head, 1, MOST_CHANNELS)?;
        check_size("n_embd", self.n_embd, 1, MOST_CHANNELS)?;
        check_size("block_size", self.block_size.unwrap_or(1), 1, MOST_POSITIONS)?;
        divides("n_head", self.n_head, self.n_embd, "n_embd")?;
        probability("embd_pdrop", self.embd_pdrop)?;
        probability("resid_pdrop", self.resid_pdrop)?;
        probability("attn_pdrop", self.attn_pdrop)?;
        self.options().validate()
    }

    fn check(&self, spec: &PriorSpec) -> Result<(), PriorError> {
        self.validate()?;
        spec.validate()?;
        spec.refuse_levels("gpt2")?;
        let layout = Layout::new(spec, self.order)?;
        self.options().check(spec, layout.prefix())?;
        match self.block_size {
            Some(size) if size < layout.length() => {
                let reason = format!("must be at least {} for this target, got {size}", layout.length());
                Err(PriorError::config("block_size", reason))
            }
            _ => Ok(()),
        }
    }

    fn check_sampling(&self, sampling: &Sampling, dtype: WeightDtype, spec: &PriorSpec) -> Result<(), PriorError> {
        let abilities = Abilities { has_null: self.options().has_null(), dtypes: &WeightDtype::ALL };
        abilities.check(sampling, dtype, spec)
    }

    fn cost(&self, spec: &PriorSpec) -> Result<Cost, PriorError> {
        self.check(spec)?;
        let (width, layout) = (self.n_embd, Layout::new(spec, self.order)?);
        let foreign = spec.embedding.as_ref().filter(|embedding| embedding.dim != width);
        let null = spec.embedding.as_ref().filter(|_| self.options().has_null());
        let text = self.options().text_rows(spec).unwrap_or(0) + self.options().predicted_ids(spec).unwrap_or(0);
        let condition = text * width
            + foreign.map_or(0, |embedding| embedding.dim * width + width)
            + null.map_or(0, |embedding| embedding.length * embedding.dim);
        let sizes = Sizes {
            layers: self.n_layer,
            width,
            kv_width: width,
            block_weights: 12 * width * width,
            block_others: 13 * width,
            last_norm: 2 * width,
            positions: self.block_size.unwrap_or(layout.length()),
            tied_head: self.tied_head,
        };
        Ok(sizes.cost(spec, &layout, &self.options(), condition))
    }

    fn build_boxed(&self, vs: &Path, spec: &PriorSpec) -> Result<Box<dyn Prior>, PriorError> {
        Ok(Box::new(self.build(vs, spec)?))
    }

    fn condition_names(&self) -> ConditionNames {
        match self.vocabulary {
            Vocabulary::Separate => ConditionNames {
                class_tables: &["class_emb"],
                conditions: &["class_emb", "text_emb", "grid_emb", "embedding_proj", "null_embedding"],
            },
            Vocabulary::Shared => {
                let conditions = &["text_emb", "embedding_proj", "null_embedding"];
                ConditionNames { class_tables: &[], conditions }
            }
        }
    }

    fn fit_positions(
        &self,
        weights: &mut BTreeMap<String, Tensor>,
        theirs: &PriorSpec,
        ours: &PriorSpec,
    ) -> Result<(), PriorError> {
        let rows = self.block_size.unwrap_or(Layout::new(ours, self.order)?.length());
        let needed = Layout::new(theirs, self.order)?.length();
        match weights.get_mut(POSITIONS) {
            Some(positions) if matches!(positions.size()[..], [1, found, _] if found >= needed) => {
                *positions = interpolated(positions, (theirs, ours), self.order, rows)?;
                Ok(())
            }
            // What is missing or of another shape is found when the weights are compared with the network's variables.
            _ => Ok(()),
        }
    }
}

/// The name of the learned positions.
const POSITIONS: &str = "pos_emb";

fn linear(vs: &Path, inputs: i64, outputs: i64) -> Linear {
    Linear { weight: table(vs, outputs, inputs), bias: Some(vs.var("bias", &[outputs], Init::Const(0.0))) }
}

fn norm(vs: &Path, width: i64) -> Norm {
    let var = |name, value| vs.var(name, &[width], Init::Const(value));
    Norm::Layer { weight: var("weight", 1.0), bias: var("bias", 0.0) }
}
