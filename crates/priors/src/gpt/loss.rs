//! The losses of a transformer, and the logits of a whole grid.

use tch::{Kind, Reduction, Tensor};
use vqkit_torch::TokenGrid;

use super::transformer::Transformer;
use crate::{Condition, PriorError, PriorLoss};

impl Transformer {
    /// The loss of a target that was compared with the specification.
    pub(super) fn loss(&self, target: &TokenGrid, condition: &Condition, train: bool) -> Result<PriorLoss, PriorError> {
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

    /// Logits `[B, K, H, W]` of every position given all earlier ones, of a grid with one codebook.
    pub(super) fn logits(&self, target: &TokenGrid, condition: &Condition) -> Result<Tensor, PriorError> {
        self.spec.target.check(target, "the target")?;
        if self.layout.codebooks != 1 {
            let reason =
                format!("logits of a grid are those of one codebook, this prior has {}", self.layout.codebooks);
            return Err(PriorError::config("sizes", reason));
        }
        let condition = self.complete(condition, target.batch())?;
        let tokens = self.layout.sequence(target, self.device())?;
        let hidden = self.before_tokens(&self.read(&condition, &tokens, false)?)?;
        let logits = self.layout.raster(&self.logits_of_book(&hidden, 0)?)?;
        let [height, width] = self.spec.target.grid;
        Ok(logits.f_unflatten(2, [height, width])?)
    }

    /// The mean cross entropy of the ids of texts, each given those before it; none where they are not predicted. A text that was
    /// dropped does not count.
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
}
