//! Decoder-only transformers over tokens: taming-transformers' GPT and LlamaGen's.
//!
//! A sequence is `[class | text | embedding | condition grids | tokens]`, and each token is predicted from all that precedes it. What
//! starts a sequence without any condition is a vector of its own. Several codebooks lie in one table of tokens, those of
//! the second behind those of the first; each position's prediction is over its own codebook. Departures from upstream:
//! grids need not be squares; conditions have tables of their own unless `vocabulary = "shared"`; LlamaGen's grids of a
//! condition are turned by where they lie over the target.

mod block;
mod checkpoint;
mod cost;
mod decode;
mod gpt2;
mod layout;
mod llama;
mod options;
mod order;
mod prefix;
mod rotary;

use tch::{Device, Kind, Reduction, Tensor};
use vqkit_torch::TokenGrid;

use self::block::{Block, Norm, Pass};
use self::decode::Decoder;
use self::layout::Layout;
use self::options::Options;
use self::prefix::{Prefix, lookup, offsets};
use crate::classes::Classes;
use crate::{Condition, Cursor, Embedding, Prior, PriorError, PriorLoss, PriorSpec, SamplingWeights, Text};

pub use decode::GptCursor;
pub use gpt2::Gpt2Config;
pub use llama::LlamaConfig;
pub use options::Vocabulary;
pub use order::TokenOrder;
pub use rotary::rotary_table;

/// A decoder-only transformer; made by [`Gpt2Config::build`] and [`LlamaConfig::build`].
#[derive(Debug)]
pub struct Gpt {
    spec: PriorSpec,
    layout: Layout,
    options: Options,
    network: Network,
    /// Of every position, `[S, 1, dim / 2]`, complex.
    rotation: Option<Tensor>,
    /// The weights as sampling reads them, where they were prepared.
    decoder: Option<Box<Decoder>>,
}

/// The parameters.
#[derive(Debug)]
struct Network {
    /// `[V, D]`
    tokens: Tensor,
    /// `[1, S, D]`
    positions: Option<Tensor>,
    prefix: Prefix,
    blocks: Vec<Block>,
    norm: Norm,
    /// `[V, D]`
    head: Tensor,
    /// `[vocabulary of the text, D]`, where it is predicted.
    text_head: Option<Tensor>,
    embedding_dropout: f64,
}

impl Gpt {
    fn new(
        network: Network,
        rotation: Option<Tensor>,
        options: Options,
        layout: Layout,
        spec: &PriorSpec,
    ) -> Result<Self, PriorError> {
        let rotation = rotation.map(|table| Ok::<_, PriorError>(table.f_view_as_complex()?.f_unsqueeze(1)?));
        let rotation = rotation.transpose()?;
        Ok(Self { spec: spec.clone(), layout, options, network, rotation, decoder: None })
    }

    /// Logits `[B, P + T, V]` of everything that may follow each position of the prefix and of the first `T` tokens
    /// `[B, T]` of a sequence, over the whole table of tokens.
    ///
    /// # Errors
    /// When tokens or condition are not what the prior was built for.
    pub fn sequence_logits(&self, condition: &Condition, tokens: &Tensor) -> Result<Tensor, PriorError> {
        let condition = self.complete(condition, tokens.size2()?.0)?;
        let hidden = self.hidden(&condition, &tokens.f_to_device(self.device())?, false)?;
        Ok(hidden.f_linear(&self.network.head, None::<&Tensor>)?.f_to_kind(Kind::Float)?)
    }

    /// The cursor as what it is; see [`Prior::start`].
    ///
    /// # Errors
    /// As [`Prior::start`].
    pub fn cursor(&self, condition: &Condition, batch: i64) -> Result<GptCursor<'_>, PriorError> {
        if batch < 1 {
            return Err(PriorError::config("batch", format!("must be at least 1, got {batch}")));
        }
        let _guard = tch::no_grad_guard();
        let condition = self.complete(condition, batch)?;
        self.check_range(&condition)?;
        GptCursor::new(self, &condition, batch)
    }

    /// `condition` with null values for what is missing, once it was compared with what the prior was built for.
    fn complete(&self, condition: &Condition, batch: i64) -> Result<Condition, PriorError> {
        self.spec.check(condition, batch, self.options.has_null())?;
        let lacks_class = self.spec.num_classes.is_some() && condition.class.is_none();
        let lacks_text = self.spec.text.is_some() && condition.text.is_none();
        let lacks_embedding = self.spec.embedding.is_some() && condition.embedding.is_none();
        if !lacks_class && !lacks_text && !lacks_embedding {
            return Ok(condition.shallow_clone());
        }
        let null = self.network.prefix.null(condition, batch, &self.spec, &self.options)?;
        Ok(Condition {
            class: condition.class.as_ref().map(Tensor::shallow_clone).or(null.class),
            text: condition.text.as_ref().map(Text::shallow_clone).or(null.text),
            embedding: condition.embedding.as_ref().map(Embedding::shallow_clone).or(null.embedding),
            grids: condition.shallow_clone().grids,
        })
    }

    /// `condition` with the null values in some rows.
    fn drop_some(&self, condition: &Condition, batch: i64) -> Result<Condition, PriorError> {
        let null = self.network.prefix.null(condition, batch, &self.spec, &self.options)?;
        let dropped = Tensor::rand([batch], (Kind::Float, self.device())).lt(self.options.condition_dropout);
        condition.where_not(&dropped, &null)
    }

    /// What the blocks make of a prefix and the first tokens `[B, T]` of a sequence, normalised: `[B, P + T, D]`.
    fn hidden(&self, condition: &Condition, tokens: &Tensor, train: bool) -> Result<Tensor, PriorError> {
        let network = &self.network;
        let (batch, _) = tokens.size2()?;
        let prefix = network.prefix.embed(condition, batch, self.layout.has_class, &network.tokens)?;
        let embedded = lookup(&network.tokens, &self.in_one_vocabulary(tokens, 0)?)?;
        let mut hidden = Tensor::f_cat(&[prefix, embedded], 1)?;
        let length = hidden.size()[1];
        if let Some(positions) = &network.positions {
            hidden = hidden.f_add(&positions.f_narrow(1, 0, length)?)?;
        }
        hidden = hidden.f_dropout(network.embedding_dropout, train)?;
        let pass = Pass {
            rotation: self.rotation.as_ref().map(|table| table.f_narrow(0, 0, length)).transpose()?,
            mask: self.mask(condition, length)?,
            train,
        };
        for block in &network.blocks {
            hidden = match self.options.checkpoint && train {
                true => checkpoint::forward(block, &hidden, &pass)?,
                false => block.forward(&hidden, &pass)?,
            };
        }
        network.norm.forward(&hidden)
    }

    /// Where a query of the first `length` positions may look, `[1 or B, 1, S, S]`; none: at all that precede it.
    fn mask(&self, condition: &Condition, length: i64) -> Result<Option<Tensor>, PriorError> {
        let counting = self.layout.counting(condition, length, self.device())?;
        if counting.is_none() && self.options.n_unmasked == 0 {
            return Ok(None);
        }
        let causal = Layout::causal(length, self.options.n_unmasked, self.device()).unsqueeze(0);
        let Some(counting) = counting else { return Ok(Some(causal.unsqueeze(0))) };
        let itself = Tensor::eye(length, (Kind::Float, self.device())).to_kind(Kind::Bool);
        Ok(Some(causal.f_logical_and(&counting.f_unsqueeze(1)?)?.f_logical_or(&itself)?.f_unsqueeze(1)?))
    }

    /// Tokens `[B, T]` of the places `first..` of a sequence as rows of the table of tokens.
    fn in_one_vocabulary(&self, tokens: &Tensor, first: i64) -> Result<Tensor, PriorError> {
        let books = self.layout.codebooks;
        if books == 1 {
            return Ok(tokens.shallow_clone());
        }
        let length = tokens.size2()?.1;
        let book = Tensor::arange_start(first, first + length, (Kind::Int64, tokens.device())).remainder(books);
        Ok(tokens.f_add(&offsets(&self.spec.sizes).to_device(tokens.device()).f_index_select(0, &book)?)?)
    }

    /// Tokens `[B, T]` of a sequence, some of them replaced by random ones.
    fn corrupt(&self, tokens: &Tensor) -> Result<Tensor, PriorError> {
        if self.options.pkeep == 1.0 {
            return Ok(tokens.shallow_clone());
        }
        let random = |tokens: &Tensor| Tensor::rand(tokens.size(), (Kind::Float, tokens.device()));
        let sizes = Tensor::from_slice(&self.spec.sizes).to_device(tokens.device());
        let sizes =
            sizes.f_repeat([tokens.size2()?.1 / self.layout.codebooks + 1])?.f_narrow(0, 0, tokens.size2()?.1)?;
        let others = random(tokens).f_mul(&sizes)?.f_to_kind(Kind::Int64)?.f_minimum(&(sizes - 1))?;
        Ok(tokens.f_where_self(&random(tokens).lt(self.options.pkeep), &others)?)
    }

    /// Of what precedes the tokens of each codebook, `[B, H · W, D]`, the logits `[B, H · W, K]` of these.
    fn logits_of_book(&self, hidden: &Tensor, book: i64) -> Result<Tensor, PriorError> {
        let before = hidden.f_slice(1, book, None, self.layout.codebooks)?;
        let first: i64 = self.spec.sizes[..book as usize].iter().sum();
        let head = self.network.head.f_narrow(0, first, self.spec.sizes[book as usize])?;
        Ok(before.f_linear(&head, None::<&Tensor>)?.f_to_kind(Kind::Float)?)
    }

    /// What the blocks make of a condition and all tokens but the last, `[B, P + N - 1, D]`.
    fn read(&self, condition: &Condition, tokens: &Tensor, train: bool) -> Result<Tensor, PriorError> {
        let read = tokens.f_narrow(1, 0, self.layout.tokens() - 1)?;
        let read = if train { self.corrupt(&read)? } else { read };
        self.hidden(condition, &read, train)
    }

    /// Of every token, what precedes it, `[B, N, D]`, out of what [`read`](Self::read) gives.
    fn before_tokens(&self, hidden: &Tensor) -> Result<Tensor, PriorError> {
        Ok(hidden.f_narrow(1, self.layout.prefix() - 1, self.layout.tokens())?)
    }

    /// The mean cross entropy of the ids of texts, each given those before it; none where they are not predicted. A text that was
    /// dropped has none.
    fn text_loss(&self, condition: &Condition, hidden: &Tensor) -> Result<Option<Tensor>, PriorError> {
        let (Some(head), Some(text)) = (&self.network.text_head, &condition.text) else { return Ok(None) };
        let pairs = self.layout.text - 1;
        let before = hidden.f_narrow(1, self.layout.before_text(), pairs)?;
        let logits = before.f_linear(head, None::<&Tensor>)?.f_to_kind(Kind::Float)?.f_flatten(0, 1)?;
        let ids = text.ids.f_to_device(self.device())?.f_narrow(1, 1, pairs)?;
        let counts = text.mask.f_narrow(1, 0, pairs)?.f_logical_and(&text.mask.f_narrow(1, 1, pairs)?)?;
        let counts = counts.f_to_device(self.device())?.f_flatten(0, 1)?.f_to_kind(Kind::Float)?;
        // Of what does not count, any id will do; the null id has no logit.
        let ids = ids.f_flatten(0, 1)?.f_clamp_max(head.size()[0] - 1)?;
        let each = logits.f_cross_entropy_loss(&ids, None::<Tensor>, Reduction::None, -100, 0.0)?;
        Ok(Some((each * &counts).f_sum(Kind::Float)? / counts.f_sum(Kind::Float)?.clamp_min(1.0)))
    }

    /// Looks at the values of a condition.
    fn check_range(&self, condition: &Condition) -> Result<(), PriorError> {
        if let Some(classes) = Classes::of(&self.spec, self.options.condition_dropout) {
            classes.check(condition)?;
        }
        let padding = condition.embedding.as_ref().and_then(|embedding| embedding.mask.as_ref());
        let masks = [
            ("the mask of the embedding", padding),
            ("the mask of the text", condition.text.as_ref().map(|t| &t.mask)),
        ];
        for (what, mask) in masks {
            if let Some(mask) = mask.filter(|mask| mask.select(1, -1).all().int64_value(&[]) == 0) {
                return Err(PriorError::shape(what, "true in its last column: padding lies in front", mask));
            }
        }
        if let (Some(text), Some(spec)) = (&condition.text, &self.spec.text) {
            let rows = spec.vocabulary + i64::from(self.options.has_null());
            let (least, largest) = text.ids.aminmax(None, false);
            let of_range = [least, largest].map(|id| id.int64_value(&[]));
            if let Some(id) = of_range.into_iter().find(|id| !(0..rows).contains(id)) {
                return Err(PriorError::Text { id, vocabulary: spec.vocabulary });
            }
        }
        let may_be_null = self.options.drops_grids(&self.spec);
        condition.grids.iter().try_for_each(|grid| match may_be_null {
            true => Ok(without_null(grid)?.check_range()?),
            false => Ok(grid.check_range()?),
        })
    }
}

impl Prior for Gpt {
    fn spec(&self) -> &PriorSpec {
        &self.spec
    }

    fn device(&self) -> Device {
        self.network.tokens.device()
    }

    /// On the CPU, our kernels round a row alike in every batch.
    fn row_multiple(&self) -> i64 {
        match self.device() {
            Device::Cpu => 1,
            _ => 8,
        }
    }

    fn set_sampling_weights(&mut self, weights: SamplingWeights) -> Result<(), PriorError> {
        let weights = match (weights, self.device()) {
            (SamplingWeights::Int8, device) if device != Device::Cpu => {
                return Err(PriorError::config("weights", "int8 is for the CPU; take bf16 on a GPU"));
            }
            // On a GPU, in the arithmetic that is current here.
            (SamplingWeights::Fp32, device) if device != Device::Cpu => decode::arithmetic(self),
            _ => weights,
        };
        self.decoder = Some(Box::new(Decoder::new(self, weights)?));
        Ok(())
    }

    fn loss(&self, target: &TokenGrid, condition: &Condition, train: bool) -> Result<PriorLoss, PriorError> {
        self.spec.target().check(target, "the target")?;
        let batch = target.batch();
        let mut condition = self.complete(condition, batch)?;
        if train && self.options.has_null() {
            condition = self.drop_some(&condition, batch)?;
        }
        let tokens = self.layout.sequence(target, self.device())?;
        let read = self.read(&condition, &tokens, train)?;
        let hidden = self.before_tokens(&read)?;
        let books = self.layout.codebooks;
        let mut sum = Tensor::zeros([], (Kind::Float, self.device()));
        for book in 0..books {
            let logits = self.logits_of_book(&hidden, book)?.f_flatten(0, 1)?;
            let wanted = tokens.f_slice(1, book, None, books)?.f_flatten(0, 1)?;
            sum = sum.f_add(&logits.f_cross_entropy_loss(&wanted, None::<Tensor>, Reduction::Mean, -100, 0.0)?)?;
        }
        let image = sum / books as f64;
        Ok(match self.text_loss(&condition, &read)? {
            None => PriorLoss::of_image(image),
            Some(text) => PriorLoss { total: &image + &text * self.options.text_loss_weight, image, text: Some(text) },
        })
    }

    fn logits(&self, target: &TokenGrid, condition: &Condition) -> Result<Tensor, PriorError> {
        self.spec.target().check(target, "the target")?;
        if self.layout.codebooks != 1 {
            let reason =
                format!("logits of a grid are those of one codebook, this prior has {}", self.layout.codebooks);
            return Err(PriorError::config("sizes", reason));
        }
        let condition = self.complete(condition, target.batch())?;
        let tokens = self.layout.sequence(target, self.device())?;
        let hidden = self.before_tokens(&self.read(&condition, &tokens, false)?)?;
        let logits = self.layout.raster(&self.logits_of_book(&hidden, 0)?)?;
        let [height, width] = self.spec.grid;
        Ok(logits.f_unflatten(2, [height, width])?)
    }

    fn start(&self, condition: &Condition, batch: i64) -> Result<Box<dyn Cursor + '_>, PriorError> {
        Ok(Box::new(self.cursor(condition, batch)?))
    }

    fn places(&self) -> Option<&[i64]> {
        Some(self.layout.places.as_slice()).filter(|places| !places.is_sorted())
    }

    fn null(&self, condition: &Condition, batch: i64) -> Result<Condition, PriorError> {
        if !self.options.has_null() {
            let reason = "guidance needs a prior that was trained with condition_dropout > 0";
            return Err(PriorError::config("cfg_scale", reason));
        }
        self.network.prefix.null(condition, batch, &self.spec, &self.options)
    }
}

/// A grid with a token of the first codes in place of the null token, which lies outside every codebook.
fn without_null(grid: &TokenGrid) -> Result<TokenGrid, PriorError> {
    let null = grid.sizes.iter().sum::<i64>();
    let zero = grid.indices.f_zeros_like()?;
    Ok(TokenGrid { indices: grid.indices.f_where_self(&grid.indices.ne(null), &zero)?, sizes: grid.sizes.clone() })
}
