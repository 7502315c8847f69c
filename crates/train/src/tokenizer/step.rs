//! One step of a tokenizer's training: a batch in, gradients for both players out.

use tch::{Kind, Tensor};
use vqkit_losses::{DiscriminatorObjective, GeneratorLoss};
use vqkit_quantizer::{Mode, QuantizerLosses};
use vqkit_torch::autocast;
use vqkit_vqvae::{Reconstruction, Tokenizer};

use crate::{error::Result, loss_terms::LossTerms, train_state::TrainState};

/// What is trained, and for what.
#[derive(Debug)]
pub struct Step<'a> {
    /// Arithmetic of the networks.
    pub kind: Kind,
    /// The losses on images.
    pub objective: &'a GeneratorLoss,
    /// Whether only the decoder is trained.
    pub decoder_alone: bool,
    /// Parts into which the batch is split.
    pub grad_accumulation: usize,
}

/// What a step leaves behind for the codebooks, the log and the watch.
#[derive(Debug)]
pub struct StepOutput {
    /// The losses.
    pub terms: LossTerms,
    /// What the tokenizer made of the batch, outside of any graph.
    pub reconstruction: Reconstruction,
    /// Logits of real and of fake images, outside of any graph, once the game has begun.
    pub logits: Option<(Tensor, Tensor)>,
}

impl Step<'_> {
    /// Runs the autoencoder once over `images` and leaves both players their gradients; `step` is counted from 0.
    ///
    /// The discriminator judges the reconstruction once: that opinion steers the decoder and teaches the discriminator, which
    /// so learns from the reconstruction before the decoder's update. Parts of a batch count alike, so the gradients are
    /// those of the whole batch, except through statistics of batch normalisation and the adaptive weight, which each part
    /// has for itself.
    ///
    /// # Errors
    /// When a network cannot take the images, or libtorch refuses.
    pub fn take(
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
        if let Some((_, player)) = &mut discriminator {
            player.zero_grad();
        }
        for part in images.f_chunk(self.grad_accumulation as i64, 0)? {
            let output = self.reconstruct(tokenizer, &part, step)?;
            let adversary = discriminator.as_ref().map(|(adversary, _)| (*adversary, step));
            let pull = self.objective.gradient(&output.images, &part, tokenizer.last_layer(), adversary)?;
            terms.add("reconstruction", &pull.reconstruction, share);
            if let Some(perceptual) = &pull.perceptual {
                terms.add("perceptual", perceptual, share);
            }
            let codes = sum(&output, |losses| &losses.total);
            terms.add("quantizer", &codes, share);
            terms.add("codebook", &sum(&output, |losses| &losses.codebook), share);
            terms.add("commitment", &sum(&output, |losses| &losses.commitment), share);
            if let Some(fakes) = &pull.adversarial {
                terms.add("generator", &fakes.generator, share);
                terms.add("adaptive_weight", &fakes.weight, share);
            }
            let mut pulls = vec![(output.images.shallow_clone(), pull.gradient * share)];
            if codes.requires_grad() {
                pulls.push((codes.shallow_clone(), codes.full_like(share)));
            }
            network.backward(&pulls.iter().map(|(output, pull)| (output, pull)).collect::<Vec<_>>())?;
            if let (Some((adversary, player)), Some(fakes)) = (&discriminator, pull.adversarial) {
                let loss = self.objective.compute(&part, || adversary.loss(&part, &fakes.logits, step))?;
                terms.add("discriminator", &loss.total, share);
                player.backward(&[(&loss.total, &loss.total.full_like(share))])?;
                real.push(loss.real_logits);
                fake.push(fakes.logits.detach().to_kind(Kind::Float));
            }
            reconstructions.push(output);
        }
        let logits = (!real.is_empty()).then(|| (Tensor::cat(&real, 0), Tensor::cat(&fake, 0)));
        Ok(StepOutput { terms, reconstruction: Reconstruction::join(reconstructions)?, logits })
    }

    fn reconstruct(&self, tokenizer: &Tokenizer, images: &Tensor, step: u64) -> Result<Reconstruction> {
        let output = autocast::with(images.device(), self.kind, || match self.decoder_alone {
            true => tokenizer.forward_decoder(images),
            false => tokenizer.forward(images, Mode::Train { step }),
        })?;
        Ok(output)
    }
}

/// A term of the quantizers' losses, summed over the levels.
fn sum(output: &Reconstruction, term: fn(&QuantizerLosses) -> &Tensor) -> Tensor {
    let terms = output.levels.iter().map(|level| term(&level.losses).shallow_clone());
    terms
        .reduce(|sum, term| sum + term)
        .unwrap_or_else(|| Tensor::zeros([0i64; 0], (Kind::Float, output.images.device())))
}
