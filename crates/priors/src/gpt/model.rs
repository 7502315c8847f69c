//! The prior: a transformer with its losses, and with the weights that its cursor reads.

use tch::{Device, Kind, Tensor};
use vqkit_torch::TokenGrid;

use super::decode::{Decoder, GptCursor};
use super::transformer::Transformer;
use crate::{
    Autoregressive, Condition, Cursor, Prior, PriorError, PriorLoss, PriorSpec, SampleOptions, Sampled, Sampling,
    WeightDtype, autoregressive,
};

/// A decoder-only transformer; created by [`Gpt2Config::build`](super::Gpt2Config::build) and
/// [`LlamaConfig::build`](super::LlamaConfig::build).
#[derive(Debug)]
pub struct Gpt {
    transformer: Transformer,
    /// The weights that cursors read, where `set_weight_dtype` prepared them.
    decoder: Option<Box<Decoder>>,
}

impl Gpt {
    pub(super) fn new(transformer: Transformer) -> Self {
        Self { transformer, decoder: None }
    }

    /// Logits `[B, P + T, V]` of everything that may follow each position of the prefix and of the first `T` tokens
    /// `[B, T]` of a sequence, over the whole table of tokens.
    ///
    /// # Errors
    /// When tokens or condition are not what the prior was built for.
    pub fn sequence_logits(&self, condition: &Condition, tokens: &Tensor) -> Result<Tensor, PriorError> {
        let condition = self.transformer.complete(condition, tokens.size2()?.0)?;
        let hidden = self.transformer.hidden(&condition, &tokens.f_to_device(self.device())?, false)?;
        Ok(hidden.f_linear(&self.transformer.network.head, None::<&Tensor>)?.f_to_kind(Kind::Float)?)
    }

    /// The cursor by its own type; see [`Autoregressive::start`].
    ///
    /// # Errors
    /// As [`Autoregressive::start`].
    pub fn cursor(&self, condition: &Condition, batch: i64) -> Result<GptCursor<'_>, PriorError> {
        if batch < 1 {
            return Err(PriorError::config("batch", format!("must be at least 1, got {batch}")));
        }
        let _guard = tch::no_grad_guard();
        let condition = self.transformer.complete(condition, batch)?;
        self.transformer.check_range(&condition)?;
        GptCursor::new(&self.transformer, self.decoder.as_deref(), &condition, batch)
    }
}

impl Prior for Gpt {
    fn spec(&self) -> &PriorSpec {
        &self.transformer.spec
    }

    fn device(&self) -> Device {
        self.transformer.device()
    }

    fn loss(&self, targets: &[TokenGrid], condition: &Condition, train: bool) -> Result<PriorLoss, PriorError> {
        self.transformer.loss(self.spec().only_target(targets)?, condition, train)
    }

    fn null(&self, condition: &Condition, batch: i64) -> Result<Condition, PriorError> {
        if !self.transformer.options.has_null() {
            let reason = "guidance needs a prior that was trained with condition_dropout > 0; so does best_by";
            return Err(PriorError::config("cfg_scale", reason));
        }
        self.transformer.null(condition, batch)
    }

    fn generate(&self, condition: &Condition, options: &SampleOptions) -> Result<Sampled, PriorError> {
        autoregressive::sample(self, condition, options)
    }

    fn check_sampling(&self, sampling: &Sampling) -> Result<(), PriorError> {
        autoregressive::check(self, sampling)
    }

    fn set_weight_dtype(&mut self, dtype: WeightDtype) -> Result<(), PriorError> {
        let device = self.device();
        if dtype == WeightDtype::Int8 && device != Device::Cpu {
            return Err(PriorError::config("weight_dtype", "int8 is only for the CPU; use bf16 on a GPU"));
        }
        // On a GPU, fp32 becomes what autocast says at this moment.
        let dtype = match dtype {
            WeightDtype::Fp32 => Decoder::default_dtype(device),
            other => other,
        };
        self.decoder = Some(Box::new(Decoder::new(&self.transformer, dtype)?));
        Ok(())
    }

    fn as_autoregressive(&self) -> Option<&dyn Autoregressive> {
        Some(self)
    }
}

impl Autoregressive for Gpt {
    fn logits(&self, target: &TokenGrid, condition: &Condition) -> Result<Tensor, PriorError> {
        self.transformer.logits(target, condition)
    }

    fn start(&self, condition: &Condition, batch: i64) -> Result<Box<dyn Cursor + '_>, PriorError> {
        Ok(Box::new(self.cursor(condition, batch)?))
    }

    /// On the CPU, our kernels round a row alike in every batch.
    fn row_multiple(&self) -> i64 {
        match self.device() {
            Device::Cpu => 1,
            _ => 8,
        }
    }

    fn token_order(&self) -> Option<&[i64]> {
        Some(self.transformer.layout.order.as_slice()).filter(|order| !order.is_sorted())
    }
}
