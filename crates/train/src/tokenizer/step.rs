//! One training step of a tokenizer: takes a batch, computes gradients for the tokenizer and the discriminator.

use tch::{Kind, Tensor, no_grad};
use vqkit_losses::{DiscriminatorObjective, GeneratorLoss};
use vqkit_quantizer::Mode;
use vqkit_recipe::FinetunedPart;
use vqkit_torch::autocast;
use vqkit_vqvae::{Reconstruction, Tokenizer};

use crate::{error::Result, loss_terms::LossTerms, train_state::TrainState, trainer::Updated};

/// The configuration of a step.
#[derive(Debug)]
pub struct Step<'a> {
    /// Number format of the networks' computations.
    pub kind: Kind,
    /// The losses on images.
    pub objective: &'a GeneratorLoss,
    /// The part that is trained.
    pub part: FinetunedPart,
    /// Number of first steps in which only the discriminator is trained; its schedules start after them.
    pub discriminator_warmup_steps: u64,
    /// Number of parts into which the batch is split.
    pub grad_accumulation: usize,
}

/// The results of a step, for the codebooks, the log and the monitor.
#[derive(Debug)]
pub struct StepOutput {
    /// The losses.
    pub terms: LossTerms,
    /// The tokenizer's output for the batch, detached.
    pub reconstruction: Reconstruction,
    /// Logits of real and of fake images, detached, once adversarial training has begun.
    pub logits: Option<(Tensor, Tensor)>,
}

impl Step<'_> {
    /// Runs the autoencoder once over `images` and leaves the gradients in the tokenizer and the discriminator; `step` is counted from 0.
    ///
    /// The discriminator runs on the reconstruction once: its logits give the decoder's adversarial gradient and the
    /// discriminator's own loss, so it is trained on the reconstruction from before the decoder's update. Parts of a batch have
    /// equal weights, so the gradients are those of the whole batch, except through batch statistics of normalisation and the
    /// adaptive weight, which are computed per part.
    ///
    /// # Errors
    /// When a network cannot take the images, or libtorch refuses.
    pub fn run(
        &self,
        (tokenizer, network): (&Tokenizer, &mut TrainState),
        mut discriminator: Option<(&DiscriminatorObjective, &mut TrainState)>,
        images: &Tensor,
        step: u64,
    ) -> Result<StepOutput> {
        let share = 1.0 / self.grad_accumulation as f64;
        let mut terms = LossTerms::default();
        let (mut reconstructions, mut real, mut fake) = (Vec::new(), Vec::new(), Vec::new());
        network.zero_grad();
        if let Some((_, state)) = &mut discriminator {
            state.zero_grad();
        }
        for part in images.f_chunk(self.grad_accumulation as i64, 0)? {
            let output = self.reconstruct(tokenizer, &part, step)?;
            let played = step.saturating_sub(self.discriminator_warmup_steps);
            let discriminator_objective = discriminator.as_ref().map(|(objective, _)| (*objective, played));
            let loss =
                self.objective.gradient(&output.images, &part, tokenizer.last_layer(), discriminator_objective)?;
            terms.add("reconstruction", &loss.reconstruction, share);
            if let Some(perceptual) = &loss.perceptual {
                terms.add("perceptual", perceptual, share);
            }
            let codes = output.quantizer_loss();
            terms.add("quantizer", &codes, share);
            terms.add("codebook", &output.quantizer_term(|losses| &losses.codebook), share);
            terms.add("commitment", &output.quantizer_term(|losses| &losses.commitment), share);
            if let Some(adversarial) = &loss.adversarial {
                terms.add("generator", &adversarial.generator, share);
                terms.add("adaptive_weight", &adversarial.weight, share);
            }
            let mut gradients = vec![(output.images.shallow_clone(), loss.gradient * share)];
            if codes.requires_grad() {
                gradients.push((codes.shallow_clone(), codes.full_like(share)));
            }
            network.backward(&gradients.iter().map(|(output, gradient)| (output, gradient)).collect::<Vec<_>>())?;
            if let (Some((objective, state)), Some(adversarial)) = (&discriminator, loss.adversarial) {
                let loss = self.objective.compute(&part, || objective.loss(&part, &adversarial.logits, played))?;
                terms.add("discriminator", &loss.total, share);
                state.backward(&[(&loss.total, &loss.total.full_like(share))])?;
                real.push(loss.real_logits);
                fake.push(adversarial.logits.detach().to_kind(Kind::Float));
            }
            reconstructions.push(output);
        }
        let logits = (!real.is_empty()).then(|| (Tensor::cat(&real, 0), Tensor::cat(&fake, 0)));
        Ok(StepOutput { terms, reconstruction: Reconstruction::join(reconstructions)?, logits })
    }

    /// [`run`](Self::run) or, in the first steps, [`warm_up`](Self::warm_up); with the networks that have gradients then.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn train(
        &self,
        (tokenizer, network): (&Tokenizer, &mut TrainState),
        discriminator: Option<(&DiscriminatorObjective, &mut TrainState)>,
        images: &Tensor,
        step: u64,
    ) -> Result<(StepOutput, Updated)> {
        match discriminator {
            Some(discriminator) if self.warms_up(step) => {
                Ok((self.warm_up(tokenizer, discriminator, images, step)?, Updated::Discriminator))
            }
            discriminator => {
                let output = self.run((tokenizer, network), discriminator, images, step)?;
                let updated = if output.logits.is_some() { Updated::Both } else { Updated::Network };
                Ok((output, updated))
            }
        }
    }

    /// Whether `step`, counted from 0, trains only the discriminator.
    pub fn warms_up(&self, step: u64) -> bool {
        step < self.discriminator_warmup_steps
    }

    /// Runs the autoencoder once over `images`, as in evaluation, and leaves the gradients of the discriminator's loss in
    /// the discriminator; `step` is counted from 0.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn warm_up(
        &self,
        tokenizer: &Tokenizer,
        (objective, state): (&DiscriminatorObjective, &mut TrainState),
        images: &Tensor,
        step: u64,
    ) -> Result<StepOutput> {
        let share = 1.0 / self.grad_accumulation as f64;
        let mut terms = LossTerms::default();
        let (mut reconstructions, mut real, mut fake) = (Vec::new(), Vec::new(), Vec::new());
        state.zero_grad();
        for part in images.f_chunk(self.grad_accumulation as i64, 0)? {
            let output =
                no_grad(|| autocast::with(images.device(), self.kind, || tokenizer.forward(&part, Mode::Eval)))?;
            let made = output.images.to_kind(Kind::Float);
            let (logits, loss) = self.objective.compute(&part, || {
                let logits = objective.logits(&made)?;
                let loss = objective.loss(&part, &logits, step)?;
                Ok((logits, loss))
            })?;
            terms.add("discriminator", &loss.total, share);
            state.backward(&[(&loss.total, &loss.total.full_like(share))])?;
            real.push(loss.real_logits);
            fake.push(logits.detach().to_kind(Kind::Float));
            reconstructions.push(output);
        }
        let logits = Some((Tensor::cat(&real, 0), Tensor::cat(&fake, 0)));
        Ok(StepOutput { terms, reconstruction: Reconstruction::join(reconstructions)?, logits })
    }

    fn reconstruct(&self, tokenizer: &Tokenizer, images: &Tensor, step: u64) -> Result<Reconstruction> {
        let mode = Mode::Train { step };
        let output = autocast::with(images.device(), self.kind, || match self.part {
            FinetunedPart::All => tokenizer.forward(images, mode),
            FinetunedPart::Decoder => tokenizer.forward_decoder(images),
            FinetunedPart::DecoderAndCodebook => tokenizer.forward_with_frozen_encoder(images, mode),
        })?;
        Ok(output)
    }
}
